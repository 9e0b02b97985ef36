//! Sets of members by join order (PROTOCOL 5, `Which`).

use core::fmt;
use core::str::FromStr;

use super::MemberIndex;
use crate::identity::hex_bits;

/// A set of members of one cluster: bit *i* is the *i*-th member to join, 0 to 63. Text is the bits
/// in hex, like `0x1f`.
#[doc(alias = "Which")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemberSet(u64);

impl MemberSet {
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
        MemberIndex::all().take_while(|index| index.get() < count).collect()
    }

    /// Whether the member with this index is in the set.
    pub fn contains(self, index: MemberIndex) -> bool {
        self.0 & Self::bit(index) != 0
    }

    /// The set with this member added.
    #[must_use]
    pub fn with(self, index: MemberIndex) -> Self {
        Self(self.0 | Self::bit(index))
    }

    /// The bit of one member. An index is below 64, so no bit is shifted out.
    fn bit(index: MemberIndex) -> u64 {
        1u64.wrapping_shl(index.get())
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
    pub fn iter(self) -> impl Iterator<Item = MemberIndex> + Clone {
        MemberIndex::all().filter(move |index| self.contains(*index))
    }
}

impl FromIterator<MemberIndex> for MemberSet {
    fn from_iter<I: IntoIterator<Item = MemberIndex>>(indexes: I) -> Self {
        indexes.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Display for MemberSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A text is not a set of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a set of members: 0x and up to 64 bits in hex expected")]
pub struct MemberSetError;

impl FromStr for MemberSet {
    type Err = MemberSetError;

    fn from_str(text: &str) -> Result<Self, MemberSetError> {
        hex_bits(text).map(Self).ok_or(MemberSetError)
    }
}

impl From<u64> for MemberSet {
    fn from(bits: u64) -> Self {
        Self(bits)
    }
}

impl From<MemberSet> for u64 {
    fn from(which: MemberSet) -> Self {
        which.0
    }
}
