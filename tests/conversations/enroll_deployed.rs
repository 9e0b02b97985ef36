//! A member's enrollment ([`Enroll`](xlreg::enroll::Enroll)) against the rules of deployed servers.

use std::time::Duration;

use xlreg::enroll::{Enroll, EnrollError, EnrollEvent, Plan};
use xlreg::identity::NodeId;
use xlreg::message::{ClusterRef, GetCluster, MemberSet, Op, Refusal, Reply, Request};
use xlreg::registry::ClientState;
use xlreg::session::{Machine, TimerKind};
use xlreg_testkit::pair::enrollment::{
    Odd, alice, alice_alone, alice_s_plan, asked, enroll, enroll_member, joined, tick, trio,
};
use xlreg_testkit::pair::{Backend, DIALECTS, Setup, TestRegistry, Wire, after, at};

/// The rules of deployed servers: GetCluster only after Join, one Create and only before Join.
#[derive(Default)]
struct Deployed {
    registry: Option<TestRegistry>,
    ops: Vec<Op>,
}

impl Backend for Deployed {
    fn answer(&mut self, state: &mut ClientState, request: Request) -> Reply {
        let op = request.op();
        let had = |op| self.ops.contains(&op);
        let allowed = match op {
            Op::Member => self.ops.is_empty(),
            Op::Create => had(Op::Member) && !had(Op::Create) && !had(Op::Join),
            Op::Join => had(Op::Member) && !had(Op::Join),
            // The request is refused, and the server goes on.
            Op::GetCluster if !had(Op::Join) => {
                self.ops.push(op);
                return Reply::Error(Refusal::WrongState.into());
            }
            Op::GetCluster => true,
            Op::Bye => had(Op::Member),
            _ => false,
        };
        assert!(allowed, "{op} after {:?}", self.ops);
        // It finds clusters only by ID, except for a Join.
        if let Request::GetCluster(get) = &request {
            assert!(get.cluster.id.is_some() && get.which.is_some());
        }
        self.ops.push(op);
        self.registry.as_mut().unwrap().answer(state, request)
    }
}

#[test]
fn a_deployed_server_is_satisfied() {
    for dialect in DIALECTS {
        let setup = Setup::new(dialect);
        let mut registry = setup.registry();
        enroll_member(&mut registry, "bob", 1);
        let mut server = Deployed { registry: Some(registry), ops: Vec::new() };
        let mut wire = enroll(&setup, alice_s_plan(), 1);
        wire.answers = false;
        let mut polled = 0;
        while !wire.client.is_finished() {
            wire.settle(&mut server);
            if !wire.pending.is_empty() {
                // The server takes the bytes of one read for one record, so there must not be two.
                assert_eq!(wire.pending.len(), 1);
                wire.answer(&mut server);
                assert_eq!(wire.client.output(), [0u8; 0], "nothing before the reply");
            } else if !wire.client.is_finished() {
                polled += 1;
                if polled == 2 {
                    enroll_member(server.registry.as_mut().unwrap(), "carol", 2);
                }
                tick(&mut wire, &mut server);
            }
        }
        assert_eq!(wire.client_saw.last(), Some(&Ok(EnrollEvent::Done)));
        assert!(joined(&wire).is_complete());
        // The first look, one without news, one with the last member, and one at all of them.
        let looks = [Op::GetCluster; 4];
        let ops = [&[Op::Member, Op::Create, Op::Join][..], &looks, &[Op::Bye]].concat();
        assert_eq!(server.ops, ops);
    }
}

#[test]
fn a_deployed_server_is_asked_before_it_would_be_ended() {
    for dialect in DIALECTS {
        let setup = Setup::new(dialect);
        let id = NodeId::from_bytes(&[7; 20]).unwrap();
        for cluster in [ClusterRef::from(trio().name), id.into()] {
            for hangs_up in [false, true] {
                let mut server = Deployed { registry: Some(setup.registry()), ops: Vec::new() };
                let mut wire = enroll(&setup, Plan::join(alice(), cluster.clone()), 1);
                wire.answers = false;
                wire.settle(&mut server);
                wire.answer(&mut server);
                wire.settle(&mut server);
                let asked = asked(&mut wire);
                let question =
                    GetCluster { cluster: cluster.clone(), which: Some(MemberSet::NONE) };
                assert_eq!(asked[1..], [Request::GetCluster(question)]);
                match hangs_up {
                    true => wire.close_down(),
                    false => wire.answer(&mut server),
                }
                wire.settle(&mut server);
                assert_eq!(wire.client_saw.last(), Some(&Err(EnrollError::Deployed)));
                assert!(wire.client.is_finished() && wire.client.roster().is_none());
            }
        }
        // With `may_end_server` it is sent.
        let plan = Plan { may_end_server: true, ..Plan::join(alice(), id.into()) };
        let mut wire = enroll(&setup, plan, 1);
        wire.settle(&mut setup.registry());
        let ops: Vec<_> = asked(&mut wire).iter().map(Request::op).collect();
        assert_eq!(ops, [Op::Member, Op::Join]);
    }
}

#[test]
fn members_that_were_not_asked_for_are_an_error() {
    for dialect in DIALECTS {
        // A server that answers every GetCluster with all members.
        let setup = Setup::new(dialect);
        let (mut wire, mut registry) = alice_alone(&setup, alice_s_plan());
        enroll_member(&mut registry, "bob", 1);
        let rules = registry.rules.clone();
        let everyone = |request: &Request, usual| match request {
            Request::GetCluster(get) => {
                let id = get.cluster.id.unwrap();
                Reply::Members(rules.cluster(&id).unwrap().list(None).unwrap())
            }
            _ => usual,
        };
        let mut odd = Odd(registry, everyone);
        // Bob is new. Then the enrollment asks only for Carol, and for Alice's own entry.
        tick(&mut wire, &mut odd);
        tick(&mut wire, &mut odd);
        let told = wire.client_saw.iter().filter(|e| matches!(e, Ok(EnrollEvent::Member { .. })));
        assert_eq!(told.count(), 1);
        assert_eq!(wire.client_saw.last(), Some(&Err(EnrollError::NotAskedFor { index: at(1) })));
    }
}

/// Runs Alice's enrollment up to her Bye, which gets no answer.
fn said_bye(setup: &Setup) -> Wire<Enroll> {
    let plan = Plan { give_up_after: Some(Duration::from_secs(20)), ..alice_s_plan() };
    let (mut wire, mut registry) = alice_alone(setup, plan);
    for (name, n) in [("bob", 1), ("carol", 2)] {
        enroll_member(&mut registry, name, n);
    }
    wire.answers = false;
    wire.advance(after(wire.now, Duration::from_millis(100)));
    wire.settle(&mut registry);
    wire.answer(&mut registry);
    wire.settle(&mut registry);
    assert_eq!(asked(&mut wire).last(), Some(&Request::Bye));
    assert_eq!(wire.client_saw.len(), 2, "Bob and Carol");
    wire.client_saw.clear();
    assert!(!wire.client.is_finished());
    wire
}

/// A backend that must not be asked.
struct Nobody;

impl Backend for Nobody {
    fn answer(&mut self, _: &mut ClientState, request: Request) -> Reply {
        panic!("{request:?}")
    }
}

#[test]
fn a_registry_that_closes_without_an_ack_takes_nothing_away() {
    for dialect in DIALECTS {
        let mut wire = said_bye(&Setup::new(dialect));
        wire.close_down();
        wire.poll(&mut Nobody);
        wire.expect([Ok(EnrollEvent::Done)], []);
        assert!(wire.client.is_finished() && joined(&wire).is_complete());
    }
}

#[test]
fn a_registry_that_does_not_ack_in_time_takes_nothing_away() {
    for dialect in DIALECTS {
        // The plan's time is over before the session's deadline.
        let mut wire = said_bye(&Setup::new(dialect));
        assert_eq!(tick(&mut wire, &mut Nobody), TimerKind::GiveUp);
        assert_eq!(wire.client_saw, [Ok(EnrollEvent::Done)]);
        // The session's deadline comes before the end of the plan's time.
        let mut setup = Setup::new(dialect);
        setup.client.idle_time = Duration::from_secs(2);
        let mut wire = said_bye(&setup);
        assert_eq!(tick(&mut wire, &mut Nobody), TimerKind::Idle);
        assert_eq!(wire.client_saw, [Ok(EnrollEvent::Done)]);
    }
}

type Told = Vec<Result<EnrollEvent, EnrollError>>;

/// A deployed server lets a fourth member join a cluster of three, and does not list it.
fn not_listed(setup: &Setup) -> (Wire<Enroll>, Told) {
    let mut registry = setup.registry();
    for (name, n) in [("bob", 1), ("carol", 2), ("dave", 3)] {
        enroll_member(&mut registry, name, n);
    }
    let cluster = *registry.rules.clusters().next().unwrap().info();
    let overflowing = |request: &Request, usual| match request {
        Request::Join(_) => Reply::Join(cluster),
        _ => usual,
    };
    let mut wire = enroll(setup, alice_s_plan(), 1);
    wire.settle(&mut Odd(registry, overflowing));
    let told = std::mem::take(&mut wire.client_saw);
    (wire, told)
}

#[test]
fn a_cluster_that_is_complete_without_us_is_told() {
    for dialect in DIALECTS {
        let (wire, told) = not_listed(&Setup::new(dialect));
        assert_eq!(told.last(), Some(&Err(EnrollError::NotListed)));
        let names: Vec<_> =
            joined(&wire).members.values().map(|token| token.name.as_str()).collect();
        assert_eq!(names, ["bob", "carol", "dave"]);
        assert_eq!(joined(&wire).self_index(), None);
    }
}

#[test]
fn an_enrollment_that_ends_as_not_listed_is_finished() {
    let setup = Setup::new(DIALECTS[0]);
    let (wire, told) = not_listed(&setup);
    assert_eq!(told.last(), Some(&Err(EnrollError::NotListed)));
    assert_eq!(wire.client.poll_timeout(), None);
    assert!(wire.client.is_finished());
}
