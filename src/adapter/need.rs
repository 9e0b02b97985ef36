//! What every adapter's loop asks: what is to be done next?

use std::io;

use crate::session::{Instant, Machine};

/// What a machine needs next of its driver.
pub(super) enum Need<E> {
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

/// Polls a machine for what it needs.
pub(super) fn need<M: Machine>(machine: &mut M) -> Result<Need<M::Event>, M::Error> {
    if let Some(event) = machine.poll_event()? {
        return Ok(Need::Tell(event));
    }
    let deadline = deadline(machine);
    Ok(match (machine.recv_room(), deadline) {
        _ if machine.is_finished() => Need::Nothing,
        _ if !machine.output().is_empty() => Need::Write(deadline),
        (0, Some(deadline)) => Need::Wait(deadline),
        (0, None) => Need::Answer,
        (room, deadline) => Need::Read(room, deadline),
    })
}

/// When the machine is to be told of the time, if anything is due.
pub(super) fn deadline<M: Machine>(machine: &M) -> Option<Instant> {
    machine.poll_timeout().map(|(deadline, _)| deadline)
}

/// Whether an error says just that the peer is gone: the machine knows best what that means at this point.
pub(super) fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}
