//! The errors of messages that are legal protobuf but break a rule of this protocol.

use core::fmt;

use super::{MemberListError, Op, Refusal};
use crate::identity::{EndPointError, KeyError, NameError, NodeIdError};

/// A field of the schema. Docs and errors name it so (PROTOCOL 5).
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

/// A message decodes but breaks a rule. The error says which rule, and in which field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The message has no `Op`.
    #[error("the message has no Op")]
    NoOp,
    /// The `Op` is not in the table.
    #[error("no operation has the tag {0}")]
    UnknownOp(i32),
    /// Only the other side sends this operation.
    #[error("{0} is not for this side to receive")]
    WrongSide(Op),
    /// A required field is absent.
    #[error("{0} is missing")]
    Missing(Field),
    /// A name breaks the rules.
    #[error("{field}: {source}")]
    Name {
        /// The field with the name.
        field: Field,
        /// The rule that the name breaks.
        source: NameError,
    },
    /// An ID has a wrong length.
    #[error("{field}: {source}")]
    Id {
        /// The field with the ID.
        field: Field,
        /// The length of the ID.
        source: NodeIdError,
    },
    /// A key is not acceptable.
    #[error("{field}: {source}")]
    Key {
        /// The field with the key.
        field: Field,
        /// The rule that the key breaks.
        source: KeyError,
    },
    /// A text is not an end point.
    #[error("Token.MyEnds[{index}]: {source}")]
    End {
        /// The index among the token's end points, from 0.
        index: usize,
        /// The rule that the text breaks.
        source: EndPointError,
    },
    /// A field comes more often than the limits allow. No memory was allocated for it.
    #[error("more than {limit} of {field}")]
    TooMany {
        /// The field.
        field: Field,
        /// The number allowed.
        limit: usize,
    },
    /// A field is longer than the limits allow.
    #[error("{field} has {bytes} bytes, {limit} at most are allowed")]
    TooLong {
        /// The field.
        field: Field,
        /// Its length, in bytes.
        bytes: usize,
        /// The length allowed, in bytes.
        limit: usize,
    },
    /// A count of a cluster is 0 or too large.
    #[error("{field} is {value}, not 1 to {most}")]
    OutOfRange {
        /// The field with the count.
        field: Field,
        /// Its value.
        value: u32,
        /// The highest value allowed.
        most: u32,
    },
    /// A list of members contradicts itself.
    #[error("ClusterMembers: {0}")]
    Members(#[from] MemberListError),
}

impl MessageError {
    /// The refusal to send to the peer that sent the message (PROTOCOL 6.8).
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
