//! Two kinds of error: what the peer did wrong (fatal), and what the caller did wrong (harmless).

use super::time::TimerKind;
use crate::message::{DecodeError, MessageError, Op, Refusal};

/// The peer broke the protocol, went away or took too long. Fatal and sticky: the session is over,
/// and [`poll_event`](super::Session::poll_event) returns the same error from then on.
///
/// Whatever is wrong with bytes before they are a message is one variant, so that no detail of how
/// decryption fails gets out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The handshake does not prove that the peer is who it should be: wrong key, wrong dialect, or
    /// tampering.
    #[error(
        "the handshake failed: the other side does not hold the expected key, or speaks another dialect"
    )]
    Handshake,
    /// A record does not decrypt to a message, or to one within
    /// [`Limits::record`](super::Limits::record). To a client also: to a message that no
    /// registry would have written so, for instance with an unknown field (PROTOCOL 4.1).
    #[error("a record is not a message")]
    BadRecord,
    /// A message decodes but may not stand.
    #[error("a message is not acceptable: {0}")]
    BadMessage(#[from] MessageError),
    /// A request at a time when it is not allowed (PROTOCOL 6.1).
    #[error("{0} is not allowed at this point of the session")]
    WrongState(Op),
    /// A reply to something that was not asked.
    #[error("unexpected {got}; {} was due", expected.map_or("nothing", Op::name))]
    UnexpectedReply {
        /// The reply that was due, if any.
        expected: Option<Op>,
        /// The reply that came.
        got: Op,
    },
    /// More requests than [`Limits::requests`](super::Limits::requests).
    #[error("more than {limit} requests in one session")]
    TooManyRequests {
        /// How many are allowed.
        limit: u32,
    },
    /// A deadline passed.
    #[error("timed out waiting for {0}")]
    Timeout(TimerKind),
    /// The peer closed the connection before it should.
    #[error("the connection was closed {0}")]
    Eof(EofAt),
    /// This library is at fault. Please report it.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// Where in the conversation a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EofAt {
    /// Before the handshake was complete. To a client: the registry could not open the Hello, so
    /// the key in the regCred is probably not its key.
    #[error("during the handshake")]
    Handshake,
    /// Inside a record.
    #[error("in the middle of a message")]
    Record,
    /// Between two messages, with a reply due.
    #[error("before the reply came")]
    Reply,
    /// Between two messages, with nothing due, but before a Bye.
    #[error("before anybody said good-bye")]
    Idle,
}

impl Error {
    /// What the peer is told: a refusal where it sent a proper message that may not stand, nothing
    /// where it failed to prove itself or to make sense (PROTOCOL 2). The one place where this
    /// is decided.
    pub(super) const fn alert(&self) -> Option<Refusal> {
        match self {
            Self::BadMessage(error) => Some(error.refusal()),
            Self::WrongState(_) => Some(Refusal::WrongState),
            Self::TooManyRequests { .. } => Some(Refusal::TooManyRequests),
            Self::Handshake
            | Self::BadRecord
            | Self::UnexpectedReply { .. }
            | Self::Timeout(_)
            | Self::Eof(_)
            | Self::Internal(_) => None,
        }
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Malformed => Self::BadRecord,
            DecodeError::Message(error) => Self::BadMessage(error),
        }
    }
}

/// The caller asked for something that cannot be done now. Nothing has changed; the session goes
/// on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The handshake is not complete.
    #[error("the handshake is not complete yet")]
    NotOpen,
    /// The session is closed.
    #[error("the session is closed")]
    Closed,
    /// The protocol does not allow this request at this point.
    #[error("{0} is not allowed at this point of the session")]
    WrongState(Op),
    /// As many requests as allowed wait for their answer.
    #[error("as many requests as allowed are waiting for their answer")]
    TooManyInFlight,
    /// Replies go out in the order of the requests, and this is not the next.
    #[error("this request is not the next to be answered")]
    NotNext,
    /// This reply does not answer that request.
    #[error("{got} does not answer {request}")]
    WrongReply {
        /// The request.
        request: Op,
        /// The reply.
        got: Op,
    },
    /// The session does not wait for an opened Hello.
    #[error("no Hello is waiting to be opened")]
    NoHello,
    /// The token has no signature.
    #[error("the token is not signed")]
    Unsigned,
    /// The request is larger than any registry takes.
    #[error("the request has {bytes} bytes, {limit} at most are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The size allowed.
        limit: usize,
    },
    /// The text of a refusal is longer than
    /// [`MessageLimits::text_len`](crate::message::MessageLimits::text_len).
    #[error("the text has {bytes} bytes, {limit} at most are allowed")]
    ReasonTooLong {
        /// Its length.
        bytes: usize,
        /// The length allowed.
        limit: usize,
    },
}
