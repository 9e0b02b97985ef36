//! The blocking loop, over any transport and any clock.

use core::time::Duration;

use super::DriveError;
use super::error::Driven;
use super::step::{self, Action, Transfer, deadline, next_action};
use crate::session::{Instant, Machine};

/// A byte stream whose calls return in time.
///
/// [`blocking`](super::blocking) has it for std's streams, `embedded_io` for those of
/// `embedded-io`; implement it for whatever else your system has.
pub trait Transport {
    /// How it fails for good.
    type Error;

    /// Reads what there is, one byte at least, and blocks for no longer than `longest` (never zero;
    /// for ever if absent). A transport that cannot keep to the time makes deadlines late, and
    /// breaks nothing else.
    ///
    /// # Errors
    ///
    /// What makes the connection of no more use, a peer that is gone aside.
    fn read(
        &mut self,
        buffer: &mut [u8],
        longest: Option<Duration>,
    ) -> Result<Transfer, Self::Error>;

    /// Writes and flushes what it can, one byte at least, and blocks for no longer than `longest`,
    /// as [`read`](Self::read) does.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    fn write(&mut self, bytes: &[u8], longest: Option<Duration>) -> Result<Transfer, Self::Error>;
}

/// The time, and letting it pass.
pub trait Timer {
    /// The time now. It never goes back.
    fn now(&self) -> Instant;

    /// Returns when this much time has passed.
    fn sleep(&mut self, time: Duration);
}

/// Drives a machine over a transport, blocking.
#[derive(Debug)]
pub struct Driver<M, T, C> {
    machine: M,
    transport: T,
    clock: C,
}

/// Bytes read at a time, on the stack: a socket buffer's worth of a large reply, less where stacks
/// are small.
const CHUNK: usize = if cfg!(feature = "std") { 8 * 1024 } else { 512 };

impl<M: Machine, T: Transport, C: Timer> Driver<M, T, C> {
    /// Puts a machine on a transport. `clock` is the one the machine was made with.
    pub fn new(machine: M, transport: T, clock: C) -> Self {
        Self { machine, transport, clock }
    }

    /// The machine, for commands; [`next_event`](Self::next_event) sends what they queue.
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The machine, when the conversation is over.
    pub fn into_machine(self) -> M {
        self.machine
    }

    /// The time, for commands.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Reads, writes and waits until the machine has something to tell; `None` when it is finished.
    ///
    /// # Errors
    ///
    /// [`DriveError`]; the connection is of no more use then.
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

    /// The peer should hear what there is to hear of a failure; if it does not, the failure is
    /// still the news.
    fn write_rest(&mut self) {
        while !self.machine.output().is_empty() {
            let deadline = deadline(&self.machine);
            let late = deadline.is_some_and(|deadline| self.now() >= deadline);
            if self.write(deadline).is_err() || late {
                return;
            }
        }
    }

    /// The time that is left; `Err` if none is, and then the machine has been told.
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
            let buffer = chunk.get_mut(..room.min(CHUNK)).unwrap_or_default();
            let transfer = self.transport.read(buffer, left)?;
            step::read(&mut self.machine, self.clock.now(), transfer, buffer);
        }
        Ok(())
    }
}
