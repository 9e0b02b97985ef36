//! The session: bytes in, events out; commands in, bytes out. It uses no socket, clock, thread or
//! global randomness.
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
mod outbox;
mod phase;
#[cfg(feature = "internals")]
pub(crate) mod raw;
mod record;
mod role;
mod server;
mod time;
#[cfg(test)]
mod trial;

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
/// **The contract:** you tell it which bytes have arrived and what time it is, act on its events,
/// and write its output; the session does the rest.
///
/// # Methods
///
/// There are four families, and each method says which one it belongs to:
///
/// * **Inputs** tell the session what happened: [`receive`](Self::receive),
///   [`receive_eof`](Self::receive_eof), [`handle_timeout`](Self::handle_timeout). They store, and
///   never fail.
/// * **Outputs** tell you what to do: [`poll_event`](Self::poll_event), [`output`](Self::output)
///   with [`consume_output`](Self::consume_output), [`poll_timeout`](Self::poll_timeout).
/// * **Commands** say what you want: `register`, `create`, `join`, … of a [`Client`]; `open_hello`,
///   `reply`, `reject` of a [`Server`]. A command at the wrong time returns [`CommandError`] and
///   changes nothing.
/// * **Getters** change nothing: [`recv_room`](Self::recv_room), [`state`](Self::state),
///   [`is_finished`](Self::is_finished), [`dialect`](Self::dialect),
///   [`peer_version`](Self::peer_version).
///
/// Any order of calls is legal. The events do not depend on how the input is cut into pieces.
/// Output stays until it is consumed, so neither a partial write nor a dropped future loses
/// anything.
///
/// # The loop
///
/// Every event loop repeats four steps:
///
/// 1. Call [`poll_event`](Self::poll_event) until it returns `None`, and act on each event.
/// 2. Write [`output`](Self::output), and say how much was written with
///    [`consume_output`](Self::consume_output). Go back to step 1 after a write.
/// 3. Stop if the session [is finished](Self::is_finished).
/// 4. Wait for input (if [`recv_room`](Self::recv_room) is not 0), for room to write, or for the
///    time of [`poll_timeout`](Self::poll_timeout). Tell the session what happened.
///
/// ```
/// use std::io::{ErrorKind, Read, Write};
/// use std::net::TcpStream;
/// use xlreg::session::{Client, ClientEvent, Instant, Session};
///
/// fn drive(
///     mut session: Session<Client>,
///     mut stream: TcpStream,
///     mut act: impl FnMut(&mut Session<Client>, ClientEvent),
/// ) -> Result<(), Box<dyn std::error::Error>> {
///     let start = std::time::Instant::now();
///     let now = || Instant::EPOCH.saturating_add(start.elapsed());
///     let mut buffer = [0; 4096];
///     loop {
///         // 1. Act on each event.
///         while let Some(event) = session.poll_event()? {
///             act(&mut session, event);
///         }
///         // 2. Write the output.
///         if !session.output().is_empty() {
///             let written = stream.write(session.output())?;
///             session.consume_output(written);
///             continue;
///         }
///         // 3. Stop.
///         if session.is_finished() {
///             return Ok(());
///         }
///         // 4. Wait. This loop writes until all is written, so there is no room to wait for.
///         let due = session.poll_timeout().map(|(due, _)| due.saturating_duration_since(now()));
///         stream.set_read_timeout(due.map(|due| due.max(std::time::Duration::from_millis(1))))?;
///         let room = session.recv_room().min(buffer.len());
///         match stream.read(&mut buffer[..room]) {
///             Ok(0) => session.receive_eof(now()),
///             Ok(n) => assert_eq!(session.receive(now(), &buffer[..n]), n),
///             Err(error) => match error.kind() {
///                 ErrorKind::WouldBlock | ErrorKind::TimedOut => session.handle_timeout(now()),
///                 _ => return Err(error.into()),
///             },
///         }
///     }
/// }
/// ```
///
/// A client always has room for input while it waits. A registry's loop reads only if there is
/// room. The [adapters](crate::adapter) are such loops, complete with the time that a write may
/// take.
pub struct Session<R: Role> {
    engine: Engine<R>,
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

    /// This request's ID; the one after it is left in the counter. `None` if there are no more.
    fn next(counter: &mut u64) -> Option<Self> {
        let id = *counter;
        debug_assert!(id < u64::MAX, "no session makes so many requests");
        *counter = id.checked_add(1)?;
        Some(Self(id))
    }
}

/// A side of the protocol: [`Client`] or [`Server`].
pub trait Role: role::Behaviour {}

impl<R: Role> Session<R> {
    // Inputs: they store, and never fail.

    /// Input: takes bytes from the peer, up to [`recv_room`](Self::recv_room), and says how many it
    /// took. Only stores them: call [`poll_event`](Self::poll_event) next.
    pub fn receive(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.engine.receive(now, bytes)
    }

    /// Input: the peer will send no more. What it has sent is still worked on.
    pub fn receive_eof(&mut self, now: Instant) {
        self.engine.receive_eof(now);
    }

    /// Input: time has passed. Call it when [`poll_timeout`](Self::poll_timeout) says so; early,
    /// late or twice does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.engine.advance(now);
    }

    // Outputs: what the caller is to do.

    /// Output: the next thing the caller should know; `None` if more input, output or time is
    /// needed first. Parses and steps at most one message, so the session never runs ahead of its
    /// caller.
    ///
    /// # Errors
    ///
    /// [`Error`] ends the session and is returned from then on. Output that is left should still be
    /// written: it may hold replies to earlier requests, and what the peer is told of the error.
    pub fn poll_event(&mut self) -> Result<Option<R::Event>, Error> {
        self.engine.poll_event()
    }

    /// Output: bytes to write to the peer, oldest first. They stay until
    /// [`consume_output`](Self::consume_output) says that they are written.
    ///
    /// A client's are one record, or what is left of it, and the next record comes when it is
    /// consumed: deployed servers take what one read gives for one record, and end where it is less
    /// (PROTOCOL 6). So write them with one call, without delay.
    pub fn output(&self) -> &[u8] {
        self.engine.core.output.next()
    }

    /// All output there is, however it divides into records.
    #[cfg(feature = "internals")]
    pub(crate) fn all_output(&self) -> &[u8] {
        self.engine.core.output.all()
    }

    /// Output: `n` bytes of [`output`](Self::output) have been written. There may be events again
    /// after this: a session with much output waiting takes no requests.
    pub fn consume_output(&mut self, n: usize) {
        self.engine.consume_output(n);
    }

    /// Output: when to call [`handle_timeout`](Self::handle_timeout), and what for; `None` if
    /// nothing is due.
    pub fn poll_timeout(&self) -> Option<(Instant, TimerKind)> {
        self.engine.poll_timeout()
    }

    // Getters: they look. Commands are with the roles: `Session<Client>`, `Session<Server>`.

    /// Getter: how many bytes [`receive`](Self::receive) takes now. While it is 0 there is no point
    /// in reading.
    pub fn recv_room(&self) -> usize {
        self.engine.room()
    }

    /// Getter: how far the session has come.
    pub const fn state(&self) -> State {
        match (self.engine.is_closed(), self.engine.channel()) {
            (true, _) => State::Closed,
            (false, Some(_)) => State::Open,
            (false, None) => State::Handshake,
        }
    }

    /// Getter: whether the session is closed and all its output is written: time to close the
    /// connection.
    pub const fn is_finished(&self) -> bool {
        self.engine.is_finished()
    }

    /// Getter: the dialect spoken; `None` unless the session is open.
    pub fn dialect(&self) -> Option<Dialect> {
        self.engine.channel().map(|channel| channel.dialect)
    }

    /// Getter: the version the peer gave in the handshake; `None` unless the session is open.
    pub fn peer_version(&self) -> Option<Version> {
        self.engine.channel().map(|channel| channel.peer_version)
    }
}

impl<R: Role> fmt::Debug for Session<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.state())
            .field("dialect", &self.dialect())
            .field("buffered", &self.engine.core.input.len())
            .field("output", &self.engine.core.output.len())
            .finish_non_exhaustive()
    }
}
