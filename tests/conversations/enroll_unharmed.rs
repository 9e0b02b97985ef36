//! An enrollment never ends a deployed server (the model of one), even if that is restarted at any
//! time, and its retries succeed.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use xlreg::adapter::{DriveError, Driver, Timer, Transfer, Transport};
use xlreg::enroll::{Enroll, EnrollError, EnrollEvent, Plan};
use xlreg::identity::{NodeId, Token};
use xlreg::message::{ClusterRef, Op, Refusal};
use xlreg::session::{ClientConfig, Dialect, EofAt, Error, Instant};
use xlreg_testkit::deployed::{
    Cause, Connection, DeployedServer, Fault, Member, Outcome, READ, Ways,
};
use xlreg_testkit::pair::{DIALECTS, cluster, credential, registry_identity, token};
use xlreg_testkit::scenario::NoRsa;
use xlreg_testkit::{Seeded, to_the_end};

/// A server, a network with segments of a given size, and the time.
struct World {
    server: DeployedServer,
    segment: usize,
    now: Instant,
}

type Shared = Rc<RefCell<World>>;

fn world(dialect: Dialect) -> Shared {
    let server = DeployedServer::new(Ways::of(credential(dialect).version), NoRsa);
    Rc::new(RefCell::new(World { server, segment: READ, now: Instant::from_micros(1_000_000) }))
}

fn with_fault(dialect: Dialect, fault: Fault) -> Shared {
    let world = world(dialect);
    world.borrow_mut().server.ways.fault = Some(fault);
    world
}

fn deaths(world: &Shared) -> Vec<Cause> {
    world.borrow().server.deaths.clone()
}

fn ops(world: &Shared) -> Vec<u64> {
    world.borrow().server.ops()
}

/// A client's connection. Each write arrives in as few segments as the network allows.
struct Line {
    world: Shared,
    connection: Option<Connection>,
    inbox: Vec<u8>,
}

impl Transport for Line {
    type Error = Infallible;

    fn write(&mut self, bytes: &[u8], _: Option<Duration>) -> Result<Transfer, Infallible> {
        let World { server, segment, .. } = &mut *self.world.borrow_mut();
        for bytes in bytes.chunks(*segment) {
            let Some(connection) = &mut self.connection else { return Ok(Transfer::Gone) };
            match connection.segment(server, bytes) {
                Outcome::Reply(reply) => self.inbox.extend(reply),
                Outcome::Close(words) => {
                    self.inbox.extend(words);
                    self.connection = None;
                }
                Outcome::Died(_) => self.connection = None,
            }
        }
        Ok(Transfer::Bytes(bytes.len()))
    }

    fn read(&mut self, out: &mut [u8], longest: Option<Duration>) -> Result<Transfer, Infallible> {
        let n = self.inbox.len().min(out.len());
        if n == 0 && self.connection.is_some() {
            // The server waits, so time passes.
            self.world.borrow_mut().pass(longest.expect("every wait has an end"));
            return Ok(Transfer::TimedOut);
        }
        out[..n].copy_from_slice(&self.inbox[..n]);
        self.inbox.drain(..n);
        Ok(Transfer::Bytes(n))
    }
}

impl World {
    fn pass(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
    }

    /// Bob joins the cluster in which Alice waits.
    fn seat_bob(&mut self) {
        let [cluster] = &mut self.server.clusters[..] else { return };
        if cluster.members.iter().all(|member| member.name != b"bob") {
            cluster.members.push(Member::new(&token("bob", 1, &["h:2"]), &[0xB0; 20]));
        }
    }
}

struct Watch(Shared);

impl Timer for Watch {
    fn now(&self) -> Instant {
        self.0.borrow().now
    }

    fn sleep(&mut self, time: Duration) {
        let mut world = self.0.borrow_mut();
        world.pass(time);
        world.seat_bob();
    }
}

type Told = (Vec<EnrollEvent>, Result<(), EnrollError>);

/// Runs one enrollment from beginning to end.
fn enroll(world: &Shared, dialect: Dialect, plan: &Plan) -> Told {
    let config = ClientConfig { provider: &NoRsa, ..ClientConfig::new(&credential(dialect)) };
    let now = world.borrow().now;
    let enroll = Enroll::new(now, config, plan.clone(), Seeded::new(7)).unwrap();
    let connection = world.borrow_mut().server.accept();
    let line = Line { world: world.clone(), connection, inbox: Vec::new() };
    let (events, result) = to_the_end(Driver::new(enroll, line, Watch(world.clone())));
    let result = result.map_err(|error| match error {
        DriveError::Machine(error) => error,
        other => panic!("{other:?}"),
    });
    (events, result)
}

fn alice() -> Token {
    token("alice", 0, &["h:1"])
}

fn create_and_join() -> Plan {
    Plan { jitter: None, ..Plan::create_and_join(alice(), cluster("duo", 2, 1)) }
}

/// The cluster to join: by name and by ID, one that exists and one that does not.
fn joins(there: &[u8]) -> [Plan; 4] {
    let there = NodeId::from_bytes(there).unwrap();
    let name = |name: &str| ClusterRef { id: None, name: Some(name.parse().unwrap()) };
    let id = |id| ClusterRef { id: Some(id), name: None };
    [name("duo"), name("nope"), id(there), id(NodeId::from_bytes(&[8; 20]).unwrap())]
        .map(|cluster| Plan::join(alice(), cluster))
}

/// Makes a cluster with Bob in it, without a session of Alice's, and gives its ID.
fn with_cluster(world: &Shared) -> Vec<u8> {
    let mut world = world.borrow_mut();
    let id = world.server.create(b"duo", 2, 1);
    world.seat_bob();
    id
}

/// The error of a client whose server is gone.
fn is_lost(error: &EnrollError) -> bool {
    matches!(error, EnrollError::Session(Error::Eof(EofAt::Handshake | EofAt::Reply)))
}

fn is_done(told: &Told) -> bool {
    told.1.is_ok() && told.0.last() == Some(&EnrollEvent::Done)
}

#[test]
fn who_creates_and_joins_is_served() {
    for dialect in DIALECTS {
        let world = world(dialect);
        let told = enroll(&world, dialect, &create_and_join());
        assert!(is_done(&told), "{told:?}");
        let members = told.0.iter().filter(|event| matches!(event, EnrollEvent::Member { .. }));
        assert_eq!(members.count(), 2);
        assert_eq!(ops(&world)[..4], [3, 5, 7, 9]);
        assert_eq!((ops(&world).last(), deaths(&world)), (Some(&11), vec![]));
    }
}

#[test]
fn restarted_at_every_step_it_is_created_anew() {
    for dialect in DIALECTS {
        let quiet = world(dialect);
        assert!(is_done(&enroll(&quiet, dialect, &create_and_join())));
        let all = quiet.borrow().server.replies;
        assert!(all >= 7, "{all} replies");
        for n in 1..=all {
            for fault in [Fault::RestartAfter(n), Fault::RestartBefore(n)] {
                let world = with_fault(dialect, fault);
                let told = enroll(&world, dialect, &create_and_join());
                // Only a missing answer to Bye is harmless.
                let at_bye = n == all || fault == Fault::RestartAfter(all - 1);
                assert_eq!(is_done(&told), at_bye, "{fault:?}: {told:?}");
                if let Err(error) = &told.1 {
                    assert!(is_lost(error), "{fault:?}: {error}");
                    let told = enroll(&world, dialect, &create_and_join());
                    assert!(is_done(&told), "{fault:?}: {told:?}");
                }
                assert_eq!(deaths(&world), [], "{fault:?}");
            }
        }
    }
}

#[test]
fn where_a_reply_is_lost_the_place_is_kept() {
    for dialect in DIALECTS {
        for n in 1..=7 {
            let world = with_fault(dialect, Fault::Loss(n));
            let told = enroll(&world, dialect, &create_and_join());
            assert_eq!(is_done(&told), n == 7, "the Ack: {told:?}");
            let again = enroll(&world, dialect, &create_and_join());
            // The fourth is the JoinReply.
            let reason = Refusal::MemberNameInUse.into();
            match n {
                1..=3 => assert!(is_done(&again), "{n}: {again:?}"),
                _ => assert_eq!(
                    again.1,
                    Err(EnrollError::Refused { request: Some(Op::Join), reason })
                ),
            }
            assert_eq!(deaths(&world), [], "{n}");
        }
    }
}

#[test]
fn a_busy_create_is_refused_and_can_be_made_again() {
    for dialect in DIALECTS {
        let world = world(dialect);
        world.borrow_mut().server.ways.busy_at_create = Some(1);
        let (_, refused) = enroll(&world, dialect, &create_and_join());
        let reason = Refusal::NameInUse.into();
        assert_eq!(refused, Err(EnrollError::Refused { request: Some(Op::Create), reason }));
        world.borrow_mut().server.ways.busy_at_create = None;
        assert!(is_done(&enroll(&world, dialect, &create_and_join())));
        assert_eq!(deaths(&world), []);
    }
}

#[test]
fn who_only_joins_is_told_and_joins_nothing() {
    for dialect in DIALECTS {
        for nth in 0..4 {
            let world = world(dialect);
            let plan = &joins(&with_cluster(&world))[nth];
            let (_, result) = enroll(&world, dialect, plan);
            assert_eq!(result, Err(EnrollError::Deployed));
            // Only the question is sent, and no Join.
            assert_eq!((ops(&world), deaths(&world)), (vec![3, 9], vec![]));
            assert_eq!(world.borrow().server.clusters[0].members.len(), 1);
        }
    }
}

#[test]
fn restarted_at_every_step_who_only_joins_still_joins_nothing() {
    for dialect in DIALECTS {
        for nth in 0..4 {
            for n in 1..=3 {
                for fault in [Fault::RestartAfter(n), Fault::RestartBefore(n)] {
                    let world = world(dialect);
                    let plan = &joins(&with_cluster(&world))[nth];
                    world.borrow_mut().server.ways.fault = Some(fault);
                    let (_, result) = enroll(&world, dialect, plan);
                    // The third answer is that to the question. A closed connection means the same.
                    match result.unwrap_err() {
                        EnrollError::Deployed => assert!(n >= 2, "{fault:?}"),
                        error => assert!(n < 3 && is_lost(&error), "{fault:?}: {error}"),
                    }
                    let (_, result) = enroll(&world, dialect, plan);
                    assert_eq!(result, Err(EnrollError::Deployed), "{fault:?}");
                    assert!(!ops(&world).contains(&7));
                    assert_eq!(deaths(&world), []);
                }
            }
        }
    }
}

#[test]
fn who_means_it_ends_it() {
    for dialect in DIALECTS {
        let causes = [
            None,
            Some(Cause::JoinOfUnknownName("nope".into())),
            None,
            Some(Cause::JoinOfUnknownId(vec![8; 20])),
        ];
        for (nth, cause) in causes.into_iter().enumerate() {
            let world = world(dialect);
            let plan = joins(&with_cluster(&world))[nth].clone();
            let told = enroll(&world, dialect, &Plan { may_end_server: true, ..plan });
            assert_eq!(is_done(&told), cause.is_none(), "{told:?}");
            assert_eq!(deaths(&world), Vec::from_iter(cause));
        }
    }
}

#[test]
fn a_member_that_a_network_would_cut_is_not_sent() {
    let end_points: Vec<String> =
        (1..=8).map(|n| format!("{}.example:{n}", "h".repeat(60))).collect();
    let end_points: Vec<&str> = end_points.iter().map(String::as_str).collect();
    let plan = Plan::create_and_join(token("alice", 0, &end_points), cluster("duo", 2, 1));
    for dialect in DIALECTS {
        let world = world(dialect);
        // Some tunnels leave less room than an Ethernet frame, and a Member within the limit still
        // fits.
        world.borrow_mut().segment = Enroll::SEGMENT;
        let (_, result) = enroll(&world, dialect, &plan);
        assert!(matches!(result, Err(EnrollError::LargeMember { .. })), "{result:?}");
        assert_eq!((ops(&world), deaths(&world)), (vec![], vec![]));
        assert!(is_done(&enroll(&world, dialect, &create_and_join())));
        // With `may_end_server` the first of the two segments is not whole blocks, or has no end.
        world.borrow_mut().segment = 1203;
        let plan = Plan { may_end_server: true, ..plan.clone() };
        enroll(&world, dialect, &plan).1.unwrap_err();
        assert_eq!(deaths(&world), [Cause::NotWholeBlocks { bytes: 1203 }]);
    }
}

#[test]
fn a_chained_server_dies_of_a_prefixed_hello() {
    // The choice of the dialect by the version prevents it.
    let config = ClientConfig::new(&credential(Dialect::Chained));
    assert_eq!(config.dialect, Dialect::Chained);
    let mut server = DeployedServer::new(
        Ways::of(credential(Dialect::Chained).version),
        registry_identity().comms,
    );
    let config = ClientConfig { dialect: Dialect::Prefixed, ..config };
    let hello = Enroll::new(Instant::EPOCH, config, create_and_join(), Seeded::new(7)).unwrap();
    let hello = xlreg::session::Machine::output(&hello).to_vec();
    let mut connection = server.accept().unwrap();
    let cause = Cause::ShortHello { bytes: 44 };
    assert_eq!(connection.segment(&mut server, &hello), Outcome::Died(cause));
}
