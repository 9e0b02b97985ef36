//! The most that clients can cost an open registry: docs/bounds.md tells it, and clients fill it up
//! to there.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tempfile::tempdir;
use xlreg::identity::{MemberAttrs, PublicKey, SigKeyPair, Token};
use xlreg::message::{ClusterRef, Refusal};
use xlreg_testkit::Seeded;
use xlreg_testkit::client::{Failure, Way};
use xlreg_testkit::http::Samples;
use xlreg_testkit::largest::{largest_key, longest_end};

use crate::common::{Daemon, full, furnish};

/// The bytes that one change writes at most, its part of moving the log into the file included.
const CHANGE: u64 = 100_000;

/// The memory beside the state that a daemon takes when it works: the pages that SQLite keeps, what
/// the allocator holds, threads.
const BESIDE: u64 = 24 << 20;

/// Flags under which no rate is reached, and no limit of a key.
const NO_RATES: [&str; 9] = [
    "--hello-rate=1000000",
    "--node-rate=4000000000",
    "--cluster-rate=4000000000",
    "--membership-rate=4000000000",
    "--change-rate=4000000000",
    "--change-rate-per-key=4000000000",
    "--max-nodes-per-key=100000000",
    "--max-clusters-per-key=100000000",
    "--max-memberships-per-key=100000000",
];

/// A hostile client: it signs with a small key, which is quick, and has the largest comms key.
struct Hostile {
    sig: SigKeyPair,
    comms: PublicKey,
    way: Way,
}

impl Hostile {
    fn new(way: Way) -> Self {
        Self {
            sig: SigKeyPair::generate(1024, &mut Seeded(1)).unwrap(),
            comms: largest_key(1),
            way,
        }
    }

    /// A token with all that a registry takes. `n` makes it another one.
    fn token(&self, n: u64, last_end: Option<&str>, rng: &mut Seeded) -> Token {
        let last = last_end.map_or_else(|| longest_end(7), |end| end.parse().unwrap());
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.to_le_bytes());
        let mut token = Token {
            name: format!("{n:0255}").parse().unwrap(),
            attrs: MemberAttrs::NONE,
            id: Some(id.into()),
            comms_key: self.comms.clone(),
            sig_key: self.sig.public_key().clone(),
            end_points: (0..7).map(longest_end).chain([last]).collect(),
            signature: None,
        };
        token.sign(&self.sig, rng).unwrap();
        token
    }

    /// One session: a node and a membership, and for every other one a cluster, as large as they
    /// can be.
    fn take_room(&self, n: u64, rng: &mut Seeded) -> Result<(), Failure> {
        let (mut client, _) = self.way.visit(&self.token(n, None, rng), rng)?;
        client.create(&cluster(n), 2)?;
        client.join(ClusterRef::CURRENT)?;
        client.bye()
    }
}

fn cluster(n: u64) -> String {
    format!("{:0255}", n / 2)
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
    // The limits of a registry that nobody has set up, or smaller ones.
    let (limit, of, bytes) = match full() {
        true => ("--max-token-bytes=1GiB", "token_bytes", 1 << 30),
        false => ("--max-memory=8MiB", "memory_bytes", 8 << 20),
    };
    let flags = ["--metrics", "127.0.0.1:0", limit];
    let daemon = Daemon::start(temp.path(), &[&NO_RATES[..], &flags].concat());
    let hostile = Hostile::new(Way::new(daemon.address(), &daemon.credential()));
    hostile.take_room(0, &mut Seeded(1)).unwrap();
    let (resident_before, written_before) =
        (resident(&daemon), proc_value(&daemon, "io", "wchar:"));

    let next = AtomicU64::new(1);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (hostile, next) = (&hostile, &next);
            scope.spawn(move || {
                let rng = &mut Seeded(100 + thread);
                loop {
                    match hostile.take_room(next.fetch_add(1, Ordering::Relaxed), rng) {
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
    assert_eq!(samples.value("xlreg_limit", &[("of", of)]) as u64, bytes);
    let used = samples.value(&format!("xlreg_{of}"), &[]) as u64;
    assert!(used <= bytes && used > bytes - 20_000, "{used} of {bytes} bytes");
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
        let changed = hostile.token(0, Some(&format!("h:{}", round + 1)), rng);
        let (mut client, _) = hostile.way.visit(&changed, rng).unwrap();
        let cluster: xlreg::identity::Name = cluster(0).parse().unwrap();
        client.join(ClusterRef::from(cluster)).unwrap();
        client.bye().unwrap();
    }
    let samples = Samples::of(&daemon.metrics());
    assert!(samples.value("xlreg_memory_bytes", &[]) as u64 <= reckoned);
    let rewritten = proc_value(&daemon, "io", "wchar:") - written_before - written;
    assert!(rewritten <= 20 * CHANGE, "{rewritten} bytes for 20 changes");
}
