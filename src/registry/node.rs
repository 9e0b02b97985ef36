//! The nodes that a registry knows.

use crate::identity::Fingerprint;

/// A node, apart from its ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The sig key that its ID is bound to.
    pub key: Fingerprint,
    /// The last day on which it registered; `None` if nobody knows.
    pub last_use: Option<Day>,
}

impl Node {
    /// Whether its use on this day has to be noted.
    pub(super) fn is_news(&self, day: Day) -> bool {
        self.last_use.is_none_or(|last| last < day)
    }
}

/// A day of UTC, as the number of days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Day(u32);

impl Day {
    /// Makes the day with this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number of days since 1970-01-01.
    pub const fn get(self) -> u32 {
        self.0
    }
}
