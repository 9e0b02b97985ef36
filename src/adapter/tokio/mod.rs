//! Tokio, feature `tokio`: over any [`AsyncRead`] + [`AsyncWrite`].
//!
//! [`Driver::next_event`] is cancel-safe: bytes go between stream and machine inside one poll, so a
//! future that is dropped at any await has lost nothing, and the next call goes on where it
//! stopped.
//!
//! A peer whose bytes are always there, and who always reads, does not keep the executor to itself:
//! after 8 events, or 64 KiB read and written, a [`Driver`] yields.
//!
//! [`enroll`] runs a member's whole enrollment; [`Driver`] gives every step. A registry's
//! connection is run by [`serve`](crate::serve).

mod budget;

use core::future::{Future, poll_fn};
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use rand_core::CryptoRng;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{self, sleep_until, timeout_at};

use super::Transfer;
use super::blocking::is_gone;
use super::step::{Action, deadline, next_action, read, wrote};
use crate::enroll::{Enroll, EnrollError, Plan, Roster};
use crate::session::{ClientConfig, Error, Instant, Machine};
use budget::Budget;

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

    /// A time of the library on tokio's clock; a day from now at most, so that it can be
    /// represented.
    fn at(&self, instant: Instant) -> time::Instant {
        const DAY: core::time::Duration = core::time::Duration::from_secs(24 * 60 * 60);
        let now = time::Instant::now();
        let left = instant.saturating_duration_since(self.now()).min(DAY);
        now.checked_add(left).unwrap_or(now)
    }
}

/// Why a driver cannot go on.
pub type DriveError<E> = super::DriveError<E, io::Error>;

/// Drives a machine over a stream.
#[derive(Debug)]
pub struct Driver<M, T> {
    pub(crate) machine: M,
    stream: T,
    pub(crate) clock: Clock,
    /// Something was written that the stream may still hold back.
    unflushed: bool,
    budget: Budget,
}

/// Bytes read at a time. They are on the stack of one poll and never in a future, so an idle
/// connection has no buffer.
const CHUNK: usize = 8 * 1024;

/// How long the stream may take to send the last bytes of a session that is over.
const LAST_FLUSH: core::time::Duration = core::time::Duration::from_secs(60);

impl<M: Machine + Unpin, T: AsyncRead + AsyncWrite + Unpin> Driver<M, T> {
    /// Puts a machine on a stream. `clock` is the one the machine was made with.
    pub fn new(machine: M, stream: T, clock: Clock) -> Self {
        Self { machine, stream, clock, unflushed: false, budget: Budget::new() }
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

    /// Reads, writes and waits until the machine has something to tell; `None` when it is finished.
    /// Cancel-safe.
    ///
    /// Where all is ready it yields now and then, so that other tasks have their turn.
    ///
    /// # Errors
    ///
    /// [`DriveError`]; the connection is of no more use then.
    pub async fn next_event(&mut self) -> Result<Option<M::Event>, DriveError<M::Error>> {
        loop {
            self.budget.pass_on().await;
            match next_action(&mut self.machine) {
                Ok(Action::Tell(event)) => {
                    self.budget.tell();
                    return Ok(Some(event));
                }
                Ok(Action::Write(deadline)) => {
                    self.write(deadline).await.map_err(DriveError::Io)?
                }
                Ok(_) if self.unflushed => self.flush().await.map_err(DriveError::Io)?,
                Ok(Action::Nothing) => return Ok(None),
                Ok(Action::Read(room, deadline)) => {
                    self.read(room, deadline).await.map_err(DriveError::Io)?;
                }
                Ok(Action::Wait(deadline)) => {
                    sleep_until(self.clock.at(deadline)).await;
                    self.machine.handle_timeout(self.clock.now());
                }
                Ok(Action::Answer) => return Err(DriveError::Waiting),
                Err(error) => {
                    self.write_rest().await;
                    return Err(DriveError::Machine(error));
                }
            }
        }
    }

    /// Writes what is left to write, and no more: for the end, where it does not matter whether it
    /// can be written. [`next_event`](Self::next_event) does this itself before it returns an
    /// error of the machine.
    pub async fn write_rest(&mut self) {
        while !self.machine.output().is_empty() {
            self.budget.pass_on().await;
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
        let Self { machine, stream, clock, unflushed, budget } = self;
        let write = poll_fn(|cx| {
            let written = ready!(budget.watch(poll_write(machine, stream, clock, cx)))?;
            *unflushed |= matches!(written, Transfer::Bytes(_));
            budget.transfer(written);
            Poll::Ready(Ok(()))
        });
        let done = before(clock, deadline, write).await;
        self.passed(done)
    }

    async fn flush(&mut self) -> io::Result<()> {
        // A machine that is over has no deadline any more, but nobody waits for ever for a peer
        // that does not read.
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
        let Self { machine, stream, clock, budget, .. } = self;
        let read = poll_fn(|cx| {
            let taken = ready!(budget.watch(poll_read(machine, stream, clock, room, cx)))?;
            budget.transfer(taken);
            Poll::Ready(Ok(()))
        });
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
pub(crate) async fn before<F: Future>(
    clock: &Clock,
    deadline: Option<Instant>,
    future: F,
) -> Option<F::Output> {
    match deadline {
        Some(deadline) => timeout_at(clock.at(deadline), future).await.ok(),
        None => Some(future.await),
    }
}

/// Writes once. What is written is consumed in the same poll.
fn poll_write<M: Machine, T: AsyncWrite + Unpin>(
    machine: &mut M,
    stream: &mut T,
    clock: &Clock,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Transfer>> {
    let transfer = match ready!(Pin::new(&mut *stream).poll_write(cx, machine.output())) {
        Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        Ok(n) => Transfer::Bytes(n),
        Err(error) if is_gone(&error) => Transfer::Gone,
        Err(error) => return Poll::Ready(Err(error)),
    };
    wrote(machine, clock.now(), transfer);
    Poll::Ready(Ok(transfer))
}

/// Reads once. What is read is received in the same poll.
fn poll_read<M: Machine, T: AsyncRead + Unpin>(
    machine: &mut M,
    stream: &mut T,
    clock: &Clock,
    room: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Transfer>> {
    let mut chunk = [MaybeUninit::uninit(); CHUNK];
    let mut buffer = ReadBuf::uninit(chunk.get_mut(..room.min(CHUNK)).unwrap_or_default());
    let transfer = match ready!(Pin::new(stream).poll_read(cx, &mut buffer)) {
        Ok(()) => Transfer::Bytes(buffer.filled().len()),
        Err(error) if is_gone(&error) => Transfer::Gone,
        Err(error) => return Poll::Ready(Err(error)),
    };
    read(machine, clock.now(), transfer, buffer.filled());
    Poll::Ready(Ok(transfer))
}

/// Runs a member's whole enrollment over a stream.
///
/// # Errors
///
/// [`DriveError`]. To know what was learnt before a failure, or to follow each step, drive an
/// [`Enroll`] with a [`Driver`].
pub async fn enroll<T: AsyncRead + AsyncWrite + Unpin>(
    stream: T,
    config: ClientConfig,
    plan: Plan,
    rng: impl CryptoRng + Send + 'static,
) -> Result<Roster, DriveError<EnrollError>> {
    let clock = Clock::start();
    let failed = |error: EnrollError| DriveError::Machine(error);
    let enroll = Enroll::new(clock.now(), config, plan, rng).map_err(failed)?;
    let mut driver = Driver::new(enroll, stream, clock);
    while driver.next_event().await?.is_some() {}
    let roster = driver.into_parts().0.into_roster();
    roster.ok_or(failed(Error::Internal("done without a roster").into()))
}
