//! Sets of members by join order (PROTOCOL 5, `Which`).

use core::fmt;
use core::str::FromStr;

use crate::identity::hex_bits;

/// A set of members of one cluster: bit *i* is the *i*-th member to join, 0 to 63. Text is the bits in hex, like `0x1f`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Which(u64);

impl Which {
    /// No member.
    pub const NONE: Self = Self(0);
    /// Every member there can be.
    pub const ALL: Self = Self(u64::MAX);

    /// The set with exactly these bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits as they are on the wire.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The first `count` members; all 64 for a larger count.
    pub fn first(count: u32) -> Self {
        Self(match count {
            0 => 0,
            1..=63 => u64::MAX >> 64u32.saturating_sub(count),
            _ => u64::MAX,
        })
    }

    /// Whether the member with this index is in the set.
    pub fn contains(self, index: u32) -> bool {
        self.0.checked_shr(index).is_some_and(|bits| bits & 1 == 1)
    }

    /// The set with this member added; unchanged for an index over 63.
    #[must_use]
    pub fn with(self, index: u32) -> Self {
        Self(self.0 | 1u64.checked_shl(index).unwrap_or(0))
    }

    /// What is in this set but not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is in one of the sets or in both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// How many members are in the set.
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether no member is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The indexes in the set, lowest first.
    pub fn iter(self) -> impl Iterator<Item = u32> + Clone {
        (0..64).filter(move |index| self.contains(*index))
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A text is not a set of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a set of members: 0x and up to 64 bits in hex expected")]
pub struct WhichError;

impl FromStr for Which {
    type Err = WhichError;

    fn from_str(text: &str) -> Result<Self, WhichError> {
        hex_bits(text).map(Self).ok_or(WhichError)
    }
}

impl From<u64> for Which {
    fn from(bits: u64) -> Self {
        Self(bits)
    }
}

impl From<Which> for u64 {
    fn from(which: Which) -> Self {
        which.0
    }
}
