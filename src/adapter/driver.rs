//! The blocking driver, over any transport and any clock.

use core::time::Duration;

use super::DriveError;
use super::error::Driven;
use super::step::{self, Action, Transfer, deadline, next_action};
use crate::session::{Instant, Machine};

/// A byte stream with calls that return in time.
///
/// [`blocking`](super::blocking) implements it for the streams of std, and `embedded_io` for those
/// of `embedded-io`. Implement it for other streams of your system.
pub trait Transport {
    /// The error of a stream that cannot be used any more.
    type Error;

    /// Reads at least one byte, and blocks for at most `longest`. That is never zero; if absent, it
    /// blocks for ever. If a transport blocks for longer, deadlines are late, and nothing else
    /// breaks.
    ///
    /// # Errors
    ///
    /// The connection cannot be used any more. That the peer is gone is not an error.
    fn read(
        &mut self,
        buffer: &mut [u8],
        longest: Option<Duration>,
    ) -> Result<Transfer, Self::Error>;

    /// Writes and flushes at least one byte, and blocks for at most `longest`, as
    /// [`read`](Self::read) does.
    ///
    /// # Errors
    ///
    /// The same as those of [`read`](Self::read).
    fn write(&mut self, bytes: &[u8], longest: Option<Duration>) -> Result<Transfer, Self::Error>;
}

/// A clock that can sleep.
pub trait Timer {
    /// The time now. It never goes back.
    fn now(&self) -> Instant;

    /// Returns after this time has passed.
    fn sleep(&mut self, time: Duration);
}

/// A blocking driver of a machine over a transport.
#[derive(Debug)]
pub struct Driver<M, T, C> {
    machine: M,
    transport: T,
    clock: C,
}

/// The number of bytes in one read. The buffer is on the stack, so it is smaller without `std`,
/// where stacks are small.
const CHUNK: usize = if cfg!(feature = "std") { 8 * 1024 } else { 512 };

impl<M: Machine, T: Transport, C: Timer> Driver<M, T, C> {
    /// Makes a driver of a machine and a transport. The machine was made with the time of `clock`.
    pub fn new(machine: M, transport: T, clock: C) -> Self {
        Self { machine, transport, clock }
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
    ///
    /// # Errors
    ///
    /// [`DriveError`]. The connection cannot be used any more then.
    pub fn next_event(&mut self) -> Driven<M, T::Error> {
        loop {
            match next_action(&mut self.machine) {
                Ok(Action::Tell(event)) => return Ok(Some(event)),
                Ok(Action::Nothing) => return Ok(None),
                Ok(Action::Write(deadline)) => self.write(deadline).map_err(DriveError::Io)?,
                Ok(Action::Read(room, deadline)) => {
                    self.read(room, deadline).map_err(DriveError::Io)?;
                }
                Ok(Action::Wait(deadline)) => {
                    // A deadline in the past leaves no time, here and below.
                    self.clock.sleep(deadline.saturating_duration_since(self.now()));
                    self.machine.handle_timeout(self.clock.now());
                }
                Ok(Action::Answer) => return Err(DriveError::Waiting),
                Err(error) => {
                    self.write_rest();
                    return Err(DriveError::Machine(error));
                }
            }
        }
    }

    /// Writes the last bytes after a failure. If that fails too, the first failure is reported.
    fn write_rest(&mut self) {
        while !self.machine.output().is_empty() {
            let deadline = deadline(&self.machine);
            let late = deadline.is_some_and(|deadline| self.now() >= deadline);
            if self.write(deadline).is_err() || late {
                return;
            }
        }
    }

    /// The time left until a deadline; `Err` if it is over, after the machine was told so.
    fn left(&mut self, deadline: Option<Instant>) -> Result<Option<Duration>, ()> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(self.now()));
        if left.is_some_and(|left| left.is_zero()) {
            self.machine.handle_timeout(self.clock.now());
            return Err(());
        }
        Ok(left)
    }

    fn write(&mut self, deadline: Option<Instant>) -> Result<(), T::Error> {
        if let Ok(left) = self.left(deadline) {
            let transfer = self.transport.write(self.machine.output(), left)?;
            step::wrote(&mut self.machine, self.clock.now(), transfer);
        }
        Ok(())
    }

    fn read(&mut self, room: usize, deadline: Option<Instant>) -> Result<(), T::Error> {
        if let Ok(left) = self.left(deadline) {
            let mut chunk = [0; CHUNK];
            let buffer = step::part(&mut chunk, room);
            let transfer = self.transport.read(buffer, left)?;
            step::read(&mut self.machine, self.clock.now(), transfer, buffer);
        }
        Ok(())
    }
}
