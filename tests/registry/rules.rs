//! The registry's rules without sessions: decisions and changes.

use xlreg::crypto::RustCrypto;
use xlreg::identity::{MemberAttrs, NodeId, Token};
use xlreg::message::{
    ClusterRef, GetCluster, MemberEntry, MemberIndex, MemberSet, Refusal, Reply, Request,
};
use xlreg::registry::{
    Change, CheckedRequest, ClientState, Cluster, Joined, Registry, RegistryLimits,
};
use xlreg_testkit::Seeded;
use xlreg_testkit::pair::{
    Backend, DIALECTS, TestRegistry, at, cluster, duo, id, info, served, token, visit,
};

fn empty() -> Registry {
    TestRegistry::usual().rules
}

fn name<N: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> N {
    text.parse().unwrap()
}

#[test]
fn a_registry_starts_with_nothing() {
    let registry = empty();
    assert_eq!((registry.size().nodes, registry.clusters().len()), (0, 0));
    assert_eq!(registry.changes(), []);
    assert_eq!(registry.cluster(&id(1)), None);
    assert_eq!(registry.cluster_named(&name("trio")), None);
}

#[test]
fn a_member_without_an_id_is_issued_a_fresh_one_of_32_bytes() {
    let mut registry = TestRegistry::usual();
    let alice = || token("alice", 0, &[]);
    let first = visit(&mut registry, alice()).member().unwrap().0;
    let second = visit(&mut registry, alice()).member().unwrap().0;
    assert_eq!((first.as_bytes().len(), second.as_bytes().len()), (32, 32));
    assert_ne!(first, second);
    let key = alice().sig_key.fingerprint();
    let bound = |id| Change::NodeBound { id, key, day: None };
    assert_eq!(registry.changes, [bound(first), bound(second)]);
}

#[test]
fn an_id_that_a_member_brings_is_bound_to_its_key_once() {
    for bytes in [&[3; 20][..], &[3; 32]] {
        let mut registry = TestRegistry::usual();
        let own = NodeId::from_bytes(bytes).unwrap();
        let alice = |end_points: &[&str]| Token { id: Some(own), ..token("alice", 0, end_points) };
        assert_eq!(visit(&mut registry, alice(&[])).member().unwrap().0, own);
        // Another name, other end points and another comms key: only the sig key counts.
        let mut renamed = Token { comms_key: token("x", 2, &[]).comms_key, ..alice(&["h:2"]) };
        renamed.sign(&xlreg_testkit::KEYS.sig[0], &mut Seeded::new(1)).unwrap();
        assert_eq!(visit(&mut registry, renamed).member().unwrap().0, own);
        let key = token("alice", 0, &[]).sig_key.fingerprint();
        assert_eq!(registry.changes, [Change::NodeBound { id: own, key, day: None }]);
        assert_eq!(registry.rules.size().nodes, 1);
    }
}

#[test]
fn attrs_are_echoed_and_kept() {
    let mut registry = TestRegistry::usual();
    let attrs = MemberAttrs::from_bits(0xFEDC_BA98_7654_3210);
    let token =
        xlreg_testkit::identity("alice", 0).token(attrs, vec![], &mut Seeded::new(1)).unwrap();
    let mut state = ClientState::new();
    let reply = registry.answer(&mut state, Request::Member(token));
    let (id, token) = state.member().unwrap();
    assert_eq!(reply, Reply::MemberOk { id, attrs });
    assert_eq!(token.attrs, attrs);
}

#[test]
fn a_member_whose_signature_is_not_checked_never_comes_in() {
    let mut registry = TestRegistry::usual();
    let forged = Token { signature: None, ..token("alice", 0, &[]) };
    let checked = CheckedRequest::new(Request::Member(forged.clone()), &RustCrypto);
    assert!(matches!(checked, Err(Refusal::BadSignature)));
    let mut state = ClientState::new();
    let reply = registry.answer(&mut state, Request::Member(forged));
    assert_eq!(reply, Reply::Error(Refusal::BadSignature.into()));
    assert_eq!((state.member(), registry.rules), (None, empty()));
}

#[test]
fn nothing_but_the_credential_is_told_to_a_visitor_nobody_knows() {
    let mut registry = TestRegistry::usual();
    let mut state = ClientState::new();
    let credential = registry.rules.credential().clone();
    assert_eq!(registry.answer(&mut state, Request::RegCred), Reply::RegCred(credential));
    for request in [
        Request::Create(cluster("trio", 3, 1)),
        Request::Join(ClusterRef::CURRENT),
        Request::GetCluster(GetCluster::default()),
    ] {
        let reply = registry.answer(&mut state, request);
        assert_eq!(reply, Reply::Error(Refusal::WrongState.into()));
    }
    assert_eq!(registry.answer(&mut state, Request::Bye), Reply::Ack);
    assert_eq!(registry.changes, []);
}

#[test]
fn a_cluster_has_at_most_64_members() {
    for (asked, given) in [(1, 1), (64, 64), (65, 64), (u32::MAX, 64)] {
        let mut registry = TestRegistry::usual();
        let mut state = visit(&mut registry, token("alice", 0, &[]));
        let reply = registry.answer(&mut state, Request::Create(cluster("big", asked, 2)));
        let big = registry.rules.clusters().next().unwrap();
        assert_eq!(reply, Reply::Create(info(big.info().id, &cluster("big", given, 2))));
        assert_eq!(big.info().id.as_bytes().len(), 32);
        assert_eq!(registry.rules.cluster_named(&name("big")), Some(big));
        assert_eq!(registry.rules.cluster(&big.info().id), Some(big));
    }
}

#[test]
fn a_cluster_that_exists_is_found_and_the_proposal_ignored_however_bad() {
    let (mut registry, _, trio) = duo();
    let before = registry.rules.clone();
    let mut state = visit(&mut registry, token("alice", 0, &["h:1"]));
    for proposal in [cluster("trio", 9, 2), cluster("trio", 0, 0)] {
        let reply = registry.answer(&mut state, Request::Create(proposal));
        assert_eq!(reply, Reply::Create(info(trio, &cluster("trio", 3, 1))));
    }
    assert_eq!(registry.rules.clusters().next(), before.clusters().next());
    // And the session remembers it.
    let reply = registry.answer(&mut state, Request::GetCluster(GetCluster::default()));
    assert!(matches!(reply, Reply::Members(list) if list.cluster() == trio));
}

#[test]
fn the_cluster_of_a_session_is_the_one_created_or_joined_last() {
    let (mut registry, _, trio) = duo();
    let mut state = visit(&mut registry, token("carol", 2, &["h:3"]));
    let current = |registry: &mut TestRegistry, state: &mut ClientState| match registry
        .answer(state, Request::GetCluster(GetCluster::default()))
    {
        Reply::Members(list) => Ok(list.cluster()),
        Reply::Error(reason) => Err(reason.refusal()),
        other => panic!("{other:?}"),
    };
    assert_eq!(current(&mut registry, &mut state), Err(Some(Refusal::NoClusterGiven)));
    let Reply::Create(duet) = registry.answer(&mut state, Request::Create(cluster("duet", 2, 2)))
    else {
        panic!()
    };
    assert_eq!(current(&mut registry, &mut state), Ok(duet.id));
    // A look at another cluster, or a failed Join or Create, changes nothing.
    let look = GetCluster { cluster: trio.into(), which: None };
    assert!(matches!(registry.answer(&mut state, Request::GetCluster(look)), Reply::Members(_)));
    for fails in [Request::Join(id(9).into()), Request::Create(cluster("nobody", 0, 1))] {
        assert!(matches!(registry.answer(&mut state, fails), Reply::Error(_)));
    }
    assert_eq!(current(&mut registry, &mut state), Ok(duet.id));
    assert!(matches!(registry.answer(&mut state, Request::Join(trio.into())), Reply::Join(_)));
    assert_eq!(current(&mut registry, &mut state), Ok(trio));
}

#[test]
fn members_are_told_to_anyone_known_in_the_order_they_joined() {
    let (mut registry, [alice, bob], trio) = duo();
    let mut onlooker = visit(&mut registry, token("onlooker", 2, &[]));
    let everyone =
        [served(&token("alice", 0, &["h:1"]), alice), served(&token("bob", 1, &["h:2"]), bob)];
    let cases = [
        (None, 0b11),
        (Some(0), 0),
        (Some(1), 0b01),
        (Some(0b10), 0b10),
        (Some(0b100), 0),
        (Some(u64::MAX), 0b11),
        (Some(u64::MAX << 1), 0b10),
    ];
    for (asked, told) in cases {
        let get = GetCluster { cluster: trio.into(), which: asked.map(MemberSet::from_bits) };
        let Reply::Members(list) = registry.answer(&mut onlooker, Request::GetCluster(get)) else {
            panic!()
        };
        assert_eq!((list.cluster(), list.which().bits()), (trio, told));
        let everyone = MemberIndex::all().zip(&everyone);
        let expected = everyone.filter(|(index, _)| told >> index.get() & 1 == 1);
        assert!(list.iter().eq(expected), "{asked:?}");
    }
}

#[test]
fn joining_again_keeps_the_place_and_takes_the_new_token() {
    let (mut registry, [alice, _], trio) = duo();
    let again = |name, end_points| Token { id: Some(alice), ..token(name, 0, end_points) };
    let joined = Reply::Join(info(trio, &cluster("trio", 3, 1)));
    let mut join = |token: Token| {
        let before = registry.changes.len();
        let mut state = visit(&mut registry, token);
        let reply = registry.answer(&mut state, Request::Join(trio.into()));
        (reply, registry.changes[before..].to_vec())
    };
    let updated =
        |token: Token| Change::MemberUpdated { cluster: trio, index: at(0), member: token.into() };
    assert_eq!(join(again("alice", &["h:1"])), (joined.clone(), vec![]), "nothing new");
    let moved = again("alice", &["h:9"]);
    assert_eq!(join(moved.clone()), (joined.clone(), vec![updated(served(&moved, alice))]));
    let renamed = again("alicia", &["h:9"]);
    assert_eq!(join(renamed.clone()), (joined.clone(), vec![updated(served(&renamed, alice))]));
    // The old name is free now, a used name is not, and a member without end points may not come
    // back.
    assert!(matches!(join(token("alice", 2, &["h:3"])).0, Reply::Join(_)));
    let refused = |refusal: Refusal| (Reply::Error(refusal.into()), vec![]);
    assert_eq!(join(again("bob", &["h:1"])), refused(Refusal::MemberNameInUse));
    assert_eq!(join(again("alicia", &[])), refused(Refusal::NoEnd));
    // The cluster is full now. Its members may still join again.
    assert_eq!(join(moved.clone()).0, Reply::Error(Refusal::MemberNameInUse.into()));
    assert_eq!(join(renamed), (joined, vec![]));
}

#[test]
fn one_member_may_be_in_several_clusters_and_one_key_in_a_cluster_twice() {
    let (mut registry, [alice, _], trio) = duo();
    let mut state = visit(&mut registry, Token { id: Some(alice), ..token("alice", 0, &["h:1"]) });
    registry.answer(&mut state, Request::Create(cluster("duet", 2, 1)));
    let reply = registry.answer(&mut state, Request::Join(ClusterRef::CURRENT));
    assert!(matches!(reply, Reply::Join(_)));
    assert_eq!(registry.rules.cluster_named(&name("duet")).unwrap().members()[0].id, Some(alice));
    let mut twin = visit(&mut registry, token("twin", 0, &["h:1"]));
    assert!(matches!(registry.answer(&mut twin, Request::Join(trio.into())), Reply::Join(_)));
    assert_eq!(registry.rules.cluster(&trio).unwrap().members().len(), 3);
}

#[test]
fn the_rules_of_one_cluster_hold_for_its_value_alone() {
    let (registry, [alice, _], trio) = duo();
    let duo = registry.rules.cluster(&trio).unwrap();
    let carol: MemberEntry = served(&token("carol", 2, &["h:3"]), id(3)).into();
    let change = Change::MemberJoined { cluster: trio, index: at(2), member: carol.clone() };
    assert_eq!(duo.join(&carol), Ok(Joined { index: at(2), change: Some(change) }));
    let impostor = served(&token("alice", 2, &["h:3"]), alice);
    assert_eq!(duo.join(&impostor.into()), Err(Refusal::MemberIdInUse));
    let at = |size, end_points| Cluster::create(id(5), cluster("new", size, end_points), None);
    assert_eq!(at(0, 1).unwrap_err(), Refusal::EmptyCluster);
    assert_eq!(at(1, 0).unwrap_err(), Refusal::EndPointCount);
    assert_eq!(at(1, 3).unwrap_err(), Refusal::EndPointCount);
    assert_eq!(*at(99, 2).unwrap().info(), info(id(5), &cluster("new", 64, 2)));
}

#[test]
fn changes_and_snapshots_rebuild_the_registry() {
    let (registry, _, _) = duo();
    for changes in [registry.changes.clone(), registry.rules.changes()] {
        let mut rebuilt = empty();
        for change in &changes {
            rebuilt.apply(change).unwrap();
        }
        assert_eq!(rebuilt, registry.rules);
        assert_eq!(rebuilt.changes(), registry.rules.changes());
    }
}

#[test]
fn a_registry_that_has_no_room_for_members_lets_those_that_it_has_join_again() {
    let limits = RegistryLimits { memberships: 1, ..RegistryLimits::default() };
    let mut registry = TestRegistry::new(DIALECTS[0], limits);
    let trio = cluster("trio", 3, 1);
    registry.enroll_member(token("alice", 0, &["h:1"]), &trio);
    let id = registry.rules.clusters().next().unwrap().members()[0].id;
    // Alice has moved, and joins with a new token.
    let mut moved = Token { id, ..token("alice", 0, &["h:2"]) };
    moved.sign(&xlreg_testkit::KEYS.sig[0], &mut Seeded::new(1)).unwrap();
    let mut state = visit(&mut registry, moved);
    let join = Request::Join(trio.name.clone().into());
    assert!(matches!(registry.answer(&mut state, join.clone()), Reply::Join(_)));
    let mut bob = visit(&mut registry, token("bob", 1, &["h:1"]));
    let full = Reply::Error(Refusal::RegistryFull.into());
    assert_eq!(registry.answer(&mut bob, join), full);
}
