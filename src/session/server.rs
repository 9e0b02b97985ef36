//! The registry's side (PROTOCOL 2).
//!
//! 1. When a whole Hello has arrived, [`ServerEvent::Hello`] hands it out. The session waits.
//! 2. [`Session::open_hello`] takes it back, opened, and queues the HelloReply.
//! 3. Each request is a [`ServerEvent::Request`]. Its fields are checked, and
//!    [`phase`](super::phase) allows it now. Up to [`Limits::in_flight`] requests may wait for
//!    their reply.
//! 4. [`Session::reply`] answers the requests in order. The Ack to a Bye ends the session.
//!    [`Session::reject`] refuses the client and ends the session.
//!
//! A mistake of the client ends the session: with an Error if the message can be read but is not
//! allowed, with silence if it cannot be read. The client is told in its turn, after the replies to
//! its earlier requests.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use rand_core::CryptoRng;

use super::engine::{Core, Engine, Open, Then, Writer};
use super::error::{CommandError, EofAt, Error};
use super::handshake::{Channel, Listen, OpenedHello, SealedHello};
use super::limits::Limits;
use super::outbox::Outbox;
use super::phase::Phase;
use super::role::Behaviour;
use super::time::Instant;
use super::{RequestId, Role, Session};
use crate::identity::{PublicKey, Version};
use crate::message::{
    Decoded, MessageLimits, Op, Reason, Refusal, Reply, Request, encode_reply, room_for,
};

/// The settings of a registry's session.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The length of a Hello, in bytes: that of the modulus of the registry's comms key (PROTOCOL
    /// 3).
    pub hello_len: usize,
    /// The version that the registry gives in its HelloReply.
    pub version: Version,
    /// Bounds on what a client may send.
    pub limits: Limits,
}

impl ServerConfig {
    /// The settings for a registry with this comms key, as version [`Version::REFERENCE`].
    pub fn new(comms_key: &PublicKey) -> Self {
        Self {
            hello_len: comms_key.modulus_len(),
            version: Version::REFERENCE,
            limits: Limits::server(),
        }
    }
}

/// An event of a registry's session.
#[derive(Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "handed over once and taken apart at once")]
pub enum ServerEvent {
    /// A whole Hello has arrived. Open it on any thread, and give it to [`Session::open_hello`].
    Hello(SealedHello),
    /// A request has arrived. Answer it by [`Session::reply`].
    Request {
        /// The ID of the request, for the reply.
        id: RequestId,
        /// The request.
        request: Request,
    },
}

/// The role of the registry.
pub struct Server(());

/// The registry's data while its session is open.
pub struct Conversation {
    phase: Phase,
    /// The requests without an answer, oldest first.
    unanswered: VecDeque<(RequestId, Op)>,
    next_id: u64,
    /// The time when the client's turn began.
    turn: Instant,
    intake: Intake,
}

/// Whether requests are read.
enum Intake {
    /// Requests are read.
    Reading,
    /// The next message is wrong. The client is told when its earlier requests are answered.
    Spoilt(Error),
}

impl Role for Server {}

impl Session<Server> {
    /// Starts a registry's session with one client.
    ///
    /// All randomness of the session is drawn from `rng`, in the order of PROTOCOL 3.3: the same
    /// draws and the same inputs give the same bytes.
    pub fn new(now: Instant, config: ServerConfig, rng: impl CryptoRng + Send + 'static) -> Self {
        let (limits, listen) = (config.limits.clone(), Box::new(Listen::new(config)));
        Self { engine: Engine::new(now, limits, Box::new(rng), Outbox::undivided(), listen) }
    }

    /// Continues the handshake with the Hello of [`ServerEvent::Hello`], opened, and queues the
    /// HelloReply. If the Hello could not be opened, [`poll_event`](Self::poll_event) returns the
    /// error, and the client is told nothing.
    ///
    /// # Errors
    ///
    /// [`CommandError::NoHello`] if no Hello is being opened, [`CommandError::Closed`]; then
    /// nothing has changed.
    pub fn open_hello(&mut self, now: Instant, opened: OpenedHello) -> Result<(), CommandError> {
        self.engine.open_hello(now, opened)
    }

    /// Answers the oldest request. [`Reply::Error`] refuses it, and [`Reply::Ack`] answers a Bye;
    /// both end the session.
    ///
    /// # Errors
    ///
    /// [`CommandError::NotNext`] if `id` is not the oldest request, [`CommandError::WrongReply`] if
    /// the reply does not answer it, [`CommandError::ReasonTooLong`] for an Error longer than the
    /// limits allow, [`CommandError::Closed`], [`CommandError::NotOpen`]; then nothing has changed.
    pub fn reply(
        &mut self,
        now: Instant,
        id: RequestId,
        reply: &Reply,
    ) -> Result<(), CommandError> {
        let (core, open) = self.engine.require_open()?;
        let Open { channel, conversation } = open;
        let (next, op) = *conversation.unanswered.front().ok_or(CommandError::NotNext)?;
        if next != id {
            return Err(CommandError::NotNext);
        }
        if let Reply::Error(reason) = reply {
            return self.reject(now, reason);
        }
        if op.answer() != Some(reply.op()) {
            return Err(CommandError::WrongReply { request: op, got: reply.op() });
        }
        // Nothing is refused from here on, so the state may change.
        core.advance(now);
        conversation.unanswered.pop_front();
        conversation.turn = core.now;
        Writer { core, channel }.send(room_for(reply), |out| encode_reply(reply, out));
        if *reply == Reply::Ack {
            debug_assert_eq!(conversation.phase, Phase::Leaving, "an Ack answers a Bye");
            self.engine.finish();
        }
        Ok(())
    }

    /// Refuses the client and ends the session. Before the end of the handshake the client cannot
    /// be told, so the session just ends.
    ///
    /// # Errors
    ///
    /// [`CommandError::ReasonTooLong`] if the text is longer than the limits allow,
    /// [`CommandError::Closed`]; then nothing has changed.
    pub fn reject(&mut self, now: Instant, reason: &Reason) -> Result<(), CommandError> {
        if self.engine.is_closed() {
            return Err(CommandError::Closed);
        }
        let (bytes, limit) = (reason.as_str().len(), self.engine.core.limits.message.text_len);
        if bytes > limit {
            return Err(CommandError::ReasonTooLong { bytes, limit });
        }
        self.engine.advance(now);
        self.engine.refuse(reason.clone());
        self.engine.finish();
        Ok(())
    }
}

/// Reads the next request, if it has arrived.
fn next_request(core: &mut Core, open: &mut Open<Server>) -> Result<Option<ServerEvent>, Error> {
    let Open { channel, conversation } = open;
    let (limits, phase) = (&core.limits.message, conversation.phase);
    let polled = channel.records.poll(&mut core.input, |bytes| decode(bytes, limits, phase));
    let decoded = polled.map_err(|_| Error::BadRecord)?.transpose()?;
    let Some((request, phase)) = decoded else { return Ok(None) };
    let limit = core.limits.requests;
    if conversation.next_id >= u64::from(limit) {
        return Err(Error::TooManyRequests { limit });
    }
    let id = RequestId::next(&mut conversation.next_id);
    let id = id.ok_or(Error::Internal("more requests than can be counted"))?;
    conversation.phase = phase;
    conversation.unanswered.push_back((id, request.op()));
    debug_assert!(conversation.unanswered.len() <= core.limits.in_flight, "as many as allowed");
    Ok(Some(ServerEvent::Request { id, request }))
}

/// Whether the session reads no request for now. The reply to a GetCluster can be large, so at most
/// one GetCluster waits for its reply.
fn is_busy(core: &Core, conversation: &Conversation) -> bool {
    let Conversation { unanswered, phase, .. } = conversation;
    unanswered.len() >= core.limits.in_flight
        || unanswered.back().is_some_and(|(_, op)| *op == Op::GetCluster)
        || *phase == Phase::Leaving
        || core.is_congested()
}

/// Decodes a request, and finds the phase after it. Checks whether it is allowed before what it
/// says.
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
    type Conversation = Conversation;

    // Replies to earlier requests still go out, and so does the Error for the failure.
    const DROPS_OUTPUT: bool = false;

    fn on_hello(hello: SealedHello) -> Result<ServerEvent, Error> {
        Ok(ServerEvent::Hello(hello))
    }

    fn begin(core: &Core, _: &Channel) -> (Conversation, Option<ServerEvent>) {
        let conversation = Conversation {
            phase: Phase::Anonymous,
            unanswered: VecDeque::new(),
            next_id: 0,
            turn: core.now,
            intake: Intake::Reading,
        };
        (conversation, None)
    }

    fn poll(core: &mut Core, open: &mut Open<Self>) -> Result<(Option<ServerEvent>, Then), Error> {
        if Self::is_reading(core, &open.conversation) {
            match next_request(core, open) {
                Ok(None) => {}
                Ok(event) => return Ok((event, Then::GoOn)),
                Err(error) => open.conversation.intake = Intake::Spoilt(error),
            }
        }
        let Conversation { intake, unanswered, .. } = &open.conversation;
        match intake {
            Intake::Spoilt(error) if unanswered.is_empty() => Err(error.clone()),
            Intake::Spoilt(_) | Intake::Reading => Ok((None, Then::GoOn)),
        }
    }

    fn is_reading(core: &Core, conversation: &Conversation) -> bool {
        matches!(conversation.intake, Intake::Reading) && !is_busy(core, conversation)
    }

    fn deadline(core: &Core, conversation: &Conversation) -> Option<Instant> {
        // While the caller owes a reply it is not the client's turn.
        conversation.unanswered.is_empty().then(|| core.idle_deadline(conversation.turn))
    }

    fn eof(core: &Core, open: &Open<Self>) -> Option<Error> {
        // A client that has closed its half of the connection may still read replies.
        let waits = !open.conversation.unanswered.is_empty() || is_busy(core, &open.conversation);
        (!waits).then(|| core.eof_at(&open.channel, EofAt::Idle))
    }

    fn alert(error: &Error) -> Option<Refusal> {
        error.alert()
    }

    fn refuse(core: &mut Core, open: &mut Open<Self>, reason: Reason) {
        let channel = &mut open.channel;
        let reply = Reply::Error(reason);
        Writer { core, channel }.send(room_for(&reply), |out| encode_reply(&reply, out));
    }
}
