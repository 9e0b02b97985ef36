//! Making and opening the database.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use xlreg::identity::NodeId;
use xlreg::registry::Change;

use super::error;
use super::load::Index;
use super::schema::{APPLICATION_ID, Counts, Facts, TABLES, VERSION};
use super::write;
use crate::store::StoreError;
use crate::store::files::{beside, foreign, private, system};

/// How long a commit waits for another program that writes.
const LOCK_TIME: Duration = Duration::from_secs(5);

/// A database that was opened.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) is_writable: bool,
}

/// Locks a store for this process. SQLite alone lets two daemons write in turns. `None` on a disk
/// that can only be read, which nobody can write.
pub(super) fn lock(path: &Path) -> Result<Option<File>, StoreError> {
    let path = beside(path, ".lock");
    let file = match private().open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => return Ok(None),
        // A file needs no room if it is there already.
        Err(error) if error.kind() == ErrorKind::StorageFull => match File::open(&path) {
            Ok(file) => file,
            Err(_) => return Ok(None),
        },
        Err(error) => return Err(system(&path, &error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::Busy(path)),
        Err(TryLockError::Error(error)) => Err(system(&path, &error)),
    }
}

/// Makes a database with these changes in an empty file. It is not durable yet.
pub(super) fn build(
    path: &Path,
    registry: NodeId,
    changes: impl IntoIterator<Item = Change>,
) -> Result<(), StoreError> {
    let failed = |error| error::of_reading(path, &error);
    let connection = Connection::open(path).map_err(failed)?;
    let facts = Facts { id: registry, commits: 0, counts: Counts::default() };
    let prepare = || {
        // Nobody sees the file before it is whole.
        set(&connection, "journal_mode", "OFF")?;
        set(&connection, "synchronous", "OFF")?;
        set(&connection, "application_id", APPLICATION_ID)?;
        set(&connection, "user_version", VERSION)?;
        connection.execute_batch(TABLES)?;
        facts.insert(&connection)
    };
    prepare().map_err(failed)?;
    let index = Index::default();
    let mut transaction = write::Staged::new(&index, facts);
    connection.execute_batch("BEGIN").map_err(failed)?;
    for change in changes {
        transaction.write(path, &connection, &change)?;
    }
    let counts = transaction.facts().counts;
    let replaced = Facts { counts, ..facts }.replace(&facts, &connection).map_err(failed)?;
    debug_assert!(replaced, "nobody else has the file");
    connection.execute_batch("COMMIT").map_err(failed)?;
    set(&connection, "journal_mode", "WAL").map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))
}

/// Opens a database, as well as its disk lets it.
///
/// 1. For reading and writing.
/// 2. Where that fails because the disk is full: without the file `-shm` that other programs need.
/// 3. Where that fails because nothing can be written: as a file that nobody changes. Only if no
///    write-ahead log is there, since this would ignore it.
pub(super) fn open(path: &Path) -> Result<Opened, StoreError> {
    let failed = |error| error::of_reading(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let normal = Connection::open_with_flags(path, flags).and_then(|it| prepare(it, "NORMAL"));
    match normal {
        Ok(connection) if !connection.is_readonly("main").map_err(failed)? => {
            check_format(path, &connection)?;
            return Ok(Opened { connection, is_writable: true });
        }
        Err(error) if !is_lack_of_room(&error) => return Err(failed(error)),
        Ok(_) | Err(_) => {}
    }
    let alone = Connection::open_with_flags(path, flags).and_then(|it| prepare(it, "EXCLUSIVE"));
    let connection = match alone {
        Ok(connection) => connection,
        Err(_) => {
            let log = beside(path, "-wal");
            if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
                let reason = "what it has is needed, and cannot be moved into the store on a disk \
                              that cannot be written"
                    .into();
                return Err(StoreError::Io { path: log, reason });
            }
            immutable(path).map_err(failed)?
        }
    };
    check_format(path, &connection)?;
    Ok(Opened { connection, is_writable: false })
}

/// Opens a database as a file that nobody changes.
pub(super) fn immutable(path: &Path) -> rusqlite::Result<Connection> {
    let text = path.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(path.into()))?;
    let escaped = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
}

/// Sets up a connection, and reads once.
fn prepare(connection: Connection, locking: &str) -> rusqlite::Result<Connection> {
    connection.busy_timeout(LOCK_TIME)?;
    set(&connection, "locking_mode", locking)?;
    // Each commit is flushed.
    set(&connection, "synchronous", "FULL")?;
    // The store decides when the log is moved into the database: not while somebody waits.
    set(&connection, "wal_autocheckpoint", 0)?;
    // A log that was large once is cut.
    set(&connection, "journal_size_limit", 16 * 1024 * 1024)?;
    // The state is in memory. This is only for the pages of commits, in KiB.
    set(&connection, "cache_size", -8192)?;
    set(&connection, "mmap_size", 0)?;
    set(&connection, "trusted_schema", "OFF")?;
    set(&connection, "cell_size_check", "ON")?;
    // Foreign keys are checked by the loader and by `verify`. With them on, each token that goes
    // would be looked for in the whole table of members.
    set(&connection, "foreign_keys", "OFF")?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    if !connection.is_readonly("main")? {
        set(&connection, "journal_mode", "WAL")?;
    }
    Ok(connection)
}

/// Sets a pragma, whether it answers or not.
fn set(connection: &Connection, name: &str, value: impl rusqlite::ToSql) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, name, value, |_| Ok(())).or_else(|error| match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        error => Err(error),
    })
}

/// Whether a file could not be made or written beside the database.
fn is_lack_of_room(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::CannotOpen
                | ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
                | ErrorCode::PermissionDenied
        )
    )
}

/// Checks that the file is a registry's, in the present version of the schema.
pub(super) fn check_format(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let read = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let failed = |error| error::of_reading(path, &error);
    if read("application_id").map_err(failed)? != APPLICATION_ID {
        return Err(error::not_ours(path));
    }
    match read("user_version").map_err(failed)? {
        VERSION => Ok(()),
        other => Err(foreign(path, format!("the file is of version {other} of the schema"))),
    }
}
