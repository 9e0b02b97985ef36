//! Reading the whole store into memory, with every digest checked.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, Row};
use xlreg::identity::NodeId;
use xlreg::message::MemberEntry;
use xlreg::registry::{Change, Registry};

use super::error;
use super::rows::{ClusterRow, Damage, MemberRow, NodeRow, TokenHash, TokenRow};
use super::schema::Counts;
use crate::store::StoreError;
use crate::store::files::damaged;

/// What a store knows of its rows, to write the next ones.
#[derive(Default)]
pub(super) struct Index {
    /// The row of each node.
    pub(super) nodes: HashMap<NodeId, i64>,
    /// The row of each cluster.
    pub(super) clusters: HashMap<NodeId, i64>,
    /// The row of each token, and how many memberships have it.
    pub(super) tokens: HashMap<TokenHash, Uses>,
    /// The rows after the last ones.
    pub(super) next: Next,
}

/// The row of a token, and how many memberships have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uses {
    pub(super) row: i64,
    pub(super) count: u64,
}

/// The rows after the last ones, of each table that numbers its rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub(super) node: i64,
    pub(super) cluster: i64,
    pub(super) token: i64,
}

impl Default for Next {
    fn default() -> Self {
        Self { node: 1, cluster: 1, token: 1 }
    }
}

impl Next {
    /// Takes the next number of one of the tables.
    pub(super) fn take(next: &mut i64) -> Option<i64> {
        let taken = *next;
        *next = taken.checked_add(1)?;
        Some(taken)
    }

    fn see(next: &mut i64, row: i64) {
        // A row with the last possible number makes the next insert fail, and is not overwritten.
        *next = (*next).max(row.saturating_add(1));
    }
}

/// A reader of all tables, in an order in which each row refers to earlier ones only.
pub(super) struct Loader<'a> {
    path: &'a Path,
    connection: &'a Connection,
    index: Index,
    clusters: HashMap<i64, NodeId>,
    tokens: HashMap<i64, (MemberEntry, TokenHash)>,
    counts: Counts,
    read: u64,
}

impl<'a> Loader<'a> {
    pub(super) fn new(path: &'a Path, connection: &'a Connection) -> Self {
        Self {
            path,
            connection,
            index: Index::default(),
            clusters: HashMap::new(),
            tokens: HashMap::new(),
            counts: Counts::default(),
            read: 0,
        }
    }

    /// Puts all rows into an empty registry. `counts` is how many there must be. `progress` is told
    /// now and then how many were read.
    pub(super) fn load(
        mut self,
        registry: &mut Registry,
        counts: Counts,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Index, StoreError> {
        self.each("nodes", NodeRow::ALL, NodeRow::read, progress, |this, node| {
            this.counts.nodes += 1;
            Next::see(&mut this.index.next.node, node.row);
            this.index.nodes.insert(node.id, node.row);
            let NodeRow { id, key, last_use: day, .. } = node;
            this.apply(registry, &Change::NodeBound { id, key, day })
        })?;
        self.each("clusters", ClusterRow::ALL, ClusterRow::read, progress, |this, cluster| {
            this.counts.clusters += 1;
            Next::see(&mut this.index.next.cluster, cluster.row);
            this.index.clusters.insert(cluster.info.id, cluster.row);
            this.clusters.insert(cluster.row, cluster.info.id);
            let ClusterRow { name, info, created_by, .. } = cluster;
            this.apply(registry, &Change::ClusterCreated { name, info, created_by })
        })?;
        self.each("tokens", TokenRow::ALL, TokenRow::read, progress, |this, token| {
            this.counts.tokens += 1;
            let TokenRow { row, hash, member } = token;
            Next::see(&mut this.index.next.token, row);
            if this.index.tokens.insert(hash, Uses { row, count: 0 }).is_some() {
                return Err(damaged(this.path, "two rows of 'tokens' have the same token"));
            }
            this.tokens.insert(row, (member, hash));
            Ok(())
        })?;
        self.each("members", MemberRow::ALL, MemberRow::read, progress, |this, member| {
            this.counts.members += 1;
            this.member(registry, &member)
        })?;
        if self.counts != counts {
            let (has, wants) = (self.counts, counts);
            let reason = format!("it has {has:?} rows, and there were {wants:?}");
            return Err(damaged(self.path, reason));
        }
        let unused = self.index.tokens.values().filter(|uses| uses.count == 0).count();
        if unused > 0 {
            return Err(damaged(self.path, format!("no member has {unused} of its tokens")));
        }
        Ok(self.index)
    }

    fn member(&mut self, registry: &mut Registry, row: &MemberRow) -> Result<(), StoreError> {
        let lacking = |what| damaged(self.path, format!("a row of 'members' names no {what}"));
        let cluster = *self.clusters.get(&row.cluster).ok_or_else(|| lacking("cluster"))?;
        let (member, hash) = self.tokens.get(&row.token).ok_or_else(|| lacking("token"))?;
        let member = member.clone();
        if let Some(uses) = self.index.tokens.get_mut(hash) {
            uses.count += 1;
        }
        self.apply(registry, &Change::MemberJoined { cluster, index: row.index, member })
    }

    fn apply(&self, registry: &mut Registry, change: &Change) -> Result<(), StoreError> {
        let path = self.path;
        registry
            .apply(change)
            .map_err(|source| StoreError::Inconsistent { path: path.into(), source })
    }

    /// Reads each row of a table, in the order of its key.
    fn each<T>(
        &mut self,
        table: &str,
        select: &str,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<Result<T, Damage>>,
        progress: &mut dyn FnMut(u64),
        mut take: impl FnMut(&mut Self, T) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let failed = |source| error::of_reading(self.path, &source);
        let mut statement = self.connection.prepare(select).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let read = read(row).map_err(failed)?;
            let row = read.map_err(|reason| {
                damaged(self.path, format!("a row of '{table}' cannot be used: {reason}"))
            })?;
            take(self, row)?;
            self.read += 1;
            if self.read.is_multiple_of(4096) {
                progress(self.read);
            }
        }
        Ok(())
    }
}
