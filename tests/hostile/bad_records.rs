//! Every captured record and handshake message, damaged in every byte and cut at every byte: never
//! a panic, one error for our caller, and nothing for the peer but silence or an Error record.
//!
//! Records have no MAC: CBC turns one flipped byte into a garbled block and one flipped byte in the
//! next, and where both lie inside the value of a `bytes` field, or in the IV of a prefixed record,
//! the message still decodes. So a flip may give an event; the wire as it is deployed allows no
//! more than that.

use xlreg::credential::Credential;
use xlreg::identity::{ClusterAttrs, NodeId};
use xlreg::message::{ClusterInfo, MemberList, MemberSet, Op, Refusal, Reply, Request};
use xlreg::session::{
    Client, ClientConfig, ClientEvent, Dialect, EofAt, Error, Limits, Machine, Server,
    ServerConfig, Session, State,
};
use xlreg_testkit::captures::{self, Capture, Captured, Step};
use xlreg_testkit::scenario::{
    self, DIALECTS, Msg, NOW, NoRsa, Peer, Scenario, drain, feed, next_request,
};
use xlreg_testkit::{KEYS, Script, Seeded};

/// What a flip turns a byte into: each bit and many mixes get their turn.
fn flip(at: usize) -> u8 {
    match at % 3 {
        0 => 1 << (at / 3 % 8),
        1 => (at * 37 % 255 + 1) as u8,
        _ => 0xff,
    }
}

fn damaged(wire: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = wire.to_vec();
    bytes[at] ^= flip(at);
    bytes
}

/// The steps of one side, the handshake's left out, with their places.
fn records(session: &Captured, from_client: bool) -> impl Iterator<Item = (usize, &Step)> {
    let steps = session.steps.iter().enumerate().skip(2);
    steps.filter(move |(_, step)| step.from_client == from_client)
}

/// Every byte of every captured record of one side: its capture, session, step and place.
fn each_byte(from_client: bool, mut test: impl FnMut(&Capture, &Captured, usize, usize)) {
    for capture in captures::all() {
        for session in &capture.sessions {
            for (place, step) in records(session, from_client) {
                (0..step.wire.len()).for_each(|at| test(&capture, session, place, at));
            }
        }
    }
}

/// The records that must come before step `at` for it to be understood. A chained record needs all
/// before it; a prefixed one only the first, by which a client registers.
fn before<'a>(capture: &Capture, session: &'a Captured, at: usize) -> Vec<&'a Step> {
    let from_client = session.steps[at].from_client;
    let steps = records(session, from_client).take_while(|(place, _)| *place < at);
    let needed = if capture.dialect == Dialect::Chained { usize::MAX } else { 1 };
    steps.take(needed).map(|(_, step)| step).collect()
}

fn answer(request: &Request) -> Reply {
    let id = NodeId::from_bytes(&[1; 20]).unwrap();
    let info = ClusterInfo { id, max_size: 3, attrs: ClusterAttrs::NONE, end_point_count: 1 };
    match request {
        Request::Member(token) => Reply::MemberOk { id, attrs: token.attrs },
        Request::Create(_) => Reply::Create(info),
        Request::Join(_) => Reply::Join(info),
        Request::GetCluster(_) => {
            Reply::Members(MemberList::new(id, MemberSet::NONE, vec![]).unwrap())
        }
        other => panic!("{other:?} comes last"),
    }
}

/// A registry's session about to get step `at`, all before it answered, and the raw client's view
/// of it. The Hello is not under RSA, which would be too slow for a session per flip.
fn server_at(capture: &Capture, session: &Captured, at: usize) -> (Session<Server>, Peer) {
    let hello = &session.steps[0].plain;
    let (version, limits) = (session.server_version, Limits::server());
    let config = ServerConfig { hello_len: hello.len(), version, limits };
    let draws = Script::new(session.server_draws.clone());
    let mut server = Session::<Server>::new(NOW, config, draws);
    let reply = scenario::open_hello(&mut server, hello, &NoRsa);
    assert_eq!(reply, session.steps[1].wire);
    let mut peer = Peer::of_reply(capture.dialect, hello, &reply);
    for step in before(capture, session, at) {
        feed(&mut server, &step.wire);
        let (id, request) = next_request(&mut server);
        server.reply(NOW, id, &answer(&request)).unwrap();
        peer.open(&drain(&mut server));
    }
    (server, peer)
}

fn op(step: &Step) -> Op {
    Op::from_tag(step.plain[1].into()).unwrap()
}

/// A client's session about to get step `at`, which it has asked for.
fn client_at(capture: &Capture, session: &Captured, at: usize) -> Session<Client> {
    let mut client = connecting(capture, session);
    assert_eq!(drain(&mut client), session.steps[0].plain);
    feed(&mut client, &session.steps[1].wire);
    assert!(matches!(client.poll_event(), Ok(Some(ClientEvent::Connected { .. }))));
    let due = before(capture, session, at).into_iter().chain([&session.steps[at]]);
    let asked: Vec<Op> =
        (1..=13).filter_map(Op::from_tag).filter(|op| op.answer().is_some()).collect();
    for step in due.clone() {
        let ask = asked.iter().find(|ask| ask.answer() == Some(op(step))).unwrap();
        scenario::ask_for(&mut client, *ask);
    }
    drain(&mut client);
    for step in before(capture, session, at) {
        feed(&mut client, &step.wire);
        assert!(matches!(client.poll_event(), Ok(Some(ClientEvent::Reply { .. }))));
    }
    client
}

/// A client's session that waits for its HelloReply; its Hello is not under RSA.
fn connecting(capture: &Capture, session: &Captured) -> Session<Client> {
    let credential: Credential = capture.regcred.parse().unwrap();
    let config = ClientConfig {
        version: session.client_version,
        provider: &NoRsa,
        limits: Limits { in_flight: 100, ..Limits::client() },
        ..ClientConfig::new(&credential)
    };
    Session::<Client>::new(NOW, config, Script::new(session.client_draws.clone())).unwrap()
}

/// Polls until there is nothing more, which must be soon, and says how it ended and how many events
/// there were.
fn exhaust<M: Machine>(machine: &mut M) -> (usize, Option<M::Error>) {
    for events in 0..100 {
        match machine.poll_event() {
            Ok(None) => return (events, None),
            Ok(Some(_)) => {}
            Err(error) => return (events, Some(error)),
        }
    }
    panic!("no end of events");
}

/// How damaged records ended.
#[derive(Debug, Default)]
struct Tally {
    errors: usize,
    events: usize,
    /// A length that has grown: the record is not complete.
    waiting: usize,
}

impl Tally {
    /// Feeds a damaged record, sees what comes of it, and what comes of the end of the input if it
    /// is waited for.
    fn feed<M: Machine<Error = Error>>(&mut self, machine: &mut M, wire: &[u8]) -> Option<Error> {
        feed(machine, wire);
        let (events, error) = exhaust(machine);
        match (&error, events) {
            (Some(error), _) => {
                self.errors += 1;
                assert!(!matches!(error, Error::Internal(_) | Error::Eof(_)), "{error:?}");
                assert_eq!(machine.poll_event().err().as_ref(), Some(error), "sticky");
                assert_eq!(machine.receive(NOW, wire), 0);
            }
            (None, 0) => {
                self.waiting += 1;
                assert!(machine.output().is_empty());
                machine.receive_eof(NOW);
                assert_eq!(exhaust(machine), (0, Some(Error::Eof(EofAt::Record))));
            }
            _ => self.events += 1,
        }
        error
    }

    /// All three ways were met, else the flips do not do what they should.
    fn check(&self) {
        println!("{self:?}");
        assert!(self.errors > 0 && self.events > 0 && self.waiting > 0, "{self:?}");
    }
}

#[test]
fn a_damaged_request_is_an_error_or_another_request() {
    let mut tally = Tally::default();
    each_byte(true, |capture, session, place, at| {
        let (mut server, mut peer) = server_at(capture, session, place);
        let error = tally.feed(&mut server, &damaged(&session.steps[place].wire, at));
        let output = drain(&mut server);
        let proper = matches!(error, Some(Error::BadMessage(_) | Error::WrongState(_)));
        assert_eq!(!output.is_empty(), proper, "byte {at}: {error:?}");
        if proper {
            let told = Msg::decode(&peer.open(&output));
            assert!(Refusal::ALL.iter().any(|refusal| told == Msg::error(*refusal)));
        }
    });
    tally.check();
}

#[test]
fn a_damaged_reply_is_an_error_or_another_reply() {
    let mut tally = Tally::default();
    each_byte(false, |capture, session, place, at| {
        let mut client = client_at(capture, session, place);
        tally.feed(&mut client, &damaged(&session.steps[place].wire, at));
        assert!(client.output().is_empty());
    });
    tally.check();
}

/// RSA-OAEP knows: no damaged Hello opens, and the client is told nothing.
#[test]
fn a_damaged_hello_fails_the_handshake_silently() {
    for capture in captures::all() {
        let hello = &capture.sessions[0].steps[0].wire;
        for at in 0..hello.len() {
            let config = ServerConfig::new(capture.server.comms.public_key());
            let mut server = Session::<Server>::new(NOW, config, Seeded::new(3));
            let reply =
                scenario::open_hello(&mut server, &damaged(hello, at), &capture.server.comms);
            assert!(reply.is_empty(), "byte {at}");
            assert_eq!(server.poll_event().err(), Some(Error::Handshake), "byte {at}");
            assert_eq!((server.state(), server.output()), (State::Closed, &[][..]));
        }
    }
}

/// A Hello that opens to something else than one of the two lengths is no Hello.
#[test]
fn a_hello_of_another_length_fails_the_handshake_silently() {
    for len in (0..=86).filter(|len| ![44, 60].contains(len)) {
        let key = KEYS.comms[0].clone();
        let sealed = key.public_key().seal(&vec![1; len], &mut Seeded::new(4)).unwrap();
        let mut server =
            Session::<Server>::new(NOW, ServerConfig::new(key.public_key()), Seeded::new(3));
        assert!(scenario::open_hello(&mut server, &sealed, &key).is_empty());
        assert_eq!(server.poll_event().err(), Some(Error::Handshake), "{len} bytes");
        assert!(server.is_finished());
    }
}

/// A HelloReply is under CBC alone. What shows a flip is the padding and, chained, the echoed
/// salt1; the key, the other salt and the version carry no proof.
#[test]
fn a_damaged_hello_reply_fails_the_handshake_where_it_can_be_seen() {
    for capture in captures::all() {
        // From where on a flip reaches the padding or salt1, in the block itself or as the block
        // before it.
        let (shown, rest) = match capture.dialect {
            Dialect::Prefixed => (44..64, 0..44),
            Dialect::Chained => (40..80, 0..40),
        };
        for session in &capture.sessions {
            let reply = &session.steps[1].wire;
            let outcome = |at| {
                let mut client = connecting(&capture, session);
                drain(&mut client);
                feed(&mut client, &damaged(reply, at));
                let outcome = client.poll_event();
                assert!(client.output().is_empty());
                outcome
            };
            for at in shown.clone() {
                assert_eq!(outcome(at), Err(Error::Handshake), "byte {at}");
            }
            for at in rest.clone() {
                assert!(
                    matches!(outcome(at), Ok(Some(ClientEvent::Connected { .. }))),
                    "byte {at}"
                );
            }
        }
    }
}

/// Cut anywhere and closed: the machine waits, and then names the place where the end has come.
fn check_eof<M: Machine<Error = Error>>(mut machine: M, wire: &[u8], at: EofAt) {
    feed(&mut machine, wire);
    assert_eq!(exhaust(&mut machine), (0, None), "{} bytes are not enough", wire.len());
    assert!(machine.output().is_empty());
    machine.receive_eof(NOW);
    assert_eq!(machine.recv_room(), 0);
    assert_eq!(exhaust(&mut machine), (0, Some(Error::Eof(at))), "after {} bytes", wire.len());
    assert!(machine.output().is_empty() && machine.is_finished());
}

#[test]
fn a_handshake_cut_anywhere_is_an_end_in_the_handshake() {
    for capture in captures::all() {
        let session = &capture.sessions[0];
        let [hello, reply] = [0, 1].map(|place| &session.steps[place].wire);
        for cut in 0..hello.len() {
            let config = ServerConfig::new(capture.server.comms.public_key());
            let server = Session::<Server>::new(NOW, config, Seeded::new(3));
            check_eof(server, &hello[..cut], EofAt::Handshake);
        }
        for cut in 0..reply.len() {
            let mut client = connecting(&capture, session);
            drain(&mut client);
            check_eof(client, &reply[..cut], EofAt::Handshake);
        }
    }
}

#[test]
fn a_record_cut_anywhere_is_an_end_inside_it_or_before_it() {
    let inside = |cut, before| if cut == 0 { before } else { EofAt::Record };
    each_byte(true, |capture, session, place, cut| {
        let (server, _) = server_at(capture, session, place);
        check_eof(server, &session.steps[place].wire[..cut], inside(cut, EofAt::Idle));
    });
    each_byte(false, |capture, session, place, cut| {
        let client = client_at(capture, session, place);
        check_eof(client, &session.steps[place].wire[..cut], inside(cut, EofAt::Reply));
    });
}

#[test]
fn an_end_with_nothing_due_is_an_end_without_a_bye() {
    for dialect in DIALECTS {
        check_eof(Scenario::client(dialect).open().0, &[], EofAt::Idle);
        check_eof(Scenario::server(dialect).open().0, &[], EofAt::Idle);
    }
}
