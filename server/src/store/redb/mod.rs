//! The store of earlier versions, which kept a database of the crate `redb`, and how it is taken
//! over. Nothing is written to it.

mod rows;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use redb::{
    Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable,
    StorageError, TableDefinition,
};
use tracing::info;
use xlreg::identity::NodeId;
use xlreg::registry::Registry;

use self::rows::Table;
use super::commit_counter::{CommitCounter, number};
use super::files::{beside, damaged, foreign, private, remove, sync_parent, system};
use super::{CounterTrust, Sqlite, StoreError};
use crate::target;

/// Facts about the file itself.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
// `rows` describes the content of these three. The types are in the files.
const NODES: TableDefinition<&[u8], &[u8; 32]> = TableDefinition::new(Table::Nodes.name());
const CLUSTERS: TableDefinition<&[u8], (&str, u32, u64, u32)> =
    TableDefinition::new(Table::Clusters.name());
const MEMBERS: TableDefinition<(&[u8], u32), &[u8]> = TableDefinition::new(Table::Members.name());

/// The key and the value in `META` that name this layout.
const FORMAT: (&str, &[u8]) = ("format", b"xlreg 1");
/// The key in `META` of the registry's ID.
const REGISTRY: &str = "registry";
/// The key in `META` of the number of commits, 8 bytes, little-endian.
const COMMITS: &str = "commits";

/// The suffix of an old store that was taken over.
const TAKEN_OVER: &str = ".taken-over";

/// The start of the file that stands where an old store was. An earlier version that is started on
/// the directory cannot open it, and refuses. It would make an empty store if nothing were there.
const MARK: &[u8] = b"xlreg: this store was taken over";

/// An old store, and the new one that takes its place.
pub struct TakeOver<'a> {
    /// The file of the old store.
    pub old: &'a Path,
    /// The file of the new store.
    pub new: &'a Path,
    /// How far to trust the commit counter of the old store.
    pub trust: CounterTrust,
}

/// What is in the place of an old store.
enum Place {
    /// There is no old store.
    Empty,
    /// An old store was taken over.
    Mark,
    /// There is an old store.
    Store,
}

/// Takes over an old store, if one is there: whole or not at all. `registry` is an empty registry to
/// check it with. Gives the path that the old store has from now on; `None` if none was there.
///
/// 1. The new store is made, and is durable.
/// 2. The old store gets another name, and a mark takes its place, at once.
///
/// If it was interrupted between the two, the new store is still unused, and is made again.
///
/// # Errors
///
/// [`StoreError`] if the old store cannot be used, or if the new one is in use already.
pub fn take_over(
    places: &TakeOver<'_>,
    mut registry: Registry,
) -> Result<Option<PathBuf>, StoreError> {
    let TakeOver { old, new, trust } = *places;
    match place(old)? {
        Place::Store => {}
        Place::Mark if !new.exists() => return Err(StoreError::Lost(new.into())),
        Place::Mark => return Ok(None),
        Place::Empty => {
            return match CommitCounter::is_trace(old)? && !new.exists() {
                true => Err(StoreError::Lost(old.into())),
                false => Ok(None),
            };
        }
    }
    if new.exists() && Sqlite::commits(new)? > 0 {
        let reason = format!(
            "{} is here too and has changes of its own: only one of them can be the store",
            new.display()
        );
        return Err(foreign(old, reason));
    }
    read(old, &mut registry, trust)?;
    let id = registry.credential().id;
    Sqlite::create(new, id, registry.changes())?;
    let kept = beside(old, TAKEN_OVER);
    set_aside(old, &kept, new)?;
    let size = registry.size();
    info!(
        target: target::STORE,
        "took over {} with {} nodes, {} clusters and {} memberships: the store is {} now, and the \
         old file is {}",
        old.display(), size.nodes, size.clusters, size.memberships, new.display(), kept.display()
    );
    Ok(Some(kept))
}

/// What is in the place of an old store.
fn place(old: &Path) -> Result<Place, StoreError> {
    let mut start = [0; MARK.len()];
    let failed = |error: std::io::Error| system(old, &error);
    let mut file = match fs::File::open(old) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Place::Empty),
        Err(error) => return Err(failed(error)),
    };
    // A file that is shorter is a damaged store.
    match file.read_exact(&mut start) {
        Ok(()) if start == *MARK => Ok(Place::Mark),
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(failed(error)),
        _ => Ok(Place::Store),
    }
}

/// Gives the old store another name, and puts the mark in its place.
fn set_aside(old: &Path, kept: &Path, new: &Path) -> Result<(), StoreError> {
    let mark = beside(old, ".mark");
    let failed = |error: std::io::Error| system(old, &error);
    remove(&mark)?;
    remove(kept)?;
    let text = format!(
        "{}\nThe registry's store is {} now. The old one is {}.\n",
        String::from_utf8_lossy(MARK),
        new.display(),
        kept.display()
    );
    let mut file = private().open(&mark).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::hard_link(old, kept).map_err(failed)?;
    sync_parent(old)?;
    fs::rename(&mark, old).map_err(failed)?;
    sync_parent(old)
}

/// Puts the content of an old store into an empty registry.
fn read(path: &Path, registry: &mut Registry, trust: CounterTrust) -> Result<(), StoreError> {
    let counted = CommitCounter::read(path, trust)?;
    let mut builder = Builder::new();
    builder.set_check_integrity_on_open(true);
    let database = builder.open(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::Busy(path.into()),
        DatabaseError::Storage(StorageError::Corrupted(reason)) => damaged(path, reason),
        DatabaseError::UpgradeRequired(version) => {
            foreign(path, format!("the file is of an older format ({version})"))
        }
        // The file is too short, or does not start like one of redb.
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() == std::io::ErrorKind::InvalidData =>
        {
            damaged(path, error.to_string())
        }
        other => io(path)(other),
    })?;
    let commits = check_meta(path, &database, registry.credential().id)?;
    CommitCounter::check(path, commits, counted)?;
    let transaction = database.begin_read().map_err(io(path))?;
    for table in Table::ALL {
        match table {
            Table::Nodes => read_table(path, &transaction, table, NODES, registry),
            Table::Clusters => read_table(path, &transaction, table, CLUSTERS, registry),
            Table::Members => read_table(path, &transaction, table, MEMBERS, registry),
        }?;
    }
    Ok(())
}

/// Checks that the file has this layout and belongs to this registry. Gives the number of commits.
fn check_meta(path: &Path, database: &Database, id: NodeId) -> Result<u64, StoreError> {
    let read = || -> Result<BTreeMap<String, Vec<u8>>, redb::Error> {
        let table = database.begin_read()?.open_table(META)?;
        let rows = table.iter()?.map(|row| {
            let (key, value) = row?;
            Ok((key.value().to_string(), value.value().to_vec()))
        });
        rows.collect()
    };
    let meta = read().map_err(io(path))?;
    if meta.get(FORMAT.0).map(Vec::as_slice) != Some(FORMAT.1) {
        return Err(foreign(path, "the file is of another version of xlreg"));
    }
    if meta.get(REGISTRY).map(Vec::as_slice) != Some(id.as_bytes()) {
        return Err(foreign(path, "the file belongs to a registry with another ID"));
    }
    match meta.get(COMMITS) {
        // A new file has no number yet.
        None => Ok(0),
        Some(bytes) => {
            number(bytes).ok_or_else(|| damaged(path, "the number of commits has another length"))
        }
    }
}

fn read_table<K: redb::Key + 'static, V: redb::Value + 'static>(
    path: &Path,
    transaction: &ReadTransaction,
    table: Table,
    definition: TableDefinition<'static, K, V>,
    registry: &mut Registry,
) -> Result<(), StoreError> {
    let rows = transaction.open_table(definition).map_err(io(path))?;
    for row in rows.iter().map_err(io(path))? {
        let (key, value) = row.map_err(io(path))?;
        let (key, value) = (key.value(), value.value());
        let (key, value) = (K::as_bytes(&key), V::as_bytes(&value));
        let change = rows::change(table, key.as_ref(), value.as_ref())
            .map_err(|error| damaged(path, error.to_string()))?;
        registry
            .apply(&change)
            .map_err(|source| StoreError::Inconsistent { path: path.into(), source })?;
    }
    Ok(())
}

fn io<E: Into<redb::Error>>(path: &Path) -> impl Fn(E) -> StoreError + use<'_, E> {
    |error| match error.into() {
        redb::Error::Corrupted(reason) => damaged(path, reason),
        // Every file is made with all its tables.
        redb::Error::TableDoesNotExist(table) => damaged(path, format!("no table '{table}'")),
        other => StoreError::Io { path: path.into(), reason: other.to_string() },
    }
}
