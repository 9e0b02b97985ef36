//! The embedded store: a database of SQLite, which its operator may read while the daemon runs.
//!
//! docs/store.md explains the tables. [`rows`] is the one mapping between changes and rows.

mod backup;
mod checkpoint;
mod digest;
mod error;
mod load;
mod open;
mod rows;
mod schema;
mod snapshot;
mod write;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use tracing::warn;
use xlreg::identity::NodeId;
use xlreg::registry::{Change, Registry};

pub use self::backup::Backup;
use self::checkpoint::{Checkpointer, checkpoint};
use self::load::{Index, Loader};
use self::schema::Facts;
pub use self::snapshot::{Snapshot, Stats};
use super::commit_counter::{CommitCounter, CounterTrust};
use super::files::{beside, damaged, foreign, private, remove, sync_parent, system};
use super::{DiskSize, Log, StoreError};
use crate::target;

/// The number of pages in the write-ahead log that is worth a checkpoint. It is SQLite's own
/// default.
const CHECKPOINT_PAGES: u64 = 1000;

/// A log of so many times [`CHECKPOINT_PAGES`] is moved on a thread of its own. A shorter one takes
/// less time than a thread is worth.
const LONG_LOG: u64 = 4;

/// The size of a page, in bytes. It is SQLite's default.
const PAGE: u64 = 4096;

/// The bound on the write-ahead log, in pages: 64 MiB, and as many as the database has, so that a
/// backup under load can be read to its end. Only a reader that does not go away lets it grow so far.
const MAX_LOG_PAGES: u64 = 16 * 1024;

/// A store in a database of SQLite, with a commit counter and a lock beside it.
pub struct Sqlite {
    path: PathBuf,
    /// `None` while the files can be read and not written.
    connection: Option<Connection>,
    counter: CommitCounterState,
    facts: Facts,
    index: Index,
    /// `PRAGMA data_version`: it moves when another connection writes.
    data_version: i64,
    log: LogSize,
    /// The bytes of pages that are free within the file, at the last checkpoint.
    free: u64,
    checkpoint_pages: u64,
    /// Held as long as the store is open. A kill frees it.
    _lock: Option<File>,
}

/// The commit counter, which can be behind on a disk that cannot be written.
enum CommitCounterState {
    Open(CommitCounter),
    /// It is opened with the next commit.
    Closed(CounterTrust),
}

/// The size of the write-ahead log.
#[derive(Default)]
struct LogSize {
    /// The pages in it after the last commit. SQLite tells.
    pages: Arc<AtomicU64>,
    /// The pages at the last checkpoint that a reader kept from being complete.
    blocked_at: Option<u64>,
    /// The checkpoint of a long log that is under way.
    moving: Option<Checkpointer>,
}

impl LogSize {
    fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }
}

impl Sqlite {
    /// Whether there is a store. A commit counter with commits is the trace of one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Lost`] if only the trace is there; [`StoreError::Io`].
    pub fn is_there(path: &Path) -> Result<bool, StoreError> {
        if path.try_exists().map_err(|error| system(path, &error))? {
            return Ok(true);
        }
        match CommitCounter::is_trace(path)? {
            true => Err(StoreError::Lost(path.into())),
            false => Ok(false),
        }
    }

    /// Whether the files of a store and its commit counter are there.
    pub fn is_whole(path: &Path) -> bool {
        path.is_file() && CommitCounter::is_there(path)
    }

    /// The number of commits of a store that nobody has opened.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot be read.
    #[cfg(feature = "redb")]
    pub(super) fn commits(path: &Path) -> Result<u64, StoreError> {
        let opened = open::open(path)?;
        let facts = Facts::read(&opened.connection);
        let facts = facts.map_err(|error| error::of_reading(path, &error))?;
        let facts = facts.ok_or_else(|| damaged(path, "the table 'registry' cannot be used"))?;
        Ok(facts.commits)
    }

    /// Makes a durable store for the registry with this ID, which holds these changes. The file has
    /// another name until it is whole. So a file with the right name that is empty or cut off is a
    /// damaged one, and never an unfinished one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`], [`StoreError::Damaged`] if the changes do not follow from each other.
    pub fn create(
        path: &Path,
        registry: NodeId,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<(), StoreError> {
        let unfinished = beside(path, ".new");
        let failed = |error: std::io::Error| system(path, &error);
        for suffix in ["", "-wal", "-shm", "-journal"] {
            remove(&beside(&unfinished, suffix))?;
        }
        private().create_new(true).open(&unfinished).map_err(failed)?;
        open::build(&unfinished, registry, changes)?;
        File::open(&unfinished).and_then(|file| file.sync_all()).map_err(failed)?;
        // The commit counter is made first, so that a store is never without one.
        CommitCounter::create(path, 0)?;
        // Of a store that was here before, nothing may be taken for a part of this one.
        for suffix in ["-wal", "-shm"] {
            remove(&beside(path, suffix))?;
        }
        fs::rename(&unfinished, path).map_err(failed)?;
        sync_parent(path)
    }

    /// Opens the file, and puts its content into an empty `registry`.
    ///
    /// On a disk that is full or can only be read, it opens what is there, and its commits fail
    /// with [`StoreError::Unwritable`] until they can succeed.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the file is missing, another process has opened it, it is damaged, or it
    /// belongs to another registry.
    pub fn open(
        path: &Path,
        registry: &mut Registry,
        trust: CounterTrust,
    ) -> Result<Self, StoreError> {
        if !Self::is_there(path)? {
            return Err(StoreError::Lost(path.into()));
        }
        let lock = open::lock(path)?;
        // It is read before the store is touched.
        let counted = CommitCounter::read(path, trust)?;
        let opened = open::open(path)?;
        let facts = Self::check_facts(path, &opened.connection, registry.credential().id)?;
        let index =
            Loader::new(path, &opened.connection).load(registry, facts.counts, &mut |_| ())?;
        CommitCounter::check(path, facts.commits, counted)?;
        let mut store = Self {
            path: path.into(),
            connection: None,
            counter: CommitCounterState::Closed(trust),
            facts,
            index,
            data_version: 0,
            log: LogSize::default(),
            free: 0,
            checkpoint_pages: CHECKPOINT_PAGES,
            _lock: lock,
        };
        if opened.is_writable {
            store.use_connection(opened.connection)?;
            store.counter =
                CommitCounterState::Open(CommitCounter::open(path, facts.commits, counted, trust)?);
        }
        Ok(store)
    }

    /// Gives back the room of rows that are gone. It takes as long as writing the whole store anew.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then the store is as it was.
    pub fn compact(&mut self) -> Result<(), StoreError> {
        self.reopen()?;
        let Some(connection) = &self.connection else {
            return Err(self.unwritable_for("it is not open"));
        };
        let compacted = connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
        compacted.map_err(|error| error::of_writing(&self.path, &error))
    }

    /// Sets the number of pages of 4 KiB in the log that is worth moving them into the database; 1,000
    /// by default, as SQLite has it.
    pub const fn checkpoint_at(&mut self, pages: u64) {
        self.checkpoint_pages = pages;
    }

    /// Checks that the file has our tables and belongs to this registry.
    fn check_facts(path: &Path, connection: &Connection, id: NodeId) -> Result<Facts, StoreError> {
        let facts = Facts::read(connection).map_err(|error| error::of_reading(path, &error))?;
        let facts = facts.ok_or_else(|| damaged(path, "the table 'registry' cannot be used"))?;
        match facts.id == id {
            true => Ok(facts),
            false => Err(foreign(path, "the file belongs to a registry with another ID")),
        }
    }

    /// Writes by this connection from now on.
    fn use_connection(&mut self, mut connection: Connection) -> Result<(), StoreError> {
        let failed = |error| error::of_reading(&self.path, &error);
        let pages = Arc::clone(&self.log.pages);
        let seen = move |_: &mut rusqlite::hooks::Wal, count: i32| {
            pages.store(count.unsigned_abs().into(), Ordering::Relaxed);
            Ok(())
        };
        connection.wal_hook(Some(seen)).map_err(failed)?;
        self.data_version = write::data_version(&connection).map_err(failed)?;
        self.free = free_bytes(&connection);
        self.connection = Some(connection);
        Ok(())
    }

    /// Opens the files for writing, if they were not. Somebody may have written in between.
    fn reopen(&mut self) -> Result<(), StoreError> {
        if self.connection.is_none() {
            let opened = open::open(&self.path)?;
            let facts = Self::check_facts(&self.path, &opened.connection, self.facts.id)?;
            if facts != self.facts {
                return Err(StoreError::ForeignWrite(self.path.clone()));
            }
            if !opened.is_writable {
                return Err(self.unwritable_for("it can be read and not written"));
            }
            self.use_connection(opened.connection)?;
        }
        if let CommitCounterState::Closed(trust) = self.counter {
            let counted = CommitCounter::read(&self.path, trust)?;
            let counter = CommitCounter::open(&self.path, self.facts.commits, counted, trust);
            self.counter = CommitCounterState::Open(counter.map_err(|error| match error {
                StoreError::Io { path, reason } => StoreError::Unwritable { path, reason },
                other => other,
            })?);
        }
        Ok(())
    }

    fn unwritable_for(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Unwritable { path: self.path.clone(), reason: reason.into() }
    }

    /// Checks that the write-ahead log has room. It has none while a reader keeps it from being
    /// emptied.
    fn check_room(&mut self) -> Result<(), StoreError> {
        if self.log.pages() < MAX_LOG_PAGES {
            return Ok(());
        }
        // If its size is not known, the bound is the lower one.
        let pages = fs::metadata(&self.path).map_or(0, |file| file.len() / PAGE);
        if self.log.pages() < MAX_LOG_PAGES.saturating_add(pages) {
            return Ok(());
        }
        self.checkpoint();
        match self.log.blocked_at {
            None => Ok(()),
            Some(_) => Err(self.unwritable_for(
                "a program that reads the store keeps its log from being emptied: end it",
            )),
        }
    }

    /// Moves the write-ahead log into the database, as far as readers let it.
    fn checkpoint(&mut self) {
        let Some(connection) = &self.connection else { return };
        self.log.blocked_at = match checkpoint(connection) {
            Ok((pages, moved)) => (moved < pages).then(|| self.log.pages()),
            Err(error) => {
                // The log still has everything; the next checkpoint writes it again.
                warn!(target: target::STORE, "{}: no checkpoint: {error}", self.path.display());
                Some(self.log.pages())
            }
        };
        self.free = free_bytes(connection);
    }
}

/// The bytes of pages that are free within the file; none if that is not known.
fn free_bytes(connection: &Connection) -> u64 {
    let pages = connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0));
    pages.map_or(0, |pages| pages.unsigned_abs().saturating_mul(PAGE))
}

impl Log for Sqlite {
    fn unwritable(&self) -> Option<StoreError> {
        self.connection.is_none().then(|| self.unwritable_for("it can be read and not written"))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.reopen()?;
        self.check_room()?;
        let Some(connection) = &self.connection else {
            debug_assert!(false, "it has just been opened");
            return Err(self.unwritable_for("it is not open"));
        };
        let transaction = write::Transaction {
            path: &self.path,
            connection,
            before: self.facts,
            data_version: self.data_version,
        };
        let staged = match transaction.commit(&self.index, changes) {
            Ok(staged) => staged,
            Err(error) => {
                if matches!(error, StoreError::Unwritable { .. }) {
                    // The log can be written from its start again when it has been emptied.
                    self.checkpoint();
                }
                return Err(error);
            }
        };
        self.facts = staged.facts();
        let kept = staged.into_kept();
        self.index.keep(kept);
        if let CommitCounterState::Open(counter) = &mut self.counter
            && let Err(error) = counter.write(self.facts.commits)
        {
            // The commit is durable. A counter that is behind only notices less.
            warn!(target: target::STORE, "{}: {error}", CommitCounter::path(&self.path).display());
        }
        Ok(())
    }

    fn tidy(&mut self) {
        let pages = self.log.pages();
        if let Some(moving) = self.log.moving.take_if(|moving| moving.is_done()) {
            drop(moving);
            // What was committed meanwhile.
            self.checkpoint();
            return;
        }
        if self.log.moving.is_some() {
            return;
        }
        // A reader that stopped the last checkpoint gets some time to go.
        let from = self.log.blocked_at.map_or(0, |blocked| blocked.min(pages));
        if pages.abs_diff(from) >= self.checkpoint_pages {
            if pages >= self.checkpoint_pages.saturating_mul(LONG_LOG) {
                self.log.moving = Checkpointer::start(&self.path);
            }
            if self.log.moving.is_none() {
                self.checkpoint();
            }
        }
    }

    fn disk(&self) -> Option<DiskSize> {
        let len = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        let (store, log) = (len(&self.path), len(&beside(&self.path, "-wal")));
        Some(DiskSize { store, log, free: self.free })
    }
}
