//! Tokio, feature `tokio`: over any [`AsyncRead`] + [`AsyncWrite`].
//!
//! [`Driver::next_event`] is cancel-safe: bytes go between stream and machine inside one poll, so a future that is
//! dropped at any await has lost nothing, and the next call goes on where it stopped.
//!
//! * A client: [`enroll`] runs the whole errand; [`Driver`] gives every step.
//! * A registry: [`serve`] runs one connection against a [`Registrar`].

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use std::io;

use rand_core::CryptoRng;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{self, sleep_until, timeout_at};

use super::DriveError;
use super::need::{Need, deadline, is_gone, need};
use crate::enroll::{Enroll, EnrollError, Plan, Roster};
use crate::identity::Version;
use crate::message::{Refusal, Reply, Request};
use crate::registry::Visitor;
use crate::session::{
    ClientConfig, Dialect, Error, Instant, Machine, OpenedHello, SealedHello, Server, ServerConfig,
    ServerEvent, Session,
};

/// A clock for the library's [`Instant`]s on tokio's time, started at the epoch.
#[derive(Clone, Copy, Debug)]
pub struct Clock(time::Instant);

impl Clock {
    /// A clock that shows [`Instant::EPOCH`] now.
    pub fn start() -> Self {
        Self(time::Instant::now())
    }

    /// The time.
    pub fn now(&self) -> Instant {
        Instant::EPOCH.saturating_add(self.0.elapsed())
    }

    /// A time of the library on tokio's clock; a day from now at most, so that it can be represented.
    fn at(&self, instant: Instant) -> time::Instant {
        const DAY: core::time::Duration = core::time::Duration::from_secs(24 * 60 * 60);
        let now = time::Instant::now();
        let left = instant.saturating_duration_since(self.now()).min(DAY);
        now.checked_add(left).unwrap_or(now)
    }
}

/// Drives a machine over a stream.
#[derive(Debug)]
pub struct Driver<M, T> {
    machine: M,
    stream: T,
    clock: Clock,
    /// Something was written that the stream may still hold back.
    unflushed: bool,
}

/// Bytes read at a time. They are on the stack of one poll and never in a future, so an idle connection has no
/// buffer.
const CHUNK: usize = 8 * 1024;

/// How long the stream may take to send the last bytes of a session that is over.
const LAST_FLUSH: core::time::Duration = core::time::Duration::from_secs(60);

impl<M: Machine + Unpin, T: AsyncRead + AsyncWrite + Unpin> Driver<M, T> {
    /// Puts a machine on a stream. `clock` is the one the machine was made with.
    pub fn new(machine: M, stream: T, clock: Clock) -> Self {
        Self { machine, stream, clock, unflushed: false }
    }

    /// The machine, for commands; [`next_event`](Self::next_event) sends what they queue.
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The machine and the stream, when the conversation is over.
    pub fn into_parts(self) -> (M, T) {
        (self.machine, self.stream)
    }

    /// The time, for commands.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Reads, writes and waits until the machine has something to tell; `None` when it is finished. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`DriveError`]; the connection is of no more use then.
    pub async fn next_event(&mut self) -> Result<Option<M::Event>, DriveError<M::Error>> {
        loop {
            match need(&mut self.machine) {
                Ok(Need::Tell(event)) => return Ok(Some(event)),
                Ok(Need::Write(deadline)) => self.write(deadline).await?,
                Ok(_) if self.unflushed => self.flush().await?,
                Ok(Need::Nothing) => return Ok(None),
                Ok(Need::Read(room, deadline)) => self.read(room, deadline).await?,
                Ok(Need::Wait(deadline)) => {
                    sleep_until(self.clock.at(deadline)).await;
                    self.machine.handle_timeout(self.clock.now());
                }
                Ok(Need::Answer) => return Err(DriveError::Waiting),
                Err(error) => {
                    self.write_rest().await;
                    return Err(DriveError::Machine(error));
                }
            }
        }
    }

    /// Writes what is left to write, and no more: for the end, where it does not matter whether it can be written.
    /// [`next_event`](Self::next_event) does this itself before it returns an error of the machine.
    pub async fn write_rest(&mut self) {
        while !self.machine.output().is_empty() {
            let deadline = deadline(&self.machine);
            if deadline.is_some_and(|deadline| self.now() >= deadline) {
                self.machine.handle_timeout(self.clock.now());
                return;
            }
            if self.write(deadline).await.is_err() {
                return;
            }
        }
        // As above: whether this succeeds changes nothing.
        let _ = self.flush().await;
    }

    async fn write(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let Self { machine, stream, clock, unflushed } = self;
        let write = poll_fn(|cx| poll_write(machine, stream, unflushed, cx));
        let done = before(clock, deadline, write).await;
        self.passed(done)
    }

    async fn flush(&mut self) -> io::Result<()> {
        // A machine that is over has no deadline any more, but nobody waits for ever for a peer that does not read.
        let deadline = deadline(&self.machine);
        let deadline = deadline.unwrap_or_else(|| self.now().saturating_add(LAST_FLUSH));
        let Self { stream, clock, unflushed, .. } = self;
        let flush = poll_fn(|cx| match ready!(Pin::new(&mut *stream).poll_flush(cx)) {
            Err(error) if !is_gone(&error) => Poll::Ready(Err(error)),
            _ => {
                *unflushed = false;
                Poll::Ready(Ok(()))
            }
        });
        let done = before(clock, Some(deadline), flush).await;
        // Data that could not be flushed in time is given up with its deadline.
        self.unflushed = false;
        self.passed(done)
    }

    async fn read(&mut self, room: usize, deadline: Option<Instant>) -> io::Result<()> {
        let Self { machine, stream, clock, .. } = self;
        let read = poll_fn(|cx| poll_read(machine, stream, clock, room, cx));
        let done = before(clock, deadline, read).await;
        self.passed(done)
    }

    /// Time that ran out is the machine's business.
    fn passed(&mut self, done: Option<io::Result<()>>) -> io::Result<()> {
        done.unwrap_or_else(|| {
            self.machine.handle_timeout(self.clock.now());
            Ok(())
        })
    }
}

/// What the future gives, or `None` if the deadline comes first.
async fn before<F: Future>(
    clock: &Clock,
    deadline: Option<Instant>,
    future: F,
) -> Option<F::Output> {
    match deadline {
        Some(deadline) => timeout_at(clock.at(deadline), future).await.ok(),
        None => Some(future.await),
    }
}

/// Writes once. What is written is consumed in the same poll, and so is what can no longer be written: the
/// peer's last words may still be there to read.
fn poll_write<M: Machine, T: AsyncWrite + Unpin>(
    machine: &mut M,
    stream: &mut T,
    unflushed: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    Poll::Ready(match ready!(Pin::new(&mut *stream).poll_write(cx, machine.output())) {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Ok(n) => {
            machine.consume_output(n);
            *unflushed = true;
            Ok(())
        }
        Err(error) if is_gone(&error) => {
            machine.consume_output(usize::MAX);
            Ok(())
        }
        Err(error) => Err(error),
    })
}

/// Reads once. What is read is received in the same poll.
fn poll_read<M: Machine, T: AsyncRead + Unpin>(
    machine: &mut M,
    stream: &mut T,
    clock: &Clock,
    room: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let mut chunk = [0; CHUNK];
    let mut buffer = ReadBuf::new(chunk.get_mut(..room.min(CHUNK)).unwrap_or_default());
    Poll::Ready(match ready!(Pin::new(stream).poll_read(cx, &mut buffer)) {
        Err(error) if !is_gone(&error) => Err(error),
        _ => {
            match buffer.filled() {
                [] => machine.receive_eof(clock.now()),
                bytes => drop(machine.receive(clock.now(), bytes)),
            }
            Ok(())
        }
    })
}

/// Runs a member's whole errand over a stream.
///
/// # Errors
///
/// [`DriveError`]. To know what was learnt before a failure, or to follow each step, drive an [`Enroll`] with
/// a [`Driver`].
pub async fn enroll<T: AsyncRead + AsyncWrite + Unpin>(
    stream: T,
    config: ClientConfig,
    plan: Plan,
    rng: impl CryptoRng + Send + 'static,
) -> Result<Roster, DriveError<EnrollError>> {
    let clock = Clock::start();
    let failed = |error: EnrollError| DriveError::Machine(error);
    let enroll = Enroll::new(clock.now(), config, plan, rng).map_err(|e| failed(e.into()))?;
    let mut driver = Driver::new(enroll, stream, clock);
    while driver.next_event().await?.is_some() {}
    let roster = driver.into_parts().0.into_roster();
    roster.ok_or(failed(Error::Internal("done without a roster").into()))
}

/// What a registry's connections share: the key that opens Hellos, the rules, and what makes their changes durable.
pub trait Registrar {
    /// Opens a Hello, where there is time for RSA and not on the event loop. `None` refuses the client without
    /// a word.
    fn open(&self, hello: SealedHello) -> impl Future<Output = Option<OpenedHello>> + Send;

    /// Decides a request. The reply must not be given before what it acknowledges is durable.
    fn decide(&self, visitor: &mut Visitor, request: Request)
    -> impl Future<Output = Reply> + Send;

    /// A handshake is complete. For those who count.
    fn connected(&self, _dialect: Dialect, _version: Version) {}
}

/// Serves one connection to its end, or until `stop` resolves: then what is in flight is finished, and nothing
/// new is begun. The stream is the caller's, to be closed.
///
/// # Errors
///
/// [`DriveError`]; what the client is told of it has been sent.
pub async fn serve<T: AsyncRead + AsyncWrite + Unpin, R: Registrar>(
    stream: T,
    config: ServerConfig,
    registrar: &R,
    rng: impl CryptoRng + Send + 'static,
    stop: impl Future<Output = ()>,
) -> Result<(), DriveError<Error>> {
    let clock = Clock::start();
    let session = Session::<Server>::new(clock.now(), config, rng);
    let mut driver = Driver::new(session, stream, clock);
    let mut visitor = Visitor::new();
    let mut stop = pin!(stop);
    loop {
        let event = {
            let mut next = pin!(driver.next_event());
            poll_fn(|cx| match stop.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => next.as_mut().poll(cx).map(Some),
            })
            .await
        };
        let Some(event) = event else {
            driver.write_rest().await;
            return Ok(());
        };
        match event? {
            None => return Ok(()),
            Some(event) => answer(event, &mut driver, registrar, &mut visitor).await?,
        }
    }
}

async fn answer<T, R: Registrar>(
    event: ServerEvent,
    driver: &mut Driver<Session<Server>, T>,
    registrar: &R,
    visitor: &mut Visitor,
) -> Result<(), DriveError<Error>> {
    let Driver { machine, clock, .. } = driver;
    match event {
        ServerEvent::Hello(hello) => {
            let deadline = deadline(machine);
            match before(clock, deadline, registrar.open(hello)).await {
                Some(Some(opened)) => machine.open_hello(clock.now(), opened)?,
                Some(None) => machine.reject(clock.now(), &Refusal::Unavailable.into())?,
                None => machine.handle_timeout(clock.now()),
            }
            if let (Some(dialect), Some(version)) = (machine.dialect(), machine.peer_version()) {
                registrar.connected(dialect, version);
            }
        }
        ServerEvent::Request { id, request } => {
            let reply = registrar.decide(visitor, request).await;
            machine.reply(clock.now(), id, &reply)?;
        }
    }
    Ok(())
}
