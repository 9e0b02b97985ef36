//! The errors of a conversation with a registry.

use std::fmt;
use std::io;

use xlreg::adapter::tokio::DriveError;
use xlreg::enroll::EnrollError;
use xlreg::message::{Op, Refusal};
use xlreg::session::{EofAt, Error, TimerKind};

use super::stop::Stopped;
use crate::output::Failure;

/// The reason why a conversation with a registry failed.
#[derive(Debug)]
pub enum ClientError {
    /// No address of the registry answered. The text has the reasons.
    Unreachable(String),
    /// The connection failed.
    Io(io::Error),
    /// The registry failed, or its answer did.
    Registry(EnrollError),
    /// The Hello would end the registry, which is a deployed server of an older generation. Nothing
    /// was sent.
    NewerHello,
    /// The command must stop.
    Stopped(Stopped),
    /// The time was over. This is the last error before it.
    TimedOut(Box<ClientError>),
    /// Work beside the conversation failed. The failure is explained already.
    Failed(Failure),
}

impl ClientError {
    /// Whether a later try may succeed.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Io(_) => true,
            Self::Registry(EnrollError::Session(Error::Eof(_) | Error::Timeout(_))) => true,
            Self::Registry(EnrollError::Refused { request, reason }) => match reason.refusal() {
                Some(Refusal::RegistryFull | Refusal::CannotStore | Refusal::Unavailable) => true,
                Some(refusal) if refusal.is_of_a_rate() => true,
                // If many clients create one cluster at the same moment, a deployed server refuses
                // some of them. The cluster exists then.
                Some(Refusal::NameInUse) => *request == Some(Op::Create),
                _ => false,
            },
            Self::Registry(_)
            | Self::NewerHello
            | Self::Stopped(_)
            | Self::TimedOut(_)
            | Self::Failed(_) => false,
        }
    }

    /// Whether the peer did not show in the handshake that it is the registry.
    pub const fn is_of_handshake(&self) -> bool {
        matches!(
            self,
            Self::Registry(EnrollError::Session(
                Error::Handshake | Error::Eof(EofAt::Handshake) | Error::Timeout(TimerKind::Hello)
            ))
        )
    }

    /// Whether the peer hung up in the handshake.
    pub const fn is_hang_up(&self) -> bool {
        matches!(self, Self::Registry(EnrollError::Session(Error::Eof(EofAt::Handshake))))
    }
}

/// Describes the error in one line.
impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => f.write_str(why),
            Self::Io(error) => write!(f, "the connection to the registry failed: {error}"),
            Self::Registry(error) => error.fmt(f),
            Self::NewerHello => f.write_str(
                "the registry is a deployed server, which may end, and all its clusters with it, \
                 by a Hello of a newer generation; nothing was sent",
            ),
            Self::Stopped(Stopped::Deadline) => f.write_str("timed out"),
            Self::Stopped(Stopped::Signal(_)) => f.write_str("interrupted"),
            Self::TimedOut(last) => write!(f, "timed out: {last}"),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

impl From<Failure> for ClientError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Stopped> for ClientError {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl From<EnrollError> for ClientError {
    fn from(error: EnrollError) -> Self {
        Self::Registry(error)
    }
}

impl From<DriveError<EnrollError>> for ClientError {
    fn from(error: DriveError<EnrollError>) -> Self {
        match error {
            DriveError::Machine(error) => Self::Registry(error),
            DriveError::Io(error) => Self::Io(error),
            DriveError::Command(error) => EnrollError::Command(error).into(),
            _ => Error::Internal("the session owes its driver an answer").into(),
        }
    }
}

impl From<DriveError<Error>> for ClientError {
    fn from(error: DriveError<Error>) -> Self {
        match error {
            DriveError::Machine(error) => error.into(),
            DriveError::Io(error) => Self::Io(error),
            DriveError::Command(error) => EnrollError::Command(error).into(),
            _ => Error::Internal("the session owes its driver an answer").into(),
        }
    }
}

impl From<Error> for ClientError {
    fn from(error: Error) -> Self {
        EnrollError::Session(error).into()
    }
}
