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
pub struct Server(());

/// What a registry keeps while a session is open.
pub struct Conversation {
    phase: Phase,
    /// Requests without an answer, oldest first.
    unanswered: VecDeque<(RequestId, Op)>,
    next_id: u64,
    /// When it last became the client's turn.
    turn: Instant,
    intake: Intake,
}

/// Whether requests are taken.
enum Intake {
    /// They are.
    Reading,
    /// The next message is wrong in this way. It is told when those before it are answered.
    Spoilt(Error),
}

impl Role for Server {}

impl Session<Server> {
    /// A registry's session with one client.
    ///
    /// All randomness of the session comes from `rng`, in the order of PROTOCOL 3.3: same draws,
    /// same inputs, same bytes.
    pub fn new(now: Instant, config: ServerConfig, rng: impl CryptoRng + Send + 'static) -> Self {
        let (limits, listen) = (config.limits.clone(), Box::new(Listen::FirstBytes(config)));
        Self { engine: Engine::new(now, limits, Box::new(rng), Outbox::undivided(), listen) }
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
        self.engine.open_hello(now, opened)
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
        // Nothing is declined from here on, so the state may change.
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

/// The next request, if it is all there.
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

/// Whether no further request is looked at for now. A GetCluster is the one request whose reply can
/// be large, so there is never more than one of them without an answer.
fn is_busy(core: &Core, conversation: &Conversation) -> bool {
    let Conversation { unanswered, phase, .. } = conversation;
    unanswered.len() >= core.limits.in_flight
        || unanswered.back().is_some_and(|(_, op)| *op == Op::GetCluster)
        || *phase == Phase::Leaving
        || core.is_congested()
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
    type Conversation = Conversation;

    // Replies to earlier requests, and the Error that tells of the failure, still go out.
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
        // A client that has closed its half may still read the replies it is owed.
        let waits = !open.conversation.unanswered.is_empty() || is_busy(core, &open.conversation);
        (!waits).then(|| core.eof_at(&open.channel, EofAt::Idle))
    }

    fn alert(error: &Error) -> Option<Refusal> {
        error.alert()
    }

    fn refuse(core: &mut Core, open: &mut Open<Self>, reason: Reason) {
        let Open { channel, conversation } = open;
        let reply = Reply::Error(reason);
        conversation.unanswered.clear();
        Writer { core, channel }.send(room_for(&reply), |out| encode_reply(&reply, out));
    }
}
