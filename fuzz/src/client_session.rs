//! A client's session. Its registry has the session key and sends anything at any time.
//!
//! A model of the rules runs beside it. It gives the result of each command at any time and, as
//! long as only whole records have gone to the client, the result of each message.
use std::collections::VecDeque;
use std::time::Duration;

use xlreg::identity::{Token, Version};
use xlreg::internals::{all_output, decode_reply, encode_reply, encode_request, record_end};
use xlreg::message::{Op, Reply, Request};
use xlreg::session::{
    Client, ClientConfig, ClientEvent, CommandError, Error, Instant, Limits, RequestId, Session,
    State, TimerKind,
};
use xlreg_testkit::captures::credential;
use xlreg_testkit::pair::command;
use xlreg_testkit::peer::{Peer, pad};
use xlreg_testkit::{NoRsa, Seeded};

use crate::arbitrary::{dialect, limits, reply, request};
use crate::input::Input;
use crate::watch::Watch;

/// The largest request that a client makes.
const MAX_REQUEST: usize = 16 * 1024 - 32;

/// A script: the dialect, and whether the HelloReply comes at once; then operations of one byte
/// with their operands.
pub fn client_session(data: &[u8]) {
    let input = &mut Input::new(data);
    let (dialect, limits, at_once) = (dialect(input), limits(Limits::client()), input.byte() == 0);
    let config = ClientConfig {
        dialect,
        limits: limits.clone(),
        provider: &NoRsa,
        ..ClientConfig::new(&credential())
    };
    let watch = Watch::<Error>::new();
    let client = Session::<Client>::new(watch.now(), config, Seeded::new(1));
    let mut client = client.expect("NoRsa seals anything");
    let (peer, reply) = Peer::answering(dialect, client.output(), Version::REFERENCE);
    client.consume_output(usize::MAX);
    let mut run = Run { watch, client, peer, limits, model: Model::default(), in_step: true };
    let mut hello_reply = Input::new(&reply);
    if at_once {
        run.feed(hello_reply.rest(), 0);
        run.poll();
        assert_eq!(run.client.dialect(), Some(dialect));
    }
    while !input.is_empty() {
        match input.byte() % 16 {
            0 => run.message(input),
            1 => {
                run.in_step = false;
                let piece = usize::from(input.byte());
                let blocks = run.peer.seal_blocks(input.sized());
                run.feed(&blocks, piece);
            }
            2 => {
                run.in_step = false;
                let piece = usize::from(input.byte());
                run.feed(input.sized(), piece);
            }
            3 | 4 => run.answer(input),
            5 => {
                let now = run.watch.wait(Duration::from_secs(u64::from(input.byte())));
                run.client.handle_timeout(now);
            }
            6 => run.client.consume_output(input.short()),
            7 => {
                run.client.receive_eof(run.watch.now());
                run.in_step = false;
            }
            8 => run.feed(hello_reply.take(usize::from(input.byte())), 0),
            _ => run.command(request(input)),
        }
        run.poll();
    }
    run.watch.end(&mut run.client);
}

struct Run {
    watch: Watch<Error>,
    client: Session<Client>,
    peer: Peer,
    limits: Limits,
    model: Model,
    /// Whether all input was from the peer with the key, in whole records of one message each.
    in_step: bool,
}

impl Run {
    fn feed(&mut self, bytes: &[u8], piece: usize) {
        self.in_step &= bytes.len() <= self.client.recv_room();
        self.watch.feed(&mut self.client, bytes, piece);
    }

    /// The registry sends any message in a correct record.
    fn message(&mut self, input: &mut Input<'_>) {
        let piece = usize::from(input.byte());
        self.say(input.sized(), piece);
    }

    /// The registry sends an answer to the oldest request, or to one that was not made.
    fn answer(&mut self, input: &mut Input<'_>) {
        let op = self.model.outstanding.front().map_or(Op::Join, |(_, op, _)| *op);
        self.say(&encode_reply(&reply(op, input)), 0);
    }

    fn say(&mut self, message: &[u8], piece: usize) {
        let sealed = self.peer.seal(message);
        self.in_step &= self.client.state() == State::Open;
        self.feed(&sealed, piece);
        let expected = self.in_step.then(|| self.model.outcome(message, &self.limits)).flatten();
        self.in_step = expected.is_some();
        let Some(expected) = expected else { return };
        let event = self.watch.poll(&mut self.client);
        match &expected {
            Err(error) => assert_eq!((event.as_ref(), self.watch.failure()), (None, Some(error))),
            Ok(expected) => assert_eq!(event.as_ref(), Some(expected)),
        }
        event.iter().for_each(|event| self.model.take(event, self.watch.now()));
    }

    fn command(&mut self, asked: Request) {
        let look = |client: &Session<Client>| {
            let output = all_output(client).len();
            (output, client.poll_timeout(), client.recv_room(), client.state())
        };
        let (state, op, now) = (self.client.state(), asked.op(), self.watch.now());
        let unsigned = matches!(&asked, Request::Member(Token { signature: None, .. }));
        let reasons = self.model.reasons(state, op, unsigned, self.limits.in_flight);
        let before = look(&self.client);
        match command(&mut self.client, now, asked.clone()) {
            Err(CommandError::TooLarge { bytes, limit: MAX_REQUEST }) => {
                assert_eq!((encode_request(&asked).len(), bytes > MAX_REQUEST), (bytes, true));
                assert_eq!(look(&self.client), before, "too large, and changed something");
            }
            Err(error) => {
                assert!(reasons.contains(&error), "{error:?} to {op}, not one of {reasons:?}");
                assert_eq!(look(&self.client), before, "{error:?} changed something");
            }
            Ok(id) => {
                assert!(reasons.is_empty(), "{op} was taken in spite of {reasons:?}");
                assert_eq!(id.index(), self.model.asked, "requests are numbered in order");
                self.model.ask(id, op, now);
                let record = &all_output(&self.client)[before.0..];
                assert!(record.len() <= MAX_REQUEST + 32, "too large, and taken");
                if self.in_step {
                    let plain = self.peer.open_blocks(record);
                    assert_eq!(plain, pad(&encode_request(&asked)), "what was asked goes out");
                }
            }
        }
    }

    fn poll(&mut self) {
        while let Some(event) = self.watch.poll(&mut self.client) {
            self.model.take(&event, self.watch.now());
        }
        let state = self.client.state();
        assert!(!self.model.over || state == State::Closed);
        if state != State::Closed {
            assert_eq!(state == State::Open, self.model.connected);
            assert_eq!(self.client.poll_timeout(), self.model.deadline(&self.limits));
        }
    }
}

/// The requests of the client, and those that it may send.
#[derive(Default)]
struct Model {
    connected: bool,
    registered: bool,
    leaving: bool,
    over: bool,
    asked: u64,
    outstanding: VecDeque<(RequestId, Op, Instant)>,
    last_reply: Instant,
}

impl Model {
    /// All reasons to refuse a command, except for its size.
    fn reasons(&self, state: State, op: Op, unsigned: bool, in_flight: usize) -> Vec<CommandError> {
        let mut reasons = Vec::new();
        let mut refuse = |wrong: bool, error| reasons.extend(wrong.then_some(error));
        refuse(state == State::Handshake, CommandError::NotOpen);
        refuse(state == State::Closed, CommandError::Closed);
        let allowed = match op {
            Op::RegCredRequest | Op::Bye => !self.leaving,
            Op::Member => !self.leaving && !self.registered,
            _ => !self.leaving && self.registered,
        };
        refuse(!allowed, CommandError::WrongState(op));
        refuse(self.outstanding.len() >= in_flight, CommandError::TooManyInFlight);
        refuse(unsigned, CommandError::Unsigned);
        reasons
    }

    fn ask(&mut self, id: RequestId, op: Op, now: Instant) {
        self.asked += 1;
        self.registered |= op == Op::Member;
        self.leaving |= op == Op::Bye;
        self.outstanding.push_back((id, op, now));
    }

    /// The result of a message in a record of its own; `None` if it is not one record.
    fn outcome(&self, message: &[u8], limits: &Limits) -> Option<Result<ClientEvent, Error>> {
        let padded = pad(message);
        let message = match record_end(&padded, limits.record, |needed| needed) {
            Err(error) => return Some(Err(error)),
            Ok(Some((message, record))) if record == padded.len() => &padded[..message],
            Ok(_) => return None,
        };
        let limits = &limits.message;
        Some(match decode_reply(message, limits) {
            Err(error) => Err(error.into()),
            Ok((_, reply)) => self.answered(reply),
        })
    }

    /// The result of a reply.
    fn answered(&self, reply: Reply) -> Result<ClientEvent, Error> {
        let due = self.outstanding.front().map(|(id, op, _)| (*id, op.answer()));
        match (reply, due) {
            (Reply::Error(reason), due) => {
                Ok(ClientEvent::Refused { request: due.map(|(id, _)| id), reason })
            }
            (reply, Some((request, Some(answer)))) if answer == reply.op() => {
                Ok(ClientEvent::Reply { request, reply })
            }
            (reply, due) => Err(Error::UnexpectedReply {
                expected: due.and_then(|(_, answer)| answer),
                got: reply.op(),
            }),
        }
    }

    /// Notes an event, whatever has caused it.
    fn take(&mut self, event: &ClientEvent, now: Instant) {
        assert!(!self.over, "{event:?} after the end");
        match event {
            ClientEvent::Connected { .. } => {
                assert!(!self.connected, "connected twice");
                self.connected = true;
            }
            ClientEvent::Reply { request, reply } => {
                let (id, op, _) = self.outstanding.pop_front().expect("a reply to nothing");
                assert_eq!((*request, Some(reply.op())), (id, op.answer()));
                self.last_reply = now;
                self.over = *reply == Reply::Ack;
            }
            ClientEvent::Refused { request, .. } => {
                let due = self.outstanding.front().map(|(id, ..)| *id);
                assert_eq!(*request, due, "the oldest request is refused");
                self.over = true;
            }
            other => panic!("an unknown event {other:?}"),
        }
        assert!(self.connected, "{event:?} before the handshake");
    }

    /// The deadline of the registry's answer.
    fn deadline(&self, limits: &Limits) -> Option<(Instant, TimerKind)> {
        if !self.connected {
            return Some((Instant::EPOCH.saturating_add(limits.hello_time), TimerKind::Hello));
        }
        let (_, _, asked) = self.outstanding.front()?;
        let since = self.last_reply.max(*asked);
        Some((since.saturating_add(limits.idle_time), TimerKind::Idle))
    }
}
