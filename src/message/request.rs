//! The requests of a client.

use super::{MemberSet, Op};
use crate::identity::{ClusterAttrs, Name, NodeId, Token};

/// A checked request (PROTOCOL 5, tags 1, 3, 5, 7, 9, 11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for the registry's credential.
    RegCred,
    /// Registers the client. The signature is not checked yet: see [`Token::verify`].
    Member(Token),
    /// Creates a cluster, or finds the one with this name.
    Create(Create),
    /// Makes the client a member of a cluster.
    Join(ClusterRef),
    /// Asks for members of a cluster.
    GetCluster(GetCluster),
    /// Ends the session.
    Bye,
}

impl Request {
    /// The operation on the wire.
    pub const fn op(&self) -> Op {
        match self {
            Self::RegCred => Op::RegCredRequest,
            Self::Member(_) => Op::Member,
            Self::Create(_) => Op::Create,
            Self::Join(_) => Op::Join,
            Self::GetCluster(_) => Op::GetCluster,
            Self::Bye => Op::Bye,
        }
    }
}

/// A cluster to create.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Create {
    /// The cluster's name.
    pub name: Name,
    /// The number of members that the cluster may have. The registry refuses 0 and lowers a number
    /// over 64 to 64 (PROTOCOL 6.5).
    pub max_size: u32,
    /// The cluster's flags.
    pub attrs: ClusterAttrs,
    /// The number of end points that each member must have. The registry refuses all but 1 and 2.
    pub end_point_count: u32,
}

/// The cluster that a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterRef {
    /// The cluster's ID. With an ID the name does not matter.
    pub id: Option<NodeId>,
    /// The cluster's name. Without both it is the cluster that this session created or joined last.
    pub name: Option<Name>,
}

impl ClusterRef {
    /// The cluster that this session created or joined last. A registry must understand it. A
    /// client must not send it, because a Join of it can end a deployed server (PROTOCOL 6).
    pub const CURRENT: Self = Self { id: None, name: None };
}

impl From<NodeId> for ClusterRef {
    fn from(id: NodeId) -> Self {
        Self { id: Some(id), name: None }
    }
}

impl From<Name> for ClusterRef {
    fn from(name: Name) -> Self {
        Self { id: None, name: Some(name) }
    }
}

/// A request for members of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetCluster {
    /// The cluster. A name is an extension of ours, which deployed servers do not know.
    pub cluster: ClusterRef,
    /// The members to list; all of them if absent. If absent, a deployed server lists none.
    pub which: Option<MemberSet>,
}

impl GetCluster {
    /// Asks for these members of the cluster with this ID. Every registry understands this form.
    pub fn of(cluster: NodeId, which: MemberSet) -> Self {
        Self { cluster: cluster.into(), which: Some(which) }
    }
}
