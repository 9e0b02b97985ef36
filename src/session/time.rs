//! Time as an argument: instants that the caller supplies, and the kinds of deadline.

use core::time::Duration;

/// A point in time, in microseconds since an epoch that the caller picks. The start of the program
/// will do.
///
/// The library never reads a clock. It only compares the instants that it is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The caller's epoch.
    pub const EPOCH: Self = Self(0);

    /// The instant this many microseconds after the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to here; zero if `earlier` is later.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The instant this much later; the last one there is if that is too far.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

/// The kind of a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TimerKind {
    /// The handshake must be complete within [`Limits::hello_time`](super::Limits::hello_time).
    #[error("the handshake")]
    Hello,
    /// The peer's next message must be complete within
    /// [`Limits::idle_time`](super::Limits::idle_time) of its turn.
    #[error("the peer's next message")]
    Idle,
    /// The session has ended, and the peer must take the rest of the output. At the deadline the
    /// rest is dropped.
    #[error("the peer to take the last output")]
    Drain,
    /// Not a failure: an [`Enroll`](crate::enroll::Enroll) asks again for missing members.
    #[error("the next poll")]
    Poll,
    /// The plan of an [`Enroll`](crate::enroll::Enroll) allows no more time for missing members.
    #[error("the cluster to be complete")]
    GiveUp,
}
