//! Both ends of a connection in memory, in virtual time: no sockets, no threads, no sleeps.
//!
//! [`Wire`] connects any client [`Machine`] to a registry's session, and records the events of each
//! side in order. [`Pair`] is the usual case: a `Session<Client>`, a `Session<Server>` and a
//! [`TestRegistry`].

pub mod enrollment;
mod test_registry;

use std::collections::VecDeque;
use std::fmt::Debug;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use rand_core::Rng;
use xlreg::identity::{NodeId, Token};
use xlreg::message::{Create, Refusal, Reply, Request};
use xlreg::registry::{ClientState, RegistryLimits};
use xlreg::session::{
    Client, ClientConfig, ClientEvent, CommandError, Dialect, Error, Instant, Limits, Machine,
    RequestId, Role, SealedHello, Server, ServerConfig, ServerEvent, Session, State, TimerKind,
};

pub use test_registry::*;

use crate::Seeded;
use crate::peer::cbc::encrypt;
use crate::peer::pad;

/// Every dialect that the library speaks.
pub const DIALECTS: [Dialect; 2] = [Dialect::Prefixed, Dialect::Chained];

/// Seeds of the two sessions.
const CLIENT_SEED: u64 = 0xC11E;
const SERVER_SEED: u64 = 0x5E4E;

/// A client machine with events that can be recorded and compared.
pub trait Side: Machine<Event: Debug + PartialEq, Error: Clone + Debug + PartialEq> {}
impl<M: Machine<Event: Debug + PartialEq, Error: Clone + Debug + PartialEq>> Side for M {}

/// An event of a registry's session: a request, with its index in the session.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a few of them, in tests")]
pub enum Seen {
    Hello,
    Request(u64, Request),
}

/// The setup of a pair.
#[derive(Clone)]
pub struct Setup {
    pub dialect: Dialect,
    /// The number of bytes carried at once; all by default.
    pub chunk: usize,
    pub client: Limits,
    pub server: Limits,
    pub registry_limits: RegistryLimits,
}

impl Setup {
    /// Makes the usual setup, with all bytes carried at once.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            chunk: usize::MAX,
            client: Limits::client(),
            server: Limits::server(),
            registry_limits: RegistryLimits::default(),
        }
    }

    /// The settings of a client for the registry.
    pub fn client_config(&self) -> ClientConfig {
        let config = ClientConfig::new(&credential(self.dialect));
        assert_eq!(config.dialect, self.dialect);
        ClientConfig { limits: self.client.clone(), ..config }
    }

    /// Makes the empty registry behind the session.
    pub fn registry(&self) -> TestRegistry {
        TestRegistry::new(self.dialect, self.registry_limits)
    }

    /// Makes a wire with a client by `client`.
    pub fn wire<M: Side>(&self, now: Instant, client: impl FnOnce(ClientConfig) -> M) -> Wire<M> {
        let credential = credential(self.dialect);
        let config = ServerConfig {
            version: credential.version,
            limits: self.server.clone(),
            ..ServerConfig::new(&credential.comms_key)
        };
        Wire {
            now,
            client: client(self.client_config()),
            server: Session::<Server>::new(now, config, Seeded::new(SERVER_SEED)),
            state: ClientState::new(),
            client_saw: Vec::new(),
            server_saw: Vec::new(),
            client_failed: None,
            server_failed: None,
            sealed: None,
            pending: VecDeque::new(),
            up: Vec::new(),
            down: Vec::new(),
            chunk: self.chunk,
            opens: true,
            answers: true,
            hold_up: false,
            hold_down: false,
            closed_up: false,
            closed_down: false,
        }
    }

    /// A new connection to a new registry.
    pub fn pair(&self) -> Pair {
        self.pair_at(self.registry())
    }

    /// Makes a new connection to a registry with a past.
    pub fn pair_at(&self, registry: TestRegistry) -> Pair {
        let now = Instant::from_micros(1_000_000);
        let client =
            |config| Session::<Client>::new(now, config, Seeded::new(CLIENT_SEED)).unwrap();
        Pair { wire: self.wire(now, client), registry }
    }

    /// Makes a pair after its handshake, which is checked and forgotten.
    pub fn open(&self) -> Pair {
        self.open_at(self.registry())
    }

    /// The same, with a registry with a past.
    pub fn open_at(&self, registry: TestRegistry) -> Pair {
        let mut pair = self.pair_at(registry);
        pair.settle();
        pair.expect([Ok(connected(self.dialect))], [Ok(Seen::Hello)]);
        pair
    }
}

/// The event of a client after the handshake.
pub fn connected(dialect: Dialect) -> ClientEvent {
    ClientEvent::Connected { dialect, version: credential(dialect).version }
}

/// The event of a client for a reply.
pub fn replied(request: RequestId, reply: Reply) -> Result<ClientEvent, Error> {
    Ok(ClientEvent::Reply { request, reply })
}

/// The event of a client for a refusal.
pub fn refused(request: Option<RequestId>, refusal: Refusal) -> Result<ClientEvent, Error> {
    Ok(ClientEvent::Refused { request, reason: refusal.into() })
}

/// A client machine, a registry's session, and the bytes between them.
pub struct Wire<M: Side> {
    pub now: Instant,
    pub client: M,
    pub server: Session<Server>,
    pub state: ClientState,
    /// The events of each side since the last look. A failure is here once.
    pub client_saw: Vec<Result<M::Event, M::Error>>,
    pub server_saw: Vec<Result<Seen, Error>>,
    client_failed: Option<M::Error>,
    server_failed: Option<Error>,
    /// The Hello, if it is not opened at once.
    pub sealed: Option<SealedHello>,
    /// The requests that are not answered at once.
    pub pending: VecDeque<(RequestId, Request)>,
    /// All bytes carried to the server.
    pub up: Vec<u8>,
    pub down: Vec<u8>,
    pub chunk: usize,
    /// Whether Hellos are opened and requests answered as soon as they come.
    pub opens: bool,
    pub answers: bool,
    /// Whether the network carries nothing in a direction, not even an end of stream.
    pub hold_up: bool,
    pub hold_down: bool,
    /// Whether a direction has been closed.
    pub closed_up: bool,
    pub closed_down: bool,
}

impl<M: Side> Wire<M> {
    /// Polls the events of both sides. A failure is recorded once and must stay the same.
    pub fn poll(&mut self, backend: &mut dyn Backend) -> bool {
        let before = (self.client_saw.len(), self.server_saw.len());
        while let Some(event) =
            step(&mut self.client, &mut self.client_saw, &mut self.client_failed)
        {
            self.client_saw.push(Ok(event));
        }
        while let Some(event) =
            step(&mut self.server, &mut self.server_saw, &mut self.server_failed)
        {
            let seen = self.on_server_event(event, backend);
            self.server_saw.push(Ok(seen));
        }
        before != (self.client_saw.len(), self.server_saw.len())
    }

    fn on_server_event(&mut self, event: ServerEvent, backend: &mut dyn Backend) -> Seen {
        match event {
            ServerEvent::Hello(hello) => {
                self.sealed = Some(hello);
                if self.opens {
                    self.open_hello().unwrap();
                }
                Seen::Hello
            }
            ServerEvent::Request { id, request } => {
                let seen = Seen::Request(id.index(), request.clone());
                self.pending.push_back((id, request));
                if self.answers {
                    self.answer(backend);
                }
                seen
            }
            other => panic!("unknown event {other:?}"),
        }
    }

    /// Opens the Hello with the registry's key.
    pub fn open_hello(&mut self) -> Result<(), CommandError> {
        let hello = self.sealed.take().expect("no Hello");
        let opened = hello.open(&registry_identity().comms, &mut Seeded::new(2));
        self.server.open_hello(self.now, opened)
    }

    /// Answers the oldest open request.
    pub fn answer(&mut self, backend: &mut dyn Backend) {
        let (id, request) = self.pending.pop_front().expect("nothing to answer");
        let reply = backend.answer(&mut self.state, request);
        self.server.reply(self.now, id, &reply).unwrap();
    }

    /// Carries up to `n` bytes from client to server.
    pub fn carry_up(&mut self, n: usize) -> usize {
        carry(&mut self.client, &mut self.server, self.now, n, &mut self.up)
    }

    /// Carries up to `n` bytes from server to client.
    pub fn carry_down(&mut self, n: usize) -> usize {
        carry(&mut self.server, &mut self.client, self.now, n, &mut self.down)
    }

    /// Closes finished sides, as an adapter does. The other side gets an end of stream.
    pub fn close(&mut self) -> bool {
        let up = self.client.is_finished() && !self.closed_up && !self.hold_up;
        let down = self.server.is_finished() && !self.closed_down && !self.hold_down;
        if up {
            self.close_up();
        }
        if down {
            self.close_down();
        }
        up || down
    }

    /// Closes the client's half.
    pub fn close_up(&mut self) {
        self.closed_up = true;
        self.server.receive_eof(self.now);
    }

    /// Closes the registry's half.
    pub fn close_down(&mut self) {
        self.closed_down = true;
        self.client.receive_eof(self.now);
    }

    /// Carries and polls until nothing moves. Time stands still.
    pub fn settle(&mut self, backend: &mut dyn Backend) {
        loop {
            let mut moved = self.poll(backend);
            moved |= !self.hold_up && self.carry_up(self.chunk) > 0;
            moved |= self.poll(backend);
            moved |= !self.hold_down && self.carry_down(self.chunk) > 0;
            moved |= self.poll(backend);
            moved |= self.close();
            if !moved {
                return;
            }
        }
    }

    /// The next deadline of either side.
    pub fn next_timeout(&self) -> Option<(Instant, TimerKind)> {
        let both = [self.client.poll_timeout(), self.server.poll_timeout()];
        both.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Advances the time on both sides.
    pub fn advance(&mut self, to: Instant) {
        self.now = to;
        self.client.handle_timeout(to);
        self.server.handle_timeout(to);
    }

    /// Checks and forgets the events of both sides since the last look.
    #[track_caller]
    pub fn expect(
        &mut self,
        client: impl IntoIterator<Item = Result<M::Event, M::Error>>,
        server: impl IntoIterator<Item = Result<Seen, Error>>,
    ) {
        let client: Vec<_> = client.into_iter().collect();
        let server: Vec<_> = server.into_iter().collect();
        assert_eq!(std::mem::take(&mut self.client_saw), client, "what the client saw");
        assert_eq!(std::mem::take(&mut self.server_saw), server, "what the server saw");
    }
}

/// Carries up to `n` bytes from one side to the other, if it takes them. Bytes to a closed side are
/// lost.
fn carry(
    from: &mut impl Machine,
    to: &mut impl Machine,
    now: Instant,
    n: usize,
    carried: &mut Vec<u8>,
) -> usize {
    let mut all = 0;
    loop {
        // A client's output comes one record at a time.
        let output = from.output();
        let bytes = &output[..output.len().min(n - all)];
        let taken = if to.is_finished() {
            bytes.len()
        } else {
            let taken = to.receive(now, bytes);
            carried.extend_from_slice(&bytes[..taken]);
            taken
        };
        from.consume_output(taken);
        all += taken;
        if taken == 0 {
            return all;
        }
    }
}

/// Polls once. A failure goes to `saw`, and must stay the same from then on.
fn step<M>(
    machine: &mut M,
    saw: &mut Vec<Result<impl Sized, M::Error>>,
    failed: &mut Option<M::Error>,
) -> Option<M::Event>
where
    M: Machine<Error: Clone + Debug + PartialEq>,
{
    match (machine.poll_event(), &failed) {
        (Ok(event), None) => event,
        (Ok(_), Some(_)) => panic!("an error that does not stick"),
        (Err(error), Some(first)) => {
            assert_eq!(first, &error, "an error that changes");
            None
        }
        (Err(error), None) => {
            *failed = Some(error.clone());
            saw.push(Err(error));
            None
        }
    }
}

/// A client's session and a registry's session, with the registry behind it.
pub struct Pair {
    pub wire: Wire<Session<Client>>,
    pub registry: TestRegistry,
}

impl Deref for Pair {
    type Target = Wire<Session<Client>>;

    fn deref(&self) -> &Self::Target {
        &self.wire
    }
}

impl DerefMut for Pair {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.wire
    }
}

impl Pair {
    /// Carries, polls and answers until nothing moves.
    pub fn settle(&mut self) {
        self.wire.settle(&mut self.registry);
    }

    /// Opens both directions, and settles.
    pub fn release(&mut self) {
        self.wire.hold_up = false;
        self.wire.hold_down = false;
        self.settle();
    }

    /// Polls both sides, and answers. Gives whether there was an event.
    pub fn poll(&mut self) -> bool {
        self.wire.poll(&mut self.registry)
    }

    /// Answers the oldest open request.
    pub fn answer(&mut self) {
        self.wire.answer(&mut self.registry);
    }

    /// Calls the client's command for a request.
    pub fn ask(&mut self, request: Request) -> Result<RequestId, CommandError> {
        let now = self.now;
        command(&mut self.client, now, request)
    }

    /// Sends one request, checks its way, and gives the answer.
    #[track_caller]
    pub fn exchange(&mut self, request: Request) -> Reply {
        let id = self.ask(request.clone()).unwrap();
        self.settle();
        let [Ok(ClientEvent::Reply { request: answered, reply })] = &self.client_saw[..] else {
            panic!("no reply to {request:?}: {:?}", self.client_saw);
        };
        assert_eq!(*answered, id);
        let reply = reply.clone();
        self.client_saw.clear();
        self.expect([], [Ok(Seen::Request(id.index(), request))]);
        reply
    }

    /// Registers a member, and gives its ID.
    #[track_caller]
    pub fn register(&mut self, token: Token) -> NodeId {
        match self.exchange(Request::Member(token)) {
            Reply::MemberOk { id, .. } => id,
            other => panic!("{other:?}"),
        }
    }

    /// Creates a cluster, and gives its ID.
    #[track_caller]
    pub fn create(&mut self, create: &Create) -> NodeId {
        match self.exchange(Request::Create(create.clone())) {
            Reply::Create(info) => info.id,
            other => panic!("{other:?}"),
        }
    }

    /// Advances to the next deadline of either side, and settles.
    #[track_caller]
    pub fn tick(&mut self) -> TimerKind {
        let (at, kind) = self.next_timeout().expect("nothing is due");
        self.advance(at);
        self.settle();
        kind
    }

    /// Sends the server a message that no client session would send, after all bytes of `up`.
    pub fn inject(&mut self, message: &[u8]) {
        let mut draws = Seeded::new(SERVER_SEED);
        let (mut iv, mut key) = ([0; 16], [0; 32]);
        let mut wire = Vec::new();
        match self.server.dialect().expect("no session key yet") {
            Dialect::Prefixed => {
                draws.fill_bytes(&mut key);
                iv = [0x1F; 16];
                wire.extend_from_slice(&iv);
            }
            Dialect::Chained => {
                draws.fill_bytes(&mut iv);
                draws.fill_bytes(&mut key);
                let hello = credential(Dialect::Chained).comms_key.modulus_len();
                if let Some(last) = self.up[hello..].last_chunk() {
                    iv = *last;
                }
            }
        }
        wire.extend(encrypt(&key, &iv, &pad(message)));
        assert_eq!(self.wire.server.receive(self.wire.now, &wire), wire.len());
        self.up.extend(wire);
    }

    /// Checks that the session is over on both sides and all is written.
    #[track_caller]
    pub fn assert_over(&self) {
        assert_eq!((self.client.state(), self.server.state()), (State::Closed, State::Closed));
        assert!(self.client.is_finished() && self.server.is_finished());
        assert_eq!((self.client.recv_room(), self.server.recv_room()), (0, 0));
        assert_eq!(self.next_timeout(), None);
    }
}

/// The command of a client for a request.
pub fn command(
    client: &mut Session<Client>,
    now: Instant,
    request: Request,
) -> Result<RequestId, CommandError> {
    match request {
        Request::Member(token) => client.register(now, token),
        Request::Create(create) => client.create(now, create),
        Request::Join(cluster) => client.join(now, cluster),
        Request::GetCluster(get) => client.get_members(now, get),
        Request::RegCred => client.registry_credential(now),
        Request::Bye => client.bye(now),
    }
}

/// All that is visible of a session from outside, for commands that must change nothing.
pub fn view<R: Role>(session: &Session<R>) -> impl Debug + PartialEq + use<R> {
    (
        session.output().to_vec(),
        session.state(),
        session.poll_timeout(),
        session.recv_room(),
        session.is_finished(),
        format!("{session:?}"),
    )
}

/// The time after a duration.
pub fn after(now: Instant, time: Duration) -> Instant {
    now.saturating_add(time)
}
