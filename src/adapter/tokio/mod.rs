//! Tokio, feature `tokio`: over any [`AsyncRead`] + [`AsyncWrite`].
//!
//! [`Driver::next_event`] is cancel-safe. Bytes go between stream and machine inside one poll, so a
//! dropped future loses nothing, and the next call goes on.
//!
//! A fast peer does not keep the executor busy: after 8 events, or 64 KiB read and written, a
//! [`Driver`] yields to other tasks.
//!
//! [`enroll`] runs a member's whole enrollment, and a [`Driver`] gives each of its events.
//! [`serve`](crate::serve) runs a connection of a registry.

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
use super::step::{Action, deadline, next_action, part, read, wrote};
use crate::enroll::{Enroll, EnrollError, Plan, Roster};
use crate::session::{ClientConfig, Error, Instant, Machine};
use budget::Budget;

/// A clock for the library's [`Instant`]s on the time of tokio, started at the epoch.
#[derive(Clone, Copy, Debug)]
pub struct Clock(time::Instant);

impl Clock {
    /// Starts a clock at [`Instant::EPOCH`].
    pub fn start() -> Self {
        Self(time::Instant::now())
    }

    /// The time now. After centuries the clock stays at its end.
    pub fn now(&self) -> Instant {
        Instant::EPOCH.saturating_add(self.0.elapsed())
    }

    /// Converts a time of the library to tokio's. It is at most a day from now, so that tokio can
    /// represent it. A time in the past is now.
    fn at(&self, instant: Instant) -> time::Instant {
        const DAY: core::time::Duration = core::time::Duration::from_secs(24 * 60 * 60);
        let now = time::Instant::now();
        let left = instant.saturating_duration_since(self.now()).min(DAY);
        // A clock that ends within a day makes a deadline early, which is always safe.
        now.checked_add(left).unwrap_or(now)
    }
}

/// The reason why a driver cannot go on.
pub type DriveError<E> = super::DriveError<E, io::Error>;

/// An async driver of a machine over a stream.
#[derive(Debug)]
pub struct Driver<M, T> {
    pub(crate) machine: M,
    stream: T,
    pub(crate) clock: Clock,
    /// Whether bytes were written that the stream may not have sent.
    unflushed: bool,
    budget: Budget,
}

/// The number of bytes in one read. The buffer is on the stack of one poll and never in a future,
/// so an idle connection has no buffer.
const CHUNK: usize = 8 * 1024;

/// The longest time for sending the last bytes of a finished session.
const LAST_FLUSH: core::time::Duration = core::time::Duration::from_secs(60);

impl<M: Machine + Unpin, T: AsyncRead + AsyncWrite + Unpin> Driver<M, T> {
    /// Makes a driver of a machine and a stream. The machine was made with the time of `clock`.
    pub fn new(machine: M, stream: T, clock: Clock) -> Self {
        Self { machine, stream, clock, unflushed: false, budget: Budget::new() }
    }

    /// The machine, for commands. [`next_event`](Self::next_event) writes their output.
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// Gives the machine and the stream, after the end of the conversation.
    pub fn into_parts(self) -> (M, T) {
        (self.machine, self.stream)
    }

    /// The time, for commands.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Reads, writes and waits until the machine has an event; `None` when the machine is finished.
    /// It is cancel-safe, and yields from time to time even if the stream is always ready.
    ///
    /// # Errors
    ///
    /// [`DriveError`]. The connection cannot be used any more then.
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

    /// Writes the rest of the output, before a connection is closed. Failures are ignored.
    /// [`next_event`](Self::next_event) does this before it returns an error of the machine.
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
        // The connection is closed in any case, so a failure is ignored.
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
        // A finished machine has no deadline. But a peer that does not read must not block for
        // ever.
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
        // After the deadline the rest is given up.
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

    /// Tells the machine if the time was over.
    fn passed(&mut self, done: Option<io::Result<()>>) -> io::Result<()> {
        done.unwrap_or_else(|| {
            self.machine.handle_timeout(self.clock.now());
            Ok(())
        })
    }
}

/// Awaits a future; `None` if the deadline comes first.
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

/// Writes once. The written bytes are consumed in the same poll.
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

/// Reads once. The machine receives the bytes in the same poll.
fn poll_read<M: Machine, T: AsyncRead + Unpin>(
    machine: &mut M,
    stream: &mut T,
    clock: &Clock,
    room: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Transfer>> {
    let mut chunk = [MaybeUninit::uninit(); CHUNK];
    let mut buffer = ReadBuf::uninit(part(&mut chunk, room));
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
/// [`DriveError`]. To get the events, or the roster after a failure, drive an [`Enroll`] with a
/// [`Driver`].
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
