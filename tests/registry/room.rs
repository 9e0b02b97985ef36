//! The room for changes: the limits of a registry in bytes, and those of one sig key.

use xlreg::identity::Token;
use xlreg::message::{ClusterRef, Refusal, Reply, Request};
use xlreg::registry::{Change, ClientState, Day, Holdings, Registry, RegistryLimits, Size, View};
use xlreg_testkit::Seeded;
use xlreg_testkit::pair::{TestRegistry, cluster, token};

/// A registry with these limits, in which clients act one after another.
struct Clients {
    registry: Registry,
    rng: Seeded,
}

impl Clients {
    fn new(limits: RegistryLimits) -> Self {
        let credential = TestRegistry::usual().rules.credential().clone();
        Self { registry: Registry::new(credential, limits), rng: Seeded::new(1) }
    }

    /// One session: a member and what it asks for. Gives the reason of the last reply, if it is
    /// one.
    fn visit(&mut self, token: &Token, requests: &[Request]) -> Option<Refusal> {
        let mut state = ClientState::new();
        let member = Request::Member(token.clone());
        let replies = [&[member], requests]
            .concat()
            .into_iter()
            .map(|request| self.registry.handle(&mut state, request, &mut self.rng).reply);
        match replies.last() {
            Some(Reply::Error(reason)) => reason.refusal(),
            _ => None,
        }
    }

    fn size(&self) -> Size {
        self.registry.size()
    }
}

/// The same node each time: the one with this key.
fn node(n: u8, end_points: &[&str]) -> Token {
    Token { id: Some([n; 20].into()), ..token(&format!("node{n}"), n.into(), end_points) }
}

fn create(name: &str) -> Request {
    Request::Create(cluster(name, 3, 1))
}

const JOIN: Request = Request::Join(ClusterRef::CURRENT);

/// The sizes that one member in one cluster has.
fn one_member() -> Size {
    let mut clients = Clients::new(RegistryLimits::NONE);
    assert_eq!(clients.visit(&node(1, &["host:1"]), &[create("a"), JOIN]), None);
    clients.size()
}

#[test]
fn tokens_have_so_many_bytes_and_no_more() {
    let token_bytes = one_member().token_bytes;
    let mut clients = Clients::new(RegistryLimits { token_bytes, ..RegistryLimits::NONE });
    let full = Some(Refusal::RegistryFull);
    assert_eq!(clients.visit(&node(1, &["host:1"]), &[create("a"), JOIN]), None);
    assert_eq!(clients.size().token_bytes, token_bytes);
    assert_eq!(clients.visit(&node(1, &["host:1"]), &[create("b"), JOIN]), None, "the same token");
    assert_eq!(clients.visit(&node(2, &["h:1"]), &[create("a"), JOIN]), full, "another");
    // While two clusters have the old token, a new one is one more, however short.
    assert_eq!(clients.visit(&node(1, &["h:1"]), &[create("a"), JOIN]), full);
    assert_eq!(clients.size(), Size { clusters: 2, memberships: 2, nodes: 2, ..one_member() });
    // Where it replaces the old one, it may be as long.
    let mut clients = Clients::new(RegistryLimits { token_bytes, ..RegistryLimits::NONE });
    assert_eq!(clients.visit(&node(1, &["host:1"]), &[create("a"), JOIN]), None);
    for (end, refused) in [("host:2", None), ("host:22", full), ("host:3", None), ("h:1", None)] {
        assert_eq!(clients.visit(&node(1, &[end]), &[create("a"), JOIN]), refused, "{end}");
    }
    assert!(clients.size().token_bytes < token_bytes);
}

#[test]
fn the_state_has_so_much_memory_and_no_more() {
    let memory_bytes = one_member().memory_bytes();
    let full = Some(Refusal::RegistryFull);
    for (less, last) in [(0, None), (1, full)] {
        let limits = RegistryLimits { memory_bytes: memory_bytes - less, ..RegistryLimits::NONE };
        let mut clients = Clients::new(limits);
        assert_eq!(clients.visit(&node(1, &["host:1"]), &[create("a"), JOIN]), last);
        assert_eq!(clients.visit(&node(1, &["host:1"]), &[create("a")]), None, "nothing new");
        if less == 0 {
            assert_eq!(clients.visit(&node(1, &["host:1"]), &[create("b")]), full);
        }
        assert!(clients.size().memory_bytes() <= limits.memory_bytes);
    }
}

#[test]
fn a_key_has_so_much_and_no_more() {
    let of_a_key = Holdings { nodes: 2, clusters: 2, memberships: 1 };
    let mut clients = Clients::new(RegistryLimits { of_a_key, ..RegistryLimits::NONE });
    let fresh = token("fresh", 1, &["h:1"]);
    assert_eq!(clients.visit(&fresh, &[]), None);
    assert_eq!(clients.visit(&node(1, &["h:1"]), &[]), None);
    assert_eq!(clients.visit(&fresh, &[]), Some(Refusal::TooManyNodesOfKey));
    for name in ["a", "b", "a"] {
        assert_eq!(clients.visit(&node(1, &["h:1"]), &[create(name)]), None);
    }
    let refused = clients.visit(&node(1, &["h:1"]), &[create("c")]);
    assert_eq!(refused, Some(Refusal::TooManyClustersOfKey));
    assert_eq!(clients.visit(&node(1, &["h:1"]), &[create("a"), JOIN]), None);
    let refused = clients.visit(&node(1, &["h:1"]), &[create("b"), JOIN]);
    assert_eq!(refused, Some(Refusal::TooManyMembershipsOfKey));
    assert_eq!(clients.visit(&node(1, &["h:2"]), &[create("a"), JOIN]), None, "the same place");
    // Another key has its own.
    assert_eq!(clients.visit(&node(2, &["h:1"]), &[create("c"), JOIN]), None);
    let key = fresh.sig_key.fingerprint();
    assert_eq!(clients.registry.used_by(&key), of_a_key);
    assert_eq!(clients.registry.most_of_a_key(), of_a_key);
    assert_eq!(clients.registry.nodes_of(&key).len(), 2);
}

/// What a sig key has is counted from what is stored, so it is the same after a restart.
#[test]
fn what_a_key_has_follows_from_the_changes() {
    let mut clients = Clients::new(RegistryLimits::NONE);
    assert_eq!(clients.visit(&node(1, &["h:1"]), &[create("a"), JOIN]), None);
    assert_eq!(clients.visit(&node(1, &["h:2"]), &[create("b"), JOIN]), None);
    let Clients { registry, .. } = clients;
    let mut opened = Registry::new(registry.credential().clone(), RegistryLimits::NONE);
    registry.changes().iter().for_each(|change| opened.apply(change).unwrap());
    let key = node(1, &[]).sig_key.fingerprint();
    assert_eq!(opened.used_by(&key), Holdings { nodes: 1, clusters: 2, memberships: 2 });
    assert_eq!((opened.used_by(&key), opened.size()), (registry.used_by(&key), registry.size()));
}

/// With a calendar, a node that is new has its day, and one that comes back on another day gets
/// one.
#[test]
fn the_last_use_of_a_node_is_noted_by_day() {
    let mut clients = Clients::new(RegistryLimits::NONE);
    let (alice, id) = (node(1, &["h:1"]), [1; 20].into());
    assert_eq!(clients.visit(&alice, &[]), None);
    assert_eq!(clients.registry.node(&id).unwrap().last_use, None, "there was no calendar");
    for (today, last_use) in [(7, 7), (7, 7), (8, 8), (6, 8), (9, 9)] {
        clients.registry.set_today(Day::new(today));
        let before = clients.registry.revision();
        assert_eq!(clients.visit(&alice, &[]), None);
        let node = clients.registry.node(&id).unwrap();
        assert_eq!(node.last_use, Some(Day::new(last_use)));
        let noted = u64::from(matches!((today, last_use), (7, _) | (8, _) | (9, _)));
        assert!(clients.registry.revision() - before <= noted, "{today}");
    }
    assert_eq!(clients.visit(&node(2, &[]), &[]), None);
    let bound = clients.registry.changes().into_iter().find_map(|change| match change {
        Change::NodeBound { id, day, .. } if id == [2; 20].into() => day,
        _ => None,
    });
    assert_eq!(bound, Some(Day::new(9)));
}
