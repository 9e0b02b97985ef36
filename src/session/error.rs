//! Two kinds of error: mistakes of the peer, which are fatal, and mistakes of the caller, which are
//! harmless.

use super::time::TimerKind;
use crate::message::{DecodeError, MessageError, Op, Refusal};

/// The peer broke the protocol, went away or took too long. The error is fatal and sticky: the
/// session has ended, and [`poll_event`](super::Session::poll_event) returns the same error from
/// then on.
///
/// Everything that can be wrong with a record is one variant, so that no detail of a failed
/// decryption gets out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer has not proved that it is the expected one: it has another key, speaks another
    /// dialect, or somebody tampered with the bytes.
    #[error(
        "the handshake failed: the other side does not hold the expected key, \
         or speaks another dialect"
    )]
    Handshake,
    /// A record does not decrypt to a message within [`Limits::record`](super::Limits::record). For
    /// a client also: it decrypts to a message that no registry would write, for instance with an
    /// unknown field (PROTOCOL 4.1).
    #[error("a record is not a message")]
    BadRecord,
    /// A message can be decoded but is not allowed.
    #[error("a message is not acceptable: {0}")]
    BadMessage(#[from] MessageError),
    /// A request that is not allowed now (PROTOCOL 6.1).
    #[error("{0} is not allowed at this point of the session")]
    WrongState(Op),
    /// A reply that answers no request.
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
    /// The peer closed the connection too early.
    #[error("the connection was closed {0}")]
    Eof(EofAt),
    /// This library has a fault. Please report it.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// The point at which the connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EofAt {
    /// Before the handshake was complete. For a client: the registry could not open the Hello, so
    /// the key in the regCred is probably not its key.
    #[error("during the handshake")]
    Handshake,
    /// Inside a record.
    #[error("in the middle of a message")]
    Record,
    /// Between two messages, with a reply due.
    #[error("before the reply came")]
    Reply,
    /// Between two messages, with no reply due, but before a Bye.
    #[error("before anybody said good-bye")]
    Idle,
}

impl Error {
    /// What the peer is told. A peer that sent a readable message gets a refusal. A peer that
    /// failed to prove itself, or sent what cannot be read, gets nothing (PROTOCOL 2). This is
    /// decided here and nowhere else.
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

/// The caller asked for something that is not possible now. Nothing has changed, and the session
/// goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The handshake is not complete.
    #[error("the handshake is not complete yet")]
    NotOpen,
    /// The session is closed.
    #[error("the session is closed")]
    Closed,
    /// The protocol does not allow this request now.
    #[error("{0} is not allowed at this point of the session")]
    WrongState(Op),
    /// The limit of requests without an answer is reached.
    #[error("as many requests as allowed are waiting for their answer")]
    TooManyInFlight,
    /// Requests are answered in order, and this one is not the next.
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
    /// No Hello is being opened.
    #[error("no Hello is waiting to be opened")]
    NoHello,
    /// The token has no signature.
    #[error("the token is not signed")]
    Unsigned,
    /// The request is larger than any registry accepts.
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
