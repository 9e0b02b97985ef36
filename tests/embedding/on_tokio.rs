//! The tokio adapter: its futures may be dropped at every poll, deadlines hold, and a whole cluster
//! forms over it.

#![cfg(feature = "tokio")]

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::unconstrained;
use xlreg::adapter::tokio::DriveError;
use xlreg::adapter::tokio::{Clock, Driver, enroll};
use xlreg::credential::Credential;
use xlreg::enroll::{Enroll, EnrollEvent, Plan};
use xlreg::identity::{ClusterAttrs, MemberAttrs, NodeId, Version};
use xlreg::message::{Create, Refusal, Reply, Request};
use xlreg::registry::{ClientState, Registry, RegistryLimits};
use xlreg::serve::{Handler, serve};
use xlreg::session::{
    ClientConfig, Error, OpenedHello, SealedHello, Server, ServerConfig, ServerEvent, Session,
    TimerKind,
};
use xlreg_testkit::{KEYS, Seeded, identity};

pub fn credential() -> Credential {
    Credential {
        name: "registry".parse().unwrap(),
        id: NodeId::random(&mut Seeded::new(1)),
        comms_key: KEYS.comms[0].public_key().clone(),
        sig_key: KEYS.sig[0].public_key().clone(),
        end_points: vec!["127.0.0.1:1".parse().unwrap()],
        version: Version::REFERENCE,
    }
}

fn plan(n: usize, size: u32) -> Plan {
    let member = identity(&format!("member{n}"), n);
    let end_points = vec![format!("10.0.0.{n}:4000").parse().unwrap()];
    let token = member.token(MemberAttrs::NONE, end_points, &mut Seeded::new(2)).unwrap();
    let name = "alpha".parse().unwrap();
    let attrs = ClusterAttrs::NONE;
    Plan::create_and_join(token, Create { name, max_size: size, attrs, end_point_count: 1 })
}

fn enroll_machine(clock: &Clock) -> Enroll {
    let config = ClientConfig::new(&credential());
    Enroll::new(clock.now(), config, plan(1, 1), Seeded::new(3)).unwrap()
}

fn server_session(clock: &Clock) -> Session<Server> {
    let config = ServerConfig::new(KEYS.comms[0].public_key());
    Session::<Server>::new(clock.now(), config, Seeded::new(4))
}

/// Polls a future once and drops it, without tokio's budget of operations between two yields,
/// because there is no yield here.
async fn once<F: Future>(future: F) -> Poll<F::Output> {
    let mut future = pin!(unconstrained(future));
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Polls every future of both sides once and drops it, over a pipe of `width` bytes. So each is
/// dropped at every await. The client's events must not depend on it.
#[tokio::test(start_paused = true)]
async fn a_future_dropped_at_any_await_loses_nothing() {
    let mut told = Vec::new();
    for width in [1, 7, 64, 4096, 65536] {
        let (near, far) = duplex(width);
        let clock = Clock::start();
        let mut client = Driver::new(enroll_machine(&clock), near, clock);
        let mut server = Driver::new(server_session(&clock), far, clock);
        let mut registry = Registry::new(credential(), RegistryLimits::default());
        let (mut state, mut ids) = (ClientState::new(), Seeded::new(6));
        let mut events = Vec::new();
        let (mut client_done, mut server_done) = (false, false);
        while !(client_done && server_done) {
            if !client_done && let Poll::Ready(event) = once(client.next_event()).await {
                match event.unwrap() {
                    Some(event) => events.push(event),
                    None => client_done = true,
                }
            }
            if !server_done && let Poll::Ready(event) = once(server.next_event()).await {
                let now = server.now();
                match event.unwrap() {
                    Some(ServerEvent::Hello(hello)) => {
                        let opened = hello.open(&KEYS.comms[0], &mut Seeded::new(5));
                        server.machine().open_hello(now, opened).unwrap();
                    }
                    Some(ServerEvent::Request { id, request }) => {
                        let outcome = registry.handle(&mut state, request, &mut ids);
                        server.machine().reply(now, id, &outcome.reply).unwrap();
                    }
                    Some(other) => panic!("{other:?}"),
                    None => server_done = true,
                }
            }
        }
        assert_eq!(events.last(), Some(&EnrollEvent::Done));
        assert_eq!(events.len(), 6, "{events:?}");
        told.push(events);
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]));
}

/// A registry for tests: it opens Hellos on a blocking thread, and decides under a lock.
struct Rules(Mutex<(Registry, Seeded)>);

impl Rules {
    fn new() -> Self {
        let registry = Registry::new(credential(), RegistryLimits::default());
        Self(Mutex::new((registry, Seeded::new(8))))
    }
}

impl Handler for Rules {
    async fn open(&self, hello: SealedHello) -> Option<OpenedHello> {
        let open = move || hello.open(&KEYS.comms[0], &mut Seeded::new(7));
        tokio::task::spawn_blocking(open).await.ok()
    }

    async fn decide(&self, state: &mut ClientState, request: Request) -> Reply {
        let (registry, rng) = &mut *self.0.lock().unwrap();
        registry.handle(state, request, rng).reply
    }
}

fn accept(rules: &'static Rules, seed: u64) -> (DuplexStream, impl Future<Output = bool>) {
    let (near, far) = duplex(1024);
    let config = ServerConfig::new(KEYS.comms[0].public_key());
    let served = tokio::spawn(serve(far, config, rules, Seeded::new(seed), pending()));
    (near, async { served.await.unwrap().is_ok() })
}

#[tokio::test]
async fn five_members_form_a_cluster() {
    let rules: &'static Rules = Box::leak(Box::new(Rules::new()));
    let members = (0..5).map(|n| {
        let (stream, served) = accept(rules, 100 + n as u64);
        let plan = Plan { first_pause: Duration::from_millis(1), ..plan(n, 5) };
        let config = ClientConfig::new(&credential());
        let joined = tokio::spawn(enroll(stream, config, plan, Seeded::new(200 + n as u64)));
        async { (joined.await.unwrap().unwrap(), served.await) }
    });
    let members: Vec<_> = members.collect();
    let mut rosters = Vec::new();
    for member in members {
        let (roster, served) = member.await;
        assert!(served);
        assert!(roster.is_complete());
        rosters.push(roster.members);
    }
    assert!(rosters.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_dropped_at_the_deadline() {
    let (_near, far) = duplex(1024);
    let config = ServerConfig::new(KEYS.comms[0].public_key());
    let patience = config.limits.hello_time;
    let started = tokio::time::Instant::now();
    let ended = serve(far, config, &Rules::new(), Seeded::new(1), pending()).await;
    assert!(matches!(ended, Err(DriveError::Machine(Error::Timeout(TimerKind::Hello)))));
    // Virtual time is exact up to the runtime's millisecond.
    let took = started.elapsed();
    assert!(took >= patience && took < patience + Duration::from_millis(2), "{took:?}");
}

/// A client that is not let in gets no answer, and the connection is over.
struct Closed;

impl Handler for Closed {
    async fn open(&self, _: SealedHello) -> Option<OpenedHello> {
        None
    }

    async fn decide(&self, _: &mut ClientState, _: Request) -> Reply {
        Reply::Error(Refusal::Unavailable.into())
    }
}

/// A handler that never answers.
struct Stuck;

impl Handler for Stuck {
    async fn open(&self, _: SealedHello) -> Option<OpenedHello> {
        std::future::pending().await
    }

    async fn decide(&self, _: &mut ClientState, _: Request) -> Reply {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_hello_that_is_not_opened_is_answered_with_silence() {
    let config = ServerConfig::new(KEYS.comms[0].public_key());
    let (mut near, far) = duplex(1024);
    near.write_all(&vec![7; config.hello_len]).await.unwrap();
    serve(far, config.clone(), &Closed, Seeded::new(1), pending()).await.unwrap();
    assert_eq!(near.read_to_end(&mut Vec::new()).await.unwrap(), 0);

    let (mut near, far) = duplex(1024);
    near.write_all(&vec![7; config.hello_len]).await.unwrap();
    let ended = serve(far, config, &Stuck, Seeded::new(1), pending()).await;
    assert!(matches!(ended, Err(DriveError::Machine(Error::Timeout(TimerKind::Hello)))));
    assert_eq!(near.read_to_end(&mut Vec::new()).await.unwrap(), 0);
}
