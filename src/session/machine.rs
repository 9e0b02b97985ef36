//! The one interface that adapters drive.

use super::{Error, Instant, Role, Session, TimerKind};

/// A state machine between bytes and events: a [`Session`] of either role, or an
/// [`Enroll`](crate::enroll::Enroll). The methods are those of [`Session`]. Adapters are written
/// against this trait.
pub trait Machine {
    /// An event for the caller.
    type Event;
    /// The error that ends the machine.
    type Error;

    /// See [`Session::receive`].
    fn receive(&mut self, now: Instant, bytes: &[u8]) -> usize;
    /// See [`Session::receive_eof`].
    fn receive_eof(&mut self, now: Instant);
    /// See [`Session::handle_timeout`].
    fn handle_timeout(&mut self, now: Instant);
    /// See [`Session::poll_event`].
    ///
    /// # Errors
    ///
    /// An error ends the machine. Later calls return the same error.
    fn poll_event(&mut self) -> Result<Option<Self::Event>, Self::Error>;
    /// See [`Session::output`].
    fn output(&self) -> &[u8];
    /// See [`Session::consume_output`].
    fn consume_output(&mut self, n: usize);
    /// See [`Session::poll_timeout`].
    fn poll_timeout(&self) -> Option<(Instant, TimerKind)>;
    /// See [`Session::recv_room`].
    fn recv_room(&self) -> usize;
    /// See [`Session::is_finished`].
    fn is_finished(&self) -> bool;
}

impl<R: Role> Machine for Session<R> {
    type Event = R::Event;
    type Error = Error;

    fn receive(&mut self, now: Instant, bytes: &[u8]) -> usize {
        Self::receive(self, now, bytes)
    }

    fn receive_eof(&mut self, now: Instant) {
        Self::receive_eof(self, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        Self::handle_timeout(self, now);
    }

    fn poll_event(&mut self) -> Result<Option<R::Event>, Error> {
        Self::poll_event(self)
    }

    fn output(&self) -> &[u8] {
        Self::output(self)
    }

    fn consume_output(&mut self, n: usize) {
        Self::consume_output(self, n);
    }

    fn poll_timeout(&self) -> Option<(Instant, TimerKind)> {
        Self::poll_timeout(self)
    }

    fn recv_room(&self) -> usize {
        Self::recv_room(self)
    }

    fn is_finished(&self) -> bool {
        Self::is_finished(self)
    }
}
