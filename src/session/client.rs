//! A cluster member's side (PROTOCOL 2).
//!
//! 1. [`Session::new`] queues the Hello.
//! 2. The HelloReply is checked: [`ClientEvent::Connected`].
//! 3. Commands queue requests; each reply comes as [`ClientEvent::Reply`] with the ID the command
//!    returned. The order of requests is that of [`phase`](super::phase).
//! 4. A refusal ([`ClientEvent::Refused`]) or the Ack to a Bye ends the session.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;

use super::engine::Engine;
use super::error::{CommandError, EofAt, Error};
use super::handshake::{ClientHello, Dialect};
use super::limits::Limits;
use super::phase::Phase;
use super::role::Behaviour;
use super::time::{Instant, TimerKind};
use super::{RequestId, Role, Session};
use crate::credential::Credential;
use crate::crypto::{RustCrypto, Seal, SealError};
use crate::identity::{PublicKey, Token, Version};
use crate::message::{
    ClusterRef, Create, Decoded, GetCluster, Op, Reason, Reply, Request, encode_request,
};

/// The largest request, in bytes: with its IV and padding it fits the 16 KiB that deployed servers
/// read at once (PROTOCOL 4).
const MAX_REQUEST: usize = 16 * 1024 - 32;

/// How a client connects.
#[derive(Clone)]
pub struct ClientConfig {
    /// The registry's comms key, to which the Hello is sealed.
    pub registry_key: PublicKey,
    /// The dialect the registry speaks.
    pub dialect: Dialect,
    /// The version the client gives in its Hello. Deployed clients send [`Version::ZERO`].
    pub version: Version,
    /// Bounds on what the registry may send.
    pub limits: Limits,
    /// What seals the Hello.
    pub provider: &'static (dyn Seal + Sync),
}

impl ClientConfig {
    /// For the registry of this credential, in the dialect that goes with its version.
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

/// What a client session tells its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The handshake is complete; commands may go.
    Connected {
        /// The dialect spoken.
        dialect: Dialect,
        /// The registry's version.
        version: Version,
    },
    /// A request was answered; never with [`Reply::Error`].
    Reply {
        /// What the command returned.
        request: RequestId,
        /// The answer.
        reply: Reply,
    },
    /// The registry refused, in its own words. The session is closed.
    Refused {
        /// The request it refused, if one was waiting.
        request: Option<RequestId>,
        /// Why.
        reason: Reason,
    },
}

/// The role of a cluster member.
///
/// # Towards deployed servers
///
/// A session sends what it is told to. Some of it ends a deployed server, and with it every cluster
/// (PROTOCOL 6). What may be one (a credential with a version below 2.0) should get
///
/// * Member, Create, Join, GetCluster and Bye only, in this order and one at a time;
/// * a Join only of what this session's CreateReply named, by the ID in it. An unknown cluster, or
///   [`ClusterRef::CURRENT`], ends the server;
/// * a GetCluster with the cluster's ID and a `which`;
/// * no [`registry_credential`](Session::registry_credential);
/// * each record in one segment: one of more than 1,200 bytes may not fit. A record that is cut
///   short ends the server, too: leave a session that is not over by [`abandon`](Session::abandon).
///
/// [`Enroll`](crate::enroll::Enroll) keeps to all of this by itself.
pub struct Client {
    /// The secrets of the handshake, until it is complete.
    hello: Option<ClientHello>,
    phase: Phase,
    /// Requests without an answer, oldest first, and when they were made.
    outstanding: VecDeque<(RequestId, Op, Instant)>,
    next_id: u64,
    /// When the last reply came.
    last_reply: Instant,
    unsent: Unsent,
}

/// How the output divides into records. The Hello counts as one.
#[derive(Default)]
struct Unsent {
    /// Bytes left of the record that is written next.
    front: usize,
    /// Whether a part of it has been written.
    begun: bool,
    /// The lengths of the records after it.
    later: VecDeque<usize>,
}

impl Unsent {
    /// A record of so many bytes has been queued.
    fn push(&mut self, len: usize) {
        match self.front {
            0 => self.front = len,
            _ => self.later.push_back(len),
        }
    }

    /// So many bytes have been written.
    fn consume(&mut self, mut written: usize) {
        while written > 0 && self.front > 0 {
            if let Some(left) = self.front.checked_sub(written).filter(|left| *left > 0) {
                (self.front, self.begun) = (left, true);
                return;
            }
            written = written.saturating_sub(self.front);
            (self.front, self.begun) = (self.later.pop_front().unwrap_or(0), false);
        }
    }

    /// Forgets all records but one that has been begun; how many bytes of it are left.
    fn keep_begun(&mut self) -> usize {
        self.later = VecDeque::new();
        if !self.begun {
            self.front = 0;
        }
        self.front
    }
}

impl Role for Client {}

impl Session<Client> {
    /// A client's session. The Hello is in the [`output`](Self::output) already.
    ///
    /// All randomness of the session comes from `rng`, in the order of PROTOCOL 3.3: same draws,
    /// same inputs, same bytes.
    ///
    /// # Errors
    ///
    /// [`SealError`] if the provider cannot seal to the registry's key.
    pub fn new(
        now: Instant,
        config: ClientConfig,
        rng: impl CryptoRng + Send + 'static,
    ) -> Result<Self, SealError> {
        let mut engine = Engine::new(now, config.limits, Box::new(rng));
        let hello = ClientHello::seal(
            config.dialect,
            config.version,
            &config.registry_key,
            config.provider,
            &mut *engine.rng,
            engine.output.tail(),
        )?;
        let mut unsent = Unsent::default();
        unsent.push(engine.output.len());
        let role = Client {
            hello: Some(hello),
            phase: Phase::Anonymous,
            outstanding: VecDeque::new(),
            next_id: 0,
            last_reply: now,
            unsent,
        };
        Ok(Self { engine, role })
    }

    /// Ends the session here and now. What is queued is dropped, but a record that has been begun
    /// is kept to its end: one that is cut short ends a deployed server (PROTOCOL 6). So write
    /// what is left in [`output`](Self::output), then close.
    pub fn abandon(&mut self, now: Instant) {
        self.engine.advance(now);
        self.role.drop_unsent(&mut self.engine);
        self.engine.finish();
    }

    /// Says who the client is. The token must be signed. Answered by [`Reply::MemberOk`].
    ///
    /// # Errors
    ///
    /// [`CommandError`], as for every command; nothing has changed then.
    pub fn register(&mut self, now: Instant, token: Token) -> Result<RequestId, CommandError> {
        self.request(now, &Request::Member(token))
    }

    /// Creates a cluster, or finds the one of that name. Answered by [`Reply::Create`].
    ///
    /// # Errors
    ///
    /// [`CommandError`]; nothing has changed then.
    pub fn create(&mut self, now: Instant, create: Create) -> Result<RequestId, CommandError> {
        self.request(now, &Request::Create(create))
    }

    /// Joins a cluster. Answered by [`Reply::Join`]. One that does not exist ends a deployed
    /// server: see [`Client`].
    ///
    /// # Errors
    ///
    /// [`CommandError`]; nothing has changed then.
    pub fn join(&mut self, now: Instant, cluster: ClusterRef) -> Result<RequestId, CommandError> {
        self.request(now, &Request::Join(cluster))
    }

    /// Asks for members of a cluster. Answered by [`Reply::Members`].
    ///
    /// # Errors
    ///
    /// [`CommandError`]; nothing has changed then.
    pub fn get_members(
        &mut self,
        now: Instant,
        get: GetCluster,
    ) -> Result<RequestId, CommandError> {
        self.request(now, &Request::GetCluster(get))
    }

    /// Asks who the registry is. Answered by [`Reply::RegCred`]. It ends a deployed server: see
    /// [`Client`].
    ///
    /// # Errors
    ///
    /// [`CommandError`]; nothing has changed then.
    pub fn registry_credential(&mut self, now: Instant) -> Result<RequestId, CommandError> {
        self.request(now, &Request::RegCred)
    }

    /// Says good bye. Answered by [`Reply::Ack`], which ends the session.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; nothing has changed then.
    pub fn bye(&mut self, now: Instant) -> Result<RequestId, CommandError> {
        self.request(now, &Request::Bye)
    }

    fn request(&mut self, now: Instant, request: &Request) -> Result<RequestId, CommandError> {
        let op = request.op();
        self.engine.require_open()?;
        let phase = self.role.phase.after(op).ok_or(CommandError::WrongState(op))?;
        if self.role.outstanding.len() >= self.engine.limits.in_flight {
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
        self.engine.advance(now);
        let before = self.engine.output.len();
        self.engine.send(message.len(), |out| out.extend_from_slice(&message));
        self.role.unsent.push(self.engine.output.len().saturating_sub(before));
        let id = RequestId::next(&mut self.role.next_id);
        self.role.phase = phase;
        self.role.outstanding.push_back((id, op, self.engine.now));
        Ok(id)
    }
}

impl Client {
    /// Drops all output but the rest of a record that has been begun.
    fn drop_unsent(&mut self, engine: &mut Engine) {
        self.hello = None;
        engine.output.truncate(self.unsent.keep_begun());
    }

    fn accept_hello_reply(
        &mut self,
        hello: ClientHello,
        engine: &mut Engine,
    ) -> Result<Option<ClientEvent>, Error> {
        let len = hello.reply_len();
        let Some(reply) = engine.input.as_slice().get(..len) else {
            self.hello = Some(hello);
            return Ok(None);
        };
        let established = hello.accept(reply).ok_or(Error::Handshake)?;
        let (dialect, version) = (established.dialect, established.peer_version);
        engine.input.consume(len);
        engine.establish(established);
        Ok(Some(ClientEvent::Connected { dialect, version }))
    }

    fn accept_reply(&mut self, engine: &mut Engine, reply: Reply) -> Result<ClientEvent, Error> {
        let due = self.outstanding.front().map(|(id, op, _)| (*id, op.answer()));
        if let Reply::Error(reason) = reply {
            engine.finish();
            return Ok(ClientEvent::Refused { request: due.map(|(id, _)| id), reason });
        }
        match due {
            Some((request, Some(expected))) if expected == reply.op() => {
                self.outstanding.pop_front();
                self.last_reply = engine.now;
                if reply == Reply::Ack {
                    engine.finish();
                }
                Ok(ClientEvent::Reply { request, reply })
            }
            _ => Err(Error::UnexpectedReply {
                expected: due.and_then(|(_, answer)| answer),
                got: reply.op(),
            }),
        }
    }
}

impl Behaviour for Client {
    type Event = ClientEvent;

    fn step(&mut self, engine: &mut Engine) -> Result<Option<ClientEvent>, Error> {
        if let Some(hello) = self.hello.take() {
            return self.accept_hello_reply(hello, engine);
        }
        let channel = engine.channel.as_mut().ok_or(Error::Internal("no channel"))?;
        let limits = &engine.limits.message;
        let reply = channel
            .reader
            .poll(&mut engine.input, |bytes| Decoded::new(bytes, limits)?.into_reply(limits))
            .map_err(|_| Error::BadRecord)?;
        match reply.transpose()? {
            None => Ok(None),
            Some(reply) => self.accept_reply(engine, reply).map(Some),
        }
    }

    fn room(&self, engine: &Engine) -> usize {
        // Nothing may follow a HelloReply unasked, so exactly as much is taken.
        engine.room(self.hello.as_ref().map_or(0, ClientHello::reply_len))
    }

    fn deadline(&self, engine: &Engine) -> Option<(Instant, TimerKind)> {
        if self.hello.is_some() {
            return Some(engine.hello_deadline());
        }
        let (_, _, asked) = self.outstanding.front()?;
        Some(engine.idle_deadline(self.last_reply.max(*asked)))
    }

    fn eof(&self, engine: &Engine) -> Option<Error> {
        let between = if self.outstanding.is_empty() { EofAt::Idle } else { EofAt::Reply };
        Some(Error::Eof(engine.eof_at(between)))
    }

    /// A registry is told nothing: it has no use for it, nor for requests that are still to go out.
    fn alert(&mut self, engine: &mut Engine, _: &Error) {
        self.drop_unsent(engine);
    }

    fn output<'a>(&self, engine: &'a Engine) -> &'a [u8] {
        let all = engine.output.as_slice();
        all.get(..self.unsent.front).unwrap_or(all)
    }

    fn consume_output(&mut self, engine: &mut Engine, n: usize) {
        self.unsent.consume(n.min(engine.output.len()));
        engine.output.consume(n);
    }
}
