//! The thirteen operations (PROTOCOL 5).

use core::fmt;
use core::str::FromStr;

/// The operation of a message: its `Op` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// The client asks for the registry's credential.
    RegCredRequest = 1,
    /// The registry sends its credential.
    RegCredReply = 2,
    /// The client registers.
    Member = 3,
    /// The registry accepts the client.
    MemberOk = 4,
    /// The client creates a cluster.
    Create = 5,
    /// The registry sends the properties of the new cluster.
    CreateReply = 6,
    /// The client joins a cluster.
    Join = 7,
    /// The registry sends the properties of the joined cluster.
    JoinReply = 8,
    /// The client asks for members of a cluster.
    GetCluster = 9,
    /// The registry sends members of a cluster.
    ClusterMembers = 10,
    /// The client ends the session.
    Bye = 11,
    /// The registry confirms the end.
    Ack = 12,
    /// The registry refuses a request.
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

    /// Finds the operation with this tag.
    pub fn from_tag(tag: i32) -> Option<Self> {
        let index = usize::try_from(tag.checked_sub(1)?).ok()?;
        Self::ALL.get(index).copied()
    }

    /// The tag on the wire.
    #[allow(clippy::as_conversions, reason = "the discriminants are the tags")]
    pub const fn tag(self) -> i32 {
        self as i32
    }

    /// The reply that answers this request; `None` for a registry's operation.
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

/// A tag or name belongs to no operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an operation of this protocol")]
pub struct UnknownOp;

impl FromStr for Op {
    type Err = UnknownOp;

    /// Reads a name of the schema.
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
