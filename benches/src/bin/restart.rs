//! A registry that was filled, in memory and on disk, and the same one after a restart.
//!
//! `restart KIND` fills a store in one process and opens it in another, and prints the figures of
//! both. The kinds are `million`: a million memberships of 100,000 nodes with tokens of some 750
//! bytes; `largest`: 24,000 memberships of 16 nodes with the largest tokens there can be; and
//! `gigabyte`: 400,000 memberships of as many nodes with the largest keys.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use xlreg::credential::Credential;
use xlreg::identity::{EndPoint, MemberAttrs, NodeId, PublicKey, Token};
use xlreg::message::{ClusterInfo, MemberEntry, MemberIndex};
use xlreg::registry::{Change, Registry, RegistryLimits};
use xlreg_benches::Seeded;
use xlreg_server::store::{CounterTrust, Log, Sqlite};
use xlreg_testkit::captures::credential;
use xlreg_testkit::largest::longest_end;

/// Changes in one commit: what some dozens of clients cause at once.
const BATCH: usize = 64;

/// The members of each cluster.
const OF_A_CLUSTER: u32 = 10;

struct Kind {
    nodes: u32,
    memberships: u32,
    key_bytes: usize,
    end_points: Vec<EndPoint>,
}

fn kind(name: &str) -> Kind {
    let end_points = |texts: &[String]| texts.iter().map(|text| text.parse().unwrap()).collect();
    match name {
        "million" => {
            let end_points = end_points(&["10.11.12.13:4000".to_owned()]);
            Kind { nodes: 100_000, memberships: 1_000_000, key_bytes: 256, end_points }
        }
        "largest" => {
            let end_points = (0..8).map(longest_end).collect();
            Kind { nodes: 16, memberships: 24_000, key_bytes: 1024, end_points }
        }
        "gigabyte" => {
            let end_points = end_points(&["10.11.12.13:4000".to_owned()]);
            Kind { nodes: 400_000, memberships: 400_000, key_bytes: 1024, end_points }
        }
        other => panic!("the kinds are million, largest and gigabyte, not {other}"),
    }
}

fn empty() -> Registry {
    Registry::new(credential(), RegistryLimits::NONE)
}

fn id(kind: u8, n: u32) -> NodeId {
    let mut bytes = [kind; 32];
    // Spread like random bytes.
    bytes[..8].copy_from_slice(&u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    NodeId::from_bytes(&bytes).unwrap()
}

/// A key that nobody can use.
fn key(rng: &mut Seeded, bytes: usize) -> PublicKey {
    let mut modulus = vec![0; bytes];
    rand_core::Rng::fill_bytes(rng, &mut modulus);
    modulus[0] |= 0x80;
    modulus[bytes - 1] |= 1;
    PublicKey::from_components(&modulus, &[1, 0, 1]).unwrap()
}

/// Resident memory, in KB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn fill(name: &str, path: &Path) {
    let Kind { nodes, memberships, key_bytes, end_points } = kind(name);
    let Credential { id: registry_id, .. } = credential();
    Sqlite::create(path, registry_id, []).unwrap();
    let mut registry = empty();
    let mut log = Sqlite::open(path, &mut registry, CounterTrust::Needed).unwrap();
    let base = resident();
    let rng = &mut Seeded::new(7);
    let mut batch = Vec::new();
    let mut commit = |change: Change, registry: &mut Registry, last: bool| {
        batch.push(change);
        if batch.len() == BATCH || last {
            log.commit(&batch).unwrap();
            batch.drain(..).for_each(|change| registry.apply(&change).unwrap());
            log.tidy();
        }
    };
    let mut tokens = Vec::new();
    for n in 0..nodes {
        let sig_key = key(rng, key_bytes);
        let token = Token {
            name: format!("member-{n}").parse().unwrap(),
            attrs: MemberAttrs::NONE,
            id: Some(id(2, n)),
            comms_key: key(rng, key_bytes),
            end_points: end_points.clone(),
            signature: None,
            sig_key,
        };
        commit(
            Change::NodeBound { id: id(2, n), key: token.sig_key.fingerprint(), day: None },
            &mut registry,
            false,
        );
        tokens.push(token);
    }
    for n in 0..memberships {
        let (cluster, index) = (n / OF_A_CLUSTER, n % OF_A_CLUSTER);
        if index == 0 {
            let name = format!("cluster-{cluster}").parse().unwrap();
            let attrs = Default::default();
            let (max_size, end_point_count) = (OF_A_CLUSTER, 1);
            let info = ClusterInfo { id: id(1, cluster), max_size, attrs, end_point_count };
            commit(Change::ClusterCreated { name, info, created_by: None }, &mut registry, false);
        }
        // An entry of its own, as each session makes one.
        let token = tokens[((cluster * 7 + index) % nodes) as usize].clone();
        let (cluster, index) = (id(1, cluster), MemberIndex::new(index).unwrap());
        let member = MemberEntry::from(token);
        let change = Change::MemberJoined { cluster, index, member };
        commit(change, &mut registry, n + 1 == memberships);
    }
    drop(tokens);
    let size = registry.size();
    report("filled", base, size.memberships);
    let disk = log.disk().unwrap();
    println!(
        "disk: {} KB, {} bytes a membership",
        disk.store / 1024,
        disk.store / size.memberships as u64
    );
}

fn open(path: &Path) {
    let mut registry = empty();
    let base = resident();
    let started = Instant::now();
    let log = Sqlite::open(path, &mut registry, CounterTrust::Needed).unwrap();
    let time = started.elapsed();
    report("opened", base, registry.size().memberships);
    println!("opened in {:.2} s", time.as_secs_f64());
    drop(log);
}

fn report(what: &str, base: u64, memberships: usize) {
    let resident = resident() - base;
    let each = resident * 1024 / memberships as u64;
    println!("{what}: {memberships} memberships, {resident} KB of memory, {each} bytes each");
}

fn main() {
    let args: Vec<_> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "fill", name, path] => fill(name, Path::new(path)),
        [_, "open", path] => open(Path::new(path)),
        [ref program, name] => {
            let dir = std::env::temp_dir().join(format!("xlreg-restart-{}", std::process::id()));
            std::fs::create_dir(&dir).unwrap();
            let path = dir.join("registry.sqlite");
            let path = path.to_str().unwrap();
            for args in [&["fill", name, path][..], &["open", path]] {
                assert!(Command::new(program).args(args).status().unwrap().success());
            }
            std::fs::remove_dir_all(dir).unwrap();
        }
        _ => panic!("restart million|largest"),
    }
}
