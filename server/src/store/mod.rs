//! Stores: they keep a registry's state and make its changes durable.
//!
//! [`Store`] is the interface for connections: a request goes in, and the reply comes when all its
//! changes are durable. [`MemoryStore`] keeps the state in this process and, with a [`Log`], on
//! disk. A store with the state elsewhere implements [`Store`] with the same rules,
//! [`xlreg::registry::decide`], which is a function over a view of the few rows that a request
//! names.

mod commit_counter;
pub mod export;
mod files;
mod memory;
mod overlay;
#[cfg(feature = "redb")]
mod redb;
mod revisions;
mod rows;
mod sqlite;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use xlreg::identity::NodeId;
use xlreg::message::Reply;
use xlreg::registry::{
    ApplyError, Change, CheckedRequest, ClientState, ClusterProperties, Holdings, RegistryLimits,
    Size,
};

#[cfg(feature = "redb")]
pub use self::redb::{TakeOver, take_over};
pub use commit_counter::CounterTrust;
pub use memory::MemoryStore;
pub use revisions::Revision;
pub use sqlite::{Backup, Snapshot, Sqlite, Stats};

pub use crate::rates::Origin;

/// A store decides requests and makes their changes durable.
pub trait Store: Send + Sync + 'static {
    /// Decides a request from this place, whose rates it keeps. Resolves when all that the reply
    /// tells of is durable. Dropping the future undoes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if nothing can be made durable any more. The server must stop then. If nothing
    /// can be made durable now, a request that would change something is refused
    /// ([`Refusal::CannotStore`](xlreg::message::Refusal::CannotStore)).
    fn decide(
        &self,
        state: &mut ClientState,
        request: CheckedRequest,
        origin: &Origin,
    ) -> impl Future<Output = Result<Reply, StoreError>> + Send;

    /// Resolves with what never changes of a cluster, without its members; `None` if there is no
    /// such cluster. So a request that depends on it can be prepared before it is decided. It need
    /// not be durable.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store has failed.
    fn properties(
        &self,
        cluster: NodeId,
    ) -> impl Future<Output = Result<Option<Arc<ClusterProperties>>, StoreError>> + Send;

    /// Resolves with the revision of a cluster when it is not `known`: at once if nothing is known,
    /// otherwise when a member has joined or has changed. `None` means that there is no such
    /// cluster, or that it was deleted meanwhile. It tells only of durable changes.
    ///
    /// Ask for the revision first and for the members then. So you miss no change, and may hear
    /// twice of a change in between. A revision is valid as long as the store is open. Any other
    /// one is answered at once. Dropping the future leaves nothing behind.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if nothing changes any more: the store has failed, or is closed.
    fn changed(
        &self,
        cluster: NodeId,
        known: Option<Revision>,
    ) -> impl Future<Output = Result<Option<Revision>, StoreError>> + Send;

    /// How much the registry knows.
    fn size(&self) -> Size;

    /// How much it may.
    fn limits(&self) -> RegistryLimits;

    /// The most of each that one sig key has had since the store was opened.
    fn most_of_a_key(&self) -> Holdings;

    /// The health of the store.
    fn health(&self) -> Health;

    /// Resolves when nothing can be made durable any more. It never resolves for a store that
    /// cannot fail, or is closed.
    fn failed(&self) -> impl Future<Output = StoreError> + Send;

    /// Makes all decided changes durable, and ends. Later requests fail.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// The health of a store, for the operator.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Health {
    /// The reason why nothing can be made durable any more, if so.
    pub failure: Option<StoreError>,
    /// The reason why nothing can be made durable now, if so. The store tries again by itself.
    pub unwritable: Option<StoreError>,
    /// The number of changes that are decided and not durable yet. Their replies wait.
    pub waiting: u64,
    /// The size on disk; `None` for a store without a file.
    pub disk: Option<DiskSize>,
}

/// The size of a store on disk, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskSize {
    /// The file with the state.
    pub store: u64,
    /// The log of what is not in that file yet.
    pub log: u64,
    /// What is free within the file, as far as it is known.
    pub free: u64,
}

impl Health {
    /// Whether changes can be made durable.
    pub const fn is_writable(&self) -> bool {
        self.failure.is_none() && self.unwritable.is_none()
    }
}

/// A log makes changes durable, in order.
pub trait Log: Send + 'static {
    /// Makes changes durable. After a crash, all of them are there or none of them is.
    ///
    /// # Errors
    ///
    /// [`StoreError`]. Then only the earlier changes are durable. After a
    /// [`StoreError::Unwritable`] later commits may succeed.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;

    /// The reason why nothing can be written now, if that is known when the log is opened.
    fn unwritable(&self) -> Option<StoreError> {
        None
    }

    /// The size on disk, if it is known. It is asked after each commit.
    fn disk(&self) -> Option<DiskSize> {
        None
    }

    /// Does what can wait until nobody waits for it. It is called after each commit.
    fn tidy(&mut self) {}
}

/// The reason why a store cannot be opened or cannot go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has opened the file.
    #[error("{}: in use by another process", .0.display())]
    Busy(PathBuf),
    /// The store was made, and its file is missing.
    #[error("{}: missing, though the store was made here", .0.display())]
    Lost(PathBuf),
    /// The file is damaged.
    #[error("{}: damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The damage.
        reason: String,
    },
    /// The file is of another kind, or from another version of this program.
    #[error("{}: {reason}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The kind of file.
        reason: String,
    },
    /// The stored state breaks the rules.
    #[error("{}: damaged: {source}", path.display())]
    Inconsistent {
        /// The file.
        path: PathBuf,
        /// The rule.
        source: ApplyError,
    },
    /// Nothing can be written now: the disk is full, or can only be read. Nothing is lost, and it may
    /// be possible again.
    #[error("{}: nothing can be stored now: {reason}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        reason: String,
    },
    /// Another program has written to the file. What is in memory is not what is stored.
    #[error("{}: another program has written to it", .0.display())]
    ForeignWrite(PathBuf),
    /// Reading or writing failed.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        reason: String,
    },
}

/// The reason why a change that no client has asked for was not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// It does not follow from the state.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// It cannot be made durable.
    #[error(transparent)]
    Store(#[from] StoreError),
}
