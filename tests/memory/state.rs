//! The memory of a registry's state: nodes, clusters and memberships.

use xlreg::identity::{NodeId, PublicKey, Token};
use xlreg::message::{ClusterInfo, MemberIndex};
use xlreg::registry::{Change, Registry, RegistryLimits};
use xlreg::session::Dialect;

use crate::counting::{counted, live, start};
use crate::largest::largest_token;
use crate::sessions::Row;
use xlreg_testkit::{KEYS, pair};

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
    let created_by = Some(xlreg::identity::Fingerprint::from_bytes([7; 32]));
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

/// The memory of a membership in full clusters of tokens like these, made separately for each
/// member.
fn membership(token: impl Fn() -> Token) -> usize {
    let mut registry = empty();
    (0..16).for_each(|n| registry.apply(&created(n)).unwrap());
    let key = token().sig_key.fingerprint();
    (0..1024).for_each(|n| registry.apply(&Change::NodeBound { id: node_id(n), key }).unwrap());
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
        let key = KEYS.sig[0].public_key().fingerprint();
        each(10_000, empty(), |n| Change::NodeBound { id: node_id(n), key })
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
