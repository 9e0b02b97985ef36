//! The index of a member in its cluster.

use core::fmt;

use super::MAX_CLUSTER_SIZE;

/// The index of a member in its cluster, 0 to 63. Members get their indexes in the order of
/// joining.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
