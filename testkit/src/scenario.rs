//! Sessions of either role with a raw peer ([`Peer`]), which can send bytes that the library would
//! never send. They use RSA that does nothing.

use std::marker::PhantomData;
use std::sync::LazyLock;

use xlreg::crypto::Open;
use xlreg::identity::{MemberAttrs, NodeId, Token, Version};
use xlreg::message::{ClusterRef, GetCluster, MessageError, Op, Refusal, Reply, Request};
use xlreg::registry::{ClientState, Registry, RegistryLimits};
use xlreg::session::{
    Client, ClientConfig, ClientEvent, CommandError, Dialect, Error, Instant, Limits, Machine,
    RequestId, Server, ServerConfig, ServerEvent, Session, State,
};

pub use crate::no_rsa::NoRsa;
pub use crate::pair::DIALECTS;
use crate::pair::{self, command};
pub use crate::peer::{Msg, Peer, Value, pad, varint};
use crate::{Seeded, identity, peer};

/// The time of every scenario, which stands still.
pub const NOW: Instant = Instant::EPOCH;

/// All output, consumed.
pub fn drain<M: Machine>(machine: &mut M) -> Vec<u8> {
    let mut output = Vec::new();
    // A client's output is one record at a time.
    while !machine.output().is_empty() {
        let record = machine.output().len();
        output.extend_from_slice(machine.output());
        machine.consume_output(record);
    }
    output
}

/// Gives a machine bytes, all of which it must take.
pub fn feed<M: Machine>(machine: &mut M, bytes: &[u8]) {
    assert_eq!(machine.receive(NOW, bytes), bytes.len(), "all of it is taken");
}

/// A session in some state, with the raw peer that brought it there.
///
/// ```
/// use xlreg::message::Op;
/// use xlreg::session::{Dialect, Limits};
/// use xlreg_testkit::scenario::Scenario;
///
/// let (server, peer) = Scenario::server(Dialect::Prefixed).registered();
/// let limits = Limits { in_flight: 1, ..Limits::client() };
/// let (client, peer) = Scenario::client(Dialect::Chained).limits(limits).asking(Op::Join);
/// ```
#[derive(Clone)]
pub struct Scenario<R> {
    dialect: Dialect,
    limits: Limits,
    role: PhantomData<R>,
}

impl<R> Scenario<R> {
    /// Sets other limits than the usual ones.
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }
}

impl Scenario<Server> {
    /// A registry's session.
    pub fn server(dialect: Dialect) -> Self {
        Self { dialect, limits: Limits::server(), role: PhantomData }
    }

    /// A session that waits for a Hello.
    pub fn waiting(self) -> Session<Server> {
        let hello_len = peer::hello(self.dialect).len();
        let config = ServerConfig { hello_len, version: Version::REFERENCE, limits: self.limits };
        Session::<Server>::new(NOW, config, Seeded::new(5))
    }

    /// A session after its handshake.
    pub fn open(self) -> (Session<Server>, Peer) {
        let (dialect, hello) = (self.dialect, peer::hello(self.dialect));
        let mut server = self.waiting();
        let reply = open_hello(&mut server, hello, &NoRsa);
        (server, Peer::of_reply(dialect, hello, &reply))
    }

    /// A session with a registered client.
    pub fn registered(self) -> (Session<Server>, Peer) {
        let (mut server, mut peer) = self.open();
        feed(&mut server, &peer.seal(&member().encode()));
        let (id, request) = next_request(&mut server);
        assert_eq!(request, Request::Member(token()));
        let own = NodeId::from_bytes(&[1; 32]).unwrap();
        let ok = Reply::MemberOk { id: own, attrs: MemberAttrs::NONE };
        server.reply(NOW, id, &ok).unwrap();
        assert_eq!(Msg::decode(&peer.open(&drain(&mut server))), member_ok());
        (server, peer)
    }
}

impl Scenario<Client> {
    /// A client's session.
    pub fn client(dialect: Dialect) -> Self {
        Self { dialect, limits: Limits::client(), role: PhantomData }
    }

    /// A session with a Hello in its output.
    pub fn waiting(self) -> Session<Client> {
        let registry_key = identity("registry", 0).comms.public_key().clone();
        let Self { dialect, limits, .. } = self;
        let version = Version::ZERO;
        let config = ClientConfig { registry_key, dialect, version, limits, provider: &NoRsa };
        Session::<Client>::new(NOW, config, Seeded::new(7)).unwrap()
    }

    /// A session after its handshake.
    pub fn open(self) -> (Session<Client>, Peer) {
        let dialect = self.dialect;
        let mut client = self.waiting();
        let hello = drain(&mut client);
        let (peer, reply) = Peer::answering(dialect, &hello, Version::REFERENCE);
        feed(&mut client, &reply);
        let connected = ClientEvent::Connected { dialect, version: Version::REFERENCE };
        assert_eq!(client.poll_event(), Ok(Some(connected)));
        (client, peer)
    }

    /// A session that has sent this request, and has registered before if the request needs it.
    pub fn asking(self, ask: Op) -> (Session<Client>, Peer) {
        let (mut client, mut peer) = self.open();
        if !matches!(ask, Op::Member | Op::RegCredRequest | Op::Bye) {
            client.register(NOW, token()).unwrap();
            feed(&mut client, &peer.seal(&member_ok().encode()));
            assert!(matches!(client.poll_event(), Ok(Some(ClientEvent::Reply { .. }))));
        }
        ask_for(&mut client, ask);
        drain(&mut client);
        (client, peer)
    }
}

/// Takes a server through a Hello and returns its HelloReply.
pub fn open_hello(server: &mut Session<Server>, hello: &[u8], key: &dyn Open) -> Vec<u8> {
    feed(server, hello);
    let Ok(Some(ServerEvent::Hello(sealed))) = server.poll_event() else { panic!("no Hello") };
    server.open_hello(NOW, sealed.open(key, &mut Seeded::new(6))).unwrap();
    drain(server)
}

/// A valid token. It is signed once.
pub fn token() -> Token {
    static TOKEN: LazyLock<Token> = LazyLock::new(|| {
        let end_points = ["127.0.0.1:4000", "host.example:4001"].map(|end| end.parse().unwrap());
        identity("m", 1).token(MemberAttrs::ADMIN, end_points.into(), &mut Seeded::new(1)).unwrap()
    });
    TOKEN.clone()
}

/// The Member message of [`token`].
pub fn member() -> Msg {
    Msg::op(Op::Member).msg(11, &Msg::token(&token()))
}

/// The MemberOK for it.
pub fn member_ok() -> Msg {
    Msg::op(Op::MemberOk).bytes(9, [1; 32]).varint(10, 0)
}

/// The next request that a server gets.
pub fn next_request(server: &mut Session<Server>) -> (RequestId, Request) {
    match server.poll_event() {
        Ok(Some(ServerEvent::Request { id, request })) => (id, request),
        other => panic!("{other:?}"),
    }
}

/// Checks that a session has failed with this error for good, has sent its peer this or nothing,
/// and takes no more input.
pub fn is_over(
    server: &mut Session<Server>,
    peer: &mut Peer,
    error: &Error,
    told: Option<Refusal>,
) {
    assert_eq!(server.poll_event().err().as_ref(), Some(error));
    let output = drain(server);
    match told {
        None => assert!(output.is_empty(), "{error:?}"),
        Some(refusal) => assert_eq!(peer.open(&output), Msg::error(refusal).encode(), "{error:?}"),
    }
    assert_eq!(
        (server.state(), server.is_finished(), server.recv_room()),
        (State::Closed, true, 0)
    );
    assert_eq!(server.receive(NOW, &peer.seal(&Msg::op(Op::Bye).encode())), 0);
    server.receive_eof(NOW);
    assert_eq!(server.poll_event().err().as_ref(), Some(error), "sticky");
    assert!(server.output().is_empty());
    assert_eq!(server.reject(NOW, &Refusal::WrongState.into()), Err(CommandError::Closed));
}

/// Checks that a registry that gets this message fails with this error, after it has sent this.
pub fn server_refuses(message: &[u8], error: &Error, told: Option<Refusal>) {
    for dialect in DIALECTS {
        for (phase, (mut server, mut peer)) in
            [Scenario::server(dialect).open(), Scenario::server(dialect).registered()]
                .into_iter()
                .enumerate()
        {
            feed(&mut server, &peer.seal(message));
            match too_early_or_late(message, error, phase == 1) {
                Some(op) => {
                    let told = Some(Refusal::WrongState);
                    is_over(&mut server, &mut peer, &Error::WrongState(op), told);
                }
                None => is_over(&mut server, &mut peer, error, told),
            }
        }
    }
}

/// The operation, if it comes at the wrong time. That error goes before any about its fields.
fn too_early_or_late(message: &[u8], error: &Error, registered: bool) -> Option<Op> {
    use MessageError::{NoOp, TooMany, UnknownOp, WrongSide};
    match error {
        Error::BadMessage(NoOp | UnknownOp(_) | WrongSide(_) | TooMany { .. }) => return None,
        Error::BadMessage(_) => {}
        _ => return None,
    }
    let op = Op::from_tag(i32::from(*message.get(1)?))?;
    match op {
        Op::Member => registered,
        Op::Create | Op::Join | Op::GetCluster => !registered,
        _ => false,
    }
    .then_some(op)
}

/// Makes an empty registry.
pub fn registry() -> Registry {
    Registry::new(pair::credential(Dialect::Prefixed), RegistryLimits::default())
}

/// Runs a raw client against a registry behind a session, and gives the replies.
pub fn conversation(dialect: Dialect, messages: &[Msg]) -> (Session<Server>, Vec<Msg>) {
    let (mut registry, mut state, mut rng) = (registry(), ClientState::new(), Seeded::new(8));
    let (mut server, mut peer) = Scenario::server(dialect).open();
    let told = messages.iter().map(|message| {
        feed(&mut server, &peer.seal(&message.encode()));
        let (id, request) = next_request(&mut server);
        let outcome = registry.handle(&mut state, request, &mut rng);
        server.reply(NOW, id, &outcome.reply).unwrap();
        Msg::decode(&peer.open(&drain(&mut server)))
    });
    let told = told.collect();
    (server, told)
}

/// A Create of three members with one end point each.
pub fn create() -> Msg {
    Msg::op(Op::Create).bytes(14, "c").varint(15, 3).varint(16, 0).varint(17, 1)
}

/// A token as a cluster serves it, with an ID of this byte.
pub fn served(id: u8) -> Msg {
    Msg::token(&Token {
        id: Some(NodeId::from_bytes(&[id; 32]).unwrap()),
        signature: None,
        ..token()
    })
}

/// A ClusterMembers with these tokens, and with these bits as Which.
pub fn members(which: u64, tokens: &[Msg]) -> Msg {
    let list = Msg::op(Op::ClusterMembers).bytes(13, [9; 32]).varint(20, which);
    tokens.iter().fold(list, |list, token| list.msg(21, token))
}

/// Makes a request of this kind.
pub fn ask_for(client: &mut Session<Client>, ask: Op) {
    let request = match ask {
        Op::RegCredRequest => Request::RegCred,
        Op::Member => Request::Member(token()),
        Op::Create => Request::Create(pair::cluster("c", 3, 1)),
        Op::Join => Request::Join(ClusterRef::CURRENT),
        Op::GetCluster => Request::GetCluster(GetCluster::default()),
        Op::Bye => Request::Bye,
        other => panic!("{other} is no request"),
    };
    command(client, NOW, request).unwrap();
}

/// Checks that a client that waits for the answer to `ask` and gets these bytes fails with this
/// error, and sends nothing.
pub fn client_refuses(ask: Op, message: &[u8], error: &Error) {
    for dialect in DIALECTS {
        let (mut client, mut peer) = Scenario::client(dialect).asking(ask);
        feed(&mut client, &peer.seal(message));
        assert_eq!(client.poll_event().as_ref(), Err(error));
        assert_eq!((client.output(), client.is_finished()), (&[][..], true));
        assert_eq!(client.receive(NOW, &peer.seal(&member_ok().encode())), 0);
        assert_eq!(client.poll_event().as_ref(), Err(error), "sticky");
        assert_eq!(client.bye(NOW), Err(CommandError::Closed));
    }
}

/// The error of a session for such a message.
pub fn bad(error: MessageError) -> Error {
    Error::BadMessage(error)
}
