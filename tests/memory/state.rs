//! The memory of a registry's state: nodes, clusters and memberships.

use xlreg::identity::{Fingerprint, NodeId, PublicKey, Token};
use xlreg::message::{ClusterInfo, MemberIndex};
use xlreg::registry::{Change, Registry, RegistryLimits, Size};
use xlreg::session::Dialect;

use crate::counting::{counted, live, start};
use crate::largest::largest_token;
use crate::sessions::Row;
use xlreg_testkit::pair;

fn node_id(n: usize) -> NodeId {
    let mut bytes = [7; 32];
    bytes[24..].copy_from_slice(&(n as u64).to_be_bytes());
    NodeId::from_bytes(&bytes).unwrap()
}

fn created(n: usize) -> Change {
    let info = ClusterInfo {
        id: node_id(1_000_000 + n),
        max_size: 64,
        attrs: Default::default(),
        end_point_count: 1,
    };
    let created_by = Some(Fingerprint::from_bytes([7; 32]));
    Change::ClusterCreated { name: format!("{n:0255}").parse().unwrap(), info, created_by }
}

/// The memory that each of a number of changes adds to a registry, on average.
fn each(count: usize, mut registry: Registry, change: impl Fn(usize) -> Change) -> usize {
    start();
    counted(|| (0..count).for_each(|n| registry.apply(&change(n)).unwrap()));
    live() / count
}

fn empty() -> Registry {
    Registry::new(pair::credential(Dialect::Prefixed), RegistryLimits::default())
}

/// The bytes that a store on disk remembers of each node, cluster and token besides, to find its
/// row. They are in a hash table that may be half empty.
const ROW: u64 = 100;

fn row_bytes(size: &Size) -> u64 {
    [size.nodes, size.clusters, size.tokens].map(|count| count as u64 * ROW).iter().sum()
}

/// The estimate that limits go by is not below what is taken, whatever clients register and join.
#[test]
fn the_state_takes_no_more_memory_than_is_reckoned() {
    let key = |n: usize| Fingerprint::from_bytes(node_id(n).as_bytes().try_into().unwrap());
    let node = |n| Change::NodeBound { id: node_id(n), key: key(n), day: None };
    let short = pair::token("m", 1, &["h:1"]);
    let ends = |n: usize| (0..n).map(|n| format!("h:{}", n + 1).parse().unwrap()).collect();
    let small = Token { end_points: ends(8), ..short.clone() };
    type Fill<'a> = &'a dyn Fn(&mut Registry, usize);
    let fill: [(&str, usize, Fill<'_>); 5] = [
        ("nodes", 10_000, &|registry, n| registry.apply(&node(n)).unwrap()),
        ("clusters", 10_000, &|registry, n| registry.apply(&created(n)).unwrap()),
        ("the smallest tokens", 2_000, &|registry, n| join(registry, n, &short)),
        ("small tokens with many ends", 2_000, &|registry, n| join(registry, n, &small)),
        ("the largest tokens", 2_000, &|registry, n| join(registry, n, &largest_token(1))),
    ];
    for (what, count, fill) in fill {
        let mut registry = empty();
        start();
        counted(|| (0..count).for_each(|n| fill(&mut registry, n)));
        let size = registry.size();
        let (live, reckoned) = (live() as u64 + row_bytes(&size), size.memory_bytes());
        println!("{what}: {live} bytes, reckoned {reckoned}");
        assert!(live <= reckoned, "{what}: {live} bytes, reckoned {reckoned}");
        assert!(reckoned <= 3 * live, "{what}: {live} bytes, reckoned {reckoned}");
    }
}

/// A node of its own is the only member of its cluster.
fn join(registry: &mut Registry, n: usize, token: &Token) {
    let cluster = n + 1_000_000;
    let info = ClusterInfo {
        id: node_id(cluster),
        max_size: 1,
        attrs: Default::default(),
        end_point_count: 1,
    };
    let key = token.sig_key.fingerprint();
    let public = |key: &PublicKey| PublicKey::from_spki_der(key.spki_der()).unwrap();
    let member = Token {
        id: Some(node_id(n)),
        comms_key: public(&token.comms_key),
        sig_key: public(&token.sig_key),
        ..token.clone()
    };
    let name = format!("{n}").parse().unwrap();
    for change in [
        Change::NodeBound { id: node_id(n), key, day: None },
        Change::ClusterCreated { name, info, created_by: Some(key) },
        Change::MemberJoined {
            cluster: node_id(cluster),
            index: MemberIndex::new(0).unwrap(),
            member: member.into(),
        },
    ] {
        registry.apply(&change).unwrap();
    }
}

/// The memory of a membership in full clusters of tokens like these, made separately for each
/// member.
fn membership(token: impl Fn() -> Token) -> usize {
    let mut registry = empty();
    (0..16).for_each(|n| registry.apply(&created(n)).unwrap());
    let key = token().sig_key.fingerprint();
    (0..1024).for_each(|n| {
        registry.apply(&Change::NodeBound { id: node_id(n), key, day: None }).unwrap()
    });
    each(1024, registry, |n| {
        let (id, name) = (Some(node_id(n)), format!("{n:0255}").parse().unwrap());
        let token = Token { id, name, signature: None, ..token() };
        let cluster = node_id(1_000_000 + n / 64);
        Change::MemberJoined {
            cluster,
            index: MemberIndex::new(n as u32 % 64).unwrap(),
            member: token.into(),
        }
    })
}

/// The memory of a registry's state. The dialect makes no difference.
pub const ROWS: &[Row] = &[
    ("state: a node", |_| {
        // Each node has a key of its own.
        let key = |n| Fingerprint::from_bytes(node_id(n).as_bytes().try_into().unwrap());
        each(10_000, empty(), |n| Change::NodeBound { id: node_id(n), key: key(n), day: None })
    }),
    ("state: a cluster with the longest name", |_| each(10_000, empty(), created)),
    ("state: a membership, one end and keys of 2048 bits", |_| {
        let public = |key: &PublicKey| PublicKey::from_spki_der(key.spki_der()).unwrap();
        let token = pair::token("m", 1, &["host.example:4000"]);
        membership(|| Token {
            comms_key: public(&token.comms_key),
            sig_key: public(&token.sig_key),
            ..token.clone()
        })
    }),
    ("state: the largest membership", |_| membership(|| largest_token(1))),
];
