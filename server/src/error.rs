//! The errors of a server.

use std::io;

use xlreg::crypto::SelfTestFailed;
use xlreg::identity::KeyPairError;

use crate::store::StoreError;

/// The reason why a server does not start, or cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The identity of the registry has no ID.
    #[error("the registry has no ID")]
    NoId,
    /// The comms key cannot be given to an RSA provider.
    #[error(transparent)]
    Key(#[from] KeyPairError),
    /// An RSA provider gives wrong answers.
    #[error(transparent)]
    SelfTest(#[from] SelfTestFailed),
    /// No RSA provider accepts the comms key.
    #[error("no RSA provider takes the registry's comms key")]
    KeyRefused,
    /// The system has no more threads.
    #[error(transparent)]
    Threads(io::Error),
    /// No change can be made durable any more.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server ended, but was not stopped.
    #[error("the daemon ended by itself: {0}")]
    Ended(String),
    /// A task of the server panicked.
    #[error("{0}")]
    Panicked(String),
}
