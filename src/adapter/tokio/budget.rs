//! The budget of a connection: how much it does before it yields to other tasks.

use core::task::Poll;

use tokio::task::yield_now;

use crate::adapter::Transfer;

/// The number of events in one turn. A client that sends its whole enrollment at once causes as
/// many, which is some tens of microseconds of work.
const EVENTS: usize = 8;
/// The number of bytes read and written in one turn. As many may wait to be written.
const BYTES: usize = 64 * 1024;
/// The lowest cost of a read or a write, in bytes: the system takes as long for one byte as for a
/// thousand.
const TRANSFER: usize = 1024;

/// The rest of a connection's turn.
///
/// A task could run for ever if its peer sends faster than it answers. Streams of tokio yield after
/// 128 reads and writes, but that does not bound the number of bytes, and other streams never
/// yield.
#[derive(Debug)]
pub(super) struct Budget {
    events: usize,
    bytes: usize,
}

impl Budget {
    /// Makes the budget of a whole turn.
    pub(super) const fn new() -> Self {
        Self { events: EVENTS, bytes: BYTES }
    }

    /// Counts an event. A turn may end below zero, and saturates there.
    pub(super) fn tell(&mut self) {
        self.events = self.events.saturating_sub(1);
    }

    /// Counts a read or a write. The last one of a turn may be larger than its rest, and saturates.
    pub(super) fn transfer(&mut self, transfer: Transfer) {
        let bytes = match transfer {
            Transfer::Bytes(n) => n,
            Transfer::TimedOut | Transfer::Gone => 0,
        };
        self.bytes = self.bytes.saturating_sub(bytes.max(TRANSFER));
    }

    /// Yields to other tasks, if the turn is over. It is cancel-safe: a caller that drops the
    /// future yields as well.
    pub(super) async fn pass_on(&mut self) {
        if self.events == 0 || self.bytes == 0 {
            *self = Self::new();
            yield_now().await;
        }
    }

    /// Starts a new turn if there is nothing to do, because the task yields then anyway.
    pub(super) fn watch<T>(&mut self, polled: Poll<T>) -> Poll<T> {
        if polled.is_pending() {
            *self = Self::new();
        }
        polled
    }
}
