//! The schema, and how it changes from version to version.

use rusqlite::{Connection, OptionalExtension, params};
use xlreg::identity::NodeId;

use super::digest::Digest;

/// The mark of our files (`PRAGMA application_id`): "xlRg".
pub(super) const APPLICATION_ID: i32 = 0x786c_5267;

/// The version of the schema (`PRAGMA user_version`).
pub(super) const VERSION: i32 = 1;

/// The tables of version 1. docs/store.md explains them.
///
/// What memory can find again has no index, since each index is more to write for every commit. The
/// rows have numbers of their own, in the order they were made, so that a commit touches few pages.
pub(super) const TABLES: &str = "
CREATE TABLE registry (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id BLOB NOT NULL,               -- the registry's ID
    commits INTEGER NOT NULL,       -- changes by another program are noticed by it
    nodes INTEGER NOT NULL,         -- how many rows each table has
    clusters INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    members INTEGER NOT NULL,
    digest BLOB NOT NULL
) STRICT;

CREATE TABLE nodes (
    node INTEGER PRIMARY KEY,
    id BLOB NOT NULL,               -- the node's ID
    sig_key BLOB NOT NULL,          -- SHA-256 of the sig key that it is bound to
    last_use INTEGER,               -- days since 1970-01-01; NULL if not known
    digest BLOB NOT NULL
) STRICT;

CREATE TABLE clusters (
    cluster INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    max_size INTEGER NOT NULL,
    attrs INTEGER NOT NULL,         -- 64 bits, signed
    end_points INTEGER NOT NULL,    -- how many each member must have
    created_by BLOB,                -- SHA-256 of the creator's sig key; NULL if not known
    digest BLOB NOT NULL
) STRICT;

CREATE TABLE tokens (
    token INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,             -- SHA-256 of the token as on the wire
    name TEXT NOT NULL,
    node BLOB NOT NULL,             -- the node's ID
    attrs INTEGER NOT NULL,
    comms_key BLOB NOT NULL,        -- DER
    sig_key BLOB NOT NULL,
    end_points TEXT NOT NULL        -- one a line
) STRICT;

CREATE TABLE members (
    cluster INTEGER NOT NULL REFERENCES clusters,
    position INTEGER NOT NULL,      -- the member's index, from 0
    token INTEGER NOT NULL REFERENCES tokens,
    serial INTEGER,                 -- for protocol 2.0
    entry_signature BLOB,           -- for protocol 2.0
    digest BLOB NOT NULL,
    PRIMARY KEY (cluster, position)
) STRICT, WITHOUT ROWID;

CREATE VIEW roster AS
    SELECT clusters.name AS cluster, position, tokens.name AS member,
        lower(hex(tokens.node)) AS node, tokens.end_points AS end_points
    FROM members JOIN clusters USING (cluster) JOIN tokens USING (token)
    ORDER BY clusters.cluster, position;
";

/// The one row of the table `registry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) id: NodeId,
    pub(super) commits: u64,
    pub(super) counts: Counts,
}

/// How many rows each table has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) nodes: u64,
    pub(super) clusters: u64,
    pub(super) tokens: u64,
    pub(super) members: u64,
}

impl Counts {
    /// How many rows there are.
    pub(super) fn all(&self) -> u64 {
        let Self { nodes, clusters, tokens, members } = *self;
        // It is told to people; a number at its end is near enough.
        [clusters, tokens, members].into_iter().fold(nodes, u64::saturating_add)
    }
}

impl Facts {
    fn digest(&self) -> [u8; 8] {
        let Counts { nodes, clusters, tokens, members } = self.counts;
        let digest = Digest::of("registry").blob(self.id.as_bytes()).number(self.commits);
        digest.number(nodes).number(clusters).number(tokens).number(members).end()
    }

    /// Reads the row; `None` if there is none, or it is damaged.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Option<Self>> {
        let row = connection
            .prepare_cached(
                "SELECT id, commits, nodes, clusters, tokens, members, digest FROM registry",
            )?
            .query_row([], |row| {
                let id: Vec<u8> = row.get(0)?;
                let numbers = [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?];
                Ok((id, numbers, row.get::<_, Vec<u8>>(6)?))
            })
            .optional()?;
        let Some((id, numbers, digest)) = row else { return Ok(None) };
        let [commits, nodes, clusters, tokens, members] = numbers.map(i64::cast_unsigned);
        let Ok(id) = NodeId::from_bytes(&id) else { return Ok(None) };
        let counts = Counts { nodes, clusters, tokens, members };
        let facts = Self { id, commits, counts };
        Ok((facts.digest()[..] == digest).then_some(facts))
    }

    /// Writes the row, if the file still has `before`. Otherwise another program has written.
    pub(super) fn replace(&self, before: &Self, connection: &Connection) -> rusqlite::Result<bool> {
        let Counts { nodes, clusters, tokens, members } = self.counts;
        let changed = connection
            .prepare_cached(
                "UPDATE registry SET commits = ?1, nodes = ?2, clusters = ?3, tokens = ?4, \
                 members = ?5, digest = ?6 WHERE commits = ?7 AND digest = ?8",
            )?
            .execute(params![
                self.commits.cast_signed(),
                nodes.cast_signed(),
                clusters.cast_signed(),
                tokens.cast_signed(),
                members.cast_signed(),
                self.digest(),
                before.commits.cast_signed(),
                before.digest()
            ])?;
        Ok(changed == 1)
    }

    /// Writes the row into an empty file.
    pub(super) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Counts { nodes, clusters, tokens, members } = self.counts;
        connection.execute(
            "INSERT INTO registry VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                self.id.as_bytes(),
                self.commits.cast_signed(),
                nodes.cast_signed(),
                clusters.cast_signed(),
                tokens.cast_signed(),
                members.cast_signed(),
                self.digest()
            ],
        )?;
        Ok(())
    }
}
