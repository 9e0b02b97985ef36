//! The errors of drivers.

use crate::session::{CommandError, Machine};

/// The reason why a driver cannot go on. `E` is the error of the machine, `I` that of the
/// transport.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriveError<E, I> {
    /// The machine has failed. The last bytes for the peer were sent.
    #[error(transparent)]
    Machine(E),
    /// The transport failed.
    #[error("the connection failed: {0}")]
    Io(#[source] I),
    /// A command was not allowed at this time.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The machine waits for its caller to answer an event.
    #[error("the session waits for its caller to answer an event")]
    Waiting,
}

/// The result of driving a machine to its next event.
pub(super) type Driven<M, I> =
    Result<Option<<M as Machine>::Event>, DriveError<<M as Machine>::Error, I>>;
