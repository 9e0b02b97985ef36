//! Reading a store while a daemon may go on writing to it: for its operator.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use xlreg::identity::NodeId;
use xlreg::registry::Registry;

use super::load::Loader;
use super::schema::Facts;
use super::{Sqlite, error, open};
use crate::store::StoreError;
use crate::store::files::{damaged, foreign};

/// A store as it was at one moment. It reads, and locks nobody out. As long as it is there, the
/// daemon cannot empty its log.
pub struct Snapshot {
    path: PathBuf,
    connection: Connection,
    facts: Facts,
}

/// What is in a store, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The number of commits since the store was made.
    pub commits: u64,
    /// Nodes.
    pub nodes: u64,
    /// Clusters.
    pub clusters: u64,
    /// Clusters with as many members as they may have.
    pub complete_clusters: u64,
    /// Tokens, each of which any number of memberships may share.
    pub tokens: u64,
    /// Memberships.
    pub memberships: u64,
    /// The size of the database, in bytes.
    pub bytes: u64,
    /// How much of that is free, in bytes.
    pub free_bytes: u64,
}

impl Snapshot {
    /// Takes a snapshot of the store of the registry with this ID.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if there is no store, it cannot be read, or it belongs to another registry.
    pub fn open(path: &Path, registry: NodeId) -> Result<Self, StoreError> {
        if !Sqlite::is_there(path)? {
            return Err(StoreError::Lost(path.into()));
        }
        let failed = |failure| error::of_reading(path, &failure);
        let connection = open::open(path)?.connection;
        // What is read from here on is the state of this moment.
        connection.execute_batch("BEGIN").map_err(failed)?;
        let facts = Facts::read(&connection).map_err(failed)?;
        let facts = facts.ok_or_else(|| damaged(path, "the table 'registry' cannot be used"))?;
        if facts.id != registry {
            return Err(foreign(path, "the file belongs to a registry with another ID"));
        }
        Ok(Self { path: path.into(), connection, facts })
    }

    /// The number of rows that [`load`](Self::load) reads.
    pub fn rows(&self) -> u64 {
        self.facts.counts.all()
    }

    /// Checks every row, and puts all of them into an empty registry. `progress` is told now and then
    /// how many rows were read.
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

    /// Checks the structure of the database, and that all that rows refer to is there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] with the first fault.
    pub fn check_structure(&self) -> Result<(), StoreError> {
        let failed = |failure| error::of_reading(&self.path, &failure);
        let check = "PRAGMA integrity_check(1)";
        let found: String =
            self.connection.query_row(check, [], |row| row.get(0)).map_err(failed)?;
        if found != "ok" {
            return Err(damaged(&self.path, found));
        }
        let mut keys = self.connection.prepare("PRAGMA foreign_key_check").map_err(failed)?;
        let mut broken = keys.query([]).map_err(failed)?;
        match broken.next().map_err(failed)? {
            None => Ok(()),
            Some(row) => {
                let table: String = row.get(0).map_err(failed)?;
                let reason = format!("a row of '{table}' refers to one that is not there");
                Err(damaged(&self.path, reason))
            }
        }
    }

    /// What is in the store, in numbers.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot be read.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let failed = |failure| error::of_reading(&self.path, &failure);
        let number = |query: &str| {
            let number = self.connection.query_row(query, [], |row| row.get::<_, i64>(0));
            number.map(i64::cast_unsigned).map_err(failed)
        };
        let page = number("PRAGMA page_size")?;
        let of_pages = |pages: u64| pages.saturating_mul(page);
        let counts = self.facts.counts;
        Ok(Stats {
            commits: self.facts.commits,
            nodes: counts.nodes,
            clusters: counts.clusters,
            complete_clusters: number(
                "SELECT count(*) FROM clusters WHERE max_size = \
                 (SELECT count(*) FROM members WHERE members.cluster = clusters.cluster)",
            )?,
            tokens: counts.tokens,
            memberships: counts.members,
            bytes: of_pages(number("PRAGMA page_count")?),
            free_bytes: of_pages(number("PRAGMA freelist_count")?),
        })
    }
}
