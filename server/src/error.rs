//! Why a server does not start, or does not go on.

use std::io;

use xlreg::crypto::SelfTestFailed;
use xlreg::identity::KeyPairError;

use crate::store::StoreError;

/// Why a server does not start, or does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The registry's identity has no ID.
    #[error("the registry has no ID")]
    NoId,
    /// The registry's comms key cannot be handed to a provider of RSA.
    #[error(transparent)]
    Key(#[from] KeyPairError),
    /// A provider of RSA gives wrong answers.
    #[error(transparent)]
    SelfTest(#[from] SelfTestFailed),
    /// No provider of RSA takes the registry's comms key.
    #[error("no RSA provider takes the registry's comms key")]
    KeyRefused,
    /// The system has no more threads.
    #[error(transparent)]
    Threads(io::Error),
    /// Nothing can be made durable any more.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server ended though nobody stopped it.
    #[error("the daemon ended by itself: {0}")]
    Ended(String),
    /// A task of the server panicked while it stopped.
    #[error("{0}")]
    Panicked(String),
}
