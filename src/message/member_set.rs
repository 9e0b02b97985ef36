//! Sets of members, by their indexes (PROTOCOL 5, `Which`).

use core::fmt;
use core::str::FromStr;

use super::MemberIndex;
use crate::identity::hex_bits;

/// A set of members of one cluster. Bit *i* stands for the member with index *i*, 0 to 63. The text
/// form is the bits in hex, like `0x1f`.
#[doc(alias = "Which")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemberSet(u64);

impl MemberSet {
    /// The empty set.
    pub const NONE: Self = Self(0);
    /// The set of all 64 members that a cluster can have.
    pub const ALL: Self = Self(u64::MAX);

    /// Makes the set with exactly these bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits of the set, as on the wire.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Makes the set of the first `count` members. A count over 64 gives all 64.
    pub fn first(count: u32) -> Self {
        MemberIndex::all().take_while(|index| index.get() < count).collect()
    }

    /// Whether the member with this index is in the set.
    pub fn contains(self, index: MemberIndex) -> bool {
        self.0 & Self::bit(index) != 0
    }

    /// Makes a set that also has this member.
    #[must_use]
    pub fn with(self, index: MemberIndex) -> Self {
        Self(self.0 | Self::bit(index))
    }

    /// The bit of one member. An index is below 64, so the shift never wraps.
    fn bit(index: MemberIndex) -> u64 {
        1u64.wrapping_shl(index.get())
    }

    /// Makes the set of the members that are in this set but not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Makes the set of the members that are in either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Makes the set of the members that are in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The number of members in the set.
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether the set is empty.
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
