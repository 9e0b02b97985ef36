//! Moving a long log into the database, on a thread of its own.
//!
//! A log is long after a reader that took its time, such as a backup. To move it takes as long as
//! to write it again, and meanwhile commits go on: this thread has a connection of its own. Only
//! what is committed in between is left for the thread that commits, which takes a moment.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tracing::warn;

use super::open;
use crate::target;

/// A checkpoint under way. When it is dropped, it is waited for.
pub(super) struct Checkpointer {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts to move the log of this store; `None` if the system has no more threads.
    pub(super) fn start(path: &Path) -> Option<Self> {
        let done = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new().name("checkpointer".into()).spawn({
            let (done, path) = (Arc::clone(&done), PathBuf::from(path));
            move || {
                let moved =
                    open::open(&path).map_err(|error| error.to_string()).and_then(|opened| {
                        checkpoint(&opened.connection).map_err(|error| error.to_string())
                    });
                if let Err(error) = moved {
                    // The log still has everything.
                    warn!(target: target::STORE, "{}: no checkpoint: {error}", path.display());
                }
                done.store(true, Ordering::Release);
            }
        });
        Some(Self { done, thread: Some(thread.ok()?) })
    }

    /// Whether it has moved what it could.
    pub(super) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // If it has panicked, the log still has everything.
            let _ = thread.join();
        }
    }
}

/// Moves the log into the database, as far as readers let it. Gives how many pages the log has, and
/// how many of them were moved.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))
}
