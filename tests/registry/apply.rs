//! The changes that a registry applies. A change that does not follow from its state changes
//! nothing.

use xlreg::identity::{NodeId, Token};
use xlreg::message::{ClusterInfo, Create, MemberIndex};
use xlreg::registry::{ApplyError, Change, Day, Holdings, Registry, View};
use xlreg_testkit::pair::{TestRegistry, at, cluster, duo, id, info, served, token, visit};

fn empty() -> Registry {
    TestRegistry::usual().rules
}

/// Checks that the change cannot be applied, and that the registry is unchanged.
#[track_caller]
fn does_not_apply(registry: &Registry, change: &Change) -> ApplyError {
    let mut changed = registry.clone();
    let applied = changed.apply(change);
    assert!(changed == *registry, "changed by {change:?}");
    applied.expect_err("applies")
}

fn created(text: &str, id: NodeId, create: Create) -> Change {
    let (name, info) = (text.parse().unwrap(), info(id, &create));
    Change::ClusterCreated { name, info, created_by: None }
}

#[test]
fn an_id_is_taken_once() {
    let (registry, [alice, _], trio) = duo();
    let key = token("alice", 0, &[]).sig_key.fingerprint();
    for taken in [alice, trio, registry.rules.credential().id] {
        let bound = Change::NodeBound { id: taken, key, day: None };
        assert_eq!(does_not_apply(&registry.rules, &bound), ApplyError::IdTaken(taken));
        let created = created("other", taken, cluster("other", 3, 1));
        assert_eq!(does_not_apply(&registry.rules, &created), ApplyError::IdTaken(taken));
    }
}

#[test]
fn a_cluster_name_is_taken_once() {
    let (registry, _, _) = duo();
    let again = created("trio", id(9), cluster("trio", 3, 1));
    assert_eq!(
        does_not_apply(&registry.rules, &again),
        ApplyError::NameTaken("trio".parse().unwrap())
    );
}

#[test]
fn members_of_an_unknown_cluster_do_not_apply() {
    let (registry, [alice, _], _) = duo();
    let token = served(&token("alice", 0, &["h:1"]), alice);
    let (cluster, index) = (id(9), at(0));
    let unknown = ApplyError::NoCluster(cluster);
    let joined = Change::MemberJoined { cluster, index, member: token.clone().into() };
    assert_eq!(does_not_apply(&registry.rules, &joined), unknown);
    let updated = Change::MemberUpdated { cluster, index, member: token.into() };
    assert_eq!(does_not_apply(&registry.rules, &updated), unknown);
}

#[test]
fn a_member_at_another_index_than_the_next_does_not_apply() {
    let (mut registry, _, cluster) = duo();
    let carol = visit(&mut registry, token("carol", 2, &["h:3"])).member().unwrap().0;
    let token = served(&token("carol", 2, &["h:3"]), carol);
    for index in [0, 1, 3, 63].map(at) {
        let joined = Change::MemberJoined { cluster, index, member: token.clone().into() };
        let wrong = ApplyError::Index { cluster, members: 2, index };
        assert_eq!(does_not_apply(&registry.rules, &joined), wrong);
    }
    for index in [64, 65, 256, u32::MAX] {
        assert_eq!(MemberIndex::new(index), None, "no member can have it");
    }
    let joined = Change::MemberJoined { cluster, index: at(2), member: token.clone().into() };
    registry.rules.apply(&joined).unwrap();
    // Now the registry is full.
    let joined = Change::MemberJoined { cluster, index: at(3), member: token.clone().into() };
    let wrong = ApplyError::Index { cluster, members: 3, index: at(3) };
    assert_eq!(does_not_apply(&registry.rules, &joined), wrong);
    for index in [3, 63].map(at) {
        let updated = Change::MemberUpdated { cluster, index, member: token.clone().into() };
        let wrong = ApplyError::Index { cluster, members: 3, index };
        assert_eq!(does_not_apply(&registry.rules, &updated), wrong);
    }
}

#[test]
fn a_member_whose_id_is_bound_to_another_key_or_to_none_does_not_apply() {
    let (mut registry, _, cluster) = duo();
    let carol = visit(&mut registry, token("carol", 2, &["h:3"])).member().unwrap().0;
    // The key of another member, an ID that nobody has, and no ID.
    let anonymous = Token { signature: None, ..token("carol", 2, &["h:3"]) };
    let other = served(&token("carol", 3, &["h:3"]), carol);
    let unbound = served(&token("carol", 2, &["h:3"]), id(9));
    for token in [other, unbound, Token { id: None, ..anonymous }] {
        let joined = Change::MemberJoined { cluster, index: at(2), member: token.into() };
        assert_eq!(does_not_apply(&registry.rules, &joined), ApplyError::NotBound);
    }
}

/// Applies the changes in turn. The first one that fails must have changed nothing.
fn replay<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Result<Registry, ApplyError> {
    let mut registry = empty();
    for change in changes {
        let before = registry.clone();
        if let Err(error) = registry.apply(change) {
            assert!(registry == before, "changed by {change:?}");
            return Err(error);
        }
    }
    Ok(registry)
}

/// Alice is bound, the trio is created, Alice joins, Bob is bound, Bob joins.
fn five() -> Vec<Change> {
    let (registry, _, _) = duo();
    assert_eq!(registry.changes.len(), 5);
    registry.changes
}

fn all_but(skipped: usize) -> Result<Registry, ApplyError> {
    let changes = five();
    replay(changes.iter().enumerate().filter(|(n, _)| *n != skipped).map(|(_, change)| change))
}

#[test]
fn changes_after_a_missing_one_do_not_apply() {
    let (_, _, trio) = duo();
    assert_eq!(all_but(1), Err(ApplyError::NoCluster(trio)));
}

/// Alice may have gone before Bob came back. Then her index is free, and he keeps his.
#[test]
fn an_index_before_that_of_a_member_can_be_free_and_is_used_again() {
    let (_, [alice, bob], trio) = duo();
    let mut registry = all_but(2).unwrap();
    let at_index = |registry: &Registry| {
        let cluster = registry.cluster(&trio).unwrap();
        cluster.entries().map(|(index, member)| (index, member.id.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(at_index(&registry), [(at(1), bob)]);
    let list = registry.cluster(&trio).unwrap().list(None).unwrap();
    assert_eq!(list.which().bits(), 0b10);
    let token = served(&token("alice", 0, &["h:1"]), alice);
    let joined = registry.cluster(&trio).unwrap().join(&token.clone().into()).unwrap();
    assert_eq!(joined.index, at(0), "the first that is free");
    registry.apply(&joined.change.unwrap()).unwrap();
    assert_eq!(at_index(&registry), [(at(0), alice), (at(1), bob)]);
    // What was taken from it as changes makes it again.
    assert!(replay(&registry.changes()).unwrap() == registry);
    // An update keeps to the member that has the index.
    let moved = served(&xlreg_testkit::pair::token("alice", 0, &["h:9"]), alice);
    let (cluster, member) = (trio, xlreg::message::MemberEntry::from(moved));
    let wrong = Change::MemberUpdated { cluster, index: at(1), member: member.clone() };
    let refused = ApplyError::Index { cluster, members: 2, index: at(1) };
    assert_eq!(does_not_apply(&registry, &wrong), refused);
    registry.apply(&Change::MemberUpdated { cluster, index: at(0), member }).unwrap();
    assert_eq!(at_index(&registry), [(at(0), alice), (at(1), bob)]);
}

/// Two clusters with the same member share its token.
#[test]
fn a_token_is_in_memory_once() {
    let (mut registry, [alice, _], _) = duo();
    let other = created("other", id(9), cluster("other", 3, 1));
    registry.rules.apply(&other).unwrap();
    // Another entry with the same content, as another session makes it.
    let member = xlreg::message::MemberEntry::from(served(&token("alice", 0, &["h:1"]), alice));
    let joined = Change::MemberJoined { cluster: id(9), index: at(0), member: member.clone() };
    registry.rules.apply(&joined).unwrap();
    let entries: Vec<_> = registry.rules.clusters().map(|it| &it.members()[0]).collect();
    assert_eq!(entries.len(), 2);
    assert!(std::ptr::eq(&**entries[0], &**entries[1]), "one place in memory");
    assert!(!std::ptr::eq(&**entries[0], &*member));
}

#[test]
fn a_change_does_not_apply_twice() {
    let changes = five();
    for upto in 1..=changes.len() {
        let registry = replay(&changes[..upto]).unwrap();
        changes[..upto].iter().for_each(|again| drop(does_not_apply(&registry, again)));
    }
}

#[test]
fn members_whose_binding_is_missing_do_not_apply() {
    assert!(all_but(0).is_err(), "Alice is not bound");
    assert!(all_but(3).is_err(), "Bob is not bound");
}

#[test]
fn a_member_that_is_not_bound_does_not_apply() {
    let (registry, _, cluster) = duo();
    let token = served(&token("carol", 2, &["h:3"]), id(3));
    does_not_apply(
        &registry.rules,
        &Change::MemberJoined { cluster, index: at(2), member: token.into() },
    );
}

#[test]
fn a_member_without_an_id_does_not_apply() {
    let (registry, _, cluster) = duo();
    let token = Token { signature: None, ..token("carol", 2, &["h:3"]) };
    does_not_apply(
        &registry.rules,
        &Change::MemberJoined { cluster, index: at(2), member: token.into() },
    );
}

#[test]
fn a_member_that_is_in_the_cluster_does_not_apply_again_at_another_index() {
    let (registry, [alice, _], cluster) = duo();
    let token = served(&token("alice-2", 0, &["h:1"]), alice);
    does_not_apply(
        &registry.rules,
        &Change::MemberJoined { cluster, index: at(2), member: token.into() },
    );
}

#[test]
fn a_member_under_a_name_that_is_taken_does_not_apply() {
    let (mut registry, [alice, _], cluster) = duo();
    let carol = visit(&mut registry, token("alice", 2, &["h:3"])).member().unwrap().0;
    let joined = served(&token("alice", 2, &["h:3"]), carol);
    let joined = Change::MemberJoined { cluster, index: at(2), member: joined.into() };
    does_not_apply(&registry.rules, &joined);
    let token = served(&token("bob", 0, &["h:1"]), alice);
    does_not_apply(
        &registry.rules,
        &Change::MemberUpdated { cluster, index: at(0), member: token.into() },
    );
}

#[test]
fn an_update_to_another_member_or_key_does_not_apply() {
    let (mut registry, [alice, _], cluster) = duo();
    let carol = visit(&mut registry, token("carol", 2, &["h:3"])).member().unwrap().0;
    for token in
        [served(&token("carol", 2, &["h:3"]), carol), served(&token("alice", 2, &["h:1"]), alice)]
    {
        does_not_apply(
            &registry.rules,
            &Change::MemberUpdated { cluster, index: at(0), member: token.into() },
        );
    }
}

#[test]
fn a_cluster_that_could_not_be_created_does_not_apply() {
    for (max_size, end_point_count) in [(0, 1), (65, 1), (3, 0), (3, 3)] {
        let wrong = ClusterInfo { max_size, end_point_count, ..info(id(5), &cluster("x", 1, 1)) };
        does_not_apply(
            &empty(),
            &Change::ClusterCreated { name: "x".parse().unwrap(), info: wrong, created_by: None },
        );
    }
}

/// A deleted cluster leaves its name and its members' room, and its nodes stay.
#[test]
fn a_deleted_cluster_is_gone_with_its_members_and_its_name_is_free() {
    let (registry, [alice, bob], trio) = duo();
    let mut rules = registry.rules.clone();
    // So that another one moves into its place.
    for (text, n) in [("other", 8), ("last", 9)] {
        rules.apply(&created(text, id(n), cluster(text, 3, 1))).unwrap();
    }
    let deleted = Change::ClusterDeleted { cluster: trio };
    rules.apply(&deleted).unwrap();
    assert_eq!(does_not_apply(&rules, &deleted), ApplyError::NoCluster(trio));
    assert_eq!((rules.cluster(&trio), rules.cluster_named(&"trio".parse().unwrap())), (None, None));
    for (text, n) in [("other", 8), ("last", 9)] {
        let by_name = rules.cluster_named(&text.parse().unwrap());
        assert_eq!((by_name, by_name.is_some()), (rules.cluster(&id(n)), true), "{text}");
    }
    let size = rules.size();
    assert_eq!((size.nodes, size.clusters, size.memberships), (2, 2, 0));
    assert_eq!((size.tokens, size.token_bytes), (0, 0));
    for node in [alice, bob] {
        let key = rules.node(&node).unwrap().key;
        assert_eq!(rules.used_by(&key), Holdings { nodes: 1, ..Holdings::default() });
    }
    rules.apply(&created("trio", id(7), cluster("trio", 3, 1))).unwrap();
}

#[test]
fn a_use_is_noted_once_a_day() {
    let (registry, [alice, _], _) = duo();
    let mut rules = registry.rules.clone();
    let used = |number| Change::NodeUsed { id: alice, day: Day::new(number) };
    rules.apply(&used(5)).unwrap();
    assert_eq!(rules.node(&alice).unwrap().last_use, Some(Day::new(5)));
    for number in [0, 4, 5] {
        assert_eq!(does_not_apply(&rules, &used(number)), ApplyError::Day(alice));
    }
    rules.apply(&used(6)).unwrap();
    let unknown = Change::NodeUsed { id: id(9), day: Day::new(7) };
    assert_eq!(does_not_apply(&rules, &unknown), ApplyError::NoNode(id(9)));
}

/// A list applies whole: each change that does apply is taken back when a later one does not.
#[test]
fn a_list_applies_whole_or_not_at_all() {
    let (registry, [alice, bob], trio) = duo();
    let key = |node: &NodeId| registry.rules.node(node).unwrap().key;
    let token = served(&token("alice", 0, &["elsewhere:1"]), alice);
    let parts = vec![
        Change::NodeBound { id: id(7), key: key(&alice), day: None },
        Change::NodeUsed { id: bob, day: Day::new(5) },
        Change::MemberUpdated { cluster: trio, index: at(0), member: token.clone().into() },
        created("other", id(8), cluster("other", 3, 1)),
        Change::MemberJoined { cluster: id(8), index: at(2), member: token.into() },
        Change::ClusterDeleted { cluster: trio },
        created("trio", id(9), cluster("trio", 3, 1)),
    ];
    let before = registry.rules.clone();
    for len in 0..=parts.len() {
        for (wrong, error) in [
            (Change::NodeUsed { id: id(6), day: Day::new(1) }, ApplyError::NoNode(id(6))),
            (Change::All(Vec::new()), ApplyError::Nested),
        ] {
            let list = Change::All([&parts[..len], &[wrong]].concat());
            assert_eq!(does_not_apply(&before, &list), error);
            let mut changed = before.clone();
            let _ = changed.apply(&list);
            assert_eq!(changed.size(), before.size(), "the first {len}");
            for node in [alice, bob] {
                assert_eq!(changed.used_by(&key(&node)), before.used_by(&key(&node)));
                assert_eq!(changed.nodes_of(&key(&node)), before.nodes_of(&key(&node)));
            }
        }
    }
    let (mut whole, mut one_by_one) = (before.clone(), before);
    whole.apply(&Change::All(parts.clone())).unwrap();
    parts.iter().for_each(|part| one_by_one.apply(part).unwrap());
    assert!(whole == one_by_one);
    assert_eq!(whole.size(), one_by_one.size());
    assert_eq!(whole.revision() + 6, one_by_one.revision(), "it is one change");
    assert_eq!(whole.nodes_of(&key(&alice)), [alice, id(7)]);
}
