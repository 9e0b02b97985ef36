//! What a client asks.

use super::{MemberSet, Op};
use crate::identity::{ClusterAttrs, Name, NodeId, Token};

/// A request, checked (PROTOCOL 5, tags 1, 3, 5, 7, 9, 11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Who is the registry?
    RegCred,
    /// Who the client is. The signature is not checked yet: see [`Token::verify`].
    Member(Token),
    /// Make a cluster, or find the one of that name.
    Create(Create),
    /// Make the client a member of a cluster.
    Join(ClusterRef),
    /// Tell the members of a cluster.
    GetCluster(GetCluster),
    /// The client is done.
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

/// A cluster to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// The cluster's name.
    pub name: Name,
    /// How many members it may have. The registry clamps it to 1 to 64 and refuses 0 (PROTOCOL
    /// 6.5).
    pub max_size: u32,
    /// The cluster's flags.
    pub attrs: ClusterAttrs,
    /// How many ends each member must have; the registry refuses all but 1 and 2.
    pub end_point_count: u32,
}

/// Which cluster a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterRef {
    /// By ID, which goes before the name.
    pub id: Option<NodeId>,
    /// By name. With neither, the cluster this session created or joined last.
    pub name: Option<Name>,
}

impl ClusterRef {
    /// The cluster this session created or joined last. As a registry it must be understood; as a
    /// client do not send it, since a Join of it can end a deployed server (PROTOCOL 6).
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

/// Which members of which cluster to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetCluster {
    /// The cluster. Deployed servers do not know the name here (our extension).
    pub cluster: ClusterRef,
    /// The members wanted; all of them if absent. Deployed servers then answer none.
    pub which: Option<MemberSet>,
}

impl GetCluster {
    /// These members of the cluster with this ID: the form that every registry understands.
    pub fn of(cluster: NodeId, which: MemberSet) -> Self {
        Self { cluster: cluster.into(), which: Some(which) }
    }
}
