//! How much a connection does before others have their turn.

use core::task::Poll;

use tokio::task::yield_now;

use crate::adapter::Transfer;

/// Events told in one turn: a client's whole enrollment in one flight, some tens of microseconds of
/// work.
const EVENTS: usize = 8;
/// Bytes read and written in one turn: as many as may wait to be written.
const BYTES: usize = 64 * 1024;
/// What a read or a write costs at least, in bytes: one byte takes the system as long as a
/// thousand.
const TRANSFER: usize = 1024;

/// What is left of a connection's turn.
///
/// A task that finds everything ready could go on for ever: its peer sends faster than it is
/// answered. The bound of tokio's own streams, 128 reads and writes a poll, is no bound on what is
/// in them, and other streams have none.
#[derive(Debug)]
pub(super) struct Budget {
    events: usize,
    bytes: usize,
}

impl Budget {
    /// A whole turn.
    pub(super) const fn new() -> Self {
        Self { events: EVENTS, bytes: BYTES }
    }

    /// An event is told.
    pub(super) fn tell(&mut self) {
        self.events = self.events.saturating_sub(1);
    }

    /// Something was read or written with one call.
    pub(super) fn transfer(&mut self, transfer: Transfer) {
        let bytes = match transfer {
            Transfer::Bytes(n) => n,
            Transfer::TimedOut | Transfer::Gone => 0,
        };
        self.bytes = self.bytes.saturating_sub(bytes.max(TRANSFER));
    }

    /// Others have their turn now, if this one is over. Cancel-safe: whoever drops this has let
    /// others in as well.
    pub(super) async fn pass_on(&mut self) {
        if self.events == 0 || self.bytes == 0 {
            *self = Self::new();
            yield_now().await;
        }
    }

    /// Where there is nothing to do, others have their turn anyway.
    pub(super) fn watch<T>(&mut self, polled: Poll<T>) -> Poll<T> {
        if polled.is_pending() {
            *self = Self::new();
        }
        polled
    }
}
