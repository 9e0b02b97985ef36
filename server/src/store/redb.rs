//! The embedded store: one file with transactions, by the crate `redb`.
//!
//! It keeps [`rows`](super::rows). Commits have two phases, and the whole file is checked when it
//! is opened. So a crash loses nothing that was committed, and damage is reported instead of rolled
//! back ([`Redb`] explains how).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use redb::{
    Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable,
    StorageError, TableDefinition, WriteTransaction,
};
use tracing::warn;
use xlreg::identity::NodeId;
use xlreg::registry::{Change, Registry};

use super::rows::{Row, Table};
use super::{Log, StoreError};
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
/// The suffix of the file that has the number of commits too.
const COMMITS_FILE: &str = ".commits";
/// The length of that file, in bytes.
const COMMIT_COUNTER_LEN: u64 = 8;

/// The size of the page cache, in bytes. The state is in memory anyway, and this is only for the
/// pages of commits.
const CACHE: usize = 32 * 1024 * 1024;

/// A store in one file, with a commit counter beside it.
///
/// redb keeps two roots, and one unprotected bit of its header says which is the newer one. So the
/// number of commits is also written beside the store, after each commit and before it is
/// acknowledged. A store with fewer commits than that was rolled back, and is damaged. The commit
/// counter is made durable once, so that it must be there. Later it is not flushed: it protects
/// from damage to the store. After a power failure it may be behind, which is harmless.
pub struct Redb {
    path: PathBuf,
    database: Database,
    commit_counter: File,
    commits: u64,
}

impl Redb {
    /// Whether there is a store. A commit counter with commits is the trace of one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Lost`] if only the trace is there; [`StoreError::Io`].
    pub fn is_there(path: &Path) -> Result<bool, StoreError> {
        if path.try_exists().map_err(|error| system(path, &error))? {
            return Ok(true);
        }
        let commit_counter = beside(path, COMMITS_FILE);
        match fs::read(&commit_counter) {
            Ok(bytes) if number(&bytes).is_some_and(|commits| commits > 0) => {
                Err(StoreError::Lost(path.into()))
            }
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(system(&commit_counter, &error))
            }
            Ok(_) | Err(_) => Ok(false),
        }
    }

    /// Whether the files of a store and its commit counter are there.
    pub fn is_whole(path: &Path) -> bool {
        let commit_counter = fs::read(beside(path, COMMITS_FILE));
        path.is_file() && commit_counter.is_ok_and(|bytes| number(&bytes).is_some())
    }

    /// Makes an empty, durable store for the registry with this ID. The file has another name until
    /// it is whole. So a file with the right name that is empty or cut off is a damaged one, and
    /// never an unfinished one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn create(path: &Path, registry: NodeId) -> Result<(), StoreError> {
        let unfinished = beside(path, ".new");
        let system = |error: std::io::Error| system(path, &error);
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(system(error));
            }
            _ => {}
        }
        private().open(&unfinished).map_err(system)?;
        let database = Database::create(&unfinished).map_err(io(path))?;
        write(&database, |transaction| {
            let mut meta = transaction.open_table(META)?;
            meta.insert(FORMAT.0, FORMAT.1)?;
            meta.insert(REGISTRY, registry.as_bytes())?;
            transaction.open_table(NODES)?;
            transaction.open_table(CLUSTERS)?;
            transaction.open_table(MEMBERS)?;
            Ok(())
        })
        .map_err(io(path))?;
        database.close().map_err(io(path))?;
        // The commit counter is made first, so that a store is never without one.
        let mut commit_counter = private().open(beside(path, COMMITS_FILE)).map_err(system)?;
        commit_counter.set_len(COMMIT_COUNTER_LEN).map_err(system)?;
        commit_counter.write_all(&0_u64.to_le_bytes()).map_err(system)?;
        commit_counter.sync_all().map_err(system)?;
        sync_parent(path)?;
        fs::rename(&unfinished, path).map_err(system)?;
        sync_parent(path)
    }

    /// Opens the file, and puts its content into an empty `registry`.
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
        // It is read before the store is touched.
        let counted = counted(path, trust)?;
        let mut builder = Builder::new();
        builder.set_check_integrity_on_open(true).set_cache_size(CACHE);
        let opened = builder.open(path);
        let database = opened.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::Busy(path.into()),
            DatabaseError::Storage(StorageError::Corrupted(reason)) => damaged(path, reason),
            DatabaseError::UpgradeRequired(version) => StoreError::Foreign {
                path: path.into(),
                reason: format!("the file is of an older format ({version})"),
            },
            // The file is too short, or does not start like one of redb.
            DatabaseError::Storage(StorageError::Io(error))
                if error.kind() == std::io::ErrorKind::InvalidData =>
            {
                damaged(path, error.to_string())
            }
            other => io(path)(other),
        })?;
        let commit_counter = beside(path, COMMITS_FILE);
        let commit_counter =
            private().open(&commit_counter).map_err(|error| system(&commit_counter, &error))?;
        let mut store = Self { path: path.into(), database, commit_counter, commits: 0 };
        store.check_meta(registry.credential().id)?;
        store.check_commit_counter(counted, trust)?;
        store.load(registry)?;
        Ok(store)
    }

    /// Checks that the file has this layout, belongs to this registry, and is not older than its
    /// commit counter.
    fn check_meta(&mut self, id: NodeId) -> Result<(), StoreError> {
        let meta = self.meta()?;
        let foreign =
            |reason: &str| StoreError::Foreign { path: self.path.clone(), reason: reason.into() };
        if meta.get(FORMAT.0).map(Vec::as_slice) != Some(FORMAT.1) {
            return Err(foreign("the file is of another version of xlreg"));
        }
        if meta.get(REGISTRY).map(Vec::as_slice) != Some(id.as_bytes()) {
            return Err(foreign("the file belongs to a registry with another ID"));
        }
        // A new file has no number yet.
        self.commits = match meta.get(COMMITS) {
            None => 0,
            Some(bytes) => number(bytes).ok_or_else(|| {
                damaged(&self.path, "the number of commits has another length".into())
            })?,
        };
        Ok(())
    }

    /// Checks that the file is not older than its commit counter, and makes sure that there is one
    /// from now on.
    fn check_commit_counter(
        &mut self,
        counted: Option<u64>,
        trust: CounterTrust,
    ) -> Result<(), StoreError> {
        // A counter that is behind the file is harmless: then no commit is missing.
        let missing = counted.map_or(0, |counted| counted.saturating_sub(self.commits));
        if missing > 0 {
            return Err(damaged(&self.path, format!("the last {missing} commits are missing")));
        }
        if trust == CounterTrust::Needed {
            return Ok(());
        }
        let path = beside(&self.path, COMMITS_FILE);
        if trust == CounterTrust::Welcome && counted.is_none() && self.commits > 0 {
            warn!(
                target: target::REDB,
                "{} was missing or damaged: an old store would not have been noticed",
                path.display()
            );
        }
        // From now on the file must be there, so it must be durable.
        let written =
            self.commit_counter().and_then(|()| self.commit_counter.set_len(COMMIT_COUNTER_LEN));
        let written = written.and_then(|()| self.commit_counter.sync_all());
        written.map_err(|error| system(&path, &error))?;
        sync_parent(&self.path)
    }

    fn commit_counter(&mut self) -> std::io::Result<()> {
        self.commit_counter.seek(SeekFrom::Start(0))?;
        self.commit_counter.write_all(&self.commits.to_le_bytes())
    }

    fn meta(&self) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let transaction = self.database.begin_read()?;
            let table = transaction.open_table(META)?;
            let rows = table.iter()?.map(|row| {
                let (key, value) = row?;
                Ok((key.value().to_string(), value.value().to_vec()))
            });
            rows.collect()
        };
        read().map_err(io(&self.path))
    }

    fn load(&self, registry: &mut Registry) -> Result<(), StoreError> {
        let transaction = self.database.begin_read().map_err(io(&self.path))?;
        for table in Table::ALL {
            match table {
                Table::Nodes => self.load_table(&transaction, table, NODES, registry),
                Table::Clusters => self.load_table(&transaction, table, CLUSTERS, registry),
                Table::Members => self.load_table(&transaction, table, MEMBERS, registry),
            }?;
        }
        Ok(())
    }

    fn load_table<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        transaction: &ReadTransaction,
        table: Table,
        definition: TableDefinition<'static, K, V>,
        registry: &mut Registry,
    ) -> Result<(), StoreError> {
        let rows = transaction.open_table(definition).map_err(io(&self.path))?;
        for row in rows.iter().map_err(io(&self.path))? {
            let (key, value) = row.map_err(io(&self.path))?;
            let (key, value) = (key.value(), value.value());
            let (key, value) = (K::as_bytes(&key), V::as_bytes(&value));
            let change = Row::change(table, key.as_ref(), value.as_ref())
                .map_err(|error| damaged(&self.path, error.to_string()))?;
            registry
                .apply(&change)
                .map_err(|source| StoreError::Inconsistent { path: self.path.clone(), source })?;
        }
        Ok(())
    }
}

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

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_le_bytes)
}

/// Reads the commit counter, as far as it is trusted.
fn counted(store: &Path, trust: CounterTrust) -> Result<Option<u64>, StoreError> {
    let path = beside(store, COMMITS_FILE);
    let read = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        read => Some(read.map_err(|error| system(&path, &error))?),
    };
    let counted = read.as_deref().and_then(number);
    match (trust, read) {
        (CounterTrust::None, _) => Ok(None),
        (CounterTrust::Needed, None) => Err(StoreError::Lost(path)),
        (CounterTrust::Needed, Some(_)) if counted.is_none() => {
            Err(damaged(&path, "it does not hold a number of commits".into()))
        }
        _ => Ok(counted),
    }
}

/// Makes a new name in a directory durable.
fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let system = |error: std::io::Error| system(path, &error);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = File::open(directory.unwrap_or(Path::new("."))).map_err(system)?;
    directory.sync_all().map_err(system)
}

/// The options of a file for the registry's user only. It is made if it is missing.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn write(
    database: &Database,
    change: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    // With one phase a damaged file could look like one with a torn last commit, and be rolled
    // back.
    transaction.set_two_phase_commit(true);
    change(&transaction)?;
    Ok(transaction.commit()?)
}

/// A table that is opened with its first row. Every opened table is written back, so only those
/// with changes are opened.
struct Opening<'t, K: redb::Key + 'static, V: redb::Value + 'static> {
    definition: TableDefinition<'static, K, V>,
    opened: Option<redb::Table<'t, K, V>>,
}

impl<'t, K: redb::Key + 'static, V: redb::Value + 'static> Opening<'t, K, V> {
    fn new(definition: TableDefinition<'static, K, V>) -> Self {
        Self { definition, opened: None }
    }

    fn insert(&mut self, transaction: &'t WriteTransaction, row: &Row) -> Result<(), redb::Error> {
        let table = match &mut self.opened {
            Some(table) => table,
            None => self.opened.insert(transaction.open_table(self.definition)?),
        };
        // The types of the tables have the bytes of rows.
        table.insert(K::from_bytes(row.key()), V::from_bytes(row.value()))?;
        Ok(())
    }
}

impl Log for Redb {
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let rows = changes.iter().map(Row::of).collect::<Result<Vec<_>, _>>();
        let rows = rows.map_err(|error| damaged(&self.path, error.to_string()))?;
        let full = || damaged(&self.path, "its number of commits cannot grow".into());
        let commits = self.commits.checked_add(1).ok_or_else(full)?;
        let written = write(&self.database, |transaction| {
            transaction.open_table(META)?.insert(COMMITS, commits.to_le_bytes().as_slice())?;
            let mut nodes = Opening::new(NODES);
            let mut clusters = Opening::new(CLUSTERS);
            let mut members = Opening::new(MEMBERS);
            for row in &rows {
                match row.table() {
                    Table::Nodes => nodes.insert(transaction, row),
                    Table::Clusters => clusters.insert(transaction, row),
                    Table::Members => members.insert(transaction, row),
                }?;
            }
            Ok(())
        });
        written.map_err(io(&self.path))?;
        self.commits = commits;
        self.commit_counter().map_err(|error| system(&self.path, &error))
    }

    fn bytes(&self) -> Option<u64> {
        fs::metadata(&self.path).ok().map(|file| file.len())
    }
}

fn damaged(path: &Path, reason: String) -> StoreError {
    StoreError::Damaged { path: path.into(), reason }
}

fn system(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Io { path: path.into(), reason: error.to_string() }
}

fn io<E: Into<redb::Error>>(path: &Path) -> impl Fn(E) -> StoreError + use<'_, E> {
    |error| match error.into() {
        redb::Error::Corrupted(reason) => damaged(path, reason),
        // Every file is made with all its tables.
        redb::Error::TableDoesNotExist(table) => damaged(path, format!("no table '{table}'")),
        other => StoreError::Io { path: path.into(), reason: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use xlreg::credential::Credential;
    use xlreg::crypto::SystemRng;
    use xlreg::identity::{ClusterAttrs, Identity, MemberAttrs, Token, Version};
    use xlreg::message::{ClusterInfo, MemberIndex};
    use xlreg::registry::RegistryLimits;

    use super::*;

    fn id(kind: u8, n: u32) -> NodeId {
        let mut bytes = [kind; 32];
        // Spread like random bytes.
        bytes[..8].copy_from_slice(&u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        NodeId::from_bytes(&bytes).unwrap()
    }

    /// With `XLREG_FULL` a million members: takes a gigabyte of disk, two of memory, and a minute.
    #[test]
    fn a_store_of_many_members_is_opened_whole() {
        const OF_A_CLUSTER: u32 = 8;
        let members = if std::env::var_os("XLREG_FULL").is_some() { 1_000_000 } else { 4_000 };
        let node = Identity::generate("node".parse().unwrap(), &mut SystemRng).unwrap();
        let end_points = vec!["10.11.12.13:4000".parse().unwrap()];
        let token = node.token(MemberAttrs::NONE, end_points, &mut SystemRng).unwrap();
        let key = token.sig_key.fingerprint();
        let credential = Credential {
            name: node.name,
            id: id(0, 0),
            comms_key: node.comms.public_key().clone(),
            sig_key: node.sig.public_key().clone(),
            end_points: vec!["127.0.0.1:1".parse().unwrap()],
            version: Version::REFERENCE,
        };
        let empty = || Registry::new(credential.clone(), RegistryLimits::default());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registry.redb");

        let mut store = {
            Redb::create(&path, id(0, 0)).unwrap();
            Redb::open(&path, &mut empty(), CounterTrust::Needed).unwrap()
        };
        for first in (0..members).step_by(8_000) {
            let mut changes = Vec::new();
            for n in first..members.min(first + 8_000) {
                let (cluster, index) = (id(1, n / OF_A_CLUSTER), n % OF_A_CLUSTER);
                changes.push(Change::NodeBound { id: id(2, n), key });
                if index == 0 {
                    let (max_size, end_point_count) = (OF_A_CLUSTER, 1);
                    let attrs = ClusterAttrs::NONE;
                    let info = ClusterInfo { id: cluster, max_size, attrs, end_point_count };
                    let name = format!("cluster{n}").parse().unwrap();
                    changes.push(Change::ClusterCreated { name, info });
                }
                let (id, name) = (Some(id(2, n)), format!("member{n}").parse().unwrap());
                let member = Token { id, name, signature: None, ..token.clone() }.into();
                changes.push(Change::MemberJoined {
                    cluster,
                    index: MemberIndex::new(index).unwrap(),
                    member,
                });
            }
            store.commit(&changes).unwrap();
        }
        drop(store);

        let bytes = fs::metadata(&path).unwrap().len();
        let started = Instant::now();
        let mut registry = empty();
        let store = Redb::open(&path, &mut registry, CounterTrust::Needed).unwrap();
        println!("{members} members, {bytes} bytes: opened in {:?}", started.elapsed());
        drop(store);
        assert_eq!(registry.size().nodes, members as usize);
        assert_eq!(registry.size().memberships, members as usize);
        assert_eq!(registry.clusters().len(), (members / OF_A_CLUSTER) as usize);
        let last = registry.cluster(&id(1, (members - 1) / OF_A_CLUSTER)).unwrap();
        assert_eq!(last.members().last().unwrap().id, Some(id(2, members - 1)));
    }
}
