//! Contradictions of a registry about a cluster: a member's enrollment ends with the error that
//! names them.

use xlreg::enroll::{EnrollError, EnrollEvent, Look, Plan, RegistryKind};
use xlreg::identity::{Name, NodeId, Token};
use xlreg::message::{ClusterInfo, MemberList, MemberSet, Op, Reply, Request};
use xlreg::session::Machine;
use xlreg_testkit::pair::enrollment::{
    Odd, alice, alice_s_plan, enroll, enroll_member, tick, trio,
};
use xlreg_testkit::pair::{DIALECTS, Setup, at, id, served, token};

type Entries = Vec<(u32, Token)>;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn list(cluster: NodeId, entries: Entries) -> MemberList {
    let which = entries.iter().map(|(index, _)| at(*index)).collect();
    MemberList::new(cluster, which, entries.into_iter().map(|(_, token)| token).collect()).unwrap()
}

/// Runs Alice's enrollment with a changed answer to the `nth` GetCluster. Bob has joined before,
/// and Carol joins after the second look. Gives the end and the events after the join.
fn told(
    kind: RegistryKind,
    nth: usize,
    change: impl Fn(Entries) -> Entries,
) -> (Vec<EnrollEvent>, Option<EnrollError>) {
    let setup = Setup::new(DIALECTS[nth % 2]);
    let mut registry = setup.registry();
    enroll_member(&mut registry, "bob", 1);
    let mut looks = 0;
    let mut odd = Odd(registry, |_: &Request, usual| match usual {
        Reply::Members(truth) => {
            looks += 1;
            let entries = truth.iter().map(|(index, token)| (index.get(), token.clone())).collect();
            match looks == nth {
                true => Reply::Members(list(truth.cluster(), change(entries))),
                false => Reply::Members(truth),
            }
        }
        usual => usual,
    });
    let mut wire = enroll(&setup, Plan { registry: kind, ..alice_s_plan() }, 1);
    wire.settle(&mut odd);
    for _ in 0..3 {
        if !wire.client.is_finished() {
            tick(&mut wire, &mut odd);
            if odd.0.rules.clusters().next().unwrap().members().len() == 2 {
                enroll_member(&mut odd.0, "carol", 2);
            }
        }
    }
    let mut events = Vec::new();
    let mut end = None;
    for seen in wire.client_saw.drain(..) {
        match seen {
            Ok(event) => events.push(event),
            Err(error) => end = Some(error),
        }
    }
    (events.split_off(4), end)
}

fn outcome_of(
    kind: RegistryKind,
    nth: usize,
    change: impl Fn(Entries) -> Entries,
) -> Option<EnrollError> {
    told(kind, nth, change).1
}

const KINDS: [RegistryKind; 2] = [RegistryKind::Unknown, RegistryKind::Xlreg];

/// Puts another member in a place.
fn with(mut entries: Entries, index: u32, token: Token) -> Entries {
    entries.retain(|(known, _)| *known != index);
    entries.push((index, token));
    entries.sort_by_key(|(index, _)| *index);
    entries
}

fn dave() -> Token {
    Token { id: Some(id(9)), ..token("dave", 3, &["h:3"]) }
}

/// The looks: 1 finds Bob and Alice, 2 has no news, 3 finds Carol, and 4 is the last one, at all of
/// them.
const FIRST: usize = 1;
const NOTHING_NEW: usize = 2;
const CAROL: usize = 3;
const LAST: usize = 4;

#[test]
fn the_truth_is_believed() {
    for kind in KINDS {
        for nth in FIRST..=LAST {
            let (events, end) = told(kind, nth, |entries| entries);
            assert_eq!(end, None);
            let names: Vec<_> = events
                .iter()
                .filter_map(|event| match event {
                    EnrollEvent::Member { token, .. } => Some(token.name.as_str()),
                    _ => None,
                })
                .collect();
            assert_eq!(names, ["bob", "alice", "carol"]);
            assert_eq!(events.last(), Some(&EnrollEvent::Done));
        }
    }
}

#[test]
fn a_name_stands_once() {
    for kind in KINDS {
        for (nth, index) in [(FIRST, 2), (CAROL, 2), (LAST, 2)] {
            let impostor = Token { name: name("alice"), ..dave() };
            let expected =
                EnrollError::NameTwice { name: name("alice"), first: at(1), second: at(index) };
            let end = outcome_of(kind, nth, |entries| with(entries, index, impostor.clone()));
            match nth {
                // The member after Carol is another lie, which is reported first or later.
                LAST => assert!(matches!(
                    end,
                    Some(EnrollError::NameTwice { .. } | EnrollError::Replaced { .. })
                )),
                _ => assert_eq!(end, Some(expected)),
            }
        }
    }
}

#[test]
fn an_id_stands_once_with_a_registry_of_ours_and_is_told_of_a_deployed_one() {
    let again = |entries: Entries| {
        let bob = entries.iter().find(|(index, _)| *index == 0).map(|(_, token)| token.clone());
        let bob = bob.unwrap();
        with(entries, 2, Token { name: name("robert"), ..bob })
    };
    let (_, end) = told(RegistryKind::Xlreg, FIRST, again);
    let Some(EnrollError::IdTwice { first, second, id }) = end else { panic!("{end:?}") };
    assert_eq!((first, second), (at(0), at(2)));
    // The same in a look at Carol's place only: Bob's place is known.
    let bob = token("bob", 1, &["h:9"]);
    let robert = Token { name: name("robert"), id: Some(id), ..bob };
    let end = outcome_of(RegistryKind::Xlreg, CAROL, |entries| with(entries, 2, robert.clone()));
    assert_eq!(end, Some(EnrollError::IdTwice { first: at(0), second: at(2), id }));

    let (events, end) =
        told(RegistryKind::Unknown, CAROL, |entries| with(entries, 2, robert.clone()));
    assert!(
        events.contains(&EnrollEvent::ListedTwice { id, first: at(0), second: at(2) }),
        "{events:?}"
    );
    // Then the registry lists Carol again.
    assert!(matches!(end, Some(EnrollError::Replaced { index, .. }) if index == at(2)), "{end:?}");
}

#[test]
fn nobody_vanishes_or_is_replaced() {
    for kind in KINDS {
        for (nth, index, gone) in [(NOTHING_NEW, 1, "alice"), (LAST, 0, "bob"), (LAST, 2, "carol")]
        {
            let without = |mut entries: Entries| {
                entries.retain(|(known, _)| *known != index);
                entries
            };
            let expected = EnrollError::Vanished { index: at(index), name: name(gone) };
            assert_eq!(outcome_of(kind, nth, without), Some(expected));
        }
        for (change, index, was) in [
            (Token { id: Some(id(9)), ..token("bob", 1, &["h:9"]) }, 0, "bob"),
            (dave(), 2, "carol"),
        ] {
            let by = change.name.clone();
            let end = outcome_of(kind, LAST, |entries| with(entries, index, change.clone()));
            assert_eq!(end, Some(EnrollError::Replaced { index: at(index), name: name(was), by }));
        }
        // The known ID with other keys.
        let other_key = |entries: Entries| {
            let bob = entries[0].1.clone();
            with(entries, 0, Token { sig_key: dave().sig_key, ..bob })
        };
        let end = outcome_of(kind, LAST, other_key);
        assert!(
            matches!(end, Some(EnrollError::Replaced { index, .. }) if index == at(0)),
            "{end:?}"
        );
    }
}

#[test]
fn who_was_not_asked_for_is_not_taken() {
    for kind in KINDS {
        // Alice is 1 and Bob is 0: after the first look nobody asks for Bob.
        let end = outcome_of(kind, NOTHING_NEW, |entries| with(entries, 0, dave()));
        assert_eq!(end, Some(EnrollError::NotAskedFor { index: at(0) }));
    }
    for nth in [FIRST, CAROL, LAST] {
        let beyond = |entries| with(entries, 3, dave());
        let (events, end) = told(RegistryKind::Xlreg, nth, beyond);
        assert_eq!(end, Some(EnrollError::BeyondSize { index: at(3), size: 3 }), "{events:?}");
        // Deployed clusters overflow. That is reported once, and the enrollment goes on.
        let (events, end) = told(RegistryKind::Unknown, nth, beyond);
        assert_eq!(end, None);
        let told = EnrollEvent::ListedBeyond { index: at(3), token: served(&dave(), id(9)) };
        assert_eq!(events.iter().filter(|event| **event == told).count(), 1, "{events:?}");
    }
}

#[test]
fn a_registry_of_ours_leaves_no_gap_and_lets_nobody_in_with_too_few_ends() {
    let gap = |entries: Entries| {
        entries
            .into_iter()
            .map(|(index, token)| (if index == 0 { 2 } else { index }, token))
            .collect()
    };
    assert_eq!(
        outcome_of(RegistryKind::Xlreg, FIRST, gap),
        Some(EnrollError::Gap { index: at(0) })
    );
    let mute = Token { end_points: vec![], ..dave() };
    let end = outcome_of(RegistryKind::Xlreg, CAROL, |entries| with(entries, 2, mute.clone()));
    let expected = EnrollError::TooFewEnds { index: at(2), name: name("dave"), got: 0, needed: 1 };
    assert_eq!(end, Some(expected));
    // A deployed server lets a member without end points join.
    let (events, _) = told(RegistryKind::Unknown, CAROL, |entries| with(entries, 2, mute.clone()));
    assert!(
        events
            .iter()
            .any(|event| matches!(event, EnrollEvent::Member { index, .. } if *index == at(2)))
    );
}

#[test]
fn who_has_joined_is_listed() {
    for kind in KINDS {
        let without = |mut entries: Entries| {
            entries.retain(|(_, token)| token.name.as_str() != "alice");
            entries
        };
        assert_eq!(outcome_of(kind, FIRST, without), Some(EnrollError::NotListed));
    }
}

#[test]
fn a_cluster_keeps_its_id_its_size_and_its_number_of_end_points() {
    let end = |kind, change: &dyn Fn(ClusterInfo) -> ClusterInfo| {
        let setup = Setup::new(DIALECTS[0]);
        let mut odd = Odd(setup.registry(), |_: &Request, usual| match usual {
            Reply::Join(info) => Reply::Join(change(info)),
            usual => usual,
        });
        let mut wire = enroll(&setup, Plan { registry: kind, ..alice_s_plan() }, 1);
        wire.settle(&mut odd);
        wire.client_saw.pop().unwrap().unwrap_err()
    };
    for kind in KINDS {
        let size = end(kind, &|info| ClusterInfo { max_size: 4, ..info });
        assert_eq!(size, EnrollError::SizeChanged { told: 3, got: 4 });
        let ended = end(kind, &|info| ClusterInfo { end_point_count: 2, ..info });
        assert_eq!(ended, EnrollError::EndPointCountChanged { told: 1, got: 2 });
        let other = end(kind, &|info| ClusterInfo { id: id(9), ..info });
        assert!(matches!(other, EnrollError::WrongCluster { got, .. } if got == id(9)));
    }
}

#[test]
fn the_answer_to_the_question_is_looked_at_too() {
    let setup = Setup::new(DIALECTS[0]);
    let answered = |cluster: NodeId, ask: Plan, entries: &Entries| {
        let answer = list(cluster, entries.clone());
        let mut registry = setup.registry();
        enroll_member(&mut registry, "bob", 1);
        let mut odd = Odd(registry, |request: &Request, usual| match request.op() {
            Op::GetCluster => Reply::Members(answer.clone()),
            _ => usual,
        });
        let mut wire = enroll(&setup, ask, 1);
        wire.settle(&mut odd);
        wire.client_saw.pop().unwrap().unwrap_err()
    };
    let by_name = || Plan::join(alice(), trio().name.into());
    let unasked = answered(id(7), by_name(), &vec![(0, dave())]);
    assert_eq!(unasked, EnrollError::NotAskedFor { index: at(0) });
    let by_id = || Plan::join(alice(), id(8).into());
    let other = answered(id(7), by_id(), &vec![]);
    assert_eq!(other, EnrollError::WrongCluster { asked: id(8), got: id(7) });
}

/// A caller without an enrollment, such as `members`, has the same check.
#[test]
fn a_look_from_outside_is_checked_alike() {
    let look = Look { registry: RegistryKind::Xlreg, ..Look::new(id(7), MemberSet::ALL) };
    let [dave, erin] = [dave(), Token { id: Some(id(5)), ..token("erin", 4, &["h:4"]) }];
    let check = |entries| look.check(&list(id(7), entries));
    assert_eq!(check(vec![]), Ok(()));
    assert_eq!(check(vec![(0, dave.clone()), (1, erin.clone())]), Ok(()));
    let gap = check(vec![(1, dave.clone())]);
    assert_eq!(gap, Err(EnrollError::Gap { index: at(0) }));
    let twice =
        check(vec![(0, dave.clone()), (1, Token { name: dave.name.clone(), ..erin.clone() })]);
    let expected = EnrollError::NameTwice { name: dave.name.clone(), first: at(0), second: at(1) };
    assert_eq!(twice, Err(expected));
    let twice = check(vec![(0, dave.clone()), (1, Token { id: dave.id, ..erin })]);
    assert_eq!(twice, Err(EnrollError::IdTwice { id: id(9), first: at(0), second: at(1) }));
    let other = look.check(&list(id(8), vec![]));
    assert_eq!(other, Err(EnrollError::WrongCluster { asked: id(7), got: id(8) }));
}
