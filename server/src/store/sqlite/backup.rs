//! Backups: the state of a registry in one file, with or without the registry's own files.
//!
//! A backup is a database with the tables of a store, and one more.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use xlreg::identity::NodeId;
use xlreg::registry::Registry;

use super::load::Loader;
use super::schema::Facts;
use super::{error, open};
use crate::store::StoreError;
use crate::store::files::{beside, damaged, private, remove, sync_parent, system};

/// The table that a backup has besides those of a store.
const TABLE: &str = "
CREATE TABLE files (
    name TEXT PRIMARY KEY,          -- a file of the registry's directory, such as its keys
    content BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// The number of changes after which what is written goes to the disk. Whoever waits for a commit
/// waits for that too, so it is little: 1 MB with the largest tokens.
const PACE: u64 = 512;

/// A backup that is read.
pub struct Backup {
    path: PathBuf,
    connection: Connection,
    facts: Facts,
}

impl Backup {
    /// Makes a backup of a registry, with some files of its directory. The file has another name
    /// until it is whole and on disk. It is written at a pace that lets others use the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if there is a file with this name, or it cannot be written.
    pub fn create(
        path: &Path,
        registry: &Registry,
        files: &[(String, Vec<u8>)],
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let failed = |error: std::io::Error| system(path, &error);
        if path.try_exists().map_err(failed)? {
            return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
        }
        let unfinished = beside(path, ".new");
        for suffix in ["", "-wal", "-shm", "-journal"] {
            remove(&beside(&unfinished, suffix))?;
        }
        // Nobody else has put a file there, or a link to one.
        let file = private().create_new(true).open(&unfinished).map_err(failed)?;
        let mut written = 0_u64;
        let mut unflushed = Ok(());
        let changes = registry.changes().into_iter().inspect(|_| {
            written += 1;
            if written.is_multiple_of(PACE) {
                progress(written);
                let flushed = file.sync_data();
                if unflushed.is_ok() {
                    unflushed = flushed;
                }
            }
        });
        open::build(&unfinished, registry.credential().id, changes)?;
        unflushed.map_err(failed)?;
        add_files(&unfinished, files)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&unfinished, path).map_err(failed)?;
        sync_parent(path)
    }

    /// Opens a backup. Nothing is written beside it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot be read, or is no backup.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        File::open(path).map_err(|error| system(path, &error))?;
        let failed = |failure| error::of_reading(path, &failure);
        let connection = open::immutable(path).map_err(failed)?;
        open::check_format(path, &connection)?;
        let facts = Facts::read(&connection).map_err(failed)?;
        let facts = facts.ok_or_else(|| damaged(path, "the table 'registry' cannot be used"))?;
        Ok(Self { path: path.into(), connection, facts })
    }

    /// The ID of the registry.
    pub const fn registry(&self) -> NodeId {
        self.facts.id
    }

    /// The number of rows that [`load`](Self::load) reads.
    pub fn rows(&self) -> u64 {
        self.facts.counts.all()
    }

    /// Checks every row, and puts all of them into an empty registry.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if a row is damaged, or breaks the rules.
    pub fn load(
        &self,
        registry: &mut Registry,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let loader = Loader::new(&self.path, &self.connection);
        loader.load(registry, self.facts.counts, progress)?;
        Ok(())
    }

    /// The files of the registry's directory that are in it, by name.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if they cannot be read.
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let failed = |failure| error::of_reading(&self.path, &failure);
        let select = "SELECT name, content FROM files";
        let mut statement = self.connection.prepare(select).map_err(failed)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
    }
}

fn add_files(path: &Path, files: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
    let failed = |failure| error::of_reading(path, &failure);
    let connection = Connection::open(path).map_err(failed)?;
    let add = || {
        // The file is whole when it gets its name.
        connection.pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))?;
        connection.execute_batch(TABLE)?;
        for (name, content) in files {
            connection.execute("INSERT INTO files VALUES (?1, ?2)", params![name, content])?;
        }
        Ok(())
    };
    add().map_err(failed)?;
    connection.close().map_err(|(_, failure)| failed(failure))
}
