//! A member's enrollment ([`Enroll`]) against different registries, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_core::Rng;
use xlreg::enroll::{Enroll, EnrollError, EnrollEvent, Plan, Roster};
use xlreg::identity::{MemberAttrs, NodeId, Token};
use xlreg::message::{
    ClusterInfo, ClusterRef, MemberList, MemberSet, Op, Reason, Refusal, Reply, Request,
};
use xlreg::session::{EofAt, Error, Instant, Machine, TimerKind};
use xlreg_testkit::Seeded;
use xlreg_testkit::pair::enrollment::{
    Odd, START, alice, alice_alone, alice_s_plan, asked, enroll, enroll_member, joined, polls,
    tick, trio,
};
use xlreg_testkit::pair::{DIALECTS, Setup, Wire, after, at, info, served, token};

#[test]
fn an_enrollment_goes_its_way_and_asks_only_for_who_is_missing() {
    for dialect in DIALECTS {
        let (mut wire, mut registry) = alice_alone(&Setup::new(dialect), alice_s_plan());
        let cluster = joined(&wire).cluster.id;
        let requests = asked(&mut wire);
        let ops: Vec<_> = requests.iter().map(Request::op).collect();
        assert_eq!(ops, [Op::Member, Op::Create, Op::Join, Op::GetCluster]);
        assert_eq!(requests[2], Request::Join(cluster.into()));
        let Request::GetCluster(get) = &requests[3] else { panic!() };
        assert_eq!((&get.cluster, get.which), (&cluster.into(), Some(MemberSet::first(3))));

        assert_eq!(tick(&mut wire, &mut registry), TimerKind::Poll);
        assert_eq!(polls(&mut wire), [0b111], "Bob and Carol, and whether Alice is still Alice");
        assert_eq!(wire.client_saw, []);

        let bob = enroll_member(&mut registry, "bob", 1);
        tick(&mut wire, &mut registry);
        assert_eq!(polls(&mut wire), [0b111]);
        wire.expect([Ok(EnrollEvent::Member { index: at(1), token: bob.clone() })], []);

        tick(&mut wire, &mut registry);
        assert_eq!(polls(&mut wire), [0b101]);
        assert!(!wire.client.is_finished());
        let carol = enroll_member(&mut registry, "carol", 2);
        tick(&mut wire, &mut registry);
        let [Request::GetCluster(missing), Request::GetCluster(all), Request::Bye] =
            &asked(&mut wire)[..]
        else {
            panic!()
        };
        assert_eq!(missing.which, Some(MemberSet::from_bits(0b101)));
        assert_eq!(all.which, Some(MemberSet::first(3)), "the last look is at all of them");
        let last = EnrollEvent::Member { index: at(2), token: carol.clone() };
        wire.expect([Ok(last), Ok(EnrollEvent::Done)], []);
        assert!(wire.client.is_finished() && wire.server.is_finished());
        assert_eq!(wire.next_timeout(), None);
        let roster = wire.client.into_roster().unwrap();
        assert!(roster.is_complete() && roster.missing().is_empty());
        let names: Vec<_> = roster.members.values().map(|token| token.name.as_str()).collect();
        assert_eq!(names, ["alice", "bob", "carol"]);
    }
}

#[test]
fn pauses_double_up_to_the_longest_and_start_anew_with_news() {
    for dialect in DIALECTS {
        let (mut wire, mut registry) = alice_alone(&Setup::new(dialect), alice_s_plan());
        let mut pause = |wire: &mut Wire<Enroll>, millis| {
            let due = after(wire.now, Duration::from_millis(millis));
            assert_eq!(wire.client.poll_timeout(), Some((due, TimerKind::Poll)));
            let early = Instant::from_micros(due.as_micros() - 1);
            polls(wire);
            wire.advance(early);
            wire.settle(&mut registry);
            assert!(polls(wire).is_empty(), "not a microsecond before");
            if millis == 500 && registry.rules.clusters().next().unwrap().members().len() == 1 {
                enroll_member(&mut registry, "bob", 1);
            }
            wire.advance(due);
            wire.settle(&mut registry);
            assert_eq!(polls(wire).len(), 1);
        };
        // Bob joins at the end of the first longest pause.
        for millis in [100, 200, 400, 500, 100, 200, 400, 500, 500, 500] {
            pause(&mut wire, millis);
        }
    }
}

#[test]
fn a_late_look_at_the_clock_polls_once() {
    for dialect in DIALECTS {
        let (mut wire, mut registry) = alice_alone(&Setup::new(dialect), alice_s_plan());
        polls(&mut wire);
        let late = after(wire.now, Duration::from_secs(50));
        for _ in 0..3 {
            wire.advance(late);
            wire.settle(&mut registry);
        }
        assert_eq!(polls(&mut wire), [0b111]);
        let due = after(late, Duration::from_millis(200));
        assert_eq!(wire.client.poll_timeout(), Some((due, TimerKind::Poll)));
    }
}

#[test]
fn time_that_runs_out_gives_up_and_keeps_what_is_known() {
    for dialect in DIALECTS {
        let give_up_after = Some(Duration::from_millis(1250));
        let plan = Plan { give_up_after, ..alice_s_plan() };
        let (mut wire, mut registry) = alice_alone(&Setup::new(dialect), plan);
        enroll_member(&mut registry, "bob", 1);
        let mut kinds = Vec::new();
        while !wire.client.is_finished() {
            kinds.push(tick(&mut wire, &mut registry));
        }
        // Polls at 100 (Bob), 200, 400, 800, and the next would be at 1300.
        assert_eq!(kinds, [[TimerKind::Poll; 4].as_slice(), &[TimerKind::GiveUp]].concat());
        assert_eq!(wire.now, after(START, Duration::from_millis(1250)));
        assert_eq!(wire.client_saw.last(), Some(&Err(EnrollError::GaveUp)));
        let known: Vec<_> = joined(&wire).members.keys().copied().collect();
        assert_eq!(
            (known, joined(&wire).missing()),
            (vec![at(0), at(1)], MemberSet::from_bits(0b100))
        );
        assert_eq!(wire.server_saw.last(), Some(&Err(Error::Eof(EofAt::Idle))));
        assert_eq!(wire.client.poll_event(), Err(EnrollError::GaveUp), "sticky");
        assert_eq!((wire.client.poll_timeout(), wire.client.recv_room()), (None, 0));
    }
}

#[test]
fn time_can_run_out_before_there_is_anything_to_know() {
    for dialect in DIALECTS {
        for hold_up in [true, false] {
            let give_up_after = Some(Duration::from_secs(1));
            let plan = Plan { give_up_after, ..alice_s_plan() };
            let setup = Setup::new(dialect);
            let mut wire = enroll(&setup, plan, 1);
            (wire.hold_up, wire.hold_down) = (hold_up, true);
            let mut registry = setup.registry();
            wire.settle(&mut registry);
            assert_eq!(tick(&mut wire, &mut registry), TimerKind::GiveUp);
            assert_eq!(wire.client_saw, [Err(EnrollError::GaveUp)]);
            assert_eq!(wire.client.roster(), None);
        }
    }
}

#[test]
fn a_registry_that_is_silent_is_given_up_by_the_session() {
    for dialect in DIALECTS {
        let setup = Setup::new(dialect);
        let (mut wire, mut registry) = (enroll(&setup, alice_s_plan(), 1), setup.registry());
        wire.answers = false;
        wire.settle(&mut registry);
        assert_eq!(tick(&mut wire, &mut registry), TimerKind::Idle);
        let error = EnrollError::Session(Error::Timeout(TimerKind::Idle));
        assert_eq!(wire.client_saw.last(), Some(&Err(error)));
    }
}

/// The end of Alice's enrollment if one operation gets another answer than usual.
fn end_at(setup: &Setup, op: Op, answer: impl Fn(Reply) -> Reply) -> (EnrollError, Wire<Enroll>) {
    let mut wire = enrollment(setup, alice_s_plan(), op, answer);
    let Some(Err(error)) = wire.client_saw.pop() else { panic!("no error: {:?}", wire.client_saw) };
    assert!(wire.client.is_finished());
    (error, wire)
}

/// Alice's enrollment at a registry that gives another answer to one operation.
fn enrollment(setup: &Setup, plan: Plan, op: Op, answer: impl Fn(Reply) -> Reply) -> Wire<Enroll> {
    let other = |request: &Request, usual| match request.op() == op {
        true => answer(usual),
        false => usual,
    };
    let mut odd = Odd(setup.registry(), other);
    for (name, n) in [("bob", 1), ("carol", 2)] {
        enroll_member(&mut odd.0, name, n);
    }
    let mut wire = enroll(setup, plan, 1);
    wire.settle(&mut odd);
    wire
}

#[test]
fn a_refusal_comes_in_the_registry_s_own_words() {
    for dialect in DIALECTS {
        for op in [Op::Member, Op::Create, Op::Join, Op::GetCluster] {
            let reason = Reason::new(format!("no {op} on Sundays"));
            let setup = Setup::new(dialect);
            let (error, wire) = end_at(&setup, op, |_| Reply::Error(reason.clone()));
            assert_eq!(error, EnrollError::Refused { request: Some(op), reason });
            assert_eq!(wire.client.roster().is_some(), op == Op::GetCluster);
        }
    }
}

#[test]
fn who_does_not_wait_looks_once_and_says_good_bye() {
    for dialect in DIALECTS {
        let setup = Setup::new(dialect);
        let mut wire = enroll(&setup, Plan { wait: false, ..alice_s_plan() }, 1);
        wire.settle(&mut setup.registry());
        let ops: Vec<_> = asked(&mut wire).iter().map(Request::op).collect();
        assert_eq!(ops, [Op::Member, Op::Create, Op::Join, Op::GetCluster, Op::Bye]);
        assert_eq!(wire.client_saw.last(), Some(&Ok(EnrollEvent::Done)));
        assert!(wire.client.is_finished() && !joined(&wire).is_complete());
    }
}

#[test]
fn a_bye_that_is_refused_takes_nothing_away() {
    for dialect in DIALECTS {
        let no = |_| Reply::Error(Reason::new("stay a while"));
        let wire = enrollment(&Setup::new(dialect), alice_s_plan(), Op::Bye, no);
        assert_eq!(wire.client_saw.last(), Some(&Ok(EnrollEvent::Done)));
        assert!(wire.client.is_finished() && joined(&wire).is_complete());
    }
}

#[test]
fn an_answer_about_another_node_or_cluster_is_not_taken() {
    let [presented, got] = [[3; 20], [9; 20]].map(|id| NodeId::from_bytes(&id).unwrap());
    let last = |plan, op, answer: &dyn Fn(Reply) -> Reply| {
        let wire = enrollment(&Setup::new(DIALECTS[0]), plan, op, answer);
        wire.client_saw.last().cloned()
    };
    let token = Token { id: Some(presented), ..alice_s_plan().token };
    let plan = Plan { token, ..alice_s_plan() };
    let other = |_| Reply::MemberOk { id: got, attrs: MemberAttrs::NONE };
    let error = EnrollError::WrongMember { presented, got };
    assert_eq!(last(plan, Op::Member, &other), Some(Err(error)));

    let other = |reply| match reply {
        Reply::Join(info) => Reply::Join(ClusterInfo { id: got, ..info }),
        other => panic!("{other:?}"),
    };
    match last(alice_s_plan(), Op::Join, &other) {
        Some(Err(EnrollError::WrongCluster { got: told, .. })) => assert_eq!(told, got),
        other => panic!("{other:?}"),
    }
}

// Records have no MAC, so a key in the reply can be changed on the way. A member knows its own
// entry.
#[test]
fn other_keys_in_ones_own_place_are_not_taken() {
    for dialect in DIALECTS {
        for change in [
            |own: Token, bob: &Token| Token { comms_key: bob.comms_key.clone(), ..own },
            |own: Token, bob: &Token| Token { sig_key: bob.sig_key.clone(), ..own },
        ] {
            let other = |reply| {
                let Reply::Members(list) = reply else { panic!("{reply:?}") };
                let bob = Token::clone(&list.members()[0]);
                let tokens = list.iter().map(|(_, token)| match token.name.as_str() {
                    "alice" => change(token.clone(), &bob),
                    _ => token.clone(),
                });
                let tokens = tokens.collect();
                Reply::Members(MemberList::new(list.cluster(), list.which(), tokens).unwrap())
            };
            let (error, wire) = end_at(&Setup::new(dialect), Op::GetCluster, other);
            assert_eq!(error, EnrollError::WrongKeys);
            assert_eq!(joined(&wire).members, BTreeMap::new(), "nothing of it is believed");
        }
    }
}

#[test]
fn members_of_another_cluster_are_not_taken() {
    for dialect in DIALECTS {
        let got = NodeId::from_bytes(&[9; 20]).unwrap();
        let other = |_| Reply::Members(MemberList::new(got, MemberSet::NONE, vec![]).unwrap());
        let (error, wire) = end_at(&Setup::new(dialect), Op::GetCluster, other);
        let asked = joined(&wire).cluster.id;
        assert_eq!(error, EnrollError::WrongCluster { asked, got });
        assert_eq!(joined(&wire).members, BTreeMap::new());
    }
}

#[test]
fn no_pause_is_longer_than_the_longest() {
    let (first_pause, longest_pause) = (Duration::from_secs(10), Duration::from_secs(1));
    let plan = Plan { first_pause, longest_pause, ..alice_s_plan() };
    let (wire, _) = alice_alone(&Setup::new(DIALECTS[0]), plan);
    let due = after(wire.now, longest_pause);
    assert_eq!(wire.client.poll_timeout(), Some((due, TimerKind::Poll)));
}

#[test]
fn a_full_cluster_is_a_refusal() {
    for dialect in DIALECTS {
        let setup = Setup::new(dialect);
        let mut registry = setup.registry();
        for (name, n) in [("bob", 1), ("carol", 2), ("dave", 3)] {
            enroll_member(&mut registry, name, n);
        }
        let mut wire = enroll(&setup, alice_s_plan(), 1);
        wire.settle(&mut registry);
        let reason = Refusal::ClusterFull.into();
        let error = EnrollError::Refused { request: Some(Op::Join), reason };
        assert_eq!(wire.client_saw.last(), Some(&Err(error)));
        assert_eq!(wire.client.roster(), None);
    }
}

#[test]
fn a_cluster_is_joined_by_name_by_id_or_after_create() {
    for dialect in DIALECTS {
        let setup = Setup::new(dialect);
        let mut registry = setup.registry();
        for (name, n) in [("bob", 1), ("carol", 2)] {
            enroll_member(&mut registry, name, n);
        }
        let id = registry.rules.clusters().next().unwrap().info().id;
        let name = trio().name;
        let plans = [
            (Plan::join(alice(), name.into()), ClusterRef::from(id)),
            (Plan::join(alice(), id.into()), id.into()),
            (Plan::create_and_join(alice(), trio()), id.into()),
        ];
        let mut rosters = Vec::new();
        for (plan, expected) in plans {
            let creates = plan.create.is_some();
            let (mut wire, mut registry) = (enroll(&setup, plan, 1), registry.clone());
            wire.settle(&mut registry);
            let requests = asked(&mut wire);
            assert!(requests.contains(&Request::Join(expected)), "{requests:?}");
            assert_eq!(requests.contains(&Request::Create(trio())), creates);
            assert_eq!(wire.client_saw.last(), Some(&Ok(EnrollEvent::Done)));
            rosters.push(wire.client.into_roster().unwrap());
        }
        assert_eq!(rosters[0].self_index(), Some(at(2)));
        assert!(rosters.iter().all(|roster| *roster == rosters[0]));
    }
}

#[test]
fn a_member_that_comes_back_has_its_old_place_and_its_new_ends() {
    for dialect in DIALECTS {
        let setup = Setup::new(dialect);
        let (wire, mut registry) = alice_alone(&setup, alice_s_plan());
        let id = joined(&wire).id;
        for (name, n) in [("bob", 1), ("carol", 2)] {
            enroll_member(&mut registry, name, n);
        }
        let moved = Token { id: Some(id), ..token("alice", 0, &["elsewhere:1", "elsewhere:2"]) };
        let mut again = enroll(&setup, Plan::join(moved.clone(), trio().name.into()), 2);
        again.settle(&mut registry);
        assert_eq!(again.client_saw.last(), Some(&Ok(EnrollEvent::Done)));
        let roster = again.client.into_roster().unwrap();
        assert_eq!((roster.id, roster.self_index()), (id, Some(at(0))));
        assert_eq!(roster.members[&at(0)], served(&moved, id));
        assert_eq!(registry.rules.clusters().next().unwrap().members()[0], served(&moved, id));
    }
}

/// Three members' enrollments, in an order drawn from `seed`.
fn all_together(setup: &Setup, seed: u64) -> Vec<Roster> {
    let mut draws = Seeded::new(seed);
    let mut draw = |n: usize| (draws.next_u64() % n as u64) as usize;
    let mut registry = setup.registry();
    let members = ["alice", "bob", "carol"].into_iter().enumerate();
    let mut wires: Vec<_> = members
        .map(|(n, name)| {
            let token = token(name, n, &["h:1"]);
            enroll(setup, Plan { token, ..alice_s_plan() }, seed ^ n as u64)
        })
        .collect();
    while !wires.iter().all(|wire| wire.client.is_finished() && wire.server.is_finished()) {
        // One of them runs for a while, with the input in any pieces.
        for _ in 0..draw(200) {
            let wire = &mut wires[draw(3)];
            match draw(4) {
                0 => wire.poll(&mut registry),
                1 => wire.carry_up(1 + draw(700)) > 0,
                2 => wire.carry_down(1 + draw(700)) > 0,
                _ => wire.close(),
            };
        }
        if draw(3) > 0 {
            continue;
        }
        // Time passes if nothing else can be done.
        wires.iter_mut().for_each(|wire| wire.settle(&mut registry));
        let due = wires.iter().filter_map(|wire| wire.next_timeout()).min_by_key(|(at, _)| *at);
        if let Some((at, kind)) = due {
            assert_eq!(kind, TimerKind::Poll);
            wires.iter_mut().for_each(|wire| wire.advance(at));
        }
    }
    let check = |wire: Wire<Enroll>| {
        let events: Vec<_> = wire.client_saw.into_iter().map(Result::unwrap).collect();
        let told = events.iter().filter_map(|event| match event {
            EnrollEvent::Member { index, token } => Some((*index, token.clone())),
            _ => None,
        });
        let roster = wire.client.into_roster().unwrap();
        assert_eq!(told.clone().count(), 3, "each member is told once");
        assert_eq!(told.collect::<BTreeMap<_, _>>(), roster.members);
        assert_eq!(events.len(), 4 + 3 + 1);
        assert_eq!(events.last(), Some(&EnrollEvent::Done));
        roster
    };
    wires.into_iter().map(check).collect()
}

#[test]
fn three_members_end_up_with_the_same_roster_in_whatever_order_things_happen() {
    for dialect in DIALECTS {
        let mut orders = BTreeSet::new();
        for seed in 0..24 {
            let rosters = all_together(&Setup::new(dialect), seed);
            let [a, b, c] = &rosters[..] else { panic!() };
            assert!(a.is_complete(), "seed {seed}");
            assert_eq!((&a.members, a.cluster), (&b.members, b.cluster), "seed {seed}");
            assert_eq!((&a.members, a.cluster), (&c.members, c.cluster), "seed {seed}");
            let own = [a, b, c].map(|roster| roster.self_index().unwrap());
            orders.insert(own);
        }
        assert!(orders.len() > 1, "the seeds make a difference");
    }
}

#[test]
fn a_roster_counts_who_is_missing() {
    let cluster =
        |max_size| ClusterInfo { max_size, ..info(NodeId::from_bytes(&[1; 20]).unwrap(), &trio()) };
    let id = NodeId::from_bytes(&[2; 20]).unwrap();
    for (max_size, bits) in [(1, 1), (3, 7), (63, u64::MAX >> 1), (64, u64::MAX)] {
        let mut roster = Roster { cluster: cluster(max_size), id, members: BTreeMap::new() };
        assert_eq!(roster.missing().bits(), bits);
        assert_eq!((roster.is_complete(), roster.self_index()), (false, None));
        for index in 0..max_size {
            assert!(!roster.is_complete());
            roster.members.insert(at(index), served(&alice(), id));
        }
        assert!(roster.is_complete());
        assert_eq!(roster.self_index(), Some(at(0)));
    }
}
