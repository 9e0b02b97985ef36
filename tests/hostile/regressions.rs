//! Faults of sessions that a review found. Each test says what holds now, and the comment above it
//! says what happened before.

use xlreg::identity::{CommsKeyPair, KeyError, KeyForm, KeyPairError, NodeIdError, Token, Version};
use xlreg::message::{Field, MessageError, Op, Refusal, Reply, Request};
use xlreg::registry::ClientState;
use xlreg::session::{
    ClientEvent, CommandError, Dialect, EofAt, Error, Limits, Machine, OpenedHello, RequestId,
    SealedHello, Server, ServerConfig, ServerEvent, Session, TimerKind,
};
use xlreg_testkit::pair::{self, Backend, TestRegistry, after, cluster, view};
use xlreg_testkit::scenario::{
    self, DIALECTS, Msg, NOW, NoRsa, Peer, Scenario, ask_for, bad, client_refuses, create, drain,
    feed, is_over, member, next_request, token,
};
use xlreg_testkit::{KEYS, Seeded};

/// All requests that a session gives before any of them is answered.
fn taken(server: &mut Session<Server>) -> Vec<(RequestId, Request)> {
    let mut requests = Vec::new();
    while let Some(event) = server.poll_event().unwrap() {
        let ServerEvent::Request { id, request } = event else { panic!("{event:?}") };
        requests.push((id, request));
    }
    requests
}

// All seven GetClusters were given at once, and seven replies of 40 KB waited together.
#[test]
fn at_most_one_large_reply_waits_however_many_are_asked_for() {
    let mut full = TestRegistry::usual();
    for n in 0..64 {
        full.enroll_member(pair::token(&format!("m{n}"), n, &["h:1"]), &cluster("full", 64, 1));
    }
    for dialect in DIALECTS {
        let (mut registry, mut state, limits) =
            (full.clone(), ClientState::new(), Limits::server());
        let (mut server, mut peer) = Scenario::server(dialect).limits(limits.clone()).open();
        let get = Msg::op(Op::GetCluster).bytes(14, "full");
        let flight: Vec<Msg> = [member()].into_iter().chain(vec![get; 7]).collect();
        let flight: Vec<u8> =
            flight.iter().flat_map(|message| peer.seal(&message.encode())).collect();
        feed(&mut server, &flight);

        let (mut told, mut largest) = (Vec::new(), 0);
        while told.len() < 8 {
            let requests = taken(&mut server);
            let large = requests.iter().filter(|(_, request)| request.op() == Op::GetCluster);
            assert!(large.count() <= 1, "behind a GetCluster without an answer nothing is told");
            if requests.is_empty() {
                assert!(server.output().len() > limits.output, "nothing else is waited for");
                server.consume_output(1000);
            }
            for (id, request) in requests {
                told.push(request.op());
                let waiting = server.output().len();
                server.reply(NOW, id, &registry.answer(&mut state, request)).unwrap();
                largest = largest.max(server.output().len() - waiting);
                assert!(server.output().len() <= limits.output + largest);
            }
        }
        assert_eq!(told, [[Op::Member].as_slice(), &[Op::GetCluster; 7]].concat());
        assert!(largest > 40_000, "a reply with 64 members is large: {largest}");
    }
}

/// Whole blocks that begin with a field with this declared length.
fn declares(op: Op, len: u64) -> Vec<u8> {
    let mut start = [Msg::op(op).encode(), vec![7 << 3 | 2], scenario::varint(len)].concat();
    start.resize(start.len().next_multiple_of(16), b'x');
    start
}

// Rounding the length up to whole blocks overflowed: a panic, or a wait without end.
#[cfg(target_pointer_width = "64")]
#[test]
fn without_a_record_limit_a_field_of_all_the_memory_there_is_is_refused() {
    // 13 bytes come before it: an Op, its key and its length. The rest must end in a legal block.
    let longest = u64::MAX / 16 * 16 - 1 - 13;
    for dialect in DIALECTS {
        for len in longest - 64..=u64::MAX {
            let over = len > longest;
            let limits = Limits { record: usize::MAX, ..Limits::server() };
            let (mut server, mut peer) = Scenario::server(dialect).limits(limits.clone()).open();
            assert!(server.recv_room() > usize::MAX / 2);
            feed(&mut server, &peer.seal_blocks(&declares(Op::RegCredRequest, len)));
            match over {
                true => is_over(&mut server, &mut peer, &Error::BadRecord, None),
                false => assert!(server.poll_event().unwrap().is_none(), "{len}"),
            }
            let (mut client, mut peer) = Scenario::client(dialect).limits(limits).open();
            ask_for(&mut client, Op::Bye);
            feed(&mut client, &peer.seal_blocks(&declares(Op::Ack, len)));
            let expected = if over { Err(Error::BadRecord) } else { Ok(None) };
            assert_eq!(client.poll_event(), expected, "{len}");
        }
    }
}

/// A message of at least `len` bytes. Its last field starts at `last`, with ten bytes of key and
/// ten of length.
fn with_long_header(op: Op, last: usize, len: usize) -> Vec<u8> {
    let ten =
        |value: usize| (0..10).map(move |i| (value >> (7 * i)) as u8 & 0x7f | u8::from(i < 9) << 7);
    let mut message = Msg::op(op).encode();
    if message.len() % 2 != last % 2 {
        message.extend([7 << 3, 0x80, 0]);
    }
    message.extend([7 << 3, 0].repeat((last - message.len()) / 2));
    message.extend(ten(7 << 3 | 2).chain(ten(len.saturating_sub(last + 20))));
    message.resize(len.max(last + 20), b'x');
    message
}

/// Gives a machine a record in pieces, as far as it has room, until it has a result. Gives the
/// result and the rest.
fn trickle<M: Machine>(
    machine: &mut M,
    mut record: &[u8],
    at_once: usize,
) -> (Result<Option<M::Event>, M::Error>, usize) {
    while !record.is_empty() {
        assert!(machine.recv_room() > 0, "stuck {} bytes before the end", record.len());
        record = &record[machine.receive(NOW, &record[..record.len().min(at_once)])..];
        match machine.poll_event() {
            Ok(None) => {}
            told => return (told, record.len()),
        }
    }
    (Ok(None), 0)
}

/// `taken` gives the result of a machine for a record within its limit, once it is complete.
fn keeps_to_its_limit<M: Machine<Error = Error>>(
    op: Op,
    open: impl Fn(Dialect, usize) -> (M, Peer),
    taken: impl Fn(&Result<Option<M::Event>, Error>) -> bool,
) {
    for (dialect, limit) in DIALECTS.into_iter().flat_map(|d| (96..=112).map(move |l| (d, l))) {
        let read = |last: usize, len: usize, at_once: usize| {
            let (mut machine, mut peer) = open(dialect, limit);
            let record = peer.seal(&with_long_header(op, last, len));
            trickle(&mut machine, &record, at_once)
        };
        for at_once in [1, usize::MAX] {
            for last in limit - 40..=limit - 20 {
                let (told, left) = read(last, limit, at_once);
                let whole = taken(&told) && left == 0;
                assert!(whole, "{dialect}: {limit} bytes, the last field from {last}");
            }
            for last in limit - 40..=limit {
                let (told, _) = read(last, limit + 1, at_once);
                let refused = matches!(told, Err(Error::BadRecord));
                assert!(refused, "{dialect}: more than {limit} bytes, the last field from {last}");
            }
        }
    }
}

// If the header of one field too many ended in a later block than there was room for, the session
// waited for bytes that it did not take.
#[test]
fn a_record_limit_need_not_be_whole_blocks() {
    let server = |dialect, record| {
        Scenario::server(dialect).limits(Limits { record, ..Limits::server() }).open()
    };
    keeps_to_its_limit(Op::RegCredRequest, server, |told| matches!(told, Ok(Some(_))));
    let client = |dialect, record| {
        let (mut client, peer) =
            Scenario::client(dialect).limits(Limits { record, ..Limits::client() }).open();
        ask_for(&mut client, Op::Bye);
        (client, peer)
    };
    // Its fields are unknown. A client refuses them when it has all of them.
    keeps_to_its_limit(Op::Ack, client, |told| *told == Err(Error::BadRecord));
}

/// A P-256 key as DER SubjectPublicKeyInfo.
fn ec_key() -> Vec<u8> {
    let head = [0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06];
    let curve = [0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04];
    [&head[..], &curve, &[0x5a; 64]].concat()
}

// The error about the fields came first, so the author of a client out of step searched in the
// wrong place.
#[test]
fn a_request_at_the_wrong_time_is_refused_for_that_whatever_its_fields_are() {
    let field = Field::ClusterId;
    let short = bad(MessageError::Id { field, source: NodeIdError::Length { bytes: 3 } });
    let nameless = bad(MessageError::Missing(Field::ClusterName));
    let (field, source) = (Field::TokenSigKey, KeyError::NotRsa);
    let ec = member().with_token(11, |token| token.set(5, ec_key()));
    let table = [
        (Msg::op(Op::Join).bytes(13, [1; 3]), Op::Join, short, Refusal::IdLength),
        (create().without(14), Op::Create, nameless, Refusal::BadName),
        (ec, Op::Member, bad(MessageError::Key { field, source }), Refusal::BadKey),
    ];
    for dialect in DIALECTS {
        for (message, op, error, refusal) in &table {
            let (new, known) =
                (Scenario::server(dialect).open(), Scenario::server(dialect).registered());
            let (wrong, right) = if *op == Op::Member { (known, new) } else { (new, known) };
            let late = (Error::WrongState(*op), Refusal::WrongState);
            for ((mut server, mut peer), error, refusal) in
                [(wrong, &late.0, late.1), (right, error, *refusal)]
            {
                feed(&mut server, &peer.seal(&message.encode()));
                is_over(&mut server, &mut peer, error, Some(refusal));
            }
        }
    }
}

// Both were sent, for the registry to refuse. A deployed registry does not even read the large one.
#[test]
fn a_token_unsigned_or_too_large_is_declined_and_changes_nothing() {
    let signed = |len: usize| Token { signature: Some(vec![7; len]), ..token() };
    let largest = (0..20_000).rev().find(|len| {
        let (mut client, _) = Scenario::client(Dialect::Prefixed).open();
        match client.register(NOW, signed(*len)) {
            Ok(_) => true,
            Err(CommandError::TooLarge { bytes, limit }) => bytes <= limit,
            Err(other) => panic!("{other}"),
        }
    });
    let largest = largest.unwrap();
    assert!(largest > 15_000);
    for dialect in DIALECTS {
        let (mut client, _) = Scenario::client(dialect).open();
        let (mut control, _) = Scenario::client(dialect).open();
        let before = view(&client);
        let unsigned = Token { signature: None, ..token() };
        assert_eq!(client.register(NOW, unsigned), Err(CommandError::Unsigned));
        for len in [largest + 1, 20_000, 1 << 20] {
            let declined = client.register(NOW, signed(len)).unwrap_err();
            assert!(matches!(declined, CommandError::TooLarge { bytes, limit } if bytes > limit));
        }
        assert_eq!(view(&client), before);
        // The same ID, and the same bytes from the same generator.
        assert_eq!(client.register(NOW, token()), control.register(NOW, token()));
        assert_eq!(drain(&mut client), drain(&mut control));
        assert_eq!(client.bye(NOW), control.bye(NOW));
        assert_eq!(drain(&mut client), drain(&mut control));
        // A deployed registry reads 16 KiB at once.
        let (mut client, _) = Scenario::client(dialect).open();
        client.register(NOW, signed(largest)).unwrap();
        assert!(drain(&mut client).len() <= 16 * 1024);
    }
}

// All counts were accepted: a cluster of size 0, or one with more members than 64 bits.
#[test]
fn a_cluster_that_cannot_be_is_not_taken_from_a_registry() {
    let info = |op, size: u64, end_points: u64| {
        let info = Msg::op(op).bytes(13, [9; 32]).varint(15, size).varint(16, 0);
        info.varint(17, end_points).encode()
    };
    for (ask, op) in [(Op::Create, Op::CreateReply), (Op::Join, Op::JoinReply)] {
        for (size, end_points) in [(0, 1), (65, 1), (u32::MAX, 2), (3, 0), (3, 3), (64, u32::MAX)] {
            let (field, value, most) = match size {
                3 | 64 => (Field::EndPointCount, end_points, 2),
                _ => (Field::ClusterMaxSize, size, 64),
            };
            let error = bad(MessageError::OutOfRange { field, value, most });
            client_refuses(ask, &info(op, size.into(), end_points.into()), &error);
        }
        for (dialect, size) in DIALECTS.into_iter().flat_map(|d| [(d, 1), (d, 64)]) {
            for end_points in [1, 2] {
                let (mut client, mut peer) = Scenario::client(dialect).asking(ask);
                feed(&mut client, &peer.seal(&info(op, size, end_points)));
                let told = client.poll_event();
                assert!(matches!(told, Ok(Some(ClientEvent::Reply { .. }))), "{told:?}");
            }
        }
    }
}

// Output that nobody would write was kept, so a failed session was never finished.
#[test]
fn a_client_that_fails_has_nothing_more_to_say() {
    for dialect in DIALECTS {
        let failed = |client: &mut Session<_>, error: Error| {
            assert!(!client.output().is_empty());
            assert_eq!(client.poll_event(), Err(error));
            assert_eq!((client.output(), client.poll_timeout()), (&[][..], None));
            assert!(client.is_finished());
        };
        let waiting = || {
            let (mut client, peer) = Scenario::client(dialect).open();
            client.register(NOW, token()).unwrap();
            (client, peer)
        };
        let (mut client, mut peer) = waiting();
        feed(&mut client, &peer.seal(&Msg::op(Op::Ack).encode()));
        let expected = Some(Op::MemberOk);
        failed(&mut client, Error::UnexpectedReply { expected, got: Op::Ack });

        let (mut client, mut peer) = waiting();
        feed(&mut client, &peer.seal_blocks(&[0; 16]));
        failed(&mut client, Error::BadRecord);

        let (mut client, _) = waiting();
        client.receive_eof(NOW);
        failed(&mut client, Error::Eof(EofAt::Reply));

        let (mut client, _) = waiting();
        client.handle_timeout(after(NOW, Limits::client().idle_time));
        failed(&mut client, Error::Timeout(TimerKind::Idle));
    }
}

// The counterpart of the test above: replies that a registry has given are still sent.
#[test]
fn a_server_that_fails_still_sends_its_replies_and_then_the_error() {
    for dialect in DIALECTS {
        for answered_late in [false, true] {
            let (mut server, mut peer) = Scenario::server(dialect).registered();
            let credential = Reply::RegCred(scenario::registry().credential().clone());
            let ask = Msg::op(Op::RegCredRequest).encode();
            let flight = [peer.seal(&ask), peer.seal(&ask), peer.seal(&member().encode())];
            feed(&mut server, &flight.concat());
            let mut lengths = vec![0];
            let mut reply = |server: &mut Session<Server>, id| {
                server.reply(NOW, id, &credential).unwrap();
                lengths.push(server.output().len());
            };
            let (first, _) = next_request(&mut server);
            if !answered_late {
                reply(&mut server, first);
            }
            let (second, _) = next_request(&mut server);
            if answered_late {
                assert!(server.poll_event().unwrap().is_none(), "not told before its turn");
                reply(&mut server, first);
            }
            reply(&mut server, second);
            assert_eq!(server.poll_event().unwrap_err(), Error::WrongState(Op::Member));
            assert!(!server.is_finished());
            let output = drain(&mut server);
            lengths.push(output.len());
            let told: Vec<_> = lengths
                .windows(2)
                .map(|end_points| Msg::decode(&peer.open(&output[end_points[0]..end_points[1]])))
                .collect();
            assert_eq!(told[0].get(1), Msg::op(Op::RegCredReply).get(1));
            assert_eq!(told[1..], [told[0].clone(), Msg::error(Refusal::WrongState)]);
            assert!(server.is_finished());
        }
    }
}

/// A server with a Hello of these bytes that was handed out, for keys elsewhere.
fn greeted(hello: &[u8]) -> Session<Server> {
    let limits = Limits::server();
    let config = ServerConfig { hello_len: hello.len(), version: Version::REFERENCE, limits };
    let mut server = Session::<Server>::new(NOW, config, Seeded::new(5));
    feed(&mut server, hello);
    server
}

fn sealed(server: &mut Session<Server>) -> SealedHello {
    let Ok(Some(ServerEvent::Hello(sealed))) = server.poll_event() else { panic!("no Hello") };
    sealed
}

// A Hello that was not opened with a `&dyn Open` could not be given back to the session.
#[test]
fn a_hello_opened_elsewhere_is_as_good_as_one_opened_here() {
    for (dialect, hello) in DIALECTS.into_iter().zip([vec![0x33; 44], vec![0x33; 60]]) {
        let replies = [true, false].map(|elsewhere| {
            let mut server = greeted(&hello);
            let sealed = sealed(&mut server);
            assert_eq!(sealed.ciphertext(), hello);
            let opened = match elsewhere {
                true => OpenedHello::from_plaintext(Some(sealed.ciphertext())),
                false => sealed.open(&NoRsa, &mut Seeded::new(6)),
            };
            server.open_hello(NOW, opened).unwrap();
            assert_eq!(server.dialect(), Some(dialect));
            let reply = drain(&mut server);
            let mut peer = Peer::of_reply(dialect, &hello, &reply);
            feed(&mut server, &peer.seal(&member().encode()));
            assert_eq!(next_request(&mut server).1, Request::Member(token()));
            reply
        });
        assert_eq!(replies[0], replies[1]);
    }
    let wrong = [0, 1, 43, 45, 59, 61, 256].map(|len| Some(vec![0x33; len]));
    for plaintext in wrong.into_iter().chain([None]) {
        let mut server = greeted(&[0x33; 256]);
        sealed(&mut server);
        let opened = OpenedHello::from_plaintext(plaintext.as_deref());
        server.open_hello(NOW, opened).unwrap();
        assert_eq!(server.poll_event().unwrap_err(), Error::Handshake);
        assert!(server.output().is_empty() && server.is_finished());
    }
}

// Reading took a time that grew with the square of the claimed length: minutes for a megabyte.
#[test]
fn a_private_key_longer_than_any_is_not_parsed() {
    let pem = KEYS.comms[0].to_pem().unwrap();
    let spaces = |n| " ".repeat(n) + pem.expose();
    assert!(CommsKeyPair::from_pem(spaces(60_000)).is_ok());
    assert_eq!(CommsKeyPair::from_pem(spaces(70_000)).err(), Some(KeyPairError::TooLong));
    // The decoded bytes have a limit of their own.
    let base64 = format!("-----BEGIN PRIVATE KEY-----\n{}", "AAAA".repeat(6_000));
    let base64 = format!("{base64}\n-----END PRIVATE KEY-----\n");
    assert_eq!(CommsKeyPair::from_pem(base64).err(), Some(KeyPairError::TooLong));
    // And so have the parsed bytes.
    let zeros = format!("-----BEGIN PRIVATE KEY-----\n{}", "AAAA".repeat(4_000));
    let zeros = format!("{zeros}\n-----END PRIVATE KEY-----\n");
    let damaged = KeyPairError::Encoding(KeyForm::Pkcs8);
    assert_eq!(CommsKeyPair::from_pem(zeros).err(), Some(damaged));
}
