//! What the errors of SQLite mean for a registry.

use std::path::Path;

use rusqlite::ffi;
use rusqlite::{Error, ErrorCode};

use crate::store::StoreError;
use crate::store::files::{damaged, foreign};

/// The meaning of an error while the store is opened and read.
pub(super) fn of_reading(path: &Path, error: &Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => damaged(path, error.to_string()),
        Some(ErrorCode::NotADatabase) => damaged(path, "it is not a database of SQLite"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy(path.into()),
        // A column with another type, or a table that is not there.
        None | Some(ErrorCode::Unknown) => damaged(path, error.to_string()),
        Some(_) => StoreError::Io { path: path.into(), reason: error.to_string() },
    }
}

/// The meaning of an error while changes are written. The transaction is rolled back after it.
pub(super) fn of_writing(path: &Path, error: &Error) -> StoreError {
    match error.sqlite_error() {
        Some(failure) if is_weather(failure) => {
            StoreError::Unwritable { path: path.into(), reason: error.to_string() }
        }
        _ => of_reading(path, error),
    }
}

/// Whether the same may succeed later, without anything that was lost.
fn is_weather(failure: &ffi::Error) -> bool {
    match failure.code {
        ErrorCode::DiskFull
        | ErrorCode::ReadOnly
        | ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::CannotOpen
        | ErrorCode::OutOfMemory => true,
        // After a failed flush nobody knows what is on disk.
        ErrorCode::SystemIoFailure => !matches!(
            failure.extended_code,
            ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC | ffi::SQLITE_IOERR_CLOSE
        ),
        _ => false,
    }
}

/// The error for a file of another kind.
pub(super) fn not_ours(path: &Path) -> StoreError {
    foreign(path, "the file is not a registry's")
}
