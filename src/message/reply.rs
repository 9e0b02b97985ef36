//! The replies of a registry.

use alloc::vec::Vec;

use super::{MemberEntry, MemberIndex, MemberSet, Op, Reason};
use crate::credential::Credential;
use crate::identity::{ClusterAttrs, MemberAttrs, NodeId, Token};

/// A checked reply (PROTOCOL 5, tags 2, 4, 6, 8, 10, 12, 13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The registry's credential.
    RegCred(Credential),
    /// The client has registered.
    MemberOk {
        /// The client's ID.
        id: NodeId,
        /// The client's flags, echoed.
        attrs: MemberAttrs,
    },
    /// The cluster exists.
    Create(ClusterInfo),
    /// The client is a member of the cluster.
    Join(ClusterInfo),
    /// Members of a cluster.
    Members(MemberList),
    /// The registry confirms a Bye.
    Ack,
    /// The registry refuses, and then closes the connection.
    Error(Reason),
}

impl Reply {
    /// The operation on the wire.
    pub const fn op(&self) -> Op {
        match self {
            Self::RegCred(_) => Op::RegCredReply,
            Self::MemberOk { .. } => Op::MemberOk,
            Self::Create(_) => Op::CreateReply,
            Self::Join(_) => Op::JoinReply,
            Self::Members(_) => Op::ClusterMembers,
            Self::Ack => Op::Ack,
            Self::Error(_) => Op::Error,
        }
    }
}

/// A cluster's properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ClusterInfo {
    /// The cluster's ID.
    pub id: NodeId,
    /// The number of members that the cluster may have, 1 to 64.
    pub max_size: u32,
    /// The cluster's flags.
    pub attrs: ClusterAttrs,
    /// The number of end points that each member must have, 1 or 2.
    pub end_point_count: u32,
}

/// Some members of a cluster, in join order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberList {
    cluster: NodeId,
    which: MemberSet,
    members: Vec<MemberEntry>,
}

/// A list of members contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemberListError {
    /// The list does not have one token for every bit of `Which` (PROTOCOL 5).
    #[error("{bits} members announced, {tokens} tokens carried")]
    Count {
        /// The number of bits set in `Which`.
        bits: u32,
        /// The number of tokens in the list.
        tokens: usize,
    },
    /// A member has no ID.
    #[error("a member without an ID")]
    NoId,
}

impl MemberList {
    /// Makes a list of the members `which` of `cluster`, with their tokens in join order.
    /// Signatures are dropped, because deployed clients expect none (PROTOCOL 6.7).
    ///
    /// # Errors
    ///
    /// [`MemberListError`] if counts differ or a member has no ID.
    pub fn new(
        cluster: NodeId,
        which: MemberSet,
        tokens: Vec<Token>,
    ) -> Result<Self, MemberListError> {
        Self::of(cluster, which, tokens.into_iter().map(MemberEntry::received).collect())
    }

    /// Makes a list of entries that exist already. Nothing is copied or encoded again.
    ///
    /// # Errors
    ///
    /// [`MemberListError`] if counts differ or a member has no ID.
    pub fn of(
        cluster: NodeId,
        which: MemberSet,
        members: Vec<MemberEntry>,
    ) -> Result<Self, MemberListError> {
        if usize::try_from(which.count()) != Ok(members.len()) {
            return Err(MemberListError::Count { bits: which.count(), tokens: members.len() });
        }
        if members.iter().any(|member| member.id.is_none()) {
            return Err(MemberListError::NoId);
        }
        Ok(Self { cluster, which, members })
    }

    /// The cluster's ID.
    pub const fn cluster(&self) -> NodeId {
        self.cluster
    }

    /// The members in the list, as a set.
    pub const fn which(&self) -> MemberSet {
        self.which
    }

    /// The members, in join order.
    pub fn members(&self) -> &[MemberEntry] {
        &self.members
    }

    /// Join index and token of each member, in join order.
    pub fn iter(&self) -> impl Iterator<Item = (MemberIndex, &Token)> {
        self.which.iter().zip(self.members.iter().map(|member| &**member))
    }

    /// Join index and token of each member, in join order.
    pub fn into_entries(self) -> impl Iterator<Item = (MemberIndex, Token)> {
        self.which.iter().zip(self.members.into_iter().map(MemberEntry::into_token))
    }
}
