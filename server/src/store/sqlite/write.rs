//! Writing changes as one transaction.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::Connection;
use xlreg::identity::NodeId;
use xlreg::message::{MemberEntry, MemberIndex};
use xlreg::registry::{Change, Day};

use super::error;
use super::load::{Index, Next, Uses};
use super::rows::{ClusterRow, MemberRow, NodeRow, TokenHash, TokenRow};
use super::schema::Facts;
use crate::store::StoreError;
use crate::store::files::damaged;

/// The counter of SQLite that moves when another connection has written.
pub(super) fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// One transaction, from its begin to its commit.
pub(super) struct Transaction<'a> {
    pub(super) path: &'a Path,
    pub(super) connection: &'a Connection,
    /// The facts that the file must still have.
    pub(super) before: Facts,
    pub(super) data_version: i64,
}

impl Transaction<'_> {
    /// Writes changes and makes them durable: all of them or none.
    pub(super) fn commit<'i>(
        &self,
        index: &'i Index,
        changes: &[Change],
    ) -> Result<Staged<'i>, StoreError> {
        self.run("BEGIN IMMEDIATE").map_err(|error| self.failed(&error))?;
        let written = self.write(index, changes);
        let written = written.and_then(|staged| {
            self.run("COMMIT").map_err(|error| self.failed(&error))?;
            Ok(staged)
        });
        if let Err(error) = &written
            && !self.connection.is_autocommit()
            && let Err(failure) = self.run("ROLLBACK")
        {
            let reason = format!("{error}; and it could not be undone: {failure}");
            return Err(StoreError::Io { path: self.path.into(), reason });
        }
        written
    }

    fn write<'i>(&self, index: &'i Index, changes: &[Change]) -> Result<Staged<'i>, StoreError> {
        let version = data_version(self.connection).map_err(|error| self.failed(&error))?;
        if version != self.data_version {
            return Err(StoreError::ForeignWrite(self.path.into()));
        }
        let commits = self.before.commits.checked_add(1);
        let commits = commits.ok_or_else(|| damaged(self.path, "its commits cannot be counted"))?;
        let mut staged = Staged::new(index, Facts { commits, ..self.before });
        for change in changes {
            staged.write(self.path, self.connection, change)?;
        }
        let replaced = staged.facts.replace(&self.before, self.connection);
        match replaced.map_err(|error| self.failed(&error))? {
            true => Ok(staged),
            false => Err(StoreError::ForeignWrite(self.path.into())),
        }
    }

    fn run(&self, statement: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute([])?;
        Ok(())
    }

    fn failed(&self, failure: &rusqlite::Error) -> StoreError {
        error::of_writing(self.path, failure)
    }
}

/// What a transaction changes in the index, if it is committed.
pub(super) struct Staged<'i> {
    index: &'i Index,
    facts: Facts,
    next: Next,
    nodes: HashMap<NodeId, i64>,
    /// Clusters with their rows; `None` if it is gone.
    clusters: HashMap<NodeId, Option<i64>>,
    /// Tokens with their new number of uses; those without any are gone.
    tokens: HashMap<TokenHash, Uses>,
}

/// What was staged, without the index that it is for.
pub(super) struct Kept {
    next: Next,
    nodes: HashMap<NodeId, i64>,
    clusters: HashMap<NodeId, Option<i64>>,
    tokens: HashMap<TokenHash, Uses>,
}

impl<'i> Staged<'i> {
    pub(super) fn new(index: &'i Index, facts: Facts) -> Self {
        let next = index.next;
        let (nodes, clusters, tokens) = Default::default();
        Self { index, facts, next, nodes, clusters, tokens }
    }

    pub(super) const fn facts(&self) -> Facts {
        self.facts
    }

    /// Gives what was staged, for [`Index::keep`].
    pub(super) fn into_kept(self) -> Kept {
        let Self { next, nodes, clusters, tokens, .. } = self;
        Kept { next, nodes, clusters, tokens }
    }

    /// Writes the rows of one change.
    pub(super) fn write(
        &mut self,
        path: &Path,
        connection: &Connection,
        change: &Change,
    ) -> Result<(), StoreError> {
        let full = || damaged(path, "it has more rows than can be numbered");
        let failed = |failure: rusqlite::Error| error::of_writing(path, &failure);
        match change {
            Change::NodeBound { id, key, day } => {
                let row = Next::take(&mut self.next.node).ok_or_else(full)?;
                self.facts.counts.nodes += 1;
                self.nodes.insert(*id, row);
                let node = NodeRow { row, id: *id, key: *key, last_use: *day };
                node.insert(connection).map_err(failed)
            }
            Change::NodeUsed { id, day } => self.note_use(path, connection, id, *day),
            Change::ClusterCreated { name, info, created_by } => {
                let row = Next::take(&mut self.next.cluster).ok_or_else(full)?;
                self.facts.counts.clusters += 1;
                self.clusters.insert(info.id, Some(row));
                let (name, info) = (name.clone(), *info);
                let cluster = ClusterRow { row, name, info, created_by: *created_by };
                cluster.insert(connection).map_err(failed)
            }
            Change::MemberJoined { cluster, index, member } => {
                let cluster = self.cluster(path, cluster)?;
                let token = self.take_token(path, connection, member)?;
                self.facts.counts.members += 1;
                MemberRow::new(cluster, *index, token).insert(connection).map_err(failed)
            }
            Change::MemberUpdated { cluster, index, member } => {
                let cluster = self.cluster(path, cluster)?;
                let old = MemberRow::token_at(cluster, *index, connection).map_err(failed)?;
                let old = old.ok_or_else(|| lacks(path, *index))?;
                let token = self.take_token(path, connection, member)?;
                let row = MemberRow::new(cluster, *index, token);
                if !row.update(connection).map_err(failed)? {
                    return Err(lacks(path, *index));
                }
                self.release_token(path, connection, old)
            }
            Change::ClusterDeleted { cluster } => self.delete_cluster(path, connection, cluster),
            Change::All(parts) => {
                parts.iter().try_for_each(|part| self.write(path, connection, part))
            }
            other => Err(damaged(path, format!("a change of an unknown kind: {other:?}"))),
        }
    }

    fn note_use(
        &self,
        path: &Path,
        connection: &Connection,
        id: &NodeId,
        day: Day,
    ) -> Result<(), StoreError> {
        let failed = |failure: rusqlite::Error| error::of_writing(path, &failure);
        let lacks = || damaged(path, format!("no node has the ID {id}"));
        let row = self.nodes.get(id).or_else(|| self.index.nodes.get(id)).ok_or_else(lacks)?;
        let node = NodeRow::at(*row, connection).map_err(failed)?.ok_or_else(lacks)?;
        let node = node.map_err(|reason| {
            damaged(path, format!("a row of 'nodes' cannot be used: {reason}"))
        })?;
        debug_assert_eq!(node.id, *id, "the index knows the row of each node");
        let node = NodeRow { last_use: Some(day), ..node };
        if node.update(connection).map_err(failed)? { Ok(()) } else { Err(lacks()) }
    }

    fn delete_cluster(
        &mut self,
        path: &Path,
        connection: &Connection,
        id: &NodeId,
    ) -> Result<(), StoreError> {
        let failed = |failure: rusqlite::Error| error::of_writing(path, &failure);
        let row = self.cluster(path, id)?;
        for token in MemberRow::delete_all(row, connection).map_err(failed)? {
            self.facts.counts.members -= 1;
            self.release_token(path, connection, token)?;
        }
        self.facts.counts.clusters -= 1;
        self.clusters.insert(*id, None);
        match ClusterRow::delete(row, connection).map_err(failed)? {
            true => Ok(()),
            false => Err(damaged(path, format!("no cluster has the ID {id}"))),
        }
    }

    fn cluster(&self, path: &Path, id: &NodeId) -> Result<i64, StoreError> {
        let row = match self.clusters.get(id) {
            Some(row) => *row,
            None => self.index.clusters.get(id).copied(),
        };
        row.ok_or_else(|| damaged(path, format!("no cluster has the ID {id}")))
    }

    fn uses(&self, hash: &TokenHash) -> Option<Uses> {
        let uses = self.tokens.get(hash).or_else(|| self.index.tokens.get(hash));
        uses.copied().filter(|uses| uses.count > 0)
    }

    /// The row of a token with one more use. It is written if it is not there.
    fn take_token(
        &mut self,
        path: &Path,
        connection: &Connection,
        member: &MemberEntry,
    ) -> Result<i64, StoreError> {
        let hash = member.hash();
        let full = || damaged(path, "it has more rows than can be numbered");
        let uses = match self.uses(&hash) {
            Some(Uses { row, count }) => {
                Uses { row, count: count.checked_add(1).ok_or_else(full)? }
            }
            None => {
                let row = Next::take(&mut self.next.token).ok_or_else(full)?;
                self.facts.counts.tokens += 1;
                let token = TokenRow { row, hash, member: member.clone() };
                token.insert(connection).map_err(|failure| error::of_writing(path, &failure))?;
                Uses { row, count: 1 }
            }
        };
        self.tokens.insert(hash, uses);
        Ok(uses.row)
    }

    /// Takes a use from the token in this row. Its row goes with the last one.
    fn release_token(
        &mut self,
        path: &Path,
        connection: &Connection,
        row: i64,
    ) -> Result<(), StoreError> {
        let failed = |failure: rusqlite::Error| error::of_writing(path, &failure);
        let lost = || damaged(path, "a member's token is not there");
        let hash = TokenRow::hash_at(row, connection).map_err(failed)?.ok_or_else(lost)?;
        let uses = self.uses(&hash).filter(|uses| uses.row == row).ok_or_else(lost)?;
        let count = uses.count.checked_sub(1).ok_or_else(lost)?;
        self.tokens.insert(hash, Uses { row, count });
        if count == 0 {
            self.facts.counts.tokens -= 1;
            if !TokenRow::delete(row, connection).map_err(failed)? {
                return Err(lost());
            }
        }
        Ok(())
    }
}

impl Index {
    /// Takes over what a transaction has changed.
    pub(super) fn keep(&mut self, kept: Kept) {
        let Kept { next, nodes, clusters, tokens } = kept;
        self.next = next;
        self.nodes.extend(nodes);
        for (id, row) in clusters {
            match row {
                Some(row) => self.clusters.insert(id, row),
                None => self.clusters.remove(&id),
            };
        }
        for (hash, uses) in tokens {
            if uses.count == 0 {
                self.tokens.remove(&hash);
            } else {
                self.tokens.insert(hash, uses);
            }
        }
    }
}

fn lacks(path: &Path, index: MemberIndex) -> StoreError {
    damaged(path, format!("a member with index {index} is not there"))
}
