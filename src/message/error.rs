//! What is wrong with a message that is proper protobuf but not a proper message.

use core::fmt;

use super::{MemberListError, Op, Refusal};
use crate::identity::{EndPointError, KeyError, NameError, NodeIdError};

/// A field of the schema, as docs and errors name it (PROTOCOL 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// `Version` of a RegCredReply.
    Version,
    /// `MemberID`.
    MemberId,
    /// `MemberAttrs`.
    MemberAttrs,
    /// `MemberSpecs`.
    MemberSpecs,
    /// `ClusterID`.
    ClusterId,
    /// `ClusterName`.
    ClusterName,
    /// `ClusterMaxSize`.
    ClusterMaxSize,
    /// `ClusterAttrs`.
    ClusterAttrs,
    /// `EndPointCount`.
    EndPointCount,
    /// `Which`.
    Which,
    /// `Tokens`.
    Tokens,
    /// `ErrDesc`.
    ErrDesc,
    /// `Name` of a token.
    TokenName,
    /// `Attrs` of a token.
    TokenAttrs,
    /// `ID` of a token.
    TokenId,
    /// `CommsKey` of a token.
    TokenCommsKey,
    /// `SigKey` of a token.
    TokenSigKey,
    /// `MyEnds` of a token.
    TokenMyEnds,
    /// `DigSig` of a token.
    TokenDigSig,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "Version",
            Self::MemberId => "MemberID",
            Self::MemberAttrs => "MemberAttrs",
            Self::MemberSpecs => "MemberSpecs",
            Self::ClusterId => "ClusterID",
            Self::ClusterName => "ClusterName",
            Self::ClusterMaxSize => "ClusterMaxSize",
            Self::ClusterAttrs => "ClusterAttrs",
            Self::EndPointCount => "EndPointCount",
            Self::Which => "Which",
            Self::Tokens => "Tokens",
            Self::ErrDesc => "ErrDesc",
            Self::TokenName => "Token.Name",
            Self::TokenAttrs => "Token.Attrs",
            Self::TokenId => "Token.ID",
            Self::TokenCommsKey => "Token.CommsKey",
            Self::TokenSigKey => "Token.SigKey",
            Self::TokenMyEnds => "Token.MyEnds",
            Self::TokenDigSig => "Token.DigSig",
        })
    }
}

/// A message decodes but may not stand: what is wrong with it, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The message has no `Op`.
    #[error("the message has no Op")]
    NoOp,
    /// The `Op` is not in the table.
    #[error("no operation has the tag {0}")]
    UnknownOp(i32),
    /// An operation that only the other side sends.
    #[error("{0} is not for this side to receive")]
    WrongSide(Op),
    /// A required field is absent.
    #[error("{0} is missing")]
    Missing(Field),
    /// A name breaks the rules.
    #[error("{field}: {source}")]
    Name {
        /// Where.
        field: Field,
        /// Which rule.
        source: NameError,
    },
    /// An ID has a wrong length.
    #[error("{field}: {source}")]
    Id {
        /// Where.
        field: Field,
        /// How long it is.
        source: NodeIdError,
    },
    /// A key is not acceptable.
    #[error("{field}: {source}")]
    Key {
        /// Where.
        field: Field,
        /// Why not.
        source: KeyError,
    },
    /// An end is not an end point.
    #[error("Token.MyEnds[{index}]: {source}")]
    End {
        /// Which of the ends, from 0.
        index: usize,
        /// Why not.
        source: EndPointError,
    },
    /// More of something than the limits allow; nothing was allocated for it.
    #[error("more than {limit} of {field}")]
    TooMany {
        /// Of what.
        field: Field,
        /// How many are allowed.
        limit: usize,
    },
    /// Something is longer than the limits allow.
    #[error("{field} has {bytes} bytes, {limit} at most are allowed")]
    TooLong {
        /// What.
        field: Field,
        /// The length met.
        bytes: usize,
        /// The length allowed.
        limit: usize,
    },
    /// A count of a cluster is 0 or too large.
    #[error("{field} is {value}, not 1 to {most}")]
    OutOfRange {
        /// Which.
        field: Field,
        /// Its value.
        value: u32,
        /// The most it may be.
        most: u32,
    },
    /// A list of members does not hold together.
    #[error("ClusterMembers: {0}")]
    Members(#[from] MemberListError),
}

impl MessageError {
    /// What a peer that sent such a message is told (PROTOCOL 6.8).
    pub const fn refusal(&self) -> Refusal {
        match self {
            Self::NoOp | Self::UnknownOp(_) => Refusal::UnknownOp,
            Self::WrongSide(_) => Refusal::WrongState,
            Self::Id { .. } => Refusal::IdLength,
            Self::Key { .. } => Refusal::BadKey,
            Self::End { .. } => Refusal::BadEnd,
            Self::Name { .. } => Refusal::BadName,
            Self::Members(_) => Refusal::UnexpectedOp,
            Self::Missing(field)
            | Self::TooMany { field, .. }
            | Self::TooLong { field, .. }
            | Self::OutOfRange { field, .. } => Self::refusal_of_field(*field),
        }
    }

    const fn refusal_of_field(field: Field) -> Refusal {
        match field {
            Field::MemberSpecs | Field::TokenName | Field::ClusterName => Refusal::BadName,
            Field::ClusterId => Refusal::NoClusterGiven,
            Field::ClusterMaxSize => Refusal::EmptyCluster,
            Field::EndPointCount => Refusal::EndPointCount,
            Field::MemberAttrs | Field::ClusterAttrs | Field::TokenAttrs => Refusal::BadAttrs,
            Field::MemberId | Field::TokenId => Refusal::IdLength,
            Field::TokenCommsKey | Field::TokenSigKey => Refusal::BadKey,
            Field::TokenMyEnds => Refusal::BadEnd,
            Field::TokenDigSig => Refusal::BadSignature,
            Field::Version | Field::Which | Field::Tokens | Field::ErrDesc => Refusal::UnexpectedOp,
        }
    }
}
