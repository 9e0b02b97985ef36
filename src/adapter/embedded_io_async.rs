//! Async I/O without an operating system, feature `embedded-io-async`: over any [`Read`] +
//! [`Write`], on any executor.
//!
//! You supply the clock: an [`AsyncTimer`], which is two functions on the executor's timer.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use embedded_io_async::{Read, Write};

use super::embedded_io::transfer;
use super::error::Driven;
use super::step::{self, Action, deadline, next_action};
use super::{DriveError, Transfer};
use crate::session::{Instant, Machine};

/// A clock that can sleep while other tasks run.
#[allow(async_fn_in_trait, reason = "executors of microcontrollers have one thread")]
pub trait AsyncTimer {
    /// The time now. It never goes back.
    fn now(&self) -> Instant;

    /// Resolves after this time has passed.
    async fn sleep(&mut self, time: Duration);
}

/// An async driver of a machine over a stream.
#[derive(Debug)]
pub struct Driver<M, S, C> {
    machine: M,
    stream: S,
    clock: C,
    /// Whether bytes were written that the stream may not have sent.
    unflushed: bool,
}

/// The number of bytes in one read. The buffer is part of the future.
const CHUNK: usize = 256;

impl<M: Machine, S: Read + Write, C: AsyncTimer> Driver<M, S, C> {
    /// Makes a driver of a machine and a stream. The machine was made with the time of `clock`.
    pub fn new(machine: M, stream: S, clock: C) -> Self {
        Self { machine, stream, clock, unflushed: false }
    }

    /// The machine, for commands. [`next_event`](Self::next_event) writes their output.
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// Gives the machine, after the end of the conversation.
    pub fn into_machine(self) -> M {
        self.machine
    }

    /// The time, for commands.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Reads, writes and waits until the machine has an event; `None` when the machine is finished.
    /// It is cancel-safe if the reads and writes of the stream are.
    ///
    /// # Errors
    ///
    /// [`DriveError`]. The connection cannot be used any more then.
    pub async fn next_event(&mut self) -> Driven<M, S::Error> {
        loop {
            match next_action(&mut self.machine) {
                Ok(Action::Tell(event)) => return Ok(Some(event)),
                Ok(_) if self.unflushed => self.flush().await.map_err(DriveError::Io)?,
                Ok(Action::Nothing) => return Ok(None),
                Ok(Action::Write(deadline)) => {
                    self.write(deadline).await.map_err(DriveError::Io)?
                }
                Ok(Action::Read(room, deadline)) => {
                    self.read(room, deadline).await.map_err(DriveError::Io)?;
                }
                Ok(Action::Wait(deadline)) => {
                    // A deadline in the past leaves no time, here and below.
                    self.clock.sleep(deadline.saturating_duration_since(self.now())).await;
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

    /// Writes the last bytes after a failure. If that fails too, the first failure is reported.
    async fn write_rest(&mut self) {
        while !self.machine.output().is_empty() {
            let deadline = deadline(&self.machine);
            let late = deadline.is_some_and(|deadline| self.now() >= deadline);
            if self.write(deadline).await.is_err() || late {
                return;
            }
        }
        // If this fails too, the first failure is reported.
        let _ = self.flush().await;
    }

    async fn write(&mut self, deadline: Option<Instant>) -> Result<(), S::Error> {
        let Self { machine, stream, clock, unflushed } = self;
        let write = before(clock, deadline, stream.write(machine.output()));
        let transfer = write.await.map_or(Ok(Transfer::TimedOut), transfer)?;
        *unflushed |= matches!(transfer, Transfer::Bytes(1..));
        step::wrote(machine, clock.now(), transfer);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), S::Error> {
        let Self { machine, stream, clock, unflushed } = self;
        let flush = before(clock, deadline(machine), stream.flush()).await;
        // If the time is over or the peer is gone, the next call says so.
        *unflushed = false;
        transfer(flush.unwrap_or(Ok(())).map(|()| 0)).map(drop)
    }

    async fn read(&mut self, room: usize, deadline: Option<Instant>) -> Result<(), S::Error> {
        let Self { machine, stream, clock, .. } = self;
        let mut chunk = [0; CHUNK];
        let buffer = step::part(&mut chunk, room);
        let read = before(clock, deadline, stream.read(buffer));
        let transfer = read.await.map_or(Ok(Transfer::TimedOut), transfer)?;
        step::read(machine, clock.now(), transfer, buffer);
        Ok(())
    }
}

/// Awaits a future; `None` if the deadline comes first.
async fn before<C: AsyncTimer, F: Future>(
    clock: &mut C,
    deadline: Option<Instant>,
    future: F,
) -> Option<F::Output> {
    let mut future = pin!(future);
    let Some(deadline) = deadline else { return Some(future.await) };
    let left = deadline.saturating_duration_since(clock.now());
    let mut sleep = pin!(clock.sleep(left));
    poll_fn(|cx| match (future.as_mut().poll(cx), sleep.as_mut().poll(cx)) {
        (Poll::Ready(output), _) => Poll::Ready(Some(output)),
        (Poll::Pending, Poll::Ready(())) => Poll::Ready(None),
        (Poll::Pending, Poll::Pending) => Poll::Pending,
    })
    .await
}
