//! What every adapter's loop asks and tells: what is to be done next, and what came of it. All
//! decisions are here; what is left to an adapter is to do it.

use crate::session::{Instant, Machine};

/// What a machine needs next of its driver.
pub(super) enum Action<E> {
    /// The caller should know this first.
    Tell(E),
    /// Nothing more: it is finished.
    Nothing,
    /// [`Machine::output`] is to be written, or as much of it as can be before the deadline.
    Write(Option<Instant>),
    /// Up to so many bytes are to be read before the deadline.
    Read(usize, Option<Instant>),
    /// Time is to pass.
    Wait(Instant),
    /// Its caller owes it an answer to an event.
    Answer,
}

/// What came of a read or a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// So many bytes were read or written. None read is the end of the stream, none written the end
    /// of the connection.
    Bytes(usize),
    /// None, because the time was over or the call was interrupted.
    TimedOut,
    /// None, because the peer is gone. What that means at this point, the machine knows best.
    Gone,
}

/// Polls a machine for what it needs.
pub(super) fn next_action<M: Machine>(machine: &mut M) -> Result<Action<M::Event>, M::Error> {
    if let Some(event) = machine.poll_event()? {
        return Ok(Action::Tell(event));
    }
    let deadline = deadline(machine);
    Ok(match (machine.recv_room(), deadline) {
        _ if machine.is_finished() => Action::Nothing,
        _ if !machine.output().is_empty() => Action::Write(deadline),
        (0, Some(deadline)) => Action::Wait(deadline),
        (0, None) => Action::Answer,
        (room, deadline) => Action::Read(room, deadline),
    })
}

/// When the machine is to be told of the time, if anything is due.
pub(crate) fn deadline<M: Machine>(machine: &M) -> Option<Instant> {
    machine.poll_timeout().map(|(deadline, _)| deadline)
}

/// Tells a machine what came of writing its output.
pub(super) fn wrote<M: Machine>(machine: &mut M, now: Instant, transfer: Transfer) {
    match transfer {
        // What is left goes nowhere; the peer's last words may still be there to read.
        Transfer::Bytes(0) | Transfer::Gone => machine.consume_output(usize::MAX),
        Transfer::Bytes(n) => machine.consume_output(n),
        Transfer::TimedOut => machine.handle_timeout(now),
    }
}

/// Tells a machine what came of reading into `buffer`.
pub(super) fn read<M: Machine>(machine: &mut M, now: Instant, transfer: Transfer, buffer: &[u8]) {
    match transfer {
        Transfer::Bytes(0) | Transfer::Gone => machine.receive_eof(now),
        Transfer::Bytes(n) => {
            machine.receive(now, buffer.get(..n).unwrap_or_default());
        }
        Transfer::TimedOut => machine.handle_timeout(now),
    }
}
