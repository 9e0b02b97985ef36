//! The largest heap of one session, measured. These are the figures of docs/bounds.md, "Memory".
//!
//! `cargo test --test memory -- --nocapture` prints the table. It counts a session's own blocks and
//! the events that it gives, but not the bytes that a test feeds it. RSA allocates inside its
//! provider, so sessions are measured with a provider that does not, and RSA is measured alone.

use crate::counting::{counted, live, peak, start};
use crate::largest::{largest_member, largest_members, largest_members_message, largest_token};
use rand_core::CryptoRng;
use xlreg::crypto::{
    Open, OpenError, PublicComponents, RustCrypto, Seal, SealError, Secret, Verify,
};
use xlreg::identity::{MemberAttrs, Version};
use xlreg::message::{Create, GetCluster, Op, Reply};
use xlreg::session::{
    Client, ClientConfig, ClientEvent, Dialect, Error, Limits, Machine, RequestId, Server,
    ServerConfig, ServerEvent, Session,
};
use xlreg_testkit::largest::largest_key;
use xlreg_testkit::scenario::{DIALECTS, Msg, NOW, Peer, feed};
use xlreg_testkit::{KEYS, Seeded, identity, pair};

/// The modulus of a comms key of 2048 bits, in bytes. A Hello has the same length.
const MODULUS: usize = 256;

/// A Hello that is its own ciphertext, with the length of a real one: a handshake without RSA.
struct Clear;

impl Seal for Clear {
    fn seal(
        &self,
        _: PublicComponents<'_>,
        plaintext: &[u8],
        _: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        let mut sealed = vec![0; MODULUS];
        sealed[0] = plaintext.len() as u8;
        sealed[1..=plaintext.len()].copy_from_slice(plaintext);
        Ok(sealed)
    }
}

impl Open for Clear {
    fn open(&self, ciphertext: &[u8], _: &mut dyn CryptoRng) -> Result<Secret, OpenError> {
        Ok(Secret::new(ciphertext[1..=usize::from(ciphertext[0])].into()))
    }
}

// Blocks that are allocated inside `counted` are freed inside it, or stay until the end of the
// measurement.

/// A new registry's session. It is on the heap, so that its inline data are counted too.
fn new_server() -> Box<Session<Server>> {
    start();
    let config =
        ServerConfig { hello_len: MODULUS, version: Version::REFERENCE, limits: Limits::server() };
    counted(|| Box::new(Session::<Server>::new(NOW, config, Seeded::new(5))))
}

fn hello(dialect: Dialect) -> Vec<u8> {
    match dialect {
        Dialect::Prefixed => vec![0x33; 44],
        Dialect::Chained => vec![0x33; 60],
    }
}

/// A registry's session after its handshake, with the HelloReply written.
fn server(dialect: Dialect) -> (Box<Session<Server>>, Peer) {
    let mut server = new_server();
    let plain = hello(dialect);
    let key = PublicComponents { modulus: &[], exponent: &[] };
    let sealed = Clear.seal(key, &plain, &mut Seeded::new(1)).unwrap();
    counted(|| {
        feed(&mut *server, &sealed);
        let Ok(Some(ServerEvent::Hello(sealed))) = server.poll_event() else { panic!("no Hello") };
        server.open_hello(NOW, sealed.open(&Clear, &mut Seeded::new(6))).unwrap();
    });
    let reply = server.output().to_vec();
    consume(&mut *server, reply.len());
    (server, Peer::of_reply(dialect, &plain, &reply))
}

/// The same, with a registered client.
fn registered(dialect: Dialect) -> (Box<Session<Server>>, Peer) {
    let (mut server, mut peer) = server(dialect);
    let token = Msg::token(&xlreg_testkit::scenario::token());
    let record = peer.seal(&Msg::op(Op::Member).msg(11, &token).encode());
    let id = counted(|| {
        feed(&mut *server, &record);
        request(&mut server).unwrap()
    });
    reply(&mut server, id, &member_ok());
    let output = server.output().len();
    consume(&mut *server, output);
    (server, peer)
}

fn member_ok() -> Reply {
    Reply::MemberOk { id: pair::id(1), attrs: MemberAttrs::NONE }
}

/// Takes the next request and drops it.
fn request(server: &mut Session<Server>) -> Option<RequestId> {
    match server.poll_event().unwrap()? {
        ServerEvent::Request { id, .. } => Some(id),
        other => panic!("{other:?}"),
    }
}

fn reply(server: &mut Session<Server>, id: RequestId, reply: &Reply) {
    counted(|| server.reply(NOW, id, reply)).unwrap();
}

fn consume(machine: &mut impl Machine, n: usize) {
    counted(|| machine.consume_output(n));
}

fn new_client(dialect: Dialect) -> Box<Session<Client>> {
    start();
    let config = ClientConfig {
        registry_key: identity("registry", 0).comms.public_key().clone(),
        dialect,
        version: Version::ZERO,
        limits: Limits::client(),
        provider: &Clear,
    };
    counted(|| Box::new(Session::<Client>::new(NOW, config, Seeded::new(7)).unwrap()))
}

/// A client's session after its handshake.
fn client(dialect: Dialect) -> (Box<Session<Client>>, Peer) {
    let mut client = new_client(dialect);
    let hello = client.output().to_vec();
    consume(&mut *client, hello.len());
    let plain = &hello[1..=usize::from(hello[0])];
    let (peer, reply) = Peer::answering(dialect, plain, Version::REFERENCE);
    counted(|| {
        feed(&mut *client, &reply);
        assert!(matches!(client.poll_event(), Ok(Some(ClientEvent::Connected { .. }))));
    });
    (client, peer)
}

/// A client that waits for the answer to its GetCluster.
fn fetching(dialect: Dialect) -> (Box<Session<Client>>, Peer) {
    let (mut client, mut peer) = client(dialect);
    let (token, ok) =
        (xlreg_testkit::scenario::token(), xlreg_testkit::scenario::member_ok().encode());
    counted(|| client.register(NOW, token)).unwrap();
    let record = peer.seal(&ok);
    counted(|| {
        feed(&mut *client, &record);
        assert!(matches!(client.poll_event(), Ok(Some(ClientEvent::Reply { .. }))));
        client.get_members(NOW, GetCluster::default()).unwrap();
    });
    let output = client.output().len();
    consume(&mut *client, output);
    (client, peer)
}

/// The message filled up to exactly `len` bytes with one unknown field.
fn filled(message: Msg, len: usize) -> Vec<u8> {
    let bytes = message.encode();
    // Two bytes of key, two or three of length.
    let filler = |header: usize| vec![0x2a; len - bytes.len() - header];
    let filled = [4, 5]
        .map(|header| [bytes.clone(), Msg::new().bytes(300, filler(header)).encode()].concat());
    filled.into_iter().find(|filled| filled.len() == len).unwrap()
}

/// Feeds a machine in pieces, as an adapter does, and polls after each, until it has a result or
/// takes no more. The result is kept.
fn drive<M: Machine<Error = Error>>(
    machine: &mut M,
    wire: &[u8],
    piece: usize,
) -> Result<Option<M::Event>, Error> {
    counted(|| {
        for piece in wire.chunks(piece) {
            let taken = machine.receive(NOW, piece);
            match machine.poll_event() {
                Ok(None) if taken == piece.len() => {}
                other => return other,
            }
        }
        Ok(None)
    })
}

/// The length of one read of the adapters of this crate.
const PIECE: usize = 8 * 1024;

/// The result for a record.
#[derive(Debug, PartialEq)]
enum Told {
    Event,
    Nothing,
    BadRecord,
    BadMessage,
    Other(Error),
}

/// The peak of a machine that gets these bytes in such pieces, with this result.
fn gets<M: Machine<Error = Error>>(
    machine: &mut M,
    wire: &[u8],
    piece: usize,
    expected: Told,
) -> usize {
    let told = drive(machine, wire, piece);
    let peak = peak();
    let told = match told {
        Ok(Some(_)) => Told::Event,
        Ok(None) => Told::Nothing,
        Err(Error::BadRecord) => Told::BadRecord,
        Err(Error::BadMessage(_)) => Told::BadMessage,
        Err(other) => Told::Other(other),
    };
    assert_eq!(told, expected);
    peak
}

/// The same for a registry with a registered client.
fn registry_gets(dialect: Dialect, message: &[u8], expected: Told) -> usize {
    let (mut server, mut peer) = registered(dialect);
    gets(&mut *server, &peer.seal(message), PIECE, expected)
}

/// The same for a client that waits for members.
fn client_gets(dialect: Dialect, message: &[u8], expected: Told) -> usize {
    let (mut client, mut peer) = fetching(dialect);
    gets(&mut *client, &peer.seal(message), PIECE, expected)
}

fn registry_limit() -> usize {
    Limits::server().record
}

fn client_limit() -> usize {
    Limits::client().record
}

/// A record of this length without its last block.
fn endless(peer: &mut Peer, op: Op, len: usize) -> Vec<u8> {
    let mut record = peer.seal(&filled(Msg::op(op), len));
    record.truncate(record.len() - 16);
    record
}

/// As many unknown fields as fit in `len` bytes.
fn tiny_fields(op: Op, len: usize) -> Vec<u8> {
    [Msg::op(op).encode(), [7 << 3, 0].repeat(len / 2 - 1)].concat()
}

/// As many tokens as allowed, each with as many end points as allowed, all empty: the cheapest
/// message with the most allocations.
fn nested(specs: bool) -> Vec<u8> {
    let end_points = [6 << 3 | 2, 0].repeat(8);
    let message = Msg::op(Op::ClusterMembers);
    let message = if specs { message.bytes(11, &end_points) } else { message };
    (0..64).fold(message, |message, _| message.bytes(21, &end_points)).encode()
}

fn largest_create() -> Vec<u8> {
    let create = Msg::op(Op::Create).bytes(14, "n".repeat(255)).varint(15, 64).varint(17, 2);
    filled(create, registry_limit())
}

/// A registry's session with a GetCluster that is not answered.
fn asked_for_members(dialect: Dialect) -> (Box<Session<Server>>, Peer, RequestId) {
    let (mut server, mut peer) = registered(dialect);
    let record = peer.seal(&Msg::op(Op::GetCluster).encode());
    counted(|| feed(&mut *server, &record));
    let id = counted(|| request(&mut server)).unwrap();
    (server, peer, id)
}

/// A row of the table: what is measured, and in which dialect.
pub type Row = (&'static str, fn(Dialect) -> usize);

const REGISTRY: &[Row] = &[
    ("registry: new", |_| {
        let _server = new_server();
        live()
    }),
    ("registry: its Hello at hand, to be opened", |_| {
        gets(&mut *new_server(), &[1; MODULUS], PIECE, Told::Event)
    }),
    ("registry: handshake complete, idle", |dialect| {
        let _server = server(dialect);
        live()
    }),
    ("registry: client known, idle", |dialect| {
        let _server = registered(dialect);
        live()
    }),
    ("registry: the largest Member", |dialect| {
        let (mut server, mut peer) = server(dialect);
        gets(&mut *server, &peer.seal(&largest_member().encode()), PIECE, Told::Event)
    }),
    ("registry: the largest request, a Member filled up to the limit", |dialect| {
        let (mut server, mut peer) = server(dialect);
        let record = peer.seal(&filled(largest_member(), registry_limit()));
        gets(&mut *server, &record, PIECE, Told::Event)
    }),
    ("registry: as many of the largest requests as may be in flight", |dialect| {
        let (mut server, mut peer) = registered(dialect);
        let mut held = Vec::with_capacity(Limits::server().in_flight);
        while let Ok(Some(event)) = drive(&mut *server, &peer.seal(&largest_create()), PIECE) {
            held.push(event);
        }
        assert_eq!(held.len(), Limits::server().in_flight);
        peak()
    }),
    ("registry: a flood of requests that are not answered", |dialect| {
        let (mut server, mut peer) = registered(dialect);
        let request = Msg::op(Op::RegCredRequest).encode();
        let flood: Vec<u8> = (0..2000).flat_map(|_| peer.seal(&request)).collect();
        counted(|| {
            let mut left = &flood[..];
            while server.poll_event().unwrap().is_some() || server.recv_room() > 0 {
                left = &left[server.receive(NOW, left)..];
            }
            assert!(!left.is_empty());
        });
        peak()
    }),
    ("registry: small replies that nobody reads", |dialect| {
        let (mut server, mut peer) = registered(dialect);
        let credential = Reply::RegCred(pair::credential(dialect));
        let mut ask = || peer.seal(&Msg::op(Op::RegCredRequest).encode());
        while let Ok(Some(ServerEvent::Request { id, .. })) = drive(&mut *server, &ask(), PIECE) {
            reply(&mut server, id, &credential);
        }
        assert!(server.output().len() > Limits::server().output);
        peak()
    }),
    ("registry: the largest reply, unread", |dialect| {
        let (mut server, _, id) = asked_for_members(dialect);
        reply(&mut server, id, &largest_members());
        assert!(server.output().len() > 290_000, "{}", server.output().len());
        live()
    }),
    ("registry: the largest reply, while it is encoded", |dialect| {
        let (mut server, _, id) = asked_for_members(dialect);
        reply(&mut server, id, &largest_members());
        peak()
    }),
    ("registry: the largest reply behind as much as may wait", |dialect| {
        let (mut server, mut peer, mut id) = asked_for_members(dialect);
        let members = largest_members();
        for _ in 0..3 {
            reply(&mut server, id, &members);
            // Read until the next request is examined, and no further.
            let left = server.output().len() - Limits::server().output;
            consume(&mut *server, left);
            let record = peer.seal(&Msg::op(Op::GetCluster).encode());
            counted(|| feed(&mut *server, &record));
            id = counted(|| request(&mut server)).unwrap();
        }
        peak()
    }),
    ("registry: a record of the limit that never ends", |dialect| {
        let (mut server, mut peer) = registered(dialect);
        let record = endless(&mut peer, Op::Create, registry_limit());
        gets(&mut *server, &record, PIECE, Told::Nothing)
    }),
    ("registry: the same, byte by byte", |dialect| {
        let (mut server, mut peer) = registered(dialect);
        let record = endless(&mut peer, Op::Create, registry_limit());
        gets(&mut *server, &record, 1, Told::Nothing)
    }),
    ("registry: a record declared over the limit", |dialect| {
        let message = filled(Msg::op(Op::Create), registry_limit() + 1);
        registry_gets(dialect, &message, Told::BadRecord)
    }),
    ("registry: as many fields as fit in a record", |dialect| {
        registry_gets(dialect, &tiny_fields(Op::Create, registry_limit()), Told::BadMessage)
    }),
    ("registry: as many tokens and ends as may be", |dialect| {
        registry_gets(dialect, &nested(true), Told::BadMessage)
    }),
    ("registry: a name as long as a record", |dialect| {
        let message = Msg::op(Op::Create).bytes(14, vec![b'n'; registry_limit() - 6]).encode();
        registry_gets(dialect, &message, Told::BadMessage)
    }),
];

const CLIENT: &[Row] = &[
    ("client: new, its Hello unsent", |dialect| {
        let _client = new_client(dialect);
        live()
    }),
    ("client: handshake complete, idle", |dialect| {
        let _client = client(dialect);
        live()
    }),
    ("client: as many of the largest requests as may be in flight, unsent", |dialect| {
        let (mut client, _) = client(dialect);
        let create = Create {
            name: "n".repeat(255).parse().unwrap(),
            max_size: 64,
            attrs: Default::default(),
            end_point_count: 2,
        };
        counted(|| {
            client.register(NOW, largest_token(1)).unwrap();
            while client.create(NOW, create.clone()).is_ok() {}
        });
        peak()
    }),
    ("client: the largest ClusterMembers", |dialect| {
        client_gets(dialect, &largest_members_message().encode(), Told::Event)
    }),
    ("client: the same, byte by byte", |dialect| {
        let (mut client, mut peer) = fetching(dialect);
        gets(&mut *client, &peer.seal(&largest_members_message().encode()), 1, Told::Event)
    }),
    ("client: the largest ClusterMembers filled up to the limit", |dialect| {
        let message = filled(largest_members_message(), client_limit());
        client_gets(dialect, &message, Told::BadRecord)
    }),
    ("client: after the largest ClusterMembers, idle", |dialect| {
        let (mut client, mut peer) = fetching(dialect);
        let record = peer.seal(&largest_members_message().encode());
        let told = drive(&mut *client, &record, PIECE);
        counted(|| drop(told));
        live()
    }),
    ("client: a flood of replies that are not asked for", |dialect| {
        let (mut client, mut peer) = fetching(dialect);
        let ack = Msg::op(Op::Ack).encode();
        let flood: Vec<u8> = (0..40_000).flat_map(|_| peer.seal(&ack)).collect();
        assert!(counted(|| client.receive(NOW, &flood)) < flood.len());
        assert!(matches!(counted(|| client.poll_event()), Err(Error::UnexpectedReply { .. })));
        peak()
    }),
    ("client: a record of the limit that never ends", |dialect| {
        let (mut client, mut peer) = fetching(dialect);
        let record = endless(&mut peer, Op::ClusterMembers, client_limit());
        gets(&mut *client, &record, PIECE, Told::Nothing)
    }),
    ("client: the same, byte by byte", |dialect| {
        let (mut client, mut peer) = fetching(dialect);
        let record = endless(&mut peer, Op::ClusterMembers, client_limit());
        gets(&mut *client, &record, 1, Told::Nothing)
    }),
    ("client: a record declared over the limit", |dialect| {
        let message = filled(Msg::op(Op::ClusterMembers), client_limit() + 1);
        client_gets(dialect, &message, Told::BadRecord)
    }),
    ("client: as many fields as fit in a record", |dialect| {
        client_gets(dialect, &tiny_fields(Op::ClusterMembers, client_limit()), Told::BadRecord)
    }),
    ("client: as many tokens and ends as may be", |dialect| {
        client_gets(dialect, &nested(false), Told::BadMessage)
    }),
    ("client: a text as long as a record", |dialect| {
        let message = Msg::op(Op::Error).bytes(23, vec![b't'; client_limit() - 7]).encode();
        client_gets(dialect, &message, Told::BadMessage)
    }),
];

/// The memory of the provider for one operation, without sessions. The dialect makes no difference.
const RSA: &[Row] = &[
    ("RSA: opening a Hello, 2048 bits", |dialect| {
        let key = &KEYS.comms[0];
        let sealed = key.public_key().seal(&hello(dialect), &mut Seeded::new(1)).unwrap();
        start();
        assert!(counted(|| key.open(&sealed, &mut Seeded::new(2))).is_ok());
        peak()
    }),
    ("RSA: sealing a Hello, 8192 bits", |dialect| {
        let (key, plain) = (largest_key(1), hello(dialect));
        start();
        assert!(counted(|| key.seal(&plain, &mut Seeded::new(1))).is_ok());
        peak()
    }),
    ("RSA: checking a signature, 8192 bits and the longest exponent", |_| {
        let key = largest_key(1);
        start();
        let verified = counted(|| RustCrypto.verify(key.components(), b"x", &[0x5a; 1024]));
        assert!(verified.is_err());
        peak()
    }),
];

/// The rows under "## Memory" in docs/bounds.md: the name, prefixed, chained, and the bound.
fn documented() -> Vec<(&'static str, [usize; 3])> {
    let (_, section) = include_str!("../../docs/bounds.md").split_once("\n## Memory\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let row = |row: &'static str| {
        let mut cells = row.split(" | ");
        let what = cells.next().unwrap();
        let figures: Vec<usize> =
            cells.map(|cell| cell.replace(',', "").parse()).collect::<Result<_, _>>().ok()?;
        Some((what, figures.try_into().unwrap()))
    };
    rows.filter_map(row).collect()
}

fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let first = digits.len() % 3;
    let groups = digits.as_bytes()[first..].chunks(3);
    let groups = groups.map(|group| std::str::from_utf8(group).unwrap());
    let all: Vec<_> =
        [&digits[..first]].into_iter().filter(|g| !g.is_empty()).chain(groups).collect();
    all.join(",")
}

fn is_as_documented(rows: &[Row], kind: &str) {
    let documented = documented();
    let documented: Vec<_> = documented.iter().filter(|(what, _)| what.starts_with(kind)).collect();
    let names: Vec<_> = rows.iter().map(|(what, _)| *what).collect();
    assert!(documented.iter().map(|(what, _)| *what).eq(names), "the table has just these rows");
    for ((what, run), (_, [prefixed, chained, at_most])) in rows.iter().zip(documented) {
        let measured = DIALECTS.map(run);
        println!(
            "| {what} | {} | {} | {} |",
            grouped(measured[0]),
            grouped(measured[1]),
            grouped(*at_most)
        );
        for (measured, told) in measured.into_iter().zip([*prefixed, *chained]) {
            assert!(measured <= *at_most, "{what}: {measured} bytes, over {at_most}");
            // The measured figures are compared roughly, because they differ on other machines.
            // Only the bound counts.
            if cfg!(all(target_os = "linux", target_pointer_width = "64")) {
                let close = measured.abs_diff(told) <= told / 10;
                assert!(close, "{what}: {measured} bytes, and docs/bounds.md says {told}");
            }
        }
    }
}

#[test]
fn a_registry_s_session_takes_no_more_than_is_documented() {
    is_as_documented(REGISTRY, "registry: ");
}

#[test]
fn a_client_s_session_takes_no_more_than_is_documented() {
    is_as_documented(CLIENT, "client: ");
}

#[test]
fn rsa_takes_no_more_than_is_documented() {
    is_as_documented(RSA, "RSA: ");
}

#[test]
fn a_registry_s_state_takes_no_more_than_is_documented() {
    is_as_documented(crate::state::ROWS, "state: ");
}

/// Without this every figure would be too small.
#[test]
fn the_counter_counts() {
    start();
    let mut bytes = counted(|| vec![0u8; 1000]);
    assert_eq!((live(), peak()), (1000, 1000));
    counted(|| bytes.reserve_exact(3000));
    assert_eq!((live(), peak()), (4000, 5000), "it may have moved");
    drop(vec![0u8; 9000]);
    counted(|| drop(bytes));
    assert_eq!((live(), peak()), (0, 5000), "others are not counted");
}
