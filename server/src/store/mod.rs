//! Where a registry's state lives, and what makes it durable.
//!
//! [`Store`] is what connections see: a request goes in, and the reply comes when everything that
//! it acknowledges is durable. [`MemoryStore`] keeps the state in this process and, over a [`Log`],
//! on disk. A store on a distributed engine would implement [`Store`] with the same rules:
//! [`xlreg::registry::Cluster`] is one cluster's value, and joining is a function over it that can
//! be run as compare-and-swap.

mod memory;
mod redb;

use std::future::Future;
use std::path::PathBuf;

use xlreg::message::Reply;
use xlreg::registry::{ApplyError, Change, CheckedRequest, ClientState, Size};

pub use self::redb::{CounterTrust, Redb};
pub use memory::{MemoryStore, OnCommit};

/// Decides requests and makes what they change durable.
pub trait Store: Send + Sync + 'static {
    /// Decides a request. Resolves when all that the reply tells of is durable; dropping the future
    /// undoes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if nothing can be made durable any more. The server must stop then.
    fn decide(
        &self,
        state: &mut ClientState,
        request: CheckedRequest,
    ) -> impl Future<Output = Result<Reply, StoreError>> + Send;

    /// How much is known.
    fn size(&self) -> Size;

    /// Resolves when nothing can be made durable any more. That of a store that cannot fail, or is
    /// closed, never does.
    fn failed(&self) -> impl Future<Output = StoreError> + Send;

    /// Makes durable what was decided, and ends. Requests that come later fail.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// Makes changes durable, in order.
pub trait Log: Send + 'static {
    /// When this returns, all of these changes survive a crash, or none of them does.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; what is durable is then what was before.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;
}

/// Why a store cannot be opened or cannot go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{}: in use by another process", .0.display())]
    Busy(PathBuf),
    /// It was made once, and is not there.
    #[error("{}: missing, though the store was made here", .0.display())]
    Lost(PathBuf),
    /// The file is damaged.
    #[error("{}: damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is of another kind, or of another version of this program.
    #[error("{}: {reason}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        reason: String,
    },
    /// What is stored does not follow the rules.
    #[error("{}: damaged: {source}", path.display())]
    Inconsistent {
        /// The file.
        path: PathBuf,
        /// Which rule.
        source: ApplyError,
    },
    /// Reading or writing failed.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}
