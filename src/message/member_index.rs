//! The index of a member in its cluster.

use core::fmt;

use super::MAX_CLUSTER_SIZE;

/// The index of a member in its cluster, 0 to 63. A new member gets the first one that is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(into = "u32", try_from = "u32")
)]
pub struct MemberIndex(u8);

impl MemberIndex {
    /// The index with this number; `None` if it is not below [`MAX_CLUSTER_SIZE`].
    pub fn new(index: u32) -> Option<Self> {
        u8::try_from(index).ok().filter(|index| *index < MAX_CLUSTER_SIZE).map(Self)
    }

    /// The number of the index.
    pub fn get(self) -> u32 {
        self.0.into()
    }

    /// All possible indexes, lowest first.
    pub fn all() -> impl Iterator<Item = Self> + Clone {
        (0..MAX_CLUSTER_SIZE).map(Self)
    }
}

/// No member can have this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no member can have the index {0}")]
pub struct MemberIndexError(pub u32);

impl TryFrom<u32> for MemberIndex {
    type Error = MemberIndexError;

    fn try_from(index: u32) -> Result<Self, MemberIndexError> {
        Self::new(index).ok_or(MemberIndexError(index))
    }
}

impl From<MemberIndex> for u32 {
    fn from(index: MemberIndex) -> Self {
        index.get()
    }
}

impl From<MemberIndex> for usize {
    fn from(index: MemberIndex) -> Self {
        index.0.into()
    }
}

impl fmt::Display for MemberIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
