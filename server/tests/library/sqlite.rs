//! What the store on SQLite keeps, refuses and bounds.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;
use tempfile::{TempDir, tempdir};
use xlreg::credential::Credential;
use xlreg::identity::{Fingerprint, MemberAttrs, NodeId, Token};
use xlreg::message::{ClusterInfo, MemberIndex};
use xlreg::registry::{Change, Registry, RegistryLimits};
use xlreg_server::credential;
use xlreg_server::store::{CounterTrust, Log, Sqlite, StoreError};
use xlreg_testkit::keys;
use xlreg_testkit::pair::token;
use xlreg_testkit::wait::until;

/// The place of a store.
struct Place {
    dir: TempDir,
    credential: Credential,
}

impl Place {
    /// A store with two clusters, and one member in both.
    fn new() -> Self {
        let mut identity = keys::identity("registry", 0);
        identity.id = Some(NodeId::from([5; 32]));
        let credential = credential(&identity, vec!["127.0.0.1:1".parse().unwrap()]).unwrap();
        let place = Self { dir: tempdir().unwrap(), credential };
        Sqlite::create(&place.path(), place.credential.id, []).unwrap();
        let (mut log, _) = place.open().unwrap();
        let key = member("alice", "h:1").sig_key.fingerprint();
        log.commit(&[Change::NodeBound { id: id(1), key, day: None }]).unwrap();
        log.commit(&[created("alpha", 2), created("beta", 3)]).unwrap();
        log.commit(&[joined(2, "h:1"), joined(3, "h:1")]).unwrap();
        place
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("registry.sqlite")
    }

    fn open(&self) -> Result<(Sqlite, Registry), StoreError> {
        let mut registry = Registry::new(self.credential.clone(), RegistryLimits::default());
        let log = Sqlite::open(&self.path(), &mut registry, CounterTrust::Needed)?;
        Ok((log, registry))
    }

    /// The reason why it does not open.
    fn refusal(&self) -> String {
        self.open().err().expect("it does not open").to_string()
    }

    /// Another program's hands on the file.
    fn sql(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn count(&self, table: &str) -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        self.sql().query_row(&count, [], |row| row.get(0)).unwrap()
    }
}

fn id(n: u8) -> NodeId {
    [n; 32].into()
}

fn member(name: &str, end: &str) -> Token {
    Token { id: Some(id(1)), signature: None, attrs: MemberAttrs::NONE, ..token(name, 0, &[end]) }
}

fn created(name: &str, n: u8) -> Change {
    let attrs = Default::default();
    let info = ClusterInfo { id: id(n), max_size: 2, attrs, end_point_count: 1 };
    let created_by = Some(member("alice", "h:1").sig_key.fingerprint());
    Change::ClusterCreated { name: name.parse().unwrap(), info, created_by }
}

fn joined(cluster: u8, end: &str) -> Change {
    let (cluster, index) = (id(cluster), MemberIndex::new(0).unwrap());
    Change::MemberJoined { cluster, index, member: member("alice", end).into() }
}

fn updated(cluster: u8, end: &str) -> Change {
    let (cluster, index) = (id(cluster), MemberIndex::new(0).unwrap());
    Change::MemberUpdated { cluster, index, member: member("alice", end).into() }
}

/// A token is kept once, and goes with the last membership that has it.
#[test]
fn a_token_is_kept_once_as_long_as_a_membership_has_it() {
    let place = Place::new();
    assert_eq!((place.count("members"), place.count("tokens")), (2, 1));
    let (mut log, _) = place.open().unwrap();
    log.commit(&[updated(2, "h:2")]).unwrap();
    assert_eq!(place.count("tokens"), 2);
    // In one commit, so that the token goes and comes again.
    log.commit(&[updated(3, "h:2"), updated(2, "h:1")]).unwrap();
    assert_eq!(place.count("tokens"), 2);
    log.commit(&[updated(3, "h:1")]).unwrap();
    assert_eq!(place.count("tokens"), 1);
    drop(log);
    let (_log, registry) = place.open().unwrap();
    let end_points = registry.clusters().flat_map(|cluster| cluster.members());
    let end_points: Vec<_> = end_points.map(|member| member.end_points[0].as_str()).collect();
    assert_eq!(end_points, ["h:1", "h:1"]);
}

/// Each column of each table, changed as by an accident. SQLite finds nothing wrong with that.
#[test]
fn a_row_that_was_changed_is_found_when_it_is_read() {
    let mut changed = 0;
    for table in ["registry", "nodes", "clusters", "tokens", "members"] {
        let columns: Vec<(String, String)> = {
            let place = Place::new();
            let sql = place.sql();
            let mut info = sql.prepare(&format!("PRAGMA table_info({table})")).unwrap();
            let columns = info.query_map([], |row| Ok((row.get(1)?, row.get(2)?))).unwrap();
            columns.map(Result::unwrap).collect()
        };
        for (column, kind) in columns.into_iter().filter(|(column, _)| column != "one") {
            let place = Place::new();
            let wrong = match kind.as_str() {
                "INTEGER" => format!("coalesce({column}, 0) + 1"),
                "TEXT" => format!("{column} || 'x'"),
                // The last byte, in which every bit counts.
                _ => format!(
                    "coalesce(substr({column}, 1, length({column}) - 1), x'') || \
                     CASE WHEN substr({column}, -1) = x'01' THEN x'02' ELSE x'01' END"
                ),
            };
            let last =
                if ["clusters", "members"].contains(&table) { "cluster = 2" } else { "true" };
            let update =
                format!("UPDATE {table} SET {column} = CAST({wrong} AS {kind}) WHERE {last}");
            let sql = place.sql();
            sql.execute_batch(&format!("PRAGMA foreign_keys = OFF; {update}"))
                .unwrap_or_else(|error| panic!("{update}: {error}"));
            let fine: String =
                sql.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(fine, "ok", "{table}.{column}");
            drop(sql);
            let told = place.refusal();
            assert!(told.contains("registry.sqlite: damaged"), "{table}.{column}: {told}");
            changed += 1;
        }
    }
    assert!(changed > 25, "{changed}");
}

#[test]
fn a_row_that_is_missing_or_too_many_is_found() {
    for wrong in [
        "DELETE FROM nodes",
        "DELETE FROM members WHERE cluster = 1",
        "DELETE FROM members",
        "DELETE FROM tokens",
        "DELETE FROM clusters WHERE cluster = 2",
        "DELETE FROM registry",
        "INSERT INTO nodes SELECT node + 1, x'0909090909090909090909090909090909090909', sig_key, \
         last_use, digest FROM nodes",
        "INSERT INTO tokens SELECT token + 1, hash, name, node, attrs, comms_key, sig_key, \
         end_points FROM tokens",
        "DROP TABLE members",
        "ALTER TABLE nodes RENAME COLUMN sig_key TO key",
    ] {
        let place = Place::new();
        place.sql().execute_batch(&format!("PRAGMA foreign_keys = OFF; {wrong}")).unwrap();
        let told = place.refusal();
        assert!(told.contains("damaged"), "{wrong}: {told}");
    }
}

#[test]
fn a_file_of_another_kind_or_version_is_said_to_be_one() {
    let place = Place::new();
    place.sql().execute_batch("PRAGMA user_version = 2").unwrap();
    assert!(place.refusal().contains("version 2 of the schema"), "{}", place.refusal());
    let place = Place::new();
    place.sql().execute_batch("PRAGMA application_id = 1").unwrap();
    assert!(place.refusal().contains("is not a registry's"), "{}", place.refusal());
    let place = Place::new();
    fs::write(
        place.path(),
        "some text that is longer than the head of a database of SQLite, which \
        has a hundred bytes",
    )
    .unwrap();
    assert!(place.refusal().contains("not a database"), "{}", place.refusal());
}

#[test]
fn one_store_has_one_owner() {
    let place = Place::new();
    let (log, _) = place.open().unwrap();
    assert!(matches!(place.open(), Err(StoreError::Busy(_))));
    drop(log);
    place.open().unwrap();
}

#[test]
fn what_another_program_writes_ends_the_store() {
    let key = member("alice", "h:1").sig_key.fingerprint();
    let bound = Change::NodeBound { id: id(7), key, day: None };
    let place = Place::new();
    let (mut log, _) = place.open().unwrap();
    // To read is no harm.
    assert_eq!(place.count("nodes"), 1);
    log.commit(&[bound]).unwrap();
    place.sql().execute_batch("UPDATE nodes SET last_use = 1").unwrap();
    let failed = log.commit(&[Change::NodeBound { id: id(8), key, day: None }]).unwrap_err();
    assert!(matches!(failed, StoreError::ForeignWrite(_)), "{failed}");
    assert!(failed.to_string().contains("another program has written"), "{failed}");
    assert_eq!(place.count("nodes"), 2, "the commit was undone");
}

/// A lock is waited for, and then it is weather.
#[test]
fn a_program_that_keeps_the_file_locked_stops_changes_until_it_ends() {
    let key = member("alice", "h:1").sig_key.fingerprint();
    let bound = Change::NodeBound { id: id(7), key, day: None };
    let place = Place::new();
    let (mut log, _) = place.open().unwrap();
    let other = place.sql();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let failed = log.commit(std::slice::from_ref(&bound)).unwrap_err();
    assert!(matches!(failed, StoreError::Unwritable { .. }), "{failed}");
    other.execute_batch("ROLLBACK").unwrap();
    log.commit(&[bound]).unwrap();
    assert_eq!(place.count("nodes"), 2);
}

/// A reader that does not go away keeps the log from being emptied.
#[test]
fn the_log_is_bounded_however_long_somebody_reads() {
    const BOUND: u64 = 64 * 1024 * 1024;
    let key = member("alice", "h:1").sig_key.fingerprint();
    let place = Place::new();
    let (mut log, _) = place.open().unwrap();
    let other = place.sql();
    other.execute_batch("BEGIN; SELECT count(*) FROM nodes").unwrap();
    let mut n = 0_u32;
    let mut batch = || nodes(&mut n, 4096, key);
    let mut largest = 0;
    let failed = loop {
        let committed = log.commit(&batch());
        log.tidy();
        largest = largest.max(log.disk().unwrap().log);
        if let Err(error) = committed {
            break error;
        }
        assert!(largest < 2 * BOUND, "it grows");
    };
    assert!(matches!(failed, StoreError::Unwritable { .. }), "{failed}");
    assert!(failed.to_string().contains("keeps its log from being emptied"), "{failed}");
    assert!(largest >= BOUND, "{largest}");
    assert!(largest < BOUND + BOUND / 8, "{largest}");
    other.execute_batch("COMMIT").unwrap();
    log.commit(&batch()).unwrap();
    log.tidy();
    assert!(log.disk().unwrap().log < BOUND / 2, "it is cut: {:?}", log.disk());
}

/// So many new nodes with this sig key. `n` counts all of them.
fn nodes(n: &mut u32, count: u32, key: Fingerprint) -> Vec<Change> {
    let bound = (0..count).map(|_| {
        *n += 1;
        let mut bytes = [9; 32];
        bytes[..4].copy_from_slice(&n.to_le_bytes());
        Change::NodeBound { id: bytes.into(), key, day: None }
    });
    bound.collect()
}

/// A log that a reader has made long is moved on another thread, and commits go on.
#[test]
fn a_long_log_is_moved_while_commits_go_on() {
    const LONG: u64 = 24 * 1024 * 1024;
    let key = member("alice", "h:1").sig_key.fingerprint();
    let place = Place::new();
    let (mut log, mut registry) = place.open().unwrap();
    let mut n = 0_u32;
    let mut commit = |log: &mut Sqlite, count| {
        let changes = nodes(&mut n, count, key);
        changes.iter().for_each(|change| registry.apply(change).unwrap());
        log.commit(&changes).unwrap();
        log.tidy();
    };
    let other = place.sql();
    other.execute_batch("BEGIN; SELECT count(*) FROM nodes").unwrap();
    while log.disk().unwrap().log < LONG {
        commit(&mut log, 4096);
    }
    other.execute_batch("COMMIT").unwrap();
    until("the log is cut", || {
        commit(&mut log, 1);
        log.disk().unwrap().log < LONG
    });
    drop(log);
    assert!(place.open().unwrap().1 == registry);
}

/// What an operator asks, as docs/store.md has it.
#[test]
fn foreign_keys_hold() {
    let place = Place::new();
    let sql = place.sql();
    let mut broken = sql.prepare("PRAGMA foreign_key_check").unwrap();
    assert!(broken.query([]).unwrap().next().unwrap().is_none());
}
