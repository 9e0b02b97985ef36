//! The step that all adapters share: it decides the next action, and tells the machine the result.
//! An adapter only performs the action.

use crate::session::{Instant, Machine};

/// The next action that a machine needs from its driver.
pub(super) enum Action<E> {
    /// Give this event to the caller.
    Tell(E),
    /// Do nothing: the machine is finished.
    Nothing,
    /// Write [`Machine::output`], or as much of it as possible before the deadline.
    Write(Option<Instant>),
    /// Read up to this number of bytes before the deadline.
    Read(usize, Option<Instant>),
    /// Wait until this time.
    Wait(Instant),
    /// Fail: the caller has not answered an event.
    Answer,
}

/// The result of a read or a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// This number of bytes was read or written. A read of 0 bytes is the end of the stream, and a
    /// write of 0 bytes is the end of the connection.
    Bytes(usize),
    /// Nothing was read or written, because the time was over or the call was interrupted.
    TimedOut,
    /// Nothing was read or written, because the peer is gone. The machine decides whether that is
    /// an error.
    Gone,
}

/// Polls a machine, and finds its next action.
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

/// The time of the machine's next timeout, if it has one.
pub(crate) fn deadline<M: Machine>(machine: &M) -> Option<Instant> {
    machine.poll_timeout().map(|(deadline, _)| deadline)
}

/// Tells a machine the result of writing its output.
pub(super) fn wrote<M: Machine>(machine: &mut M, now: Instant, transfer: Transfer) {
    match transfer {
        // The rest cannot be written. But the last bytes of the peer may still be there to read.
        Transfer::Bytes(0) | Transfer::Gone => machine.consume_output(usize::MAX),
        Transfer::Bytes(n) => machine.consume_output(n),
        Transfer::TimedOut => machine.handle_timeout(now),
    }
}

/// The part of a chunk that a machine has room for.
pub(super) fn part<T>(chunk: &mut [T], room: usize) -> &mut [T] {
    let room = room.min(chunk.len());
    chunk.split_at_mut(room).0
}

/// Tells a machine the result of reading into `buffer`.
pub(super) fn read<M: Machine>(machine: &mut M, now: Instant, transfer: Transfer, buffer: &[u8]) {
    match transfer {
        Transfer::Bytes(0) | Transfer::Gone => machine.receive_eof(now),
        Transfer::Bytes(n) => match buffer.get(..n) {
            Some(bytes) => {
                machine.receive(now, bytes);
            }
            // A transport that reads more than there is room for has lost bytes: the stream ends.
            None => {
                debug_assert!(false, "read {n} bytes into {}", buffer.len());
                machine.receive_eof(now);
            }
        },
        Transfer::TimedOut => machine.handle_timeout(now),
    }
}
