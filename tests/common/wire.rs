//! A raw peer for either role, made of nothing but AES, blocks and protobuf fields, so that it can send what
//! the library itself never would; and the no-security RSA that makes its sessions cheap.

use std::sync::LazyLock;

use cbc::cipher::block_padding::{NoPadding, Pkcs7};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use rand_core::Rng;
use xlreg::crypto::Open;
use xlreg::identity::{MemberAttrs, NodeId, Token, Version};
use xlreg::message::{ClusterRef, GetCluster, MessageError, Op, Refusal, Reply, Request};
use xlreg::registry::{Registry, RegistryLimits, Visitor};
use xlreg::session::{
    Client, ClientConfig, ClientEvent, CommandError, Dialect, Error, Instant, Limits, Machine,
    RequestId, Server, ServerConfig, ServerEvent, Session, State,
};

pub use super::no_rsa::NoRsa;
pub use super::pair::DIALECTS;
use super::pair::{self, command};
use super::{Seeded, identity};

pub const NOW: Instant = Instant::EPOCH;

fn encrypt(key: &[u8], iv: &[u8], blocks: &[u8]) -> Vec<u8> {
    let cipher = cbc::Encryptor::<aes::Aes256>::new_from_slices(key, iv).unwrap();
    cipher.encrypt_padded_vec::<NoPadding>(blocks)
}

/// Decrypts and takes the padding off; panics where there is none.
fn decrypt(key: &[u8], iv: &[u8], sealed: &[u8]) -> Vec<u8> {
    let cipher = cbc::Decryptor::<aes::Aes256>::new_from_slices(key, iv).unwrap();
    cipher.decrypt_padded_vec::<Pkcs7>(sealed).unwrap()
}

pub fn pad(message: &[u8]) -> Vec<u8> {
    let n = 16 - message.len() % 16;
    [message, &vec![n as u8; n]].concat()
}

fn block(bytes: &[u8]) -> [u8; 16] {
    bytes.try_into().unwrap()
}

/// The records of one connection, seen from the raw side.
pub struct Peer {
    dialect: Dialect,
    pub key2: Vec<u8>,
    sending: [u8; 16],
    receiving: [u8; 16],
    ivs: Seeded,
}

impl Peer {
    fn new(dialect: Dialect, key2: &[u8], iv2: [u8; 16]) -> Self {
        Self { dialect, key2: key2.into(), sending: iv2, receiving: iv2, ivs: Seeded::new(77) }
    }

    /// A raw client that sent `hello` (the plaintext) and got `reply` (the wire).
    pub fn of_reply(dialect: Dialect, hello: &[u8], reply: &[u8]) -> Self {
        match dialect {
            Dialect::Prefixed => {
                let plain = decrypt(&hello[..32], &reply[..16], &reply[16..]);
                Self::new(dialect, &plain[..32], [0; 16])
            }
            Dialect::Chained => {
                let plain = decrypt(&hello[16..48], &hello[..16], reply);
                assert_eq!(plain[56..64], hello[48..56], "salt1 is echoed");
                Self::new(dialect, &plain[16..48], block(&plain[..16]))
            }
        }
    }

    /// A raw registry that answers `hello` (the plaintext), and the wire of its HelloReply.
    pub fn answering(dialect: Dialect, hello: &[u8], version: Version) -> (Self, Vec<u8>) {
        let (key2, iv2, salt2) = ([0x4b; 32], [0x17; 16], [0x52; 8]);
        let version = version.to_bytes();
        let reply = match dialect {
            Dialect::Prefixed => {
                let plain = [&key2[..], &salt2, &version].concat();
                [&iv2[..], &encrypt(&hello[..32], &iv2, &pad(&plain))].concat()
            }
            Dialect::Chained => {
                let plain = [&iv2[..], &key2, &salt2, &hello[48..56], &version].concat();
                encrypt(&hello[16..48], &hello[..16], &pad(&plain))
            }
        };
        (Self::new(dialect, &key2, iv2), reply)
    }

    /// A record of whole blocks as they are, padded or not.
    pub fn seal_blocks(&mut self, blocks: &[u8]) -> Vec<u8> {
        if self.dialect == Dialect::Prefixed {
            self.ivs.fill_bytes(&mut self.sending);
        }
        let sealed = encrypt(&self.key2, &self.sending, blocks);
        let record = match self.dialect {
            Dialect::Prefixed => [&self.sending[..], &sealed].concat(),
            Dialect::Chained => sealed,
        };
        self.sending = block(&record[record.len() - 16..]);
        record
    }

    pub fn seal(&mut self, message: &[u8]) -> Vec<u8> {
        self.seal_blocks(&pad(message))
    }

    /// The message of exactly one record.
    pub fn open(&mut self, record: &[u8]) -> Vec<u8> {
        let (iv, sealed) = match self.dialect {
            Dialect::Prefixed => record.split_at(16),
            Dialect::Chained => (&self.receiving[..], record),
        };
        let message = decrypt(&self.key2, iv, sealed);
        self.receiving = block(&record[record.len() - 16..]);
        message
    }
}

/// All output, consumed.
pub fn drain<M: Machine>(machine: &mut M) -> Vec<u8> {
    let mut output = Vec::new();
    // A client's comes one record at a time.
    while !machine.output().is_empty() {
        let record = machine.output().len();
        output.extend_from_slice(machine.output());
        machine.consume_output(record);
    }
    output
}

/// Gives a machine bytes that it must take whole.
pub fn feed<M: Machine>(machine: &mut M, bytes: &[u8]) {
    assert_eq!(machine.receive(NOW, bytes), bytes.len(), "all of it is taken");
}

/// A registry's session that speaks to a raw client; open.
pub fn server(dialect: Dialect, limits: Limits) -> (Session<Server>, Peer) {
    let hello: &[u8] = match dialect {
        Dialect::Prefixed => &[0x33; 44],
        Dialect::Chained => &[0x33; 60],
    };
    let config = ServerConfig { hello_len: hello.len(), version: Version::REFERENCE, limits };
    let mut server = Session::<Server>::new(NOW, config, Seeded::new(5));
    let reply = open_hello(&mut server, hello, &NoRsa);
    (server, Peer::of_reply(dialect, hello, &reply))
}

/// Takes a server through a Hello and returns its HelloReply.
pub fn open_hello(server: &mut Session<Server>, hello: &[u8], key: &dyn Open) -> Vec<u8> {
    feed(server, hello);
    let Ok(Some(ServerEvent::Hello(sealed))) = server.poll_event() else { panic!("no Hello") };
    server.open_hello(NOW, sealed.open(key, &mut Seeded::new(6))).unwrap();
    drain(server)
}

/// A client's session that speaks to a raw registry; open.
pub fn client(dialect: Dialect, limits: Limits) -> (Session<Client>, Peer) {
    let registry_key = identity("registry", 0).comms.public_key().clone();
    let version = Version::ZERO;
    let config = ClientConfig { registry_key, dialect, version, limits, provider: &NoRsa };
    let mut client = Session::<Client>::new(NOW, config, Seeded::new(7)).unwrap();
    let hello = drain(&mut client);
    let (peer, reply) = Peer::answering(dialect, &hello, Version::REFERENCE);
    feed(&mut client, &reply);
    let connected = ClientEvent::Connected { dialect, version: Version::REFERENCE };
    assert_eq!(client.poll_event(), Ok(Some(connected)));
    (client, peer)
}

/// A token that verifies; signed once.
pub fn token() -> Token {
    static TOKEN: LazyLock<Token> = LazyLock::new(|| {
        let ends = ["127.0.0.1:4000", "host.example:4001"].map(|end| end.parse().unwrap());
        identity("m", 1).token(MemberAttrs::ADMIN, ends.into(), &mut Seeded::new(1)).unwrap()
    });
    TOKEN.clone()
}

pub fn member() -> Msg {
    Msg::op(Op::Member).msg(11, &Msg::token(&token()))
}

pub fn member_ok() -> Msg {
    Msg::op(Op::MemberOk).bytes(9, [1; 32]).varint(10, 0)
}

/// The next request of a server.
pub fn next_request(server: &mut Session<Server>) -> (RequestId, Request) {
    match server.poll_event() {
        Ok(Some(ServerEvent::Request { id, request })) => (id, request),
        other => panic!("{other:?}"),
    }
}

/// A server whose client has identified itself.
pub fn identified(dialect: Dialect) -> (Session<Server>, Peer) {
    let (mut server, mut peer) = server(dialect, Limits::server());
    feed(&mut server, &peer.seal(&member().encode()));
    let (id, request) = next_request(&mut server);
    assert_eq!(request, Request::Member(token()));
    let ok =
        Reply::MemberOk { id: NodeId::from_bytes(&[1; 32]).unwrap(), attrs: MemberAttrs::NONE };
    server.reply(NOW, id, &ok).unwrap();
    assert_eq!(Msg::decode(&peer.open(&drain(&mut server))), member_ok());
    (server, peer)
}

/// The session has failed with this error for good, has told its peer this or nothing, and hears no more.
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
    assert_eq!((server.state(), server.is_finished(), server.recv_room()), (State::Over, true, 0));
    assert_eq!(server.receive(NOW, &peer.seal(&Msg::op(Op::Bye).encode())), 0);
    server.receive_eof(NOW);
    assert_eq!(server.poll_event().err().as_ref(), Some(error), "sticky");
    assert!(server.output().is_empty());
    assert_eq!(server.reject(NOW, &Refusal::WrongState.into()), Err(CommandError::Over));
}

/// A registry that gets these bytes as a message is over with this error, and has told this.
pub fn server_refuses(message: &[u8], error: &Error, told: Option<Refusal>) {
    for dialect in DIALECTS {
        for (phase, (mut server, mut peer)) in
            [server(dialect, Limits::server()), identified(dialect)].into_iter().enumerate()
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

/// The operation, if it comes at the wrong time: that is told before anything about its fields.
fn too_early_or_late(message: &[u8], error: &Error, identified: bool) -> Option<Op> {
    use MessageError::{NoOp, TooMany, UnknownOp, WrongSide};
    match error {
        Error::BadMessage(NoOp | UnknownOp(_) | WrongSide(_) | TooMany { .. }) => return None,
        Error::BadMessage(_) => {}
        _ => return None,
    }
    let op = Op::from_tag(i32::from(*message.get(1)?))?;
    match op {
        Op::Member => identified,
        Op::Create | Op::Join | Op::GetCluster => !identified,
        _ => false,
    }
    .then_some(op)
}

pub fn registry() -> Registry {
    Registry::new(pair::credential(Dialect::Prefixed), RegistryLimits::default())
}

/// What a raw client is told by a registry behind a session, message by message.
pub fn conversation(dialect: Dialect, messages: &[Msg]) -> (Session<Server>, Vec<Msg>) {
    let (mut registry, mut visitor, mut rng) = (registry(), Visitor::new(), Seeded::new(8));
    let (mut server, mut peer) = server(dialect, Limits::server());
    let told = messages.iter().map(|message| {
        feed(&mut server, &peer.seal(&message.encode()));
        let (id, request) = next_request(&mut server);
        let outcome = registry.handle(&mut visitor, request, &mut rng);
        server.reply(NOW, id, &outcome.reply).unwrap();
        Msg::decode(&peer.open(&drain(&mut server)))
    });
    let told = told.collect();
    (server, told)
}

pub fn create() -> Msg {
    Msg::op(Op::Create).bytes(14, "c").varint(15, 3).varint(16, 0).varint(17, 1)
}

pub fn served(id: u8) -> Msg {
    Msg::token(&Token {
        id: Some(NodeId::from_bytes(&[id; 32]).unwrap()),
        signature: None,
        ..token()
    })
}

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

/// A client that has asked for this.
pub fn asking(dialect: Dialect, ask: Op) -> (Session<Client>, Peer) {
    let (mut client, mut peer) = client(dialect, Limits::client());
    if !matches!(ask, Op::Member | Op::RegCredRequest | Op::Bye) {
        client.identify(NOW, token()).unwrap();
        feed(&mut client, &peer.seal(&member_ok().encode()));
        assert!(matches!(client.poll_event(), Ok(Some(ClientEvent::Reply { .. }))));
    }
    ask_for(&mut client, ask);
    drain(&mut client);
    (client, peer)
}

/// A client that waits for the answer to `ask` and gets these bytes is over with this error, and says nothing.
pub fn client_refuses(ask: Op, message: &[u8], error: &Error) {
    for dialect in DIALECTS {
        let (mut client, mut peer) = asking(dialect, ask);
        feed(&mut client, &peer.seal(message));
        assert_eq!(client.poll_event().as_ref(), Err(error));
        assert_eq!((client.output(), client.is_finished()), (&[][..], true));
        assert_eq!(client.receive(NOW, &peer.seal(&member_ok().encode())), 0);
        assert_eq!(client.poll_event().as_ref(), Err(error), "sticky");
        assert_eq!(client.bye(NOW), Err(CommandError::Over));
    }
}

pub fn bad(error: MessageError) -> Error {
    Error::BadMessage(error)
}

/// One protobuf value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(Vec<u8>),
}

/// A protobuf message as the fields it is written with, right or wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Msg(pub Vec<(u32, Value)>);

impl Msg {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn op(op: Op) -> Self {
        Self::new().varint(1, op.tag() as u64)
    }

    pub fn error(refusal: Refusal) -> Self {
        Self::op(Op::Error).bytes(23, refusal.as_str())
    }

    /// A token's fields, the signature included if it has one.
    pub fn token(token: &Token) -> Self {
        let mut msg = Self::new().bytes(1, token.name.as_str()).varint(2, token.attrs.bits());
        if let Some(id) = token.id {
            msg = msg.bytes(3, id.as_bytes());
        }
        msg = msg.bytes(4, token.comms_key.spki_der()).bytes(5, token.sig_key.spki_der());
        for end in &token.ends {
            msg = msg.bytes(6, end.as_str());
        }
        match &token.signature {
            Some(signature) => msg.bytes(7, signature),
            None => msg,
        }
    }

    pub fn field(mut self, number: u32, value: Value) -> Self {
        self.0.push((number, value));
        self
    }

    pub fn varint(self, number: u32, value: u64) -> Self {
        self.field(number, Value::Varint(value))
    }

    pub fn bytes(self, number: u32, value: impl AsRef<[u8]>) -> Self {
        self.field(number, Value::Bytes(value.as_ref().into()))
    }

    pub fn msg(self, number: u32, value: &Self) -> Self {
        self.bytes(number, value.encode())
    }

    /// Without this field.
    pub fn without(mut self, number: u32) -> Self {
        let before = self.0.len();
        self.0.retain(|(n, _)| *n != number);
        assert!(self.0.len() < before, "field {number} was there");
        self
    }

    /// With the first field of this number replaced.
    pub fn set(mut self, number: u32, value: impl AsRef<[u8]>) -> Self {
        let found = self.0.iter_mut().find(|(n, _)| *n == number);
        found.expect("the field was there").1 = Value::Bytes(value.as_ref().into());
        self
    }

    /// With field 11 or 21, a token, changed.
    pub fn with_token(self, number: u32, change: impl Fn(Self) -> Self) -> Self {
        let token = self.get(number).clone();
        let Value::Bytes(bytes) = token else { panic!("no token") };
        self.set(number, change(Self::decode(&bytes)).encode())
    }

    pub fn get(&self, number: u32) -> &Value {
        &self.0.iter().find(|(n, _)| *n == number).expect("the field is there").1
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, value) in &self.0 {
            let key = |wire_type: u64| varint(u64::from(*number) << 3 | wire_type);
            out.extend(match value {
                Value::Varint(value) => [key(0), varint(*value)].concat(),
                Value::Fixed64(value) => [key(1), value.to_le_bytes().into()].concat(),
                Value::Bytes(value) => [key(2), varint(value.len() as u64), value.clone()].concat(),
                Value::Fixed32(value) => [key(5), value.to_le_bytes().into()].concat(),
            });
        }
        out
    }

    /// Reads well-formed bytes; panics at others.
    pub fn decode(mut bytes: &[u8]) -> Self {
        let mut msg = Self::new();
        while !bytes.is_empty() {
            let key = next_varint(&mut bytes);
            let value = match key & 7 {
                0 => Value::Varint(next_varint(&mut bytes)),
                1 => Value::Fixed64(u64::from_le_bytes(next(&mut bytes, 8).try_into().unwrap())),
                2 => {
                    let len = next_varint(&mut bytes) as usize;
                    Value::Bytes(next(&mut bytes, len).into())
                }
                5 => Value::Fixed32(u32::from_le_bytes(next(&mut bytes, 4).try_into().unwrap())),
                other => panic!("wire type {other}"),
            };
            msg = msg.field((key >> 3) as u32, value);
        }
        msg
    }
}

fn next<'a>(bytes: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (head, rest) = bytes.split_at(len);
    *bytes = rest;
    head
}

fn next_varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = next(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

pub fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
