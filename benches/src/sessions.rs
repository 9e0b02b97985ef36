//! Sessions of both roles in memory.

use xlreg::credential::Credential;
use xlreg::identity::{NodeId, Token, Version};
use xlreg::message::{ClusterRef, GetCluster, MemberEntry, MemberList, MemberSet, Op, Reply};
use xlreg::session::{
    Client, ClientConfig, ClientEvent, Instant, Limits, RequestId, Server, ServerConfig,
    ServerEvent, Session,
};
use xlreg_testkit::NoRsa;
use xlreg_testkit::peer::Msg;

use crate::{Seeded, credential, identity, served, token};

const NOW: Instant = Instant::EPOCH;
/// The number of members of the largest cluster.
const MEMBERS: u8 = 64;

/// The inputs of a handshake, without RSA.
pub struct Shake(Credential);

impl Shake {
    pub fn new() -> Self {
        Self(credential())
    }

    /// Both sides from nothing to the first request.
    pub fn hands(&self) -> (Session<Client>, Session<Server>) {
        // As many requests as a measurement takes.
        let limits = |usual| Limits { requests: u32::MAX, ..usual };
        let limits_of_client = limits(Limits::client());
        let config = ClientConfig {
            provider: &NoRsa,
            limits: limits_of_client,
            ..ClientConfig::new(&self.0)
        };
        let mut client = Session::<Client>::new(NOW, config, Seeded::new(1)).expect("sealed");
        let limits = limits(Limits::server());
        let config = ServerConfig { hello_len: 44, version: Version::REFERENCE, limits };
        let mut server = Session::<Server>::new(NOW, config, Seeded::new(2));
        let n = server.receive(NOW, client.output());
        client.consume_output(n);
        let Ok(Some(ServerEvent::Hello(hello))) = server.poll_event() else { panic!("no Hello") };
        let opened = hello.open(&NoRsa, &mut Seeded::new(3));
        server.open_hello(NOW, opened).expect("it waits");
        let n = client.receive(NOW, server.output());
        server.consume_output(n);
        let Ok(Some(ClientEvent::Connected { .. })) = client.poll_event() else {
            panic!("refused")
        };
        (client, server)
    }
}

impl Default for Shake {
    fn default() -> Self {
        Self::new()
    }
}

/// An open session on each side, after Member, and the messages that pass between them again and
/// again: in the prefixed dialect a record can be received twice.
pub struct Sessions {
    client: Session<Client>,
    server: Session<Server>,
    request: Vec<u8>,
    reply: Vec<u8>,
    list: Reply,
    message: Vec<u8>,
}

impl Sessions {
    /// A cluster of 64, with keys of 2048 bits and two end points each: 42 KB.
    pub fn new() -> Self {
        let (client, server) = Shake::new().hands();
        let token = token(&identity(1));
        let members: Vec<_> =
            (0..MEMBERS).map(|n| MemberEntry::new(served(&token, n + 1))).collect();
        let cluster = NodeId::from_bytes(&[0xC1; 32]).expect("an ID");
        let which = MemberSet::first(u32::from(MEMBERS));
        let list = MemberList::of(cluster, which, members).expect("64 of them");
        let (request, reply, message) = (Vec::new(), Vec::new(), Vec::new());
        let mut sessions =
            Self { client, server, request, reply, list: Reply::Members(list), message };
        sessions.register(token);
        sessions.ask();
        sessions.request = sessions.client.output().to_vec();
        sessions.client.consume_output(usize::MAX);
        let id = sessions.receive_request();
        sessions.encode(id);
        sessions.reply = sessions.server.output().to_vec();
        sessions.server.consume_output(usize::MAX);
        sessions.message = sessions.plain();
        sessions.client.receive(NOW, &sessions.reply);
        sessions.client.poll_event().expect("members");
        sessions
    }

    fn register(&mut self, token: Token) {
        self.client.register(NOW, token.clone()).expect("open");
        self.server.receive(NOW, self.client.output());
        self.client.consume_output(usize::MAX);
        let id = self.next_id();
        let reply = Reply::MemberOk {
            id: NodeId::from_bytes(&[1; 32]).expect("an ID"),
            attrs: token.attrs,
        };
        self.server.reply(NOW, id, &reply).expect("asked");
        self.client.receive(NOW, self.server.output());
        self.server.consume_output(usize::MAX);
        self.client.poll_event().expect("MemberOK");
    }

    fn next_id(&mut self) -> RequestId {
        match self.server.poll_event() {
            Ok(Some(ServerEvent::Request { id, .. })) => id,
            other => panic!("{other:?}"),
        }
    }

    /// The message of the reply, field by field.
    fn plain(&self) -> Vec<u8> {
        let Reply::Members(list) = &self.list else { panic!("no members") };
        let head = Msg::op(Op::ClusterMembers).bytes(13, list.cluster().as_bytes());
        let head = head.varint(20, list.which().bits());
        let tokens = list.iter().map(|(_, token)| Msg::token(token));
        tokens.fold(head, |list, token| list.msg(21, &token)).encode()
    }

    /// The ClusterMembers that the registry sends, in the clear.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Bytes in its record.
    pub fn reply_len(&self) -> usize {
        self.reply.len()
    }

    /// The client asks for all members.
    pub fn ask(&mut self) {
        let cluster = NodeId::from_bytes(&[0xC1; 32]).expect("an ID");
        let get = GetCluster { cluster: ClusterRef::from(cluster), which: Some(MemberSet::ALL) };
        self.client.get_members(NOW, get).expect("open");
    }

    /// The registry receives that: decrypts, finds the end, decodes and checks.
    pub fn receive_request(&mut self) -> RequestId {
        assert_eq!(self.server.receive(NOW, &self.request), self.request.len());
        self.next_id()
    }

    /// The registry answers: encodes, pads and encrypts.
    pub fn encode(&mut self, id: RequestId) {
        self.server.reply(NOW, id, &self.list).expect("asked");
    }

    /// The registry's output has been written.
    pub fn written(&mut self) -> usize {
        let n = self.server.output().len();
        self.server.consume_output(n);
        n
    }

    /// The client asks, and its question is written.
    pub fn ask_and_write(&mut self) {
        self.ask();
        self.client.consume_output(usize::MAX);
    }

    /// The client receives the answer: decrypts, finds the end, decodes and checks.
    pub fn decode(&mut self) -> MemberList {
        let reply = &self.reply;
        assert_eq!(self.client.receive(NOW, reply), reply.len());
        match self.client.poll_event() {
            Ok(Some(ClientEvent::Reply { reply: Reply::Members(list), .. })) => list,
            other => panic!("{other:?}"),
        }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self::new()
    }
}
