//! What is known of a cluster.

use alloc::collections::BTreeMap;

use crate::identity::{NodeId, Token};
use crate::message::{ClusterInfo, MemberIndex, MemberSet};

/// What is known of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    /// The cluster's properties.
    pub cluster: ClusterInfo,
    /// The member's own ID.
    pub id: NodeId,
    /// The members known, by index in the order of joining.
    pub members: BTreeMap<MemberIndex, Token>,
}

impl Roster {
    /// The member's own index, once it is known. Where a deployed server lists the node twice, the
    /// first.
    pub fn self_index(&self) -> Option<MemberIndex> {
        self.own().iter().next()
    }

    /// Whether as many members are known as the cluster may have.
    pub fn is_complete(&self) -> bool {
        self.missing().is_empty()
    }

    /// All that the cluster may have.
    pub fn places(&self) -> MemberSet {
        MemberSet::first(self.cluster.max_size)
    }

    /// The members not known yet.
    pub fn missing(&self) -> MemberSet {
        self.places().without(self.known())
    }

    /// The member's own places: two, where a deployed server lists the node under two names.
    pub(super) fn own(&self) -> MemberSet {
        let own = self.members.iter().filter(|(_, token)| token.id == Some(self.id));
        own.map(|(index, _)| *index).collect()
    }

    /// The members known.
    pub(super) fn known(&self) -> MemberSet {
        self.members.keys().copied().collect()
    }
}
