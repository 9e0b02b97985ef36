//! The session: bytes in, events out; commands in, bytes out. No socket, clock, thread or global
//! randomness.
//!
//! [`Session<Client>`](Client) is a cluster member's side of one connection,
//! [`Session<Server>`](Server) the registry's. The role is part of the type, so that a command of
//! the other side does not exist. See [`Session`] for how to drive one.

mod buffer;
mod cipher;
mod client;
mod engine;
mod error;
mod handshake;
mod limits;
mod machine;
mod phase;
#[cfg(feature = "internals")]
pub(crate) mod raw;
mod record;
mod server;
mod time;

use core::fmt;

pub use client::{Client, ClientConfig, ClientEvent};
pub use error::{CommandError, EofAt, Error};
pub use handshake::{Dialect, OpenedHello, SealedHello, UnknownDialect};
pub use limits::Limits;
pub use machine::Machine;
pub use server::{Server, ServerConfig, ServerEvent};
pub use time::{Instant, TimerKind};

use crate::identity::Version;
use engine::Engine;

/// One side of one connection, as a state machine.
///
/// It has four families of methods:
///
/// * **Inputs** tell it what happened: [`receive`](Self::receive),
///   [`receive_eof`](Self::receive_eof), [`handle_timeout`](Self::handle_timeout). They store, and
///   never fail.
/// * **Outputs** tell you what to do: [`poll_event`](Self::poll_event), [`output`](Self::output)
///   with [`consume_output`](Self::consume_output), [`poll_timeout`](Self::poll_timeout).
/// * **Commands** are what you want: `register`, `create`, `join`, … of a [`Client`]; `open_hello`,
///   `reply`, `reject` of a [`Server`]. One that comes at the wrong time returns [`CommandError`]
///   and changes nothing.
/// * **Getters** look: [`recv_room`](Self::recv_room), [`state`](Self::state),
///   [`dialect`](Self::dialect), [`peer_version`](Self::peer_version).
///
/// A loop around it, whatever waits for I/O, does this over and over:
///
/// 1. call [`poll_event`](Self::poll_event) until it says `None`, and act on what it says;
/// 2. write [`output`](Self::output), and tell how much was written;
/// 3. stop when [`is_finished`](Self::is_finished);
/// 4. wait until there is input (if [`recv_room`](Self::recv_room) is not 0), room to write, or the
///    time of [`poll_timeout`](Self::poll_timeout), and tell the session.
///
/// Any order of calls is legal. How the input is cut into pieces makes no difference to the events.
/// Output stays until it is consumed, so a write that is cut short or a future that is dropped
/// loses nothing.
pub struct Session<R: Role> {
    engine: Engine,
    role: R,
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The handshake is not complete.
    Handshake,
    /// Requests and replies may go.
    Open,
    /// Nothing more will happen; there may be output left to write.
    Closed,
}

/// Names a request, so that its reply can be told from others. Counts from 0 in each session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

impl RequestId {
    /// How many requests of the session went before this one.
    pub const fn index(self) -> u64 {
        self.0
    }

    /// This request's ID; the one after it is left in the counter.
    fn next(counter: &mut u64) -> Self {
        let id = *counter;
        *counter = id.saturating_add(1);
        Self(id)
    }
}

/// A side of the protocol: [`Client`] or [`Server`].
pub trait Role: role::Behaviour {}

mod role {
    //! What tells the roles apart. In a private module, so that there are only two.

    use super::{Engine, Error, Instant, TimerKind};

    pub trait Behaviour {
        /// What a session of this role tells its caller.
        type Event;

        /// Parses and steps at most one message.
        fn step(&mut self, engine: &mut Engine) -> Result<Option<Self::Event>, Error>;

        /// Bytes of input that have a use now.
        fn room(&self, engine: &Engine) -> usize;

        /// By when the peer must have done its part, if it is its turn.
        fn deadline(&self, engine: &Engine) -> Option<(Instant, TimerKind)>;

        /// What the end of the input means where no whole message is left; `None` if it can wait.
        fn eof(&self, engine: &Engine) -> Option<Error>;

        /// Queues what the peer is told of a failure.
        fn alert(&mut self, engine: &mut Engine, error: &Error);

        /// What is to be written next.
        fn output<'a>(&self, engine: &'a Engine) -> &'a [u8] {
            engine.output.as_slice()
        }

        /// So many bytes of the output have been written.
        fn consume_output(&mut self, engine: &mut Engine, n: usize) {
            engine.output.consume(n);
        }
    }
}

impl<R: Role> Session<R> {
    /// Takes bytes from the peer, up to [`recv_room`](Self::recv_room), and says how many it took.
    /// Only stores them: call [`poll_event`](Self::poll_event) next.
    pub fn receive(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.engine.advance(now);
        let taken = bytes.len().min(self.recv_room());
        self.engine.input.push(bytes.get(..taken).unwrap_or_default());
        taken
    }

    /// The peer will send no more. What it has sent is still worked on.
    pub fn receive_eof(&mut self, now: Instant) {
        self.engine.advance(now);
        self.engine.eof = true;
    }

    /// Time has passed. Call it when [`poll_timeout`](Self::poll_timeout) says so; early, late or
    /// twice does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.engine.advance(now);
    }

    /// The next thing the caller should know; `None` if more input, output or time is needed first.
    /// Parses and steps at most one message, so the session never runs ahead of its caller.
    ///
    /// # Errors
    ///
    /// [`Error`] ends the session and is returned from then on. Output that is left should still be
    /// written: it may hold replies to earlier requests, and what the peer is told of the
    /// error.
    pub fn poll_event(&mut self) -> Result<Option<R::Event>, Error> {
        if let Some(error) = self.engine.failure() {
            return Err(error.clone());
        }
        if self.engine.is_closed() {
            return Ok(None);
        }
        match self.role.step(&mut self.engine) {
            Ok(None) => match self.stalled() {
                Some(error) => Err(self.fail(error)),
                None => Ok(None),
            },
            Ok(event) => Ok(event),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Why nothing more will come, if nothing will.
    fn stalled(&self) -> Option<Error> {
        if self.engine.eof
            && let Some(error) = self.role.eof(&self.engine)
        {
            return Some(error);
        }
        let (deadline, kind) = self.role.deadline(&self.engine)?;
        (self.engine.now >= deadline).then_some(Error::Timeout(kind))
    }

    fn fail(&mut self, error: Error) -> Error {
        self.role.alert(&mut self.engine, &error);
        self.engine.fail(error.clone());
        error
    }

    /// Bytes to write to the peer, oldest first. They stay until
    /// [`consume_output`](Self::consume_output) says that they are written.
    ///
    /// A client's are one record, or what is left of it, and the next record comes when it is
    /// consumed: deployed servers take what one read gives for one record, and end where it is
    /// less (PROTOCOL 6). So write them with one call, without delay.
    pub fn output(&self) -> &[u8] {
        self.role.output(&self.engine)
    }

    /// All output there is, however it divides into records.
    #[cfg(feature = "internals")]
    pub(crate) fn all_output(&self) -> &[u8] {
        self.engine.output.as_slice()
    }

    /// So many bytes of [`output`](Self::output) have been written. There may be events again after
    /// this: a session with much output waiting takes no requests.
    pub fn consume_output(&mut self, n: usize) {
        self.role.consume_output(&mut self.engine, n);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and what for; `None` if nothing is
    /// due.
    pub fn poll_timeout(&self) -> Option<(Instant, TimerKind)> {
        if self.engine.is_closed() {
            self.engine.drain_deadline()
        } else {
            self.role.deadline(&self.engine)
        }
    }

    /// How many bytes [`receive`](Self::receive) takes now. While it is 0 there is no point in
    /// reading.
    pub fn recv_room(&self) -> usize {
        self.role.room(&self.engine)
    }

    /// How far the session has come.
    pub const fn state(&self) -> State {
        match (self.engine.is_closed(), &self.engine.channel) {
            (true, _) => State::Closed,
            (false, Some(_)) => State::Open,
            (false, None) => State::Handshake,
        }
    }

    /// Whether the session is over and all its output is written: time to close the connection.
    pub fn is_finished(&self) -> bool {
        self.engine.is_closed() && self.engine.output.is_empty()
    }

    /// The dialect spoken; `None` unless the session is open.
    pub fn dialect(&self) -> Option<Dialect> {
        self.engine.channel.as_ref().map(|channel| channel.dialect)
    }

    /// The version the peer gave in the handshake; `None` unless the session is open.
    pub fn peer_version(&self) -> Option<Version> {
        self.engine.channel.as_ref().map(|channel| channel.peer_version)
    }
}

impl<R: Role> fmt::Debug for Session<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.state())
            .field("dialect", &self.dialect())
            .field("buffered", &self.engine.input.len())
            .field("output", &self.engine.output.len())
            .finish_non_exhaustive()
    }
}
