//! The registry's side (PROTOCOL 2).
//!
//! 1. A whole Hello has arrived: [`ServerEvent::Hello`] hands it out. The session waits.
//! 2. [`Session::open_hello`] takes it back opened, and queues the HelloReply.
//! 3. Each request comes as [`ServerEvent::Request`], checked and in its right order by
//!    [`phase`](super::phase). Up to [`Limits::in_flight`] may be out at once.
//! 4. [`Session::reply`] answers them in order; [`Session::reject`] refuses and ends the session,
//!    and so does the Ack to a Bye.
//!
//! What a client gets wrong is answered here where it is a matter of the wire: an Error for a
//! message that may not stand, silence for what is no message. It is answered in its turn, after
//! the replies to what came before.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use rand_core::CryptoRng;

use super::engine::Engine;
use super::error::{CommandError, EofAt, Error};
use super::handshake::{OpenedHello, SealedHello};
use super::limits::Limits;
use super::phase::Phase;
use super::role::Behaviour;
use super::time::{Instant, TimerKind};
use super::{RequestId, Role, Session};
use crate::identity::{PublicKey, Version};
use crate::message::{Decoded, MessageLimits, Op, Reason, Reply, Request, encode_reply, room_for};

/// How a registry receives.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The length of a Hello in bytes: that of the modulus of the registry's comms key (PROTOCOL
    /// 3).
    pub hello_len: usize,
    /// The version the registry gives in its HelloReply.
    pub version: Version,
    /// Bounds on what a client may send.
    pub limits: Limits,
}

impl ServerConfig {
    /// For a registry with this comms key, as version [`Version::REFERENCE`].
    pub fn new(comms_key: &PublicKey) -> Self {
        Self {
            hello_len: comms_key.modulus_len(),
            version: Version::REFERENCE,
            limits: Limits::server(),
        }
    }
}

/// What a registry's session tells its caller.
#[derive(Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "handed over once and taken apart at once")]
pub enum ServerEvent {
    /// A whole Hello. Open it when and where there is time for RSA, and give it to
    /// [`Session::open_hello`].
    Hello(SealedHello),
    /// A request to be answered by [`Session::reply`].
    Request {
        /// Which one, for the reply.
        id: RequestId,
        /// What it asks.
        request: Request,
    },
}

/// The role of the registry.
pub struct Server {
    handshake: Handshake,
    hello_len: usize,
    version: Version,
    phase: Phase,
    /// Requests without an answer, oldest first.
    unanswered: VecDeque<(RequestId, Op)>,
    next_id: u64,
    /// When it last became the client's turn.
    turn: Instant,
    /// What is wrong with the next message; told when those before it are answered.
    deferred: Option<Error>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Handshake {
    /// The Hello is not all there.
    Awaited,
    /// The caller has it.
    Opening,
    /// There are records now.
    Complete,
}

impl Role for Server {}

impl Session<Server> {
    /// A registry's session with one client.
    ///
    /// All randomness of the session comes from `rng`, in the order of PROTOCOL 3.3: same draws,
    /// same inputs, same bytes.
    pub fn new(now: Instant, config: ServerConfig, rng: impl CryptoRng + Send + 'static) -> Self {
        Self {
            engine: Engine::new(now, config.limits, Box::new(rng)),
            role: Server {
                handshake: Handshake::Awaited,
                hello_len: config.hello_len,
                version: config.version,
                phase: Phase::Anonymous,
                unanswered: VecDeque::new(),
                next_id: 0,
                turn: now,
                deferred: None,
            },
        }
    }

    /// Goes on with the Hello of [`ServerEvent::Hello`], opened. The HelloReply is queued; if the
    /// Hello could not be opened, [`poll_event`](Self::poll_event) will say so and the client
    /// is told nothing.
    ///
    /// # Errors
    ///
    /// [`CommandError::NoHello`] if none is waited for, [`CommandError::Closed`]; nothing has
    /// changed then.
    pub fn open_hello(&mut self, now: Instant, opened: OpenedHello) -> Result<(), CommandError> {
        if self.engine.is_closed() {
            return Err(CommandError::Closed);
        }
        if self.role.handshake != Handshake::Opening {
            return Err(CommandError::NoHello);
        }
        self.engine.advance(now);
        self.role.handshake = Handshake::Complete;
        self.role.turn = self.engine.now;
        match opened.into_answerable() {
            None => self.role.deferred = Some(Error::Handshake),
            Some(hello) => {
                let Engine { rng, output, .. } = &mut self.engine;
                let established = hello.answer(self.role.version, &mut **rng, output.tail());
                self.engine.establish(established);
            }
        }
        Ok(())
    }

    /// Answers the oldest request that has no answer. [`Reply::Error`] refuses it, and
    /// [`Reply::Ack`] answers a Bye; both end the session.
    ///
    /// # Errors
    ///
    /// [`CommandError::NotNext`] if `id` is not the oldest, [`CommandError::WrongReply`] if this is
    /// no answer to it, [`CommandError::ReasonTooLong`] for an Error longer than the limits
    /// allow, [`CommandError::Closed`], [`CommandError::NotOpen`]; nothing has changed then.
    pub fn reply(
        &mut self,
        now: Instant,
        id: RequestId,
        reply: &Reply,
    ) -> Result<(), CommandError> {
        self.engine.require_open()?;
        let (next, op) = *self.role.unanswered.front().ok_or(CommandError::NotNext)?;
        if next != id {
            return Err(CommandError::NotNext);
        }
        if let Reply::Error(reason) = reply {
            return self.reject(now, reason);
        }
        if op.answer() != Some(reply.op()) {
            return Err(CommandError::WrongReply { request: op, got: reply.op() });
        }
        self.engine.advance(now);
        self.engine.send(room_for(reply), |out| encode_reply(reply, out));
        self.role.unanswered.pop_front();
        self.role.turn = self.engine.now;
        if *reply == Reply::Ack {
            self.engine.finish();
        }
        Ok(())
    }

    /// Refuses whatever is unanswered, or the client as such, and ends the session. Before the
    /// handshake is complete nothing can be said, so it just ends.
    ///
    /// # Errors
    ///
    /// [`CommandError::ReasonTooLong`] if the text is longer than the limits allow,
    /// [`CommandError::Closed`]; nothing has changed then.
    pub fn reject(&mut self, now: Instant, reason: &Reason) -> Result<(), CommandError> {
        if self.engine.is_closed() {
            return Err(CommandError::Closed);
        }
        let (bytes, limit) = (reason.as_str().len(), self.engine.limits.message.text_len);
        if bytes > limit {
            return Err(CommandError::ReasonTooLong { bytes, limit });
        }
        self.engine.advance(now);
        self.role.refuse(&mut self.engine, reason.clone());
        self.engine.finish();
        Ok(())
    }
}

impl Server {
    fn refuse(&mut self, engine: &mut Engine, reason: Reason) {
        let reply = Reply::Error(reason);
        engine.send(room_for(&reply), |out| encode_reply(&reply, out));
        self.unanswered.clear();
    }

    fn take_hello(&mut self, engine: &mut Engine) -> Option<ServerEvent> {
        let hello = SealedHello::new(engine.input.as_slice().get(..self.hello_len)?);
        engine.input.consume(self.hello_len);
        self.handshake = Handshake::Opening;
        Some(ServerEvent::Hello(hello))
    }

    fn next_request(&mut self, engine: &mut Engine) -> Result<Option<ServerEvent>, Error> {
        let channel = engine.channel.as_mut().ok_or(Error::Internal("no channel"))?;
        let limits = &engine.limits.message;
        let phase = self.phase;
        let request = channel
            .reader
            .poll(&mut engine.input, |bytes| decode(bytes, limits, phase))
            .map_err(|_| Error::BadRecord)?;
        let Some((request, phase)) = request.transpose()? else { return Ok(None) };
        let op = request.op();
        let limit = engine.limits.requests;
        if self.next_id >= u64::from(limit) {
            return Err(Error::TooManyRequests { limit });
        }
        let id = RequestId::next(&mut self.next_id);
        self.phase = phase;
        self.unanswered.push_back((id, op));
        Ok(Some(ServerEvent::Request { id, request }))
    }

    /// Whether no further request is looked at for now. A GetCluster is the one request whose reply
    /// can be large, so there is never more than one of them without an answer.
    fn is_busy(&self, engine: &Engine) -> bool {
        self.unanswered.len() >= engine.limits.in_flight
            || self.unanswered.back().is_some_and(|(_, op)| *op == Op::GetCluster)
            || self.phase == Phase::Leaving
            || engine.is_congested()
    }
}

/// A request, and the phase after it. When it may come is checked before what it says.
fn decode(bytes: &[u8], limits: &MessageLimits, phase: Phase) -> Result<(Request, Phase), Error> {
    let decoded = Decoded::new(bytes, limits)?;
    let op = decoded.op();
    let phase = phase.after(op);
    if phase.is_none() && op.answer().is_some() {
        return Err(Error::WrongState(op));
    }
    let request = decoded.into_request(limits)?;
    Ok((request, phase.ok_or(Error::WrongState(op))?))
}

impl Behaviour for Server {
    type Event = ServerEvent;

    fn step(&mut self, engine: &mut Engine) -> Result<Option<ServerEvent>, Error> {
        match self.handshake {
            Handshake::Awaited => return Ok(self.take_hello(engine)),
            Handshake::Opening => return Ok(None),
            Handshake::Complete => {}
        }
        if self.deferred.is_none() && !self.is_busy(engine) {
            match self.next_request(engine) {
                Ok(None) => {}
                Ok(event) => return Ok(event),
                Err(error) => self.deferred = Some(error),
            }
        }
        match self.deferred.take_if(|_| self.unanswered.is_empty()) {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    fn room(&self, engine: &Engine) -> usize {
        match self.handshake {
            Handshake::Awaited => engine.room(self.hello_len),
            // The client cannot know the session key yet, so what it could send now would be no
            // use.
            Handshake::Opening => 0,
            Handshake::Complete if self.deferred.is_some() || self.is_busy(engine) => 0,
            Handshake::Complete => engine.room(0),
        }
    }

    fn deadline(&self, engine: &Engine) -> Option<(Instant, TimerKind)> {
        match self.handshake {
            Handshake::Awaited | Handshake::Opening => Some(engine.hello_deadline()),
            // While the caller owes a reply it is not the client's turn.
            Handshake::Complete if !self.unanswered.is_empty() => None,
            Handshake::Complete => Some(engine.idle_deadline(self.turn)),
        }
    }

    fn eof(&self, engine: &Engine) -> Option<Error> {
        // A client that has closed its half may still read the replies it is owed.
        let waits = !self.unanswered.is_empty() || self.is_busy(engine);
        (!waits).then(|| Error::Eof(engine.eof_at(EofAt::Idle)))
    }

    fn alert(&mut self, engine: &mut Engine, error: &Error) {
        if let Some(refusal) = error.alert() {
            self.refuse(engine, refusal.into());
        }
    }
}
