//! Where a registry's state lives, and what makes it durable.
//!
//! [`Store`] is what connections see: a request goes in, and the reply comes when everything that
//! it acknowledges is durable. [`MemoryStore`] keeps the state in this process and, over a [`Log`],
//! on disk. A store whose state is elsewhere implements [`Store`] with the same rules: they are
//! [`xlreg::registry::decide`], a function over a view of the few rows that a request names.
//! [`rows`] says how a change is kept, for all of them.

mod memory;
mod redb;
mod revisions;
pub mod rows;

use std::future::Future;
use std::path::PathBuf;

use xlreg::identity::NodeId;
use xlreg::message::Reply;
use xlreg::registry::{ApplyError, Change, CheckedRequest, ClientState, Size};

pub use self::redb::{CounterTrust, Redb};
pub use memory::MemoryStore;
pub use revisions::Revision;

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

    /// Resolves with the revision of a cluster when that is another one than `known`: at once if
    /// none is known, else when a member has joined or has changed. `None` means that there is no
    /// such cluster. It tells only of what is durable.
    ///
    /// Ask for the revision first and for the members then: so no change is missed, and one that
    /// comes in between is told twice. A revision holds as long as the store is open; another one
    /// is answered at once. Dropping the future leaves nothing behind.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if nothing will change any more: the store has failed, or is closed.
    fn changed(
        &self,
        cluster: NodeId,
        known: Option<Revision>,
    ) -> impl Future<Output = Result<Option<Revision>, StoreError>> + Send;

    /// How much is known.
    fn size(&self) -> Size;

    /// How the store does.
    fn health(&self) -> Health;

    /// Resolves when nothing can be made durable any more. That of a store that cannot fail, or is
    /// closed, never does.
    fn failed(&self) -> impl Future<Output = StoreError> + Send;

    /// Makes durable what was decided, and ends. Requests that come later fail.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// What whoever runs a registry wants to know of its store.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Health {
    /// Why nothing can be made durable any more, if so.
    pub failure: Option<StoreError>,
    /// Changes that are decided and not durable yet: whoever they answer waits.
    pub waiting: u64,
    /// Bytes on disk, where there are any.
    pub bytes: Option<u64>,
}

impl Health {
    /// Whether changes can be made durable.
    pub const fn is_writable(&self) -> bool {
        self.failure.is_none()
    }
}

/// Makes changes durable, in order.
pub trait Log: Send + 'static {
    /// When this returns, all of these changes survive a crash, or none of them does.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; what is durable is then what was before.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;

    /// Bytes on disk, where that is known. Asked after each commit.
    fn bytes(&self) -> Option<u64> {
        None
    }
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
