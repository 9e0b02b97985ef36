//! A member's session and a registry's against each other, over a network that a script delays,
//! cuts and damages.
//!
//! In any case both end within their deadlines. Undamaged bytes mean the same on both sides. If
//! nothing was damaged and nothing was late, the two sides agree on everything.
use std::collections::VecDeque;
use std::time::Duration;

use xlreg::message::{GetCluster, Reason, Refusal, Reply, Request};
use xlreg::registry::{CheckedRequest, ClientState, Registry, RegistryLimits};
use xlreg::session::{
    Client, ClientConfig, ClientEvent, Dialect, EofAt, Error, Instant, Limits, RequestId,
    SealedHello, Server, ServerConfig, ServerEvent, Session, State, TimerKind,
};
use xlreg_testkit::captures::credential;
use xlreg_testkit::pair::command;
use xlreg_testkit::{NoRsa, Seeded, SequentialRng};

use crate::arbitrary::{dialect, limits, request};
use crate::input::Input;
use crate::watch::Watch;

/// The number of steps without time passing. It is far above the necessary number.
const MOST_MOVES: usize = 10_000;

/// After the end of the script, both sides end within the longest deadline of either.
const LAST: Duration = Duration::from_secs(60);

/// A script: the dialect, and whether the registry answers at once; then operations of one byte
/// with their operands.
pub fn pair(data: &[u8]) {
    let input = &mut Input::new(data);
    let mut pair = Pair::new(dialect(input), input.byte() & 1 == 0);
    while !input.is_empty() {
        pair.operate(input);
        pair.poll();
    }
    let late = pair.is_failed();
    pair.settle();
    pair.agree(late);
}

/// A direction: the state of its bytes, and whether the receiver has seen its end.
#[derive(Default)]
struct Way {
    damaged: bool,
    closed: bool,
}

struct Pair {
    client: Session<Client>,
    server: Session<Server>,
    client_watch: Watch<Error>,
    server_watch: Watch<Error>,
    registry: Registry,
    state: ClientState,
    /// Another client, which is served without a session.
    other: ClientState,
    ids: SequentialRng,
    prompt: bool,
    hello: Option<SealedHello>,
    pending: VecDeque<(RequestId, Request)>,
    up: Way,
    down: Way,
    /// Whether a direction was closed before its end.
    cut: bool,
    connected: bool,
    /// The requests of the client, and those that the registry's session has given.
    sent: Vec<Request>,
    asked: Vec<Request>,
    /// The replies of the registry, and those that the client's session has given, without
    /// refusals.
    answered: Vec<Reply>,
    got: Vec<Reply>,
    refusal: Option<Reason>,
    refused: Option<Reason>,
}

impl Pair {
    fn new(dialect: Dialect, prompt: bool) -> Self {
        let credential = credential();
        let (client_watch, server_watch) = (Watch::new(), Watch::new());
        let config = ClientConfig {
            dialect,
            limits: limits(Limits::client()),
            provider: &NoRsa,
            ..ClientConfig::new(&credential)
        };
        let client = Session::<Client>::new(Instant::EPOCH, config, Seeded::new(1));
        let client = client.expect("NoRsa seals anything");
        let config = ServerConfig {
            hello_len: client.output().len(),
            limits: limits(Limits::server()),
            ..ServerConfig::new(&credential.comms_key)
        };
        // No more members than fit a record.
        let room = RegistryLimits { nodes: 6, clusters: 3, memberships: 4, ..RegistryLimits::NONE };
        Self {
            client,
            server: Session::<Server>::new(Instant::EPOCH, config, Seeded::new(2)),
            client_watch,
            server_watch,
            registry: Registry::new(credential, room),
            state: ClientState::new(),
            other: ClientState::new(),
            ids: SequentialRng(0),
            prompt,
            hello: None,
            pending: VecDeque::new(),
            up: Way::default(),
            down: Way::default(),
            cut: false,
            connected: false,
            sent: Vec::new(),
            asked: Vec::new(),
            answered: Vec::new(),
            got: Vec::new(),
            refusal: None,
            refused: None,
        }
    }

    fn now(&self) -> Instant {
        self.client_watch.now()
    }

    fn operate(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0..=5 => self.ask(request(input)),
            6 | 7 => {
                self.carry_up(input.short());
            }
            8 | 9 => {
                self.carry_down(input.short());
            }
            10 => {
                self.open_hello();
                self.answer();
            }
            11 => self.wait(Duration::from_secs(input.byte().into())),
            12 => {
                // Another client acts in between, with requests that a session would give.
                let request = request(input);
                if !matches!(&request, Request::Member(token) if token.end_points.len() > 8) {
                    serve(&mut self.registry, &mut self.other, request, &mut self.ids);
                }
            }
            13 => self.damage(input),
            14 => {
                self.cut = true;
                if input.byte() & 1 == 0 { self.close_up() } else { self.close_down() }
            }
            _ => self.carry_all(),
        }
    }

    fn ask(&mut self, request: Request) {
        let now = self.now();
        if command(&mut self.client, now, request.clone()).is_ok() {
            self.sent.push(as_read(request));
        }
    }

    /// Carries up to a number of bytes from the client to the registry, as many as it takes. Bytes
    /// to a closed side are lost.
    fn carry_up(&mut self, most: usize) -> usize {
        let room = if self.server.is_finished() { usize::MAX } else { self.server.recv_room() };
        let n = most.min(room).min(self.client.output().len());
        self.server_watch.feed(&mut self.server, &self.client.output()[..n], 0);
        self.client.consume_output(n);
        n
    }

    /// The same from the registry to the client.
    fn carry_down(&mut self, most: usize) -> usize {
        let room = if self.client.is_finished() { usize::MAX } else { self.client.recv_room() };
        let n = most.min(room).min(self.server.output().len());
        self.client_watch.feed(&mut self.client, &self.server.output()[..n], 0);
        self.server.consume_output(n);
        n
    }

    /// Changes, loses, doubles or cuts bytes on their way.
    fn damage(&mut self, input: &mut Input<'_>) {
        let (kind, n) = (input.byte(), usize::from(input.byte()));
        let up = kind & 1 == 0;
        let output = if up { self.client.output() } else { self.server.output() };
        let mut bytes = output[..n.min(output.len())].to_vec();
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        match kind >> 1 & 3 {
            0 => bytes[len - 1] ^= input.byte().max(1),
            1 => bytes.clear(),
            2 => bytes.extend_from_within(..),
            _ => bytes.extend_from_slice(input.sized()),
        }
        if up {
            self.client.consume_output(len);
            self.server_watch.feed(&mut self.server, &bytes, 0);
        } else {
            self.server.consume_output(len);
            self.client_watch.feed(&mut self.client, &bytes, 0);
        }
        // Damage in the handshake is damage to both directions, because they share the key.
        self.up.damaged |= up || !self.connected;
        self.down.damaged |= !up || !self.connected;
    }

    fn wait(&mut self, time: Duration) {
        let now = self.client_watch.wait(time);
        self.server_watch.wait(time);
        self.client.handle_timeout(now);
        self.server.handle_timeout(now);
    }

    fn close_up(&mut self) {
        self.up.closed = true;
        self.server.receive_eof(self.now());
    }

    fn close_down(&mut self) {
        self.down.closed = true;
        self.client.receive_eof(self.now());
    }

    /// Closes finished sides, as an adapter does.
    fn close(&mut self) -> bool {
        let up = self.client.is_finished() && !self.up.closed;
        let down = self.server.is_finished() && !self.down.closed;
        if up {
            self.close_up();
        }
        if down {
            self.close_down();
        }
        up || down
    }

    fn open_hello(&mut self) -> bool {
        let Some(hello) = self.hello.take() else { return false };
        let opened = hello.open(&NoRsa, &mut Seeded::new(3));
        let waits = self.server.state() != State::Closed;
        assert_eq!(self.server.open_hello(self.now(), opened).is_ok(), waits);
        true
    }

    /// Answers the oldest open request.
    fn answer(&mut self) -> bool {
        let Some((id, request)) = self.pending.pop_front() else { return false };
        let over = self.server.state() == State::Closed;
        if over {
            // There is no client any more.
            self.pending.clear();
            return false;
        }
        let reply = serve(&mut self.registry, &mut self.state, request, &mut self.ids);
        self.server.reply(self.now(), id, &reply).expect("the next to be answered");
        match reply {
            Reply::Error(reason) => self.refusal = Some(reason),
            reply => self.answered.push(reply),
        }
        true
    }

    /// Polls both sides, and compares their events with what the other side has sent.
    fn poll(&mut self) -> bool {
        let mut moved = false;
        while let Some(event) = self.client_watch.poll(&mut self.client) {
            moved = true;
            match event {
                ClientEvent::Connected { .. } => self.connected = true,
                ClientEvent::Reply { request, reply } => {
                    assert_eq!(request.index(), self.got.len() as u64);
                    self.got.push(reply);
                }
                ClientEvent::Refused { reason, .. } => self.refused = Some(reason),
                other => panic!("an unknown event {other:?}"),
            }
        }
        while let Some(event) = self.server_watch.poll(&mut self.server) {
            moved = true;
            match event {
                ServerEvent::Hello(hello) => self.hello = Some(hello),
                ServerEvent::Request { id, request } => {
                    assert_eq!(id.index(), self.asked.len() as u64);
                    self.asked.push(request.clone());
                    self.pending.push_back((id, request));
                }
                other => panic!("an unknown event {other:?}"),
            }
            if self.prompt {
                self.open_hello();
                self.answer();
            }
        }
        let failure = self.server_watch.failure();
        assert!(failure.is_none() || self.pending.is_empty(), "{failure:?} before its turn");
        if let Some(refusal) = failure.and_then(alert) {
            self.refusal = Some(refusal.into());
        }
        if !self.up.damaged {
            assert!(self.sent.starts_with(&self.asked), "{:?}, not {:?}", self.asked, self.sent);
        }
        if !self.down.damaged {
            assert!(
                self.answered.starts_with(&self.got),
                "{:?}, not {:?}",
                self.got,
                self.answered
            );
            assert!(self.refused.is_none() || self.refused == self.refusal);
        }
        moved
    }

    /// Carries all bytes.
    fn carry_all(&mut self) {
        while self.carry_up(usize::MAX) + self.carry_down(usize::MAX) > 0 {
            self.poll();
        }
    }

    /// Runs until both sides have ended: the network carries everything, both sides act as usual,
    /// and time passes if nothing else happens.
    fn settle(&mut self) {
        self.prompt = true;
        let start = self.now();
        for _ in 0..MOST_MOVES {
            let moved = self.open_hello() | self.answer() | self.poll();
            let carried = self.carry_up(usize::MAX) + self.carry_down(usize::MAX);
            if self.poll() || self.close() || moved || carried > 0 {
                continue;
            }
            let due = [self.client.poll_timeout(), self.server.poll_timeout()];
            let Some((at, _)) = due.into_iter().flatten().min_by_key(|(at, _)| *at) else { break };
            self.wait(at.saturating_duration_since(self.now()));
        }
        let ended = self.client.is_finished() && self.server.is_finished();
        assert!(ended, "a hang: {:?}, {:?}", self.client, self.server);
        assert!(self.now().saturating_duration_since(start) <= LAST, "too late");
    }

    /// Whether a side has failed, without counting refusals.
    fn is_failed(&self) -> bool {
        let server = self.server_watch.failure();
        self.client_watch.failure().is_some() || server.is_some_and(|error| alert(error).is_none())
    }

    /// Checks the end. `late` says that a deadline had passed before it.
    fn agree(&self, late: bool) {
        if self.up.damaged || self.down.damaged || self.cut {
            return;
        }
        let failures = (self.client_watch.failure(), self.server_watch.failure());
        if late {
            let (client, server) = failures;
            let fair = |error: &Error| matches!(error, Error::Timeout(_) | Error::Eof(_));
            assert!(client.is_none_or(fair), "{client:?}");
            assert!(server.is_none_or(|error| fair(error) || alert(error).is_some()), "{server:?}");
            return;
        }
        assert_eq!(self.got, self.answered);
        let refused = self.refused.as_ref();
        assert_eq!(refused, self.refusal.as_ref());
        let bye = self.got.last() == Some(&Reply::Ack);
        match (refused, failures) {
            // The client may have sent more requests behind the refused one.
            (Some(_), (None, None)) => assert!(self.asked.len() > self.got.len()),
            (Some(_), (None, Some(error))) => {
                assert!(alert(error).is_some(), "{error:?}");
                assert_eq!(self.asked.len(), self.got.len());
            }
            (None, failures) => {
                let quiet = (&Error::Eof(EofAt::Idle), &Error::Timeout(TimerKind::Idle));
                let expected = if bye { (None, None) } else { (Some(quiet.0), Some(quiet.1)) };
                assert_eq!(failures, expected);
                assert_eq!((&self.asked, self.got.len()), (&self.sent, self.sent.len()));
            }
            (Some(_), (Some(error), _)) => panic!("{error:?} beside a refusal"),
        }
    }
}

/// The registry's answer to the request.
fn serve(
    registry: &mut Registry,
    state: &mut ClientState,
    request: Request,
    ids: &mut SequentialRng,
) -> Reply {
    match CheckedRequest::new(request, &NoRsa) {
        Ok(checked) => registry.handle_checked(state, checked, ids).reply,
        Err(refusal) => Reply::Error(refusal.into()),
    }
}

/// The request as a registry reads it: a name beside an ID does not matter.
fn as_read(mut request: Request) -> Request {
    if let Request::Join(cluster) | Request::GetCluster(GetCluster { cluster, .. }) = &mut request
        && cluster.id.is_some()
    {
        cluster.name = None;
    }
    request
}

/// The answer to a failure of the registry's session.
fn alert(error: &Error) -> Option<Refusal> {
    match error {
        Error::BadMessage(error) => Some(error.refusal()),
        Error::TooManyRequests { .. } => Some(Refusal::TooManyRequests),
        Error::WrongState(_) => Some(Refusal::WrongState),
        _ => None,
    }
}
