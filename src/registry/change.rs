//! The changes that requests make in a registry: the unit of durability.

use alloc::vec::Vec;

use super::Day;
use crate::identity::{Fingerprint, Name, NodeId};
use crate::message::{ClusterInfo, MemberEntry, MemberIndex, Refusal};

/// One change to a registry. Durability takes two things: the changes become durable in their
/// order, and a reply that may tell of them goes out afterwards
/// ([`Outcome::revision`](super::Outcome::revision)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Change {
    /// A node ID is bound to a sig key.
    NodeBound {
        /// The node's ID.
        id: NodeId,
        /// The fingerprint of its sig key.
        key: Fingerprint,
        /// The day of its first use; `None` if nobody knows.
        day: Option<Day>,
    },
    /// A node was used on a later day than before.
    NodeUsed {
        /// The node's ID.
        id: NodeId,
        /// The day.
        day: Day,
    },
    /// There is a new cluster without members.
    ClusterCreated {
        /// Its name.
        name: Name,
        /// Its properties.
        info: ClusterInfo,
        /// The sig key of the member that created it; `None` if nobody knows.
        created_by: Option<Fingerprint>,
    },
    /// A member has joined.
    MemberJoined {
        /// The cluster's ID.
        cluster: NodeId,
        /// The member's index. It stays the same as long as the member is in the cluster.
        index: MemberIndex,
        /// The member's token, without the signature.
        member: MemberEntry,
    },
    /// A member has joined again with another token.
    MemberUpdated {
        /// The cluster's ID.
        cluster: NodeId,
        /// The member's index, which has not changed.
        index: MemberIndex,
        /// The member's new token, without the signature.
        member: MemberEntry,
    },
    /// A cluster is gone with all its members. Its name is free again.
    ClusterDeleted {
        /// The cluster's ID.
        cluster: NodeId,
    },
    /// Several changes that apply in this order, all of them or none. There is no list among them.
    All(Vec<Change>),
}

impl Change {
    /// The changes that it consists of: those of a list, or else itself.
    pub fn parts(&self) -> &[Self] {
        match self {
            Self::All(parts) => parts,
            change => core::slice::from_ref(change),
        }
    }

    /// Whether nothing is lost with it that anybody was told. A store that cannot write now serves
    /// the request without it.
    pub const fn is_note(&self) -> bool {
        matches!(self, Self::NodeUsed { .. })
    }
}

/// A change does not follow from the state: changes are missing, out of order or damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The ID is in use already.
    #[error("the ID {0} is in use already")]
    IdTaken(NodeId),
    /// The name is in use already.
    #[error("a cluster has the name {0} already")]
    NameTaken(Name),
    /// There is no such cluster.
    #[error("no cluster has the ID {0}")]
    NoCluster(NodeId),
    /// There is no such node.
    #[error("no node has the ID {0}")]
    NoNode(NodeId),
    /// The node was used on that day already, or later.
    #[error("the node {0} was used on that day already, or later")]
    Day(NodeId),
    /// A list has a list among its changes.
    #[error("a list of changes within another")]
    Nested,
    /// No cluster can have this size or this number of end points.
    #[error("the cluster {0} has properties that no cluster can have")]
    Properties(NodeId),
    /// The member has no ID, or its ID is not bound to its sig key.
    #[error("a member whose ID is not bound to its key")]
    NotBound,
    /// The rules do not allow the change.
    #[error("the rules refuse it: {0}")]
    Refused(Refusal),
    /// More changes, or members, than can be counted.
    #[error("there are more changes than can be counted")]
    TooMany,
    /// The index is taken, or there is none like it in the cluster, or the change would be of another
    /// kind.
    #[error("the cluster {cluster} has {members} members, which does not fit index {index}")]
    Index {
        /// The cluster's ID.
        cluster: NodeId,
        /// How many members it has.
        members: usize,
        /// The index in the change.
        index: MemberIndex,
    },
}
