//! How driving a machine fails.

use crate::session::{CommandError, Machine};

/// Why a driver cannot go on: `E` is the machine's error, `I` the transport's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriveError<E, I> {
    /// The machine ended with an error; what the peer is told of it has been sent.
    #[error(transparent)]
    Machine(E),
    /// The transport failed.
    #[error("the connection failed: {0}")]
    Io(#[source] I),
    /// A command came at the wrong time.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The machine waits for its caller: an event has not been answered.
    #[error("the session waits for its caller to answer an event")]
    Waiting,
}

/// What driving a machine to its next event comes to.
pub(super) type Driven<M, I> =
    Result<Option<<M as Machine>::Event>, DriveError<<M as Machine>::Error, I>>;
