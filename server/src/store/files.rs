//! The files of a store: their modes, their names, and how a new name becomes durable.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::StoreError;

/// Makes a new name in a directory durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let failed = |error: io::Error| system(path, &error);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = File::open(directory.unwrap_or(Path::new("."))).map_err(failed)?;
    directory.sync_all().map_err(failed)
}

/// The options of a file for the registry's user only. It is made if it is missing.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

/// The path of a file that belongs to this one.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(system(path, &error)),
        _ => Ok(()),
    }
}

pub(super) fn damaged(path: &Path, reason: impl Into<String>) -> StoreError {
    StoreError::Damaged { path: path.into(), reason: reason.into() }
}

pub(super) fn foreign(path: &Path, reason: impl Into<String>) -> StoreError {
    StoreError::Foreign { path: path.into(), reason: reason.into() }
}

pub(super) fn system(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Io { path: path.into(), reason: error.to_string() }
}
