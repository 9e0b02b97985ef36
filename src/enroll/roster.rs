//! The roster of a cluster.

use alloc::collections::BTreeMap;

use crate::identity::{NodeId, Token};
use crate::message::{ClusterInfo, MemberIndex, MemberSet};

/// The roster of a cluster: its properties and its known members.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Roster {
    /// The cluster's properties.
    pub cluster: ClusterInfo,
    /// The member's own ID.
    pub id: NodeId,
    /// The known members, by index.
    pub members: BTreeMap<MemberIndex, Token>,
}

impl Roster {
    /// The member's own index, once it is known. If a deployed server lists the node twice, it is
    /// the first one.
    pub fn self_index(&self) -> Option<MemberIndex> {
        self.own().iter().next()
    }

    /// Whether all members are known that the cluster may have.
    pub fn is_complete(&self) -> bool {
        self.missing().is_empty()
    }

    /// The indexes that members of the cluster may have.
    pub fn places(&self) -> MemberSet {
        MemberSet::first(self.cluster.max_size)
    }

    /// The indexes of the members that are not known yet.
    pub fn missing(&self) -> MemberSet {
        self.places().without(self.known())
    }

    /// The member's own indexes. They are two if a deployed server lists the node under two names.
    pub(super) fn own(&self) -> MemberSet {
        let own = self.members.iter().filter(|(_, token)| token.id == Some(self.id));
        own.map(|(index, _)| *index).collect()
    }

    /// The indexes of the known members.
    pub(super) fn known(&self) -> MemberSet {
        self.members.keys().copied().collect()
    }
}
