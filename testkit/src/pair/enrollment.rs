//! Alice's enrollment: she creates a cluster of three, joins it and waits for the others.

use std::time::Duration;

use xlreg::enroll::{Enroll, EnrollEvent, Plan, Roster};
use xlreg::identity::Token;
use xlreg::message::{Create, Reply, Request};
use xlreg::registry::ClientState;
use xlreg::session::{Instant, TimerKind};

use super::{Backend, Seen, Setup, TestRegistry, Wire, at, cluster, info, served, token};
use crate::Seeded;

/// The start of every enrollment.
pub const START: Instant = Instant::from_micros(1_000_000);

/// Makes an enrollment with this plan, connected to a registry.
pub fn enroll(setup: &Setup, plan: Plan, seed: u64) -> Wire<Enroll> {
    setup.wire(START, |config| Enroll::new(START, config, plan, Seeded::new(seed)).unwrap())
}

/// The cluster that Alice creates.
pub fn trio() -> Create {
    cluster("trio", 3, 1)
}

/// Alice's token.
pub fn alice() -> Token {
    token("alice", 0, &["h:1"])
}

/// The plan of Alice, who creates the trio and waits for ever.
pub fn alice_s_plan() -> Plan {
    Plan {
        first_pause: Duration::from_millis(100),
        longest_pause: Duration::from_millis(500),
        jitter: None,
        ..Plan::create_and_join(alice(), trio())
    }
}

/// Advances to the next deadline.
pub fn tick(wire: &mut Wire<Enroll>, backend: &mut dyn Backend) -> TimerKind {
    let (at, kind) = wire.next_timeout().expect("nothing is due");
    wire.advance(at);
    wire.settle(backend);
    kind
}

/// The requests to the registry since the last look.
pub fn asked(wire: &mut Wire<Enroll>) -> Vec<Request> {
    let seen = wire.server_saw.drain(..).filter_map(|seen| match seen {
        Ok(Seen::Request(_, request)) => Some(request),
        Ok(Seen::Hello) => None,
        Err(error) => panic!("{error}"),
    });
    seen.collect()
}

/// The members in each GetCluster since the last look, as bits.
pub fn polls(wire: &mut Wire<Enroll>) -> Vec<u64> {
    let which = asked(wire).into_iter().filter_map(|request| match request {
        Request::GetCluster(get) => Some(get.which.unwrap().bits()),
        _ => None,
    });
    which.collect()
}

/// The roster of an enrollment that has joined.
pub fn joined(wire: &Wire<Enroll>) -> &Roster {
    wire.client.roster().expect("not joined")
}

/// Makes a cluster with only Alice in it, and checks what she saw.
pub fn alice_alone(setup: &Setup, plan: Plan) -> (Wire<Enroll>, TestRegistry) {
    let mut registry = setup.registry();
    let mut wire = enroll(setup, plan, 1);
    wire.settle(&mut registry);
    let cluster = *registry.rules.clusters().next().unwrap().info();
    assert_eq!(cluster, info(cluster.id, &trio()));
    let (id, token) = wire.state.member().unwrap();
    let version = registry.rules.credential().version;
    let expected = [
        EnrollEvent::Connected { dialect: setup.dialect, version },
        EnrollEvent::Registered { id, attrs: token.attrs },
        EnrollEvent::Created(cluster),
        EnrollEvent::Joined(cluster),
        EnrollEvent::Member { index: at(0), token: served(&alice(), id) },
    ];
    assert_eq!(std::mem::take(&mut wire.client_saw), expected.map(Ok));
    assert_eq!(joined(&wire).self_index(), Some(at(0)));
    (wire, registry)
}

/// Enrolls another member of the trio, and gives its token as served.
pub fn enroll_member(registry: &mut TestRegistry, name: &str, n: usize) -> Token {
    let token = token(name, n, &["h:9"]);
    let id = registry.enroll_member(token.clone(), &trio());
    served(&token, id)
}

/// A registry of a test. It may change the reply to a request.
pub struct Odd<F: FnMut(&Request, Reply) -> Reply>(pub TestRegistry, pub F);

impl<F: FnMut(&Request, Reply) -> Reply> Backend for Odd<F> {
    fn answer(&mut self, state: &mut ClientState, request: Request) -> Reply {
        let usual = self.0.answer(state, request.clone());
        (self.1)(&request, usual)
    }
}
