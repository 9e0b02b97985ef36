//! A cluster member's side (PROTOCOL 2).
//!
//! 1. [`Session::new`] queues the Hello.
//! 2. The session checks the HelloReply and says [`ClientEvent::Connected`].
//! 3. Commands queue requests. Each reply is a [`ClientEvent::Reply`] with the ID that the command
//!    returned. [`phase`](super::phase) says which request is allowed when.
//! 4. A refusal ([`ClientEvent::Refused`]) or the Ack to a Bye ends the session.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;

use super::engine::{Core, Engine, Open, Then, Writer};
use super::error::{CommandError, EofAt, Error};
use super::handshake::{self, Channel, Dialect, SealedHello};
use super::limits::Limits;
use super::outbox::Outbox;
use super::phase::Phase;
use super::role::Behaviour;
use super::time::Instant;
use super::{RequestId, Role, Session};
use crate::credential::Credential;
use crate::crypto::{RustCrypto, Seal, SealError};
use crate::identity::{PublicKey, Token, Version};
use crate::message::{
    ClusterRef, Create, Decoded, GetCluster, Op, Reason, Refusal, Reply, Request, encode_request,
};

/// The largest request, in bytes. With its IV and padding it fits the 16 KiB that deployed servers
/// read at once (PROTOCOL 4).
const MAX_REQUEST: usize = 16 * 1024 - 32;

/// The settings of a client's session.
#[derive(Clone)]
pub struct ClientConfig {
    /// The registry's comms key. The Hello is sealed to it.
    pub registry_key: PublicKey,
    /// The dialect that the registry speaks.
    pub dialect: Dialect,
    /// The version that the client gives in its Hello. Deployed clients send [`Version::ZERO`].
    pub version: Version,
    /// Bounds on what the registry may send.
    pub limits: Limits,
    /// The provider that seals the Hello.
    pub provider: &'static (dyn Seal + Sync),
}

impl ClientConfig {
    /// The settings for the registry of this credential, in the dialect of its version.
    pub fn new(credential: &Credential) -> Self {
        Self {
            registry_key: credential.comms_key.clone(),
            dialect: Dialect::of_registry(credential.version),
            version: Version::ZERO,
            limits: Limits::client(),
            provider: &RustCrypto,
        }
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("registry_key", &self.registry_key)
            .field("dialect", &self.dialect)
            .field("version", &self.version)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// An event of a client's session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The handshake is complete. Commands are allowed now.
    Connected {
        /// The dialect of the session.
        dialect: Dialect,
        /// The registry's version.
        version: Version,
    },
    /// The registry has answered a request. Never with [`Reply::Error`].
    Reply {
        /// The ID that the command returned.
        request: RequestId,
        /// The answer.
        reply: Reply,
    },
    /// The registry has refused, in its own words. The session is closed.
    Refused {
        /// The oldest request that was waiting, if any: the refusal answers it.
        request: Option<RequestId>,
        /// The reason.
        reason: Reason,
    },
}

/// The role of a cluster member.
///
/// # Towards deployed servers
///
/// A session sends whatever its caller commands. Some requests end a deployed server, and with it
/// every cluster (PROTOCOL 6). A registry whose credential has a version below 2.0 may be a
/// deployed server. Send it
///
/// * only Member, Create, Join, GetCluster and Bye, in this order and one at a time;
/// * only a Join of the cluster in this session's CreateReply, by its ID. A Join of an unknown
///   cluster or of [`ClusterRef::CURRENT`] ends the server;
/// * only a GetCluster with the cluster's ID and a `which`;
/// * no [`registry_credential`](Session::registry_credential);
/// * each record in one segment, so with at most 1,200 bytes. A record that is cut short ends the
///   server too, so leave a session early by [`abandon`](Session::abandon).
///
/// [`Enroll`](crate::enroll::Enroll) keeps all of these rules by itself.
pub struct Client(());

/// The client's data while its session is open.
pub struct Conversation {
    phase: Phase,
    /// The requests without an answer, oldest first, each with the time it was made.
    outstanding: VecDeque<(RequestId, Op, Instant)>,
    next_id: u64,
    /// The time of the last reply.
    last_reply: Instant,
}

impl Role for Client {}

impl Session<Client> {
    /// Starts a client's session. Its [`output`](Self::output) is the Hello.
    ///
    /// All randomness of the session is drawn from `rng`, in the order of PROTOCOL 3.3: the same
    /// draws and the same inputs give the same bytes.
    ///
    /// # Errors
    ///
    /// [`SealError`] if the provider cannot seal to the registry's key.
    pub fn new(
        now: Instant,
        config: ClientConfig,
        rng: impl CryptoRng + Send + 'static,
    ) -> Result<Self, SealError> {
        let mut rng = Box::new(rng);
        let (hello, handshake) = handshake::start(&config, &mut *rng)?;
        let output = Outbox::by_record(hello);
        Ok(Self { engine: Engine::new(now, config.limits, rng, output, handshake) })
    }

    /// Ends the session at once. Queued records are dropped, except the rest of a record that has
    /// been begun: a record that is cut short ends a deployed server (PROTOCOL 6). Write what is
    /// left in [`output`](Self::output), then close the connection.
    pub fn abandon(&mut self, now: Instant) {
        self.engine.abandon(now);
    }

    /// Tells the registry who the client is. The token must be signed. The answer is
    /// [`Reply::MemberOk`].
    ///
    /// # Errors
    ///
    /// [`CommandError`], as for every command; then nothing has changed.
    pub fn register(&mut self, now: Instant, token: Token) -> Result<RequestId, CommandError> {
        self.request(now, &Request::Member(token))
    }

    /// Creates a cluster, or finds the one of that name. The answer is [`Reply::Create`].
    ///
    /// # Errors
    ///
    /// [`CommandError`]; then nothing has changed.
    pub fn create(&mut self, now: Instant, create: Create) -> Result<RequestId, CommandError> {
        self.request(now, &Request::Create(create))
    }

    /// Joins a cluster. The answer is [`Reply::Join`]. A cluster that does not exist ends a
    /// deployed server: see [`Client`].
    ///
    /// # Errors
    ///
    /// [`CommandError`]; then nothing has changed.
    pub fn join(&mut self, now: Instant, cluster: ClusterRef) -> Result<RequestId, CommandError> {
        self.request(now, &Request::Join(cluster))
    }

    /// Asks for members of a cluster. The answer is [`Reply::Members`].
    ///
    /// # Errors
    ///
    /// [`CommandError`]; then nothing has changed.
    pub fn get_members(
        &mut self,
        now: Instant,
        get: GetCluster,
    ) -> Result<RequestId, CommandError> {
        self.request(now, &Request::GetCluster(get))
    }

    /// Asks for the registry's credential. The answer is [`Reply::RegCred`]. This ends a deployed
    /// server: see [`Client`].
    ///
    /// # Errors
    ///
    /// [`CommandError`]; then nothing has changed.
    pub fn registry_credential(&mut self, now: Instant) -> Result<RequestId, CommandError> {
        self.request(now, &Request::RegCred)
    }

    /// Says goodbye. The answer is [`Reply::Ack`], which ends the session.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; then nothing has changed.
    pub fn bye(&mut self, now: Instant) -> Result<RequestId, CommandError> {
        self.request(now, &Request::Bye)
    }

    fn request(&mut self, now: Instant, request: &Request) -> Result<RequestId, CommandError> {
        let op = request.op();
        let (core, open) = self.engine.require_open()?;
        let Open { channel, conversation } = open;
        let phase = conversation.phase.after(op).ok_or(CommandError::WrongState(op))?;
        if conversation.outstanding.len() >= core.limits.in_flight {
            return Err(CommandError::TooManyInFlight);
        }
        if matches!(request, Request::Member(token) if token.signature.is_none()) {
            return Err(CommandError::Unsigned);
        }
        let mut message = Vec::new();
        encode_request(request, &mut message);
        if message.len() > MAX_REQUEST {
            return Err(CommandError::TooLarge { bytes: message.len(), limit: MAX_REQUEST });
        }
        // Nothing is refused from here on, so the state may change.
        let id = RequestId::next(&mut conversation.next_id).ok_or(CommandError::Closed)?;
        core.advance(now);
        conversation.phase = phase;
        conversation.outstanding.push_back((id, op, core.now));
        debug_assert!(
            conversation.outstanding.len() <= core.limits.in_flight,
            "as many as allowed"
        );
        Writer { core, channel }.send(message.len(), |out| out.extend_from_slice(&message));
        Ok(id)
    }
}

/// Checks a reply: it must answer the oldest request, or be a refusal.
fn accept(
    core: &Core,
    conversation: &mut Conversation,
    reply: Reply,
) -> Result<(ClientEvent, Then), Error> {
    let due = conversation.outstanding.front().map(|(id, op, _)| (*id, op.answer()));
    if let Reply::Error(reason) = reply {
        let request = due.map(|(id, _)| id);
        return Ok((ClientEvent::Refused { request, reason }, Then::End));
    }
    match due {
        Some((request, Some(expected))) if expected == reply.op() => {
            conversation.outstanding.pop_front();
            debug_assert!(core.now >= conversation.last_reply, "time does not go back");
            conversation.last_reply = core.now;
            let then = if reply == Reply::Ack { Then::End } else { Then::GoOn };
            Ok((ClientEvent::Reply { request, reply }, then))
        }
        _ => Err(Error::UnexpectedReply {
            expected: due.and_then(|(_, answer)| answer),
            got: reply.op(),
        }),
    }
}

impl Behaviour for Client {
    type Event = ClientEvent;
    type Conversation = Conversation;

    // A client that has failed needs no more replies, so it sends no more requests.
    const DROPS_OUTPUT: bool = true;

    fn on_hello(_: SealedHello) -> Result<ClientEvent, Error> {
        debug_assert!(false, "a client is sent no Hello");
        Err(Error::Internal("a Hello came to a client"))
    }

    fn begin(core: &Core, channel: &Channel) -> (Conversation, Option<ClientEvent>) {
        let conversation = Conversation {
            phase: Phase::Anonymous,
            outstanding: VecDeque::new(),
            next_id: 0,
            last_reply: core.now,
        };
        let Channel { dialect, peer_version: version, .. } = *channel;
        (conversation, Some(ClientEvent::Connected { dialect, version }))
    }

    fn poll(core: &mut Core, open: &mut Open<Self>) -> Result<(Option<ClientEvent>, Then), Error> {
        let limits = &core.limits.message;
        let decode = |bytes: &[u8]| Decoded::new(bytes, limits)?.into_reply(limits);
        let polled = open.channel.records.poll(&mut core.input, decode);
        match polled.map_err(|_| Error::BadRecord)?.transpose()? {
            None => Ok((None, Then::GoOn)),
            Some(reply) => {
                let (event, then) = accept(core, &mut open.conversation, reply)?;
                Ok((Some(event), then))
            }
        }
    }

    fn is_reading(_: &Core, _: &Conversation) -> bool {
        true
    }

    fn deadline(core: &Core, conversation: &Conversation) -> Option<Instant> {
        let (_, _, asked) = conversation.outstanding.front()?;
        Some(core.idle_deadline(conversation.last_reply.max(*asked)))
    }

    fn eof(core: &Core, open: &Open<Self>) -> Option<Error> {
        let between = match open.conversation.outstanding.is_empty() {
            true => EofAt::Idle,
            false => EofAt::Reply,
        };
        Some(core.eof_at(&open.channel, between))
    }

    /// A registry is never told of an error.
    fn alert(_: &Error) -> Option<Refusal> {
        None
    }

    fn refuse(_: &mut Core, _: &mut Open<Self>, _: Reason) {
        debug_assert!(false, "a client refuses nothing");
    }
}
