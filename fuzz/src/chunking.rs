//! One stream of bytes, given to a session whole, byte by byte and in pieces. The session's events
//! and output do not depend on the division, and each event comes as soon as its last byte is
//! there.
//!
//! The acts of a caller may depend on events, and on a session that takes no more, but not on the
//! number of bytes given.
use std::collections::VecDeque;
use std::fmt::Debug;

use xlreg::identity::Version;
use xlreg::internals::{encode_reply, encode_request};
use xlreg::message::{Op, Request};
use xlreg::session::{
    Client, ClientConfig, ClientEvent, Dialect, EofAt, Error, Instant, Limits, Machine, RequestId,
    Role, Server, ServerConfig, ServerEvent, Session, State, TimerKind,
};
use xlreg_testkit::captures::credential;
use xlreg_testkit::pair::command;
use xlreg_testkit::peer::{Peer, hello};
use xlreg_testkit::{NoRsa, Seeded};

use crate::arbitrary::{dialect, limits, reply, request};
use crate::input::Input;

/// The longest stream. A longer one shows nothing new.
const MAX_STREAM: usize = 4096;

/// A script: the dialect, the behaviour of the caller, its acts, the cuts, and the stream in parts.
pub fn chunking(data: &[u8]) {
    let input = &mut Input::new(data);
    let dialect = dialect(input);
    let manner = Manner::new(input.byte());
    let (deeds, cuts) = (input.sized(), input.sized());
    let cuts: Vec<_> = cuts.iter().map(|cut| usize::from(*cut).max(1)).collect();
    if manner.client {
        let stream = answered(dialect, input);
        compare(&manner, &stream, &cuts, || (client(dialect).0, Asker(Input::new(deeds))));
    } else {
        let (hello_len, stream) = asked(dialect, &manner, input);
        compare(&manner, &stream, &cuts, || {
            let replies = Input::new(deeds);
            let pending = VecDeque::new();
            (server(hello_len), Answerer { replies, pending, late: manner.late })
        });
    }
}

/// The behaviour of a caller.
struct Manner {
    client: bool,
    /// The server's caller answers no request until the session takes no more.
    late: bool,
    /// Output is not consumed before that either.
    holds: bool,
    /// The handshake is wrong.
    odd: bool,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// The peer closes after its last byte.
    Eof,
    /// The peer closes when everything was answered.
    LateEof,
    /// The peer does nothing when everything was answered.
    Silence,
}

impl Manner {
    fn new(byte: u8) -> Self {
        Self {
            client: byte & 1 != 0,
            late: byte & 2 != 0,
            holds: byte & 4 != 0,
            odd: byte & 8 != 0,
            end: [End::Open, End::Eof, End::LateEof, End::Silence][usize::from(byte >> 4 & 3)],
        }
    }
}

fn server(hello_len: usize) -> Session<Server> {
    let registry = &credential().comms_key;
    let limits = limits(Limits::server());
    let config = ServerConfig { hello_len, limits, ..ServerConfig::new(registry) };
    Session::<Server>::new(Instant::EPOCH, config, Seeded::new(2))
}

/// A client, and its Hello.
fn client(dialect: Dialect) -> (Session<Client>, Vec<u8>) {
    let limits = limits(Limits::client());
    let config =
        ClientConfig { dialect, limits, provider: &NoRsa, ..ClientConfig::new(&credential()) };
    let client = Session::<Client>::new(Instant::EPOCH, config, Seeded::new(1));
    let client = client.expect("NoRsa seals anything");
    let hello = client.output().to_vec();
    (client, hello)
}

/// The registry's bytes to the client.
fn answered(dialect: Dialect, input: &mut Input<'_>) -> Vec<u8> {
    let (_, hello) = client(dialect);
    let (mut peer, mut stream) = Peer::answering(dialect, &hello, Version::REFERENCE);
    parts(input, &mut peer, &mut stream, |input| {
        let ops = [Op::RegCredRequest, Op::Member, Op::Create, Op::Join, Op::GetCluster, Op::Bye];
        encode_reply(&reply(ops[usize::from(input.byte()) % ops.len()], input))
    });
    stream
}

/// The client's bytes to the registry, and the length of its Hello.
fn asked(dialect: Dialect, manner: &Manner, input: &mut Input<'_>) -> (usize, Vec<u8>) {
    let mut stream = hello(dialect).to_vec();
    let mut first = server(stream.len());
    first.receive(Instant::EPOCH, &stream);
    let Ok(Some(ServerEvent::Hello(sealed))) = first.poll_event() else { panic!("no Hello") };
    let opened = sealed.open(&NoRsa, &mut Seeded::new(4));
    first.open_hello(Instant::EPOCH, opened).expect("it waits");
    let mut peer = Peer::of_reply(dialect, hello(dialect), first.output());
    let mut hello_len = stream.len();
    if manner.odd {
        hello_len = usize::from(input.byte());
        stream.truncate(usize::from(input.byte()));
    }
    parts(input, &mut peer, &mut stream, |input| encode_request(&request(input)));
    (hello_len, stream)
}

/// The rest of the script, as the bytes of one side after its handshake.
fn parts(
    input: &mut Input<'_>,
    peer: &mut Peer,
    stream: &mut Vec<u8>,
    message: impl Fn(&mut Input<'_>) -> Vec<u8>,
) {
    while !input.is_empty() && stream.len() < MAX_STREAM {
        match input.byte() % 8 {
            0 => stream.extend_from_slice(&peer.seal(input.sized())),
            1 => stream.extend_from_slice(&peer.seal_blocks(input.sized())),
            2 => stream.extend_from_slice(input.sized()),
            3 => {
                let at = input.short() % (stream.len() + 1);
                stream.get_mut(at).into_iter().for_each(|byte| *byte ^= input.byte());
            }
            _ => stream.extend_from_slice(&peer.seal(&message(input))),
        }
    }
    stream.truncate(MAX_STREAM);
}

/// Drives three sessions and compares them.
fn compare<R, C>(manner: &Manner, stream: &[u8], cuts: &[usize], new: impl Fn() -> (Session<R>, C))
where
    R: Role,
    C: Caller<R>,
    Session<R>: Machine<Event = R::Event, Error = Error>,
{
    let run = |cuts: &[usize]| {
        let (session, caller) = new();
        Run::new(session, caller).through(manner, stream, cuts)
    };
    let bytes = run(&[1]);
    bytes.ends_where_it_should();
    run(&[usize::MAX]).same(&bytes);
    if !cuts.is_empty() {
        run(cuts).same(&bytes);
    }
}

/// The caller of a session, which acts on its events.
trait Caller<R: Role> {
    /// An event that can be kept and compared.
    type Seen: Debug + PartialEq;

    fn act(&mut self, session: &mut Session<R>, event: R::Event, now: Instant) -> Self::Seen;

    /// Whether no answer is due to the peer.
    fn is_even(&self) -> bool;

    /// The session takes no more, or there is no more. Gives whether the caller has acted.
    fn go_on(&mut self, session: &mut Session<R>, now: Instant) -> bool;
}

/// Answers requests.
struct Answerer<'a> {
    replies: Input<'a>,
    pending: VecDeque<(RequestId, Op)>,
    late: bool,
}

#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a few of them")]
enum Seen {
    Hello(Vec<u8>),
    Request(RequestId, Request),
}

impl Caller<Server> for Answerer<'_> {
    type Seen = Seen;

    fn act(&mut self, session: &mut Session<Server>, event: ServerEvent, now: Instant) -> Seen {
        match event {
            ServerEvent::Hello(sealed) => {
                let opened = sealed.open(&NoRsa, &mut Seeded::new(4));
                session.open_hello(now, opened).expect("it waits");
                Seen::Hello(sealed.ciphertext().into())
            }
            ServerEvent::Request { id, request } => {
                self.pending.push_back((id, request.op()));
                if !self.late {
                    self.go_on(session, now);
                }
                Seen::Request(id, request)
            }
            other => panic!("an unknown event {other:?}"),
        }
    }

    fn is_even(&self) -> bool {
        self.pending.is_empty()
    }

    fn go_on(&mut self, session: &mut Session<Server>, now: Instant) -> bool {
        let Some((id, op)) = self.pending.pop_front() else { return false };
        session.reply(now, id, &reply(op, &mut self.replies)).expect("the next to be answered");
        if session.state() == State::Closed {
            self.pending.clear();
        }
        true
    }
}

/// Sends requests: two after the handshake, and one after each reply.
struct Asker<'a>(Input<'a>);

impl Caller<Client> for Asker<'_> {
    type Seen = ClientEvent;

    fn act(
        &mut self,
        session: &mut Session<Client>,
        event: ClientEvent,
        now: Instant,
    ) -> ClientEvent {
        for _ in 0..2 {
            if !self.0.is_empty() {
                // At the wrong time nothing happens.
                let _ = command(session, now, request(&mut self.0));
            }
        }
        event
    }

    fn is_even(&self) -> bool {
        true
    }

    fn go_on(&mut self, _: &mut Session<Client>, _: Instant) -> bool {
        false
    }
}

/// Room, deadline and state.
type Rest = (usize, Option<(Instant, TimerKind)>, State);

/// A session that gets the stream, and its results.
struct Run<R: Role, C: Caller<R>> {
    session: Session<R>,
    caller: C,
    now: Instant,
    given: usize,
    /// The number of bytes given after each piece.
    marks: Vec<usize>,
    /// The events and the failure, each with the number of bytes given.
    seen: Vec<(Result<C::Seen, Error>, usize)>,
    failed: bool,
    output: Vec<u8>,
    /// The state after all bytes and acts, and at the end.
    rests: Vec<Rest>,
}

impl<R, C> Run<R, C>
where
    R: Role,
    C: Caller<R>,
    Session<R>: Machine<Event = R::Event, Error = Error>,
{
    fn new(session: Session<R>, caller: C) -> Self {
        Self {
            session,
            caller,
            now: Instant::EPOCH,
            given: 0,
            marks: vec![0],
            seen: Vec::new(),
            failed: false,
            output: Vec::new(),
            rests: Vec::new(),
        }
    }

    fn through(mut self, manner: &Manner, stream: &[u8], cuts: &[usize]) -> Self {
        let mut cuts = cuts.iter().cycle();
        let mut eof = manner.end != End::Eof;
        while !self.poll(manner) {
            let rest = &stream[self.given..];
            if rest.is_empty() && !eof {
                eof = true;
                self.session.receive_eof(self.now);
            } else if rest.is_empty() || self.session.recv_room() == 0 {
                let acted = self.caller.go_on(&mut self.session, self.now);
                if !self.drain() && !acted {
                    assert!(rest.is_empty(), "it takes no more and does no more");
                    break;
                }
            } else {
                let piece = cuts.next().map_or(usize::MAX, |cut| *cut).min(rest.len());
                self.given += self.session.receive(self.now, &rest[..piece]);
                assert!(self.marks.last() < Some(&self.given), "it has room and takes nothing");
                self.marks.push(self.given);
            }
        }
        self.rest();
        match manner.end {
            End::Open | End::Eof => {}
            End::LateEof => self.session.receive_eof(self.now),
            End::Silence => {
                let due = self.session.poll_timeout();
                self.now = due.map_or(self.now, |(at, _)| at);
                self.session.handle_timeout(self.now);
            }
        }
        self.poll(manner);
        self.drain();
        self.rest();
        self
    }

    /// Takes all events. Gives whether there will be no more.
    fn poll(&mut self, manner: &Manner) -> bool {
        while !self.failed && self.session.state() != State::Closed {
            let seen = match self.session.poll_event() {
                Ok(None) => return false,
                Ok(Some(event)) => Ok(self.caller.act(&mut self.session, event, self.now)),
                Err(error) => Err(error),
            };
            self.failed = seen.is_err();
            assert!(!self.failed || self.caller.is_even(), "{seen:?} before an answer that is due");
            self.seen.push((seen, self.given));
            if !manner.holds {
                self.drain();
            }
        }
        true
    }

    fn drain(&mut self) -> bool {
        let some = !self.session.output().is_empty();
        while !self.session.output().is_empty() {
            let record = self.session.output();
            let n = record.len();
            self.output.extend_from_slice(record);
            self.session.consume_output(n);
        }
        some
    }

    fn rest(&mut self) {
        let session = &self.session;
        self.rests.push((session.recv_room(), session.poll_timeout(), session.state()));
    }

    /// With one byte after the other, an end of input names the place after the last event.
    fn ends_where_it_should(&self) {
        let (last, before) = self.seen.split_last().map_or((None, &[][..]), |(l, b)| (Some(l), b));
        let Some((Err(Error::Eof(at)), given)) = last else { return };
        let least = before.last().map_or(0, |(_, given)| *given);
        match at {
            EofAt::Handshake => assert!(before.is_empty()),
            EofAt::Record => assert!(*given > least, "an end between records"),
            EofAt::Reply | EofAt::Idle => assert_eq!(*given, least, "an end in a record"),
            other => panic!("an unknown end {other:?}"),
        }
    }

    /// The other run got one byte after the other, so it knows the last byte of each event.
    fn same(&self, bytes: &Self) {
        assert_eq!(self.seen.len(), bytes.seen.len(), "{:?}, not {:?}", self.seen, bytes.seen);
        for ((seen, given), (same, least)) in self.seen.iter().zip(&bytes.seen) {
            assert_eq!(seen, same);
            let soonest = self.marks.iter().find(|mark| *mark >= least);
            assert_eq!(Some(given), soonest, "{seen:?} is known after {least} bytes");
        }
        assert_eq!(self.output, bytes.output);
        assert_eq!(self.rests, bytes.rests);
    }
}
