//! Members that come back with other end points, and copies of one member, as the others and the
//! member itself see them.

use std::collections::BTreeMap;
use std::time::Duration;

use rand_core::Rng;
use xlreg::enroll::{Enroll, EnrollError, EnrollEvent, Plan, RegistryKind};
use xlreg::identity::{NodeId, Token};
use xlreg::message::{MemberIndex, Op, Request};
use xlreg::session::{Machine, TimerKind};
use xlreg_testkit::Seeded;
use xlreg_testkit::pair::enrollment::{
    START, alice_alone, alice_s_plan, asked, enroll, enroll_member, joined, polls, tick, trio,
};
use xlreg_testkit::pair::{DIALECTS, Setup, TestRegistry, Wire, at, served, token};

/// A node comes back with other end points.
fn come_back(registry: &mut TestRegistry, id: NodeId, name: &str, n: usize, end: &str) -> Token {
    let token = Token { id: Some(id), ..token(name, n, &[end]) };
    registry.enroll_member(token.clone(), &trio());
    served(&token, id)
}

// A waiting member kept its first entries, although they had changed.
#[test]
fn the_last_look_is_at_all_members_and_tells_who_has_changed() {
    for dialect in DIALECTS {
        let (mut wire, mut registry) = alice_alone(&Setup::new(dialect), alice_s_plan());
        let bob = enroll_member(&mut registry, "bob", 1);
        tick(&mut wire, &mut registry);
        wire.client_saw.clear();
        let moved = come_back(&mut registry, bob.id.unwrap(), "bob", 1, "elsewhere:1");
        tick(&mut wire, &mut registry);
        assert_eq!(wire.client_saw, [], "nobody asks for Bob now");
        let carol = enroll_member(&mut registry, "carol", 2);
        asked(&mut wire);
        tick(&mut wire, &mut registry);
        assert_eq!(polls(&mut wire), [0b101, 0b111]);
        let expected = [
            EnrollEvent::Member { index: at(2), token: carol },
            EnrollEvent::Changed { index: at(1), token: moved.clone() },
            EnrollEvent::Done,
        ];
        assert_eq!(wire.client_saw, expected.map(Ok));
        assert_eq!(joined(&wire).members[&at(1)], moved);
    }
}

#[test]
fn a_look_that_was_whole_is_the_last() {
    for dialect in DIALECTS {
        let setup = Setup::new(dialect);
        for (wait, others) in [(true, 2), (false, 2), (false, 0)] {
            let mut registry = setup.registry();
            for (name, n) in [("bob", 1), ("carol", 2)].into_iter().take(others) {
                enroll_member(&mut registry, name, n);
            }
            let mut wire = enroll(&setup, Plan { wait, ..alice_s_plan() }, 1);
            wire.settle(&mut registry);
            assert_eq!(polls(&mut wire), [0b111]);
            assert_eq!(wire.client_saw.last(), Some(&Ok(EnrollEvent::Done)));
        }
    }
}

// Two hosts with copies of one directory both succeeded, and the cluster had one member for both.
#[test]
fn a_copy_that_says_other_things_is_noticed_at_the_next_look() {
    for dialect in DIALECTS {
        let setup = Setup::new(dialect);
        for (name, end) in [("alice", "copy:1"), ("alicia", "h:1"), ("alicia", "copy:1")] {
            let (mut wire, mut registry) = alice_alone(&setup, alice_s_plan());
            let id = joined(&wire).id;
            let copy = come_back(&mut registry, id, name, 0, end);
            assert_eq!(tick(&mut wire, &mut registry), TimerKind::Poll);
            let cloned = EnrollError::Cloned { name: copy.name, end_points: copy.end_points };
            assert!(cloned.to_string().contains(&format!("as {name} at {end}")), "{cloned}");
            assert_eq!(wire.client_saw, [Err(cloned)]);
            assert!(wire.client.is_finished());
            // A copy with an equal token cannot be told apart.
            let (mut wire, mut registry) = alice_alone(&setup, alice_s_plan());
            come_back(&mut registry, joined(&wire).id, "alice", 0, "h:1");
            tick(&mut wire, &mut registry);
            assert_eq!(wire.client_saw, []);
        }
    }
}

#[test]
fn a_copy_is_noticed_in_the_last_look() {
    let setup = Setup::new(DIALECTS[0]);
    let mut registry = setup.registry();
    let bob = enroll_member(&mut registry, "bob", 1);
    enroll_member(&mut registry, "carol", 2);
    // Between Bob's join and his first look.
    let (name, copy) = (bob.name.clone(), "copy:1");
    let plan = Plan {
        token: Token { id: bob.id, ..token("bob", 1, &["h:9"]) },
        create: None,
        registry: RegistryKind::Xlreg,
        join: trio().name.into(),
        ..alice_s_plan()
    };
    let mut wire = enroll(&setup, plan, 1);
    wire.answers = false;
    for op in [Op::Member, Op::Join, Op::GetCluster] {
        wire.settle(&mut registry);
        if op == Op::GetCluster {
            come_back(&mut registry, bob.id.unwrap(), name.as_str(), 1, copy);
        }
        assert_eq!(wire.pending.front().map(|(_, request)| request.op()), Some(op));
        wire.answer(&mut registry);
    }
    wire.settle(&mut registry);
    let end_points = vec![copy.parse().unwrap()];
    assert_eq!(wire.client_saw.last(), Some(&Err(EnrollError::Cloned { name, end_points })));
}

/// One of the members in [`restarts`], and the number of its starts.
struct Member {
    wire: Wire<Enroll>,
    name: &'static str,
    n: usize,
    starts: usize,
}

fn start(setup: &Setup, name: &'static str, n: usize, starts: usize, id: Option<NodeId>) -> Member {
    let token = Token { id, ..token(name, n, &[&format!("{name}:{}", starts + 1)]) };
    let plan = Plan { token, jitter: Some(n as u64), ..alice_s_plan() };
    Member { wire: enroll(setup, plan, n as u64), name, n, starts }
}

/// Enrolls three members, which are sometimes restarted with other end points, in an order drawn
/// from `seed`. Gives the rosters of the members that finished after the last change, and the
/// registry's members at the end.
fn restarts(
    setup: &Setup,
    seed: u64,
) -> (Vec<BTreeMap<MemberIndex, Token>>, BTreeMap<MemberIndex, Token>) {
    let mut draws = Seeded::new(seed);
    let mut draw = |n: usize| (draws.next_u64() % n as u64) as usize;
    let mut registry = setup.registry();
    let mut members: Vec<_> = ["alice", "bob", "carol"]
        .into_iter()
        .enumerate()
        .map(|(n, name)| start(setup, name, n, 0, None))
        .collect();
    let mut now = START;
    let mut finished: Vec<(usize, BTreeMap<MemberIndex, Token>)> = Vec::new();
    loop {
        for _ in 0..draw(60) {
            let wire = &mut members[draw(3)].wire;
            match draw(4) {
                0 => wire.poll(&mut registry),
                1 => wire.carry_up(1 + draw(700)) > 0,
                2 => wire.carry_down(1 + draw(700)) > 0,
                _ => wire.close(),
            };
        }
        let place = draw(3);
        let member = &mut members[place];
        if draw(3) == 0 && member.starts < 3 {
            // The process is gone. The ID was kept when it came.
            let id = member.wire.client_saw.iter().find_map(|event| match event {
                Ok(EnrollEvent::Registered { id, .. }) => Some(*id),
                _ => None,
            });
            if id.is_some() {
                let mut again = start(setup, member.name, member.n, member.starts + 1, id);
                again.wire.advance(now);
                *member = again;
                finished.retain(|(owner, _)| *owner != place);
            }
        }
        for (place, member) in members.iter_mut().enumerate() {
            if member.wire.client.is_finished()
                && !finished.iter().any(|(owner, _)| *owner == place)
            {
                let last = member.wire.client_saw.last();
                assert_eq!(last, Some(&Ok(EnrollEvent::Done)), "{}", member.name);
                let roster = joined(&member.wire).members.clone();
                finished.push((place, roster));
            }
        }
        if finished.len() == 3 {
            break;
        }
        members.iter_mut().for_each(|member| member.wire.settle(&mut registry));
        let due = members.iter().filter_map(|member| member.wire.next_timeout());
        if let Some((at, _)) = due.min_by_key(|(at, _)| *at) {
            now = now.max(at);
            members.iter_mut().for_each(|member| member.wire.advance(now));
        }
    }
    let cluster = registry.rules.clusters().next().unwrap();
    let members =
        MemberIndex::all().zip(cluster.members().iter().map(|member| Token::clone(member)));
    let truth: BTreeMap<_, _> = members.collect();
    (finished.into_iter().map(|(_, roster)| roster).collect(), truth)
}

#[test]
fn members_that_finish_after_the_last_change_agree() {
    let mut changed = 0;
    for dialect in DIALECTS {
        for seed in 0..40 {
            let (rosters, truth) = restarts(&Setup::new(dialect), seed);
            let last = rosters.last().unwrap();
            assert_eq!(*last, truth, "seed {seed}: who finishes last sees what is");
            let end_points = |roster: &BTreeMap<MemberIndex, Token>| -> Vec<_> {
                roster.values().map(|token| token.end_points.clone()).collect()
            };
            // Rosters that were finished with the present end points agree in everything.
            for roster in rosters.iter().filter(|roster| end_points(roster) == end_points(&truth)) {
                assert_eq!(*roster, truth, "seed {seed}");
            }
            changed += usize::from(
                truth.values().any(|token| !token.end_points[0].as_str().ends_with(":1")),
            );
        }
    }
    assert!(changed > 20, "the seeds make a difference: {changed}");
}

#[test]
fn pauses_are_shortened_by_up_to_a_quarter_and_differ_from_member_to_member() {
    let pauses = |jitter| {
        let plan = Plan { jitter, ..alice_s_plan() };
        let (mut wire, mut registry) = alice_alone(&Setup::new(DIALECTS[0]), plan);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let (due, _) = wire.client.poll_timeout().unwrap();
            pauses.push(due.saturating_duration_since(wire.now));
            tick(&mut wire, &mut registry);
        }
        pauses
    };
    let full = pauses(None);
    let millis = [100, 200, 400, 500, 500, 500, 500, 500].map(Duration::from_millis);
    assert_eq!(full, millis);
    let [one, other] = [1, 2].map(|jitter| pauses(Some(jitter)));
    assert_ne!(one, other);
    assert_eq!(one, pauses(Some(1)), "the same value, the same pauses");
    for jittered in [&one, &other] {
        for (pause, full) in jittered.iter().zip(&full) {
            assert!(*pause <= *full && *pause >= *full * 3 / 4, "{pause:?} of {full:?}");
        }
        assert!(jittered.iter().zip(&full).any(|(pause, full)| *pause < *full * 9 / 10));
    }
    // Every member has its own jitter, by its key.
    let of = |n| Plan::join(token("x", n, &["h:1"]), trio().name.into()).jitter;
    assert!(of(0).is_some() && of(0) != of(1));
}

/// The session's draws are fixed, so the jitter must not come from its generator.
#[test]
fn jitter_draws_nothing() {
    let sent = |jitter| {
        let plan = Plan { jitter, ..alice_s_plan() };
        let (mut wire, mut registry) = alice_alone(&Setup::new(DIALECTS[0]), plan);
        for _ in 0..3 {
            tick(&mut wire, &mut registry);
        }
        wire.up
    };
    assert_eq!(sent(None), sent(Some(3)));
}

#[test]
fn a_registry_that_is_too_old_or_unknown_is_not_sent_what_may_end_it() {
    let setup = Setup::new(DIALECTS[1]);
    // Keys over 2048 bits make records that the network cuts. Here end points do.
    let end_points: Vec<_> =
        (0..8).map(|n| format!("a-host-with-a-rather-long-name-{n}.example:4000")).collect();
    let end_points: Vec<&str> = end_points.iter().map(String::as_str).collect();
    let large = token("alice", 0, &end_points);
    let mut wire = enroll(&setup, Plan { token: large.clone(), ..alice_s_plan() }, 1);
    wire.settle(&mut setup.registry());
    let Some(Err(EnrollError::LargeMember { bytes, limit })) = wire.client_saw.pop() else {
        panic!("{:?}", wire.client_saw)
    };
    assert!(bytes > limit && limit == Enroll::SEGMENT && bytes < 1400, "{bytes}");
    assert_eq!(asked_ops(&mut wire), [], "nothing was sent");
    assert!(wire.client.is_finished());
    for plan in [
        Plan { registry: RegistryKind::Xlreg, ..alice_s_plan() },
        Plan { may_end_server: true, ..alice_s_plan() },
    ] {
        let mut wire = enroll(&setup, Plan { token: large.clone(), wait: false, ..plan }, 1);
        wire.settle(&mut setup.registry());
        assert_eq!(wire.client_saw.last(), Some(&Ok(EnrollEvent::Done)));
    }
}

fn asked_ops(wire: &mut Wire<Enroll>) -> Vec<Op> {
    let seen = wire.server_saw.drain(..).filter_map(|seen| match seen {
        Ok(xlreg_testkit::pair::Seen::Request(_, request)) => Some(Request::op(&request)),
        _ => None,
    });
    seen.collect()
}
