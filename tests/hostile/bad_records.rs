//! Every captured record and handshake message, damaged in every byte and cut at every byte: never
//! a panic, one error for our caller, and only silence or an Error record for the peer.
//!
//! Records have no MAC. With CBC one flipped byte garbles a block and flips a byte in the next one.
//! If both are inside the value of a `bytes` field, or in the IV of a prefixed record, the message
//! still decodes. So a flip may give an event. The deployed wire allows no better.

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

/// The values that a flip gives a byte: each bit, and many mixes.
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

/// The steps of one side without the handshake, with their places.
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

/// The records that must come before step `at`. A chained record needs all records before it. A
/// prefixed record needs only the first, which registers the client.
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

/// A registry's session that waits for step `at`, after it has answered all before, and the raw
/// client. The Hello has no RSA, which would be too slow for a session per flip.
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

/// A client's session that waits for step `at`, after it has sent the request.
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

/// A client's session that waits for its HelloReply. Its Hello has no RSA.
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

/// Polls until there is nothing more, which must be soon. Gives the end and the number of events.
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

/// The ends of damaged records.
#[derive(Debug, Default)]
struct Tally {
    errors: usize,
    events: usize,
    /// A length has grown, and the record is not complete.
    waiting: usize,
}

impl Tally {
    /// Feeds a damaged record and notes its end. If the session waits, the input ends.
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

    /// All three ends occurred, because otherwise the flips would not do what they should.
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

/// RSA-OAEP notices damage: no damaged Hello opens, and the client gets no answer.
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

/// A plaintext with another length than the two legal ones is not a Hello.
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

/// A HelloReply is only encrypted with CBC. The padding and, in the chained dialect, the echoed
/// salt1 show a flip. The key, the other salt and the version have no proof.
#[test]
fn a_damaged_hello_reply_fails_the_handshake_where_it_can_be_seen() {
    for capture in captures::all() {
        // From here on a flip changes the padding or salt1, in the block itself or through the
        // block before it.
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

/// After a cut and an end of input, the machine has waited, and then names the place of the end.
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
