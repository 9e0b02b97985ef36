//! A connection that is always ready yields to others. The tests count polls and requests, not
//! time.

#![cfg(feature = "tokio")]

use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex};
use tokio::task::unconstrained;
use xlreg::adapter::tokio::{Clock, Driver};
use xlreg::identity::MemberAttrs;
use xlreg::message::{ClusterRef, Create, GetCluster, Reply, Request};
use xlreg::registry::{ClientState, Registry, RegistryLimits};
use xlreg::serve::{Handler, serve};
use xlreg::session::{
    Client, ClientConfig, ClientEvent, Error, Instant, Machine, OpenedHello, SealedHello,
    ServerConfig, Session, TimerKind,
};
use xlreg_testkit::{KEYS, Seeded, identity};

use crate::on_tokio::credential;

/// The figures in docs/bounds.md.
const EVENTS: usize = 8;
const BYTES: usize = 64 * 1024;
const TRANSFERS: usize = 64;

/// A registry that is always ready to answer, and counts the requests.
struct Ready {
    registry: std::sync::Mutex<(Registry, Seeded)>,
    asked: Arc<AtomicUsize>,
}

impl Ready {
    fn new() -> Self {
        let registry = Registry::new(credential(), RegistryLimits::default());
        Self { registry: (registry, Seeded::new(8)).into(), asked: Arc::default() }
    }
}

impl Handler for Ready {
    async fn open(&self, hello: SealedHello) -> Option<OpenedHello> {
        Some(hello.open(&KEYS.comms[0], &mut Seeded::new(7)))
    }

    async fn decide(&self, state: &mut ClientState, request: Request) -> Reply {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (registry, rng) = &mut *self.registry.lock().unwrap();
        registry.handle(state, request, rng).reply
    }
}

/// A client that has joined a cluster of its own.
async fn joined<T: AsyncRead + AsyncWrite + Unpin>(
    stream: T,
    n: usize,
) -> Driver<Session<Client>, T> {
    let clock = Clock::start();
    let mut config = ClientConfig::new(&credential());
    config.limits.in_flight = usize::MAX;
    let session = Session::<Client>::new(clock.now(), config, Seeded::new(n as u64)).unwrap();
    let mut client = Driver::new(session, stream, clock);
    client.next_event().await.unwrap();
    let end_points = vec!["10.0.0.1:4000".parse().unwrap()];
    let member = identity(&format!("member{n}"), n);
    let token = member.token(MemberAttrs::NONE, end_points, &mut Seeded::new(2)).unwrap();
    let name = format!("cluster{n}").parse().unwrap();
    let create = Create { name, max_size: 2, attrs: Default::default(), end_point_count: 1 };
    let now = client.now();
    client.machine().register(now, token).unwrap();
    client.next_event().await.unwrap();
    client.machine().create(now, create).unwrap();
    client.next_event().await.unwrap();
    client.machine().join(now, ClusterRef::CURRENT).unwrap();
    client.next_event().await.unwrap();
    client
}

/// The bytes of a number of requests.
fn requests(
    client: &mut Driver<Session<Client>, impl AsyncRead + AsyncWrite + Unpin>,
    n: usize,
) -> Vec<u8> {
    let now = client.now();
    for _ in 0..n {
        client.machine().get_members(now, GetCluster::default()).unwrap();
    }
    let mut bytes = Vec::new();
    while !client.machine().output().is_empty() {
        let record = client.machine().output().to_vec();
        client.machine().consume_output(record.len());
        bytes.extend(record);
    }
    bytes
}

/// If all of its requests are there and all of its replies are taken, a connection answers eight
/// requests in each poll, even without tokio's own limit.
#[tokio::test]
async fn a_connection_that_pipelines_answers_a_few_requests_a_poll() {
    const REQUESTS: usize = 1000;
    let rules = Ready::new();
    let (near, far) = duplex(16 << 20);
    let config = ServerConfig::new(KEYS.comms[0].public_key());
    let mut served = pin!(unconstrained(serve(far, config, &rules, Seeded::new(1), pending())));
    let mut client = {
        let mut joined = pin!(joined(near, 1));
        poll_fn(|cx| {
            let _ = served.as_mut().poll(cx);
            joined.as_mut().poll(cx)
        })
        .await
    };
    let (begun, bytes) = (rules.asked.load(Ordering::Relaxed), requests(&mut client, REQUESTS));
    let (_, mut stream) = client.into_parts();
    stream.write_all(&bytes).await.unwrap();
    let asked = || rules.asked.load(Ordering::Relaxed) - begun;
    let mut polls = 0;
    while asked() < REQUESTS {
        let before = asked();
        let _ = poll_fn(|cx| Poll::Ready(served.as_mut().poll(cx))).await;
        polls += 1;
        assert!(asked() - before <= EVENTS, "{} in one poll", asked() - before);
    }
    assert!(polls <= 2 * REQUESTS / EVENTS, "{polls} polls: it does not do less either");
}

/// Beside busy connections, a request of another client waits for one turn of each, and not for all
/// of their work.
#[tokio::test]
async fn a_bystander_waits_for_one_turn_of_each_spinner() {
    const SPINNERS: usize = 5;
    const REQUESTS: usize = 500;
    let rules: &'static Ready = Box::leak(Box::new(Ready::new()));
    let accept = |n: usize| {
        let (near, far) = duplex(16 << 20);
        let config = ServerConfig::new(KEYS.comms[0].public_key());
        tokio::spawn(serve(far, config, rules, Seeded::new(n as u64), pending()));
        joined(near, n)
    };
    let mut bystander = accept(0).await;
    let mut spinners = Vec::new();
    for n in 1..=SPINNERS {
        let mut spinner = accept(n).await;
        let bytes = requests(&mut spinner, REQUESTS);
        spinners.push((spinner.into_parts().1, bytes));
    }
    // All at once: nothing else runs between here and the first await of the other client.
    for (stream, bytes) in &mut spinners {
        let mut write = pin!(unconstrained(stream.write_all(bytes)));
        poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx).is_ready())).await.then_some(()).unwrap();
    }
    let begun = rules.asked.load(Ordering::Relaxed);
    for _ in 0..10 {
        let (now, before) = (bystander.now(), rules.asked.load(Ordering::Relaxed));
        bystander.machine().get_members(now, GetCluster::default()).unwrap();
        let event = bystander.next_event().await.unwrap();
        assert!(matches!(event, Some(ClientEvent::Reply { .. })), "{event:?}");
        let meanwhile = rules.asked.load(Ordering::Relaxed) - before - 1;
        assert!(meanwhile <= 2 * SPINNERS * EVENTS, "{meanwhile} of the spinners' came before");
    }
    let answered = rules.asked.load(Ordering::Relaxed) - begun;
    assert!(answered > SPINNERS * EVENTS, "the spinners did spin: {answered}");
    for (stream, _) in &mut spinners {
        assert!(stream.read_u8().await.is_ok());
    }
}

/// A stream that is always ready. It gives one byte at a time for ever, and takes a number of bytes
/// at a time. It counts calls and bytes.
struct Willing {
    takes: usize,
    calls: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
}

impl Willing {
    fn count(&self, bytes: usize) {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        assert!(calls < 10 * TRANSFERS, "it goes on without end");
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl AsyncRead for Willing {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(&[0]);
        self.count(1);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Willing {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = bytes.len().min(self.takes);
        self.count(taken);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A machine without events, with output to write and room to read without end.
struct Silent {
    output: Vec<u8>,
}

impl Machine for Silent {
    type Event = ();
    type Error = Error;

    fn receive(&mut self, _: Instant, bytes: &[u8]) -> usize {
        bytes.len()
    }

    fn receive_eof(&mut self, _: Instant) {}

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_event(&mut self) -> Result<Option<()>, Error> {
        Ok(None)
    }

    fn output(&self) -> &[u8] {
        &self.output
    }

    fn consume_output(&mut self, n: usize) {
        self.output.drain(..n);
    }

    fn poll_timeout(&self) -> Option<(Instant, TimerKind)> {
        None
    }

    fn recv_room(&self) -> usize {
        usize::MAX
    }

    fn is_finished(&self) -> bool {
        false
    }
}

/// For a peer that reads or writes, one byte or many at a time, a poll ends after a number of calls
/// and bytes. Each future is dropped after its one poll, and that must not start the turn again for
/// ever.
#[tokio::test]
async fn a_peer_whose_stream_is_always_ready_is_left_after_a_while() {
    for (output, takes) in [(0, 1), (1 << 20, 1), (1 << 20, 10_000), (1 << 20, 1 << 20)] {
        let (calls, bytes) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let stream = Willing { takes, calls: Arc::clone(&calls), bytes: Arc::clone(&bytes) };
        let machine = Silent { output: vec![0; output] };
        let driver = &mut Driver::new(machine, stream, Clock::start());
        for _ in 0..100 {
            let mut next = pin!(unconstrained(driver.next_event()));
            let polled = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
            assert!(polled.is_pending(), "it yields");
            let (calls, bytes) =
                (calls.swap(0, Ordering::Relaxed), bytes.swap(0, Ordering::Relaxed));
            assert!((1..=TRANSFERS).contains(&calls), "{calls} calls, {takes} bytes at a time");
            assert!(bytes < BYTES + takes, "{bytes} bytes, {takes} at a time");
        }
    }
}

/// The last output of a finished session is written in turns too.
#[tokio::test]
async fn the_rest_is_written_in_turns() {
    let (calls, bytes) = (Arc::<AtomicUsize>::default(), Arc::default());
    let stream = Willing { takes: 1, calls: Arc::clone(&calls), bytes };
    let machine = Silent { output: vec![0; 10 * TRANSFERS] };
    let mut driver = Driver::new(machine, stream, Clock::start());
    let mut rest = pin!(unconstrained(driver.write_rest()));
    let mut polls = 0;
    while poll_fn(|cx| Poll::Ready(rest.as_mut().poll(cx))).await.is_pending() {
        polls += 1;
        assert!(calls.swap(0, Ordering::Relaxed) <= TRANSFERS);
    }
    assert!(polls >= 9, "{polls}");
}
