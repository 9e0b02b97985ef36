//! Time as an argument: instants the caller supplies, and what a deadline is for.

use core::time::Duration;

/// A point in time, in microseconds since an epoch that the caller picks (the start of the program
/// will do).
///
/// The library never reads a clock; it only compares what it is given.
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

    /// The time from `earlier` to here; zero if that is not earlier.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This much later; the end of time if that is too far.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

/// What happens when a deadline passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TimerKind {
    /// The handshake is not complete in [`Limits::hello_time`](super::Limits::hello_time).
    #[error("the handshake")]
    Hello,
    /// It is the peer's turn, and its message is not complete in
    /// [`Limits::idle_time`](super::Limits::idle_time).
    #[error("the peer's next message")]
    Idle,
    /// The session is over and the peer does not take what is left of the output; the output is
    /// dropped.
    #[error("the peer to take the last output")]
    Drain,
    /// Not a failure: an [`Enroll`](crate::enroll::Enroll) asks again for missing members.
    #[error("the next poll")]
    Poll,
    /// An [`Enroll`](crate::enroll::Enroll) has waited for missing members as long as its plan
    /// allows.
    #[error("the cluster to be complete")]
    GiveUp,
}
