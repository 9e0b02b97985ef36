//! What a registry answers.

use alloc::vec::Vec;

use super::{MemberEntry, MemberIndex, MemberSet, Op, Reason};
use crate::credential::Credential;
use crate::identity::{ClusterAttrs, MemberAttrs, NodeId, Token};

/// A reply, checked (PROTOCOL 5, tags 2, 4, 6, 8, 10, 12, 13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Who the registry is.
    RegCred(Credential),
    /// The client is known now.
    MemberOk {
        /// The ID it is known by.
        id: NodeId,
        /// Its flags, echoed.
        attrs: MemberAttrs,
    },
    /// The cluster exists.
    Create(ClusterInfo),
    /// The client is a member.
    Join(ClusterInfo),
    /// Members of a cluster.
    Members(MemberList),
    /// Good bye.
    Ack,
    /// Refused; the registry closes after this.
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
pub struct ClusterInfo {
    /// The cluster's ID.
    pub id: NodeId,
    /// How many members it may have, 1 to 64.
    pub max_size: u32,
    /// Its flags.
    pub attrs: ClusterAttrs,
    /// How many ends each member must have, 1 or 2.
    pub end_point_count: u32,
}

/// Some members of a cluster, by join order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberList {
    cluster: NodeId,
    which: MemberSet,
    members: Vec<MemberEntry>,
}

/// A list of members does not hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemberListError {
    /// There must be one token for every bit of `Which` (PROTOCOL 5).
    #[error("{bits} members announced, {tokens} tokens carried")]
    Count {
        /// Bits set in `Which`.
        bits: u32,
        /// Tokens in the list.
        tokens: usize,
    },
    /// Every member has an ID.
    #[error("a member without an ID")]
    NoId,
}

impl MemberList {
    /// A list of the members `which` of `cluster`, with their tokens in join order. Signatures are
    /// dropped, as deployed clients expect (PROTOCOL 6.7).
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

    /// A list of members that are [`MemberEntry`] already: nothing is copied or encoded again.
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

    /// Which members the list carries.
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
