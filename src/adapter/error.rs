//! How driving a machine fails.

use std::io;

use crate::session::CommandError;

/// Why a driver cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriveError<E> {
    /// The machine ended with an error; what the peer is told of it has been sent.
    #[error(transparent)]
    Machine(E),
    /// The transport failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// A command came at the wrong time.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The machine waits for its caller: an event has not been answered.
    #[error("the session waits for its caller to answer an event")]
    Waiting,
}
