//! One failure for all faults: the peer sees the same close, byte for byte, and our caller gets the
//! same opaque error. So nobody learns which part of a decryption went wrong.
//!
//! The tests make every kind of damage, and compare all that is visible of the session from
//! outside, within these classes:
//!
//! | Class | Role | What is wrong | What comes of it |
//! | --- | --- | --- | --- |
//! | Hello | registry | a Hello that does not open, or opens to something else than a Hello | silence, `Handshake` |
//! | HelloReply | client | padding, key, salt1 or all of it | silence, `Handshake` |
//! | cut handshake | both | the peer closes before its part is there | silence, `Eof(Handshake)` |
//! | record | both | whatever is no message: padding, lengths, sizes, protobuf, another key | silence, `BadRecord` |
//! | no end | both | whatever may still become a message | nothing, then `Eof(Record)` or `Timeout(Idle)` |
//!
//! The classes themselves can be told apart. The session waits for a record with a plaintext that
//! may still become a message. It closes at once for one that cannot. It answers a legal message
//! that breaks a rule with an Error that names the reason (PROTOCOL 2, 4.1). docs/bounds.md, "What
//! a peer can tell", says what an attacker gains by that.

mod counted;
mod hellos;
mod records;

use std::fmt::Debug;

use counted::Counted;
use hellos::{bad_hellos, oaep, registry_key};
use rand_core::Rng;
use records::{no_ends, no_messages};
use xlreg::identity::Version;
use xlreg::message::{Op, Refusal};
use xlreg::session::{
    Client, ClientConfig, Dialect, EofAt, Error, Limits, OpenedHello, RequestId, Role, SealedHello,
    Server, ServerConfig, ServerEvent, Session, TimerKind,
};
use xlreg_testkit::scenario::{
    self, DIALECTS, Msg, NOW, NoRsa, Peer, Scenario, member, next_request,
};
use xlreg_testkit::{Seeded, captures, identity, providers};

// The visible behaviour.

/// All that is visible of a session without changing it.
fn seen<R: Role>(session: &Session<R>) -> String {
    format!(
        "output {:02x?}, {:?}, finished {}, due {:?}, room {}, {:?} {:?}",
        session.output(),
        session.state(),
        session.is_finished(),
        session.poll_timeout(),
        session.recv_room(),
        session.dialect(),
        session.peer_version(),
    )
}

/// The result of a poll, with an error in all its forms.
fn told<R: Role>(session: &mut Session<R>) -> String
where
    R::Event: Debug,
{
    match session.poll_event() {
        Ok(event) => format!("{event:?}"),
        Err(error) => {
            format!("{error:?} {error:#?} {error} {:?}", std::error::Error::source(&error))
        }
    }
}

/// All that is visible from the moment a session has bad input to its end and beyond: it is polled
/// twice, gets more input, the time and the end, and its output is taken.
fn ending<R: Role>(session: &mut Session<R>) -> Vec<String>
where
    R::Event: Debug,
{
    let later = NOW.saturating_add(Limits::server().idle_time);
    let before = session.output().to_vec();
    let mut trace = vec![told(session)];
    // Nothing is sent: waiting output stays as it was, or is dropped.
    assert!(session.output().is_empty() || session.output() == before);
    trace.extend([seen(session), format!("{session:?}"), told(session)]);
    trace.push(format!("takes {}", session.receive(NOW, &[0x2a; 100])));
    session.receive_eof(NOW);
    trace.extend([told(session), seen(session)]);
    session.handle_timeout(later);
    trace.extend([told(session), seen(session)]);
    session.consume_output(usize::MAX);
    trace.extend([told(session), seen(session), format!("{session:?}")]);
    trace
}

/// Checks that all kinds of a class show the same behaviour, and this error.
fn assert_uniform(class: &str, error: &Error, traces: Vec<(String, Vec<String>)>) {
    let (first, reference) = &traces[0];
    let shown = format!("{error:?} {error:#?} {error} None");
    assert!(reference.contains(&shown), "{class}: {first}: {shown} in {reference:#?}");
    for (kind, trace) in &traces {
        assert_eq!(trace, reference, "{class}: '{kind}' differs from '{first}'");
    }
    println!("{class}: {} kinds, {error:?}", traces.len());
}

// Hellos.

/// A registry's session that has got these bytes as a Hello, opened in this way.
fn hello_trace(
    sealed: &[u8],
    open: impl FnOnce(SealedHello) -> OpenedHello,
    behind: &[u8],
) -> Vec<String> {
    let rng = Counted::new(1);
    let config = ServerConfig::new(registry_key().public_key());
    let mut server = Session::<Server>::new(NOW, config, rng.clone());
    server.receive(NOW, sealed);
    let mut trace = vec![seen(&server)];
    let Ok(Some(ServerEvent::Hello(hello))) = server.poll_event() else { panic!("no Hello") };
    trace.push(format!("{hello:?}, takes {}", server.receive(NOW, behind)));
    let opened = open(hello);
    trace.push(format!("{opened:?}"));
    trace.push(format!("{:?}", server.open_hello(NOW, opened)));
    trace.push(seen(&server));
    trace.extend(ending(&mut server));
    trace.push(format!("{:?}", server.reject(NOW, &Refusal::WrongState.into())));
    assert_eq!(rng.drawn() > 0, trace.iter().any(|seen| seen.contains("Open, finished false")));
    trace
}

#[test]
fn a_hello_fails_in_one_way_whatever_is_wrong_with_it() {
    let kinds = bad_hellos();
    let (_, zero) = &kinds[0];
    let behind = [&zero[..], &[7; 999]].concat();
    let mut traces = Vec::new();
    for provider in providers() {
        let key = registry_key().to_pkcs8_der().unwrap();
        let opener = provider.opener(key.expose()).unwrap();
        let open = |hello: SealedHello| hello.open(&*opener, &mut Seeded::new(2));
        // The encoding made by hand is right, unless it is made wrong on purpose.
        let good = hello_trace(&oaep(&[0x33; 44], |_| (), |_| ()), open, &[]);
        assert!(good.iter().any(|seen| seen.contains("Open, finished false")), "{good:#?}");
        let mut add =
            |kind: &str, trace| traces.push((format!("{}: {kind}", provider.name()), trace));
        for (kind, sealed) in &kinds {
            add(kind, hello_trace(sealed, open, &[]));
        }
        // Bytes after a Hello are not taken before it is opened.
        add("more behind", hello_trace(&behind, open, &[]));
        add("more behind, later", hello_trace(zero, open, &[7; 999]));
    }
    // Keys elsewhere, and their results.
    let vault =
        |plain: Option<&[u8]>| hello_trace(zero, |_| OpenedHello::from_plaintext(plain), &[]);
    traces.push(("not opened elsewhere".into(), vault(None)));
    for len in [0, 43, 45, 59, 61, 4096] {
        traces.push((format!("{len} bytes from elsewhere"), vault(Some(&vec![1; len]))));
    }
    assert_uniform("Hello", &Error::Handshake, traces);
}

/// RFC 8017 requires an encoding to start with zero, and later guidance requires that nobody can
/// see whether it does, because of Manger's attack. A Hello with another start cannot be told
/// apart: it opens like a good one, or fails like all others.
#[test]
fn the_first_byte_of_an_encoding_is_never_told() {
    let starting_with = |first| oaep(&[0x33; 44], |_| (), |all| all[0] = first);
    for provider in providers() {
        let key = registry_key().to_pkcs8_der().unwrap();
        let opener = provider.opener(key.expose()).unwrap();
        let trace = |sealed: &[u8]| {
            hello_trace(sealed, |hello| hello.open(&*opener, &mut Seeded::new(2)), &[])
        };
        let expected = match provider.name() {
            "rsa" => trace(&starting_with(0)),
            _ => trace(&[0; 256]),
        };
        for first in [1, 2, 0x40, 0x7f] {
            assert_eq!(trace(&starting_with(first)), expected, "{}: {first}", provider.name());
        }
    }
}

/// A caller that refuses to open a Hello ends the session in the same way, as the client sees it.
#[test]
fn a_hello_that_is_refused_looks_like_one_that_does_not_open() {
    let end = |refuse: bool| {
        let config = ServerConfig::new(registry_key().public_key());
        let mut server = Session::<Server>::new(NOW, config, Seeded::new(1));
        server.receive(NOW, &[0; 256]);
        let Ok(Some(ServerEvent::Hello(hello))) = server.poll_event() else { panic!("no Hello") };
        match refuse {
            true => server.reject(NOW, &Refusal::Unavailable.into()).unwrap(),
            false => {
                let opened = hello.open(registry_key(), &mut Seeded::new(2));
                server.open_hello(NOW, opened).unwrap();
            }
        }
        assert_eq!(server.poll_event().is_err(), !refuse, "the caller knows which");
        seen(&server)
    };
    assert_eq!(end(true), end(false));
}

// HelloReplies.

/// A client's session that waits for its HelloReply, and its Hello.
fn connecting(dialect: Dialect, rng: Counted) -> (Session<Client>, Vec<u8>) {
    let registry_key = identity("registry", 0).comms.public_key().clone();
    let (version, limits) = (Version::ZERO, Limits::client());
    let config = ClientConfig { registry_key, dialect, version, limits, provider: &NoRsa };
    let mut client = Session::<Client>::new(NOW, config, rng).unwrap();
    let hello = scenario::drain(&mut client);
    (client, hello)
}

fn reply_trace(dialect: Dialect, reply: &[u8]) -> Vec<String> {
    let rng = Counted::new(3);
    let (mut client, _) = connecting(dialect, rng.clone());
    client.receive(NOW, reply);
    let mut trace = ending(&mut client);
    trace.push(format!("{:?}", client.bye(NOW)));
    trace.push(format!("{} bytes drawn", rng.drawn()));
    trace
}

/// All ways in which a HelloReply is illegal.
fn bad_replies(dialect: Dialect) -> Vec<(String, Vec<u8>)> {
    let (_, hello) = connecting(dialect, Counted::new(3));
    let (_, good) = Peer::answering(dialect, &hello, Version::REFERENCE);
    // A flip in a block of ciphertext shows in the block after it.
    let (padding, salt) = match dialect {
        Dialect::Prefixed => (44..48, 0..0),
        // salt1 and the version are in the fourth block, and the padding is in the fifth.
        Dialect::Chained => (52..64, 40..48),
    };
    let mut kinds = Vec::new();
    for at in padding.clone().chain(salt) {
        let what = if padding.contains(&at) { "padding" } else { "salt1" };
        for bit in 0..8 {
            let mut reply = good.clone();
            reply[at] ^= 1 << bit;
            kinds.push((format!("{what}: byte {at}, bit {bit}"), reply));
        }
    }
    let mut other_hello = hello.clone();
    other_hello.iter_mut().for_each(|byte| *byte ^= 1);
    kinds.push(("another key".into(), Peer::answering(dialect, &other_hello, Version::ZERO).1));
    kinds.push(("all zeros".into(), vec![0; good.len()]));
    kinds.push(("its Hello sent back".into(), hello.repeat(2)[..good.len()].to_vec()));
    kinds.push(("blocks in reverse".into(), good.chunks(16).rev().flatten().copied().collect()));
    kinds.push(("more behind it".into(), [&vec![0; good.len()][..], &[1; 500]].concat()));
    for n in 0..64 {
        let mut noise = vec![0; good.len()];
        Seeded::new(n).fill_bytes(&mut noise);
        kinds.push((format!("noise {n}"), noise));
    }
    for capture in captures::all().iter().filter(|capture| capture.dialect == dialect) {
        for session in &capture.sessions {
            kinds.push(("of another session".into(), session.steps[1].wire.clone()));
        }
    }
    kinds
}

#[test]
fn a_hello_reply_fails_in_one_way_whatever_is_wrong_with_it() {
    let traces = DIALECTS.into_iter().flat_map(|dialect| {
        let drawn = if dialect == Dialect::Chained { 16 } else { 0 };
        bad_replies(dialect).into_iter().map(move |(kind, reply)| {
            let mut trace = reply_trace(dialect, &reply);
            // The one difference between the dialects: iv1 is drawn for the Hello.
            let draws = trace.pop().unwrap();
            assert_eq!(draws, format!("{} bytes drawn", 40 + drawn));
            (format!("{dialect}: {kind}"), trace)
        })
    });
    assert_uniform("HelloReply", &Error::Handshake, traces.collect());
}

#[test]
fn a_handshake_that_is_cut_fails_in_one_way_wherever_it_is_cut() {
    let (_, good_hello) = &bad_hellos()[4];
    let server = |cut: usize| {
        let config = ServerConfig::new(registry_key().public_key());
        let mut server = Session::<Server>::new(NOW, config, Seeded::new(1));
        server.receive(NOW, &good_hello[..cut]);
        server.receive_eof(NOW);
        (format!("registry: {cut} bytes"), ending(&mut server))
    };
    let client = |dialect, cut: usize| {
        let (mut client, hello) = connecting(dialect, Counted::new(3));
        client.receive(NOW, &Peer::answering(dialect, &hello, Version::ZERO).1[..cut]);
        client.receive_eof(NOW);
        (format!("client, {dialect}: {cut} bytes"), ending(&mut client))
    };
    let mut traces: Vec<_> = (0..256).map(server).collect();
    traces.extend((0..64).map(|cut| client(Dialect::Prefixed, cut)));
    traces.extend((0..80).map(|cut| client(Dialect::Chained, cut)));
    assert_uniform("cut handshake", &Error::Eof(EofAt::Handshake), traces);
}

// Records.

/// The place in the conversation where a session gets bad input.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Right after the handshake.
    New,
    /// After a request and its reply.
    Known,
    /// Behind a request that is not answered.
    Behind,
}

const PLACES: [Place; 3] = [Place::New, Place::Known, Place::Behind];

/// A registry's session at this place, bad input of a record's length, and the request that it must
/// answer.
fn server_gets(
    dialect: Dialect,
    place: Place,
    make: impl FnOnce(&mut Peer) -> Vec<u8>,
) -> (Session<Server>, Option<RequestId>) {
    let (mut server, mut peer) = match place {
        Place::New => Scenario::server(dialect).open(),
        Place::Known | Place::Behind => Scenario::server(dialect).registered(),
    };
    if !matches!(place, Place::Behind) {
        server.receive(NOW, &make(&mut peer));
        return (server, None);
    }
    server.receive(NOW, &peer.seal(&scenario::create().encode()));
    let (id, _) = next_request(&mut server);
    server.receive(NOW, &make(&mut peer));
    (server, Some(id))
}

/// The visible behaviour. A request before the bad input is answered first.
fn server_trace((mut server, owed): (Session<Server>, Option<RequestId>)) -> Vec<String> {
    let mut trace = Vec::new();
    if let Some(id) = owed {
        trace.extend([told(&mut server), seen(&server)]);
        let reply = xlreg::message::Reply::Create(xlreg_testkit::pair::info(
            xlreg_testkit::pair::id(3),
            &xlreg_testkit::pair::cluster("c", 3, 1),
        ));
        trace.push(format!("{:?}", server.reply(NOW, id, &reply)));
        trace.push(seen(&server));
    }
    trace.extend(ending(&mut server));
    trace
}

fn client_gets(
    dialect: Dialect,
    ask: Op,
    make: impl FnOnce(&mut Peer) -> Vec<u8>,
) -> Session<Client> {
    let (mut client, mut peer) = Scenario::client(dialect).asking(ask);
    client.receive(NOW, &make(&mut peer));
    client
}

#[test]
fn a_record_fails_in_one_way_whatever_is_wrong_with_it() {
    for dialect in DIALECTS {
        for place in PLACES {
            let traces = no_messages(Limits::server().record).into_iter().map(|(kind, blocks)| {
                let server = server_gets(dialect, place, |peer| peer.seal_blocks(&blocks));
                (kind, server_trace(server))
            });
            let class = format!("record, registry, {dialect}, {place:?}");
            assert_uniform(&class, &Error::BadRecord, traces.collect());
        }
        for ask in [Op::Member, Op::GetCluster] {
            let mut traces = Vec::new();
            // With a waiting request, which will not be written, and without one.
            for unsent in [false, true] {
                for (kind, blocks) in no_messages(Limits::client().record) {
                    let mut client = client_gets(dialect, ask, |peer| peer.seal_blocks(&blocks));
                    if unsent {
                        client.registry_credential(NOW).unwrap();
                    }
                    traces.push((format!("{kind}, unsent: {unsent}"), ending(&mut client)));
                }
            }
            let class = format!("record, client, {dialect}, {ask}");
            assert_uniform(&class, &Error::BadRecord, traces);
        }
    }
}

/// The timeout or the end of input for a session that waits, and the visible behaviour until then.
fn waits<R: Role>(mut session: Session<R>, eof: bool) -> Vec<String>
where
    R::Event: Debug,
{
    assert_eq!(told(&mut session), "None");
    assert!(session.recv_room() > 0 && session.output().is_empty() && !session.is_finished());
    let mut trace = vec![format!("{:?}", session.poll_timeout())];
    match eof {
        true => session.receive_eof(NOW),
        false => session.handle_timeout(session.poll_timeout().unwrap().0),
    }
    trace.extend(ending(&mut session));
    trace
}

#[test]
fn a_record_without_an_end_fails_in_one_way_wherever_it_stops() {
    let timeout = Error::Timeout(TimerKind::Idle);
    for (eof, error) in [(true, Error::Eof(EofAt::Record)), (false, timeout)] {
        for dialect in DIALECTS {
            // Cut inside a block too: five bytes more, which are not a whole block.
            let kinds = |limit| {
                let whole = no_ends(limit).into_iter().map(|(kind, blocks)| (kind, blocks, 0));
                let cut =
                    whole.clone().map(|(kind, blocks, _)| (kind + ", and 5 bytes", blocks, 5));
                // An end between two records is not an end inside one.
                whole.chain(cut).filter(move |(_, blocks, more)| !eof || blocks.len() + more > 0)
            };
            let cut = |peer: &mut Peer, blocks: &[u8], more: usize| match blocks.is_empty() {
                true => vec![0x2a; more],
                false => [peer.seal_blocks(blocks), vec![0x2a; more]].concat(),
            };
            for place in [Place::New, Place::Known] {
                let traces = kinds(Limits::server().record).map(|(kind, blocks, more)| {
                    let server = server_gets(dialect, place, |peer| cut(peer, &blocks, more)).0;
                    (kind, waits(server, eof))
                });
                let class = format!("no end, registry, {dialect}, {place:?}");
                assert_uniform(&class, &error, traces.collect());
            }
            let traces = kinds(Limits::client().record).map(|(kind, blocks, more)| {
                let client = client_gets(dialect, Op::Member, |peer| cut(peer, &blocks, more));
                (kind, waits(client, eof))
            });
            assert_uniform(&format!("no end, client, {dialect}"), &error, traces.collect());
        }
    }
}

/// Padding that is not PKCS#7, after a message of every length modulo the block.
fn bad_paddings() -> Vec<(String, Vec<u8>)> {
    let rng = &mut Seeded::new(21);
    let mut kinds = Vec::new();
    for len in 0..16usize {
        let message = Msg::op(Op::Create).bytes(14, vec![b'n'; 20 + len]).encode();
        let n = 16 - message.len() % 16;
        let mut add = |kind: &str, padding: Vec<u8>| {
            let blocks = [&message[..], &padding].concat();
            kinds.push((format!("{kind} for {n} bytes"), blocks));
        };
        let good = vec![n as u8; n];
        for at in 0..n {
            for bit in 0..8 {
                let mut padding = good.clone();
                padding[at] ^= 1 << bit;
                add(&format!("byte {at}, bit {bit} off"), padding);
            }
        }
        add("zeros", vec![0; n]);
        add("zeros and a length", [vec![0; n - 1], vec![n as u8]].concat());
        add("a bit and zeros", [vec![0x80], vec![0; n - 1]].concat());
        for wrong in (1..=32).filter(|wrong| *wrong != n as u8) {
            add(&format!("{wrong}s"), vec![wrong; n]);
        }
        for _ in 0..8 {
            let mut noise = vec![0; n];
            rng.fill_bytes(&mut noise);
            noise[n - 1] = n as u8;
            add("noise and a length", noise);
        }
    }
    kinds.retain(|(_, blocks)| {
        // Bytes of one kind that are right for another length are left out.
        let n = usize::from(*blocks.last().unwrap());
        !(n <= 16 && blocks[blocks.len() - n..].iter().all(|byte| usize::from(*byte) == n))
    });
    kinds
}

/// A record that decrypts to noise: under another key, with exchanged blocks, or not encrypted.
fn noise(peer: &mut Peer, n: u64) -> Vec<u8> {
    let record = |peer: &mut Peer| peer.seal(&member().encode());
    match n % 3 {
        0 => {
            Seeded::new(n).fill_bytes(&mut peer.key2);
            record(peer)
        }
        1 => record(peer).chunks(16).rev().flatten().copied().collect(),
        _ => {
            let mut noise = vec![0; 1024];
            Seeded::new(n).fill_bytes(&mut noise);
            noise
        }
    }
}

/// Whether a session with bad input refuses it or waits, and the visible behaviour to its end;
/// `None` if it is a legal message by chance.
fn silence<R: Role>(mut session: Session<R>) -> Option<(bool, Vec<String>)>
where
    R::Event: Debug,
{
    match session.poll_event() {
        Err(Error::BadRecord) => Some((true, ending(&mut session))),
        Ok(None) => Some((false, waits(session, true))),
        Err(Error::BadMessage(_)) => None,
        other => panic!("{other:?}"),
    }
}

/// Some of it reads as fields without an end yet, and the session waits. There are two classes, and
/// nothing between them.
#[test]
fn bad_padding_and_other_keys_fail_as_any_other_record_does() {
    let paddings = bad_paddings();
    for dialect in DIALECTS {
        let (mut refused, mut waiting, mut by_chance) = (Vec::new(), Vec::new(), 0);
        let mut sort = |kind: String, seen: Option<(bool, Vec<String>)>| match seen {
            Some((true, trace)) => refused.push((kind, trace)),
            Some((false, trace)) => waiting.push((kind, trace)),
            None => {
                assert!(kind.starts_with("noise"), "{kind}");
                by_chance += 1;
            }
        };
        for (kind, blocks) in &paddings {
            let server = server_gets(dialect, Place::Known, |peer| peer.seal_blocks(blocks)).0;
            sort(kind.clone(), silence(server));
        }
        for n in 0..300 {
            let server = server_gets(dialect, Place::Known, |peer| noise(peer, n)).0;
            sort(format!("noise {n}"), silence(server));
        }
        assert!(by_chance < 10, "{by_chance} of 300 decrypt to a message");
        assert_uniform(&format!("padding, registry, {dialect}"), &Error::BadRecord, refused);
        let end = Error::Eof(EofAt::Record);
        assert_uniform(&format!("padding, registry, {dialect}, waiting"), &end, waiting);

        let (mut refused, mut waiting) = (Vec::new(), Vec::new());
        for (kind, blocks) in &paddings {
            let client = client_gets(dialect, Op::Member, |peer| peer.seal_blocks(blocks));
            match silence(client).unwrap() {
                (true, trace) => refused.push((kind.clone(), trace)),
                (false, trace) => waiting.push((kind.clone(), trace)),
            }
        }
        assert_uniform(&format!("padding, client, {dialect}"), &Error::BadRecord, refused);
        assert_uniform(&format!("padding, client, {dialect}, waiting"), &end, waiting);
    }
}
