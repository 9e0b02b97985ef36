//! The thirteen operations (PROTOCOL 5).

use core::fmt;
use core::str::FromStr;

/// What a message is for: the `Op` field of every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// Asks for the registry's credential.
    RegCredRequest = 1,
    /// The registry's credential.
    RegCredReply = 2,
    /// A client says who it is.
    Member = 3,
    /// The registry accepts it.
    MemberOk = 4,
    /// Creates a cluster.
    Create = 5,
    /// The cluster's properties.
    CreateReply = 6,
    /// Joins a cluster.
    Join = 7,
    /// The cluster's properties.
    JoinReply = 8,
    /// Asks for members of a cluster.
    GetCluster = 9,
    /// Members of a cluster.
    ClusterMembers = 10,
    /// The client is done.
    Bye = 11,
    /// The registry has taken note.
    Ack = 12,
    /// The registry refuses.
    Error = 13,
}

impl Op {
    const ALL: [Self; 13] = [
        Self::RegCredRequest,
        Self::RegCredReply,
        Self::Member,
        Self::MemberOk,
        Self::Create,
        Self::CreateReply,
        Self::Join,
        Self::JoinReply,
        Self::GetCluster,
        Self::ClusterMembers,
        Self::Bye,
        Self::Ack,
        Self::Error,
    ];

    /// The operation with this tag, if there is one.
    pub fn from_tag(tag: i32) -> Option<Self> {
        let index = usize::try_from(tag.checked_sub(1)?).ok()?;
        Self::ALL.get(index).copied()
    }

    /// The tag on the wire.
    pub fn tag(self) -> i32 {
        let index = Self::ALL.iter().position(|op| *op == self).unwrap_or_default();
        i32::try_from(index).unwrap_or_default().saturating_add(1)
    }

    /// The reply that answers this request; `None` for what only a registry sends.
    pub const fn answer(self) -> Option<Self> {
        match self {
            Self::RegCredRequest => Some(Self::RegCredReply),
            Self::Member => Some(Self::MemberOk),
            Self::Create => Some(Self::CreateReply),
            Self::Join => Some(Self::JoinReply),
            Self::GetCluster => Some(Self::ClusterMembers),
            Self::Bye => Some(Self::Ack),
            _ => None,
        }
    }

    /// The name in the schema.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RegCredRequest => "RegCredRequest",
            Self::RegCredReply => "RegCredReply",
            Self::Member => "Member",
            Self::MemberOk => "MemberOK",
            Self::Create => "Create",
            Self::CreateReply => "CreateReply",
            Self::Join => "Join",
            Self::JoinReply => "JoinReply",
            Self::GetCluster => "GetCluster",
            Self::ClusterMembers => "ClusterMembers",
            Self::Bye => "Bye",
            Self::Ack => "Ack",
            Self::Error => "Error",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A tag or name is none of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an operation of this protocol")]
pub struct UnknownOp;

impl FromStr for Op {
    type Err = UnknownOp;

    /// Reads the name in the schema.
    fn from_str(text: &str) -> Result<Self, UnknownOp> {
        Self::ALL.into_iter().find(|op| op.name() == text).ok_or(UnknownOp)
    }
}

impl TryFrom<i32> for Op {
    type Error = UnknownOp;

    fn try_from(tag: i32) -> Result<Self, UnknownOp> {
        Self::from_tag(tag).ok_or(UnknownOp)
    }
}

impl From<Op> for i32 {
    fn from(op: Op) -> Self {
        op.tag()
    }
}
