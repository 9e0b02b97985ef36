//! The commit counter: the number of commits, in a file beside the store.
//!
//! A store cannot know that it is an old one, or that its disk has dropped what it said it had
//! written. So the number of commits is also written beside the store, after each commit and before
//! it is acknowledged. A store with fewer commits than that is not the latest one. The file is
//! made durable once, so that it must be there. Later it is not flushed: after a power failure it
//! may be behind, which is harmless.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tracing::warn;

use super::StoreError;
use super::files::{beside, damaged, private, sync_parent, system};
use crate::target;

/// The suffix of the file.
const SUFFIX: &str = ".commits";

/// The length of the file, in bytes: the number is little-endian.
const LEN: u64 = 8;

/// How far to trust the commit counter beside a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterTrust {
    /// The counter was made with the store and must be there.
    Needed,
    /// The counter may be missing: the store is new, or from a version that did not make it
    /// durable.
    Welcome,
    /// The counter is ignored: the operator has accepted the store as it is.
    None,
}

/// The commit counter of an open store.
pub(super) struct CommitCounter {
    file: File,
}

impl CommitCounter {
    /// Makes the counter of a store that is about to have this number of commits, and makes it
    /// durable.
    pub(super) fn create(store: &Path, commits: u64) -> Result<(), StoreError> {
        let path = beside(store, SUFFIX);
        let failed = |error: io::Error| system(&path, &error);
        let mut counter = Self { file: private().open(&path).map_err(failed)? };
        counter.write(commits).map_err(failed)?;
        counter.file.set_len(LEN).map_err(failed)?;
        counter.file.sync_all().map_err(failed)?;
        sync_parent(&path)
    }

    /// Checks that a store with this number of commits has all that were counted.
    pub(super) fn check(store: &Path, commits: u64, read: Option<u64>) -> Result<(), StoreError> {
        // A counter that is behind the store is harmless: then no commit is missing.
        let missing =
            read.and_then(|read| read.checked_sub(commits)).filter(|missing| *missing > 0);
        match missing {
            None => Ok(()),
            Some(missing) => Err(damaged(store, format!("the last {missing} commits are missing"))),
        }
    }

    /// Opens the counter of a store that has this number of commits. `read` is what was there
    /// before the store was touched.
    pub(super) fn open(
        store: &Path,
        commits: u64,
        read: Option<u64>,
        trust: CounterTrust,
    ) -> Result<Self, StoreError> {
        let path = beside(store, SUFFIX);
        if trust == CounterTrust::Welcome && read.is_none() && commits > 0 {
            warn!(
                target: target::STORE,
                "{} was missing or damaged: an old store would not have been noticed",
                path.display()
            );
        }
        if trust != CounterTrust::Needed {
            // From now on the file must be there, so it must be durable.
            Self::create(store, commits)?;
        }
        let file = private().open(&path).map_err(|error| system(&path, &error))?;
        Ok(Self { file })
    }

    /// Reads the counter of a store, as far as it is trusted.
    pub(super) fn read(store: &Path, trust: CounterTrust) -> Result<Option<u64>, StoreError> {
        let path = beside(store, SUFFIX);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            read => Some(read.map_err(|error| system(&path, &error))?),
        };
        let counted = bytes.as_deref().and_then(number);
        match (trust, bytes) {
            (CounterTrust::None, _) => Ok(None),
            (CounterTrust::Needed, None) => Err(StoreError::Lost(path)),
            (CounterTrust::Needed, Some(_)) if counted.is_none() => {
                Err(damaged(&path, "it does not hold a number of commits"))
            }
            _ => Ok(counted),
        }
    }

    /// Whether the counter of a store is there and can be read.
    pub(super) fn is_there(store: &Path) -> bool {
        fs::read(Self::path(store)).is_ok_and(|bytes| number(&bytes).is_some())
    }

    /// Whether a counter beside a store that is missing has counted commits.
    pub(super) fn is_trace(store: &Path) -> Result<bool, StoreError> {
        let path = Self::path(store);
        match fs::read(&path) {
            Ok(bytes) => Ok(number(&bytes).is_some_and(|commits| commits > 0)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(system(&path, &error)),
        }
    }

    /// The path of the counter of a store.
    pub(super) fn path(store: &Path) -> PathBuf {
        beside(store, SUFFIX)
    }

    /// Writes the number of commits. It is not flushed.
    pub(super) fn write(&mut self, commits: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&commits.to_le_bytes())
    }
}

/// The number in the bytes of a counter.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_le_bytes)
}
