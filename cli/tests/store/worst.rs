//! The most that clients can cost an open registry: docs/bounds.md tells it, and clients fill it up
//! to there.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tempfile::tempdir;
use xlreg::identity::{EndPoint, Token};
use xlreg::message::{ClusterRef, Refusal};
use xlreg_testkit::client::{Failure, Way, token};
use xlreg_testkit::http::Samples;
use xlreg_testkit::{KEYS, Seeded, identity};

use crate::common::{Daemon, full, furnish};

/// The bytes that one change writes at most, its part of moving the log into the file included.
const CHANGE: u64 = 100_000;

/// The memory beside the state that a daemon takes when it works: the pages that SQLite keeps, what
/// the allocator holds, threads.
const BESIDE: u64 = 24 << 20;

/// Flags under which no rate and no count is reached, only bytes.
const NO_RATES: [&str; 7] = [
    "--hello-rate=1000000",
    "--node-rate=4000000000",
    "--cluster-rate=4000000000",
    "--membership-rate=4000000000",
    "--change-rate=4000000000",
    "--change-rate-per-key=4000000000",
    "--max-nodes-per-key=100000000",
];

/// The largest token with keys of 2048 bits that a registry takes: `n` makes it another one.
fn largest(n: u64, key: usize, rng: &mut Seeded) -> Token {
    let host = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    let ends = (0..8).map(|end| format!("{host}:{}", n * 8 % 60_000 + end + 1));
    let node = identity(&format!("{n:0255}"), key);
    let mut id = [0; 32];
    id[..8].copy_from_slice(&n.to_le_bytes());
    let mut token = Token {
        id: Some(id.into()),
        end_points: ends.map(|end| end.parse::<EndPoint>().unwrap()).collect(),
        ..token(&node, "h:1", rng)
    };
    token.sign(&KEYS.sig[key], rng).unwrap();
    token
}

/// One session of a hostile client: a node, a cluster and a membership, as large as they can be.
fn take_room(way: &Way, n: u64, rng: &mut Seeded) -> Result<(), Failure> {
    let (mut client, _) = way.visit(&largest(n, n as usize % KEYS.sig.len(), rng), rng)?;
    client.create(&format!("{n:0255}"), 1)?;
    client.join(ClusterRef::CURRENT)?;
    client.bye()
}

/// A number after a word in a file of `/proc`.
fn proc_value(daemon: &Daemon, file: &str, word: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/{file}", daemon.pid())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(word)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn resident(daemon: &Daemon) -> u64 {
    proc_value(daemon, "status", "VmRSS:") * 1024
}

/// The bytes of the store on disk.
fn on_disk(dir: &Path) -> u64 {
    let files = ["registry.sqlite", "registry.sqlite-wal"];
    files.iter().map(|file| fs::metadata(dir.join(file)).map_or(0, |file| file.len())).sum()
}

#[test]
fn the_worst_that_clients_do_costs_no_more_than_is_told() {
    let temp = tempdir().unwrap();
    furnish(temp.path());
    let memory = if full() { 3 << 30 } else { 8 << 20 };
    let memory_flag = format!("--max-memory={memory}");
    let flags = ["--metrics", "127.0.0.1:0", &memory_flag, "--max-store=100GiB"];
    let daemon = Daemon::start(temp.path(), &[&NO_RATES[..], &flags].concat());
    let way = Way::new(daemon.address(), &daemon.credential());
    take_room(&way, 0, &mut Seeded(1)).unwrap();
    let (resident_before, written_before) =
        (resident(&daemon), proc_value(&daemon, "io", "wchar:"));

    let next = AtomicU64::new(1);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (way, next) = (&way, &next);
            scope.spawn(move || {
                let rng = &mut Seeded(100 + thread);
                loop {
                    match take_room(way, next.fetch_add(1, Ordering::Relaxed), rng) {
                        Ok(()) => {}
                        Err(failure) if failure.is(Refusal::RegistryFull) => return,
                        Err(failure) => panic!("{failure:?}"),
                    }
                }
            });
        }
    });
    let taken = next.into_inner();
    let samples = Samples::of(&daemon.metrics());
    let reckoned = samples.value("xlreg_memory_bytes", &[]) as u64;
    assert!(reckoned <= memory && reckoned > memory - 20_000, "{reckoned} of {memory}");
    let grown = resident(&daemon) - resident_before;
    assert!(grown <= reckoned + BESIDE, "{grown} bytes of memory for {reckoned} reckoned");
    let disk = on_disk(temp.path());
    assert!(disk <= reckoned + (8 << 20), "{disk} bytes on disk for {reckoned} of memory");
    let changes = samples.value("xlreg_changes_committed_total", &[]) as u64;
    let written = proc_value(&daemon, "io", "wchar:") - written_before;
    assert!(written <= changes * CHANGE, "{written} bytes for {changes} changes");
    println!(
        "{taken} nodes: {grown} bytes of memory, {reckoned} reckoned; {disk} bytes on disk; {} bytes \
         written a change",
        written / changes
    );

    // In the room that they have they can go on changing, and take no more of it.
    let rng = &mut Seeded(7);
    for round in 0..20 {
        let mut changed = largest(0, 0, rng);
        let last = changed.end_points.last_mut().unwrap();
        *last = format!("h:{}", round + 1).parse().unwrap();
        changed.sign(&KEYS.sig[0], rng).unwrap();
        let (mut client, _) = way.visit(&changed, rng).unwrap();
        client
            .join(ClusterRef::from(format!("{:0255}", 0).parse::<xlreg::identity::Name>().unwrap()))
            .unwrap();
        client.bye().unwrap();
    }
    let samples = Samples::of(&daemon.metrics());
    assert!(samples.value("xlreg_memory_bytes", &[]) as u64 <= reckoned);
    let rewritten = proc_value(&daemon, "io", "wchar:") - written_before - written;
    assert!(rewritten <= 20 * CHANGE, "{rewritten} bytes for 20 changes");
}
