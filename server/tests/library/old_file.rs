//! `files/registry.redb` was written by the daemon before `store::rows` was its mapping: a
//! cluster of two whose first member came again with another end point, an empty cluster with a
//! long name, and the node that made both. Files like it must open, and stay what they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, Key, ReadableDatabase, ReadableTable, TableDefinition, Value};
use tempfile::{TempDir, tempdir};
use xlreg::credential::Credential;
use xlreg::registry::{Change, Registry, RegistryLimits};
use xlreg_server::store::{CounterTrust, Log, MemoryStore, Redb, Store};

// The tables, as that version has made them.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const NODES: TableDefinition<&[u8], &[u8; 32]> = TableDefinition::new("nodes");
const CLUSTERS: TableDefinition<&[u8], (&str, u32, u64, u32)> = TableDefinition::new("clusters");
const MEMBERS: TableDefinition<(&[u8], u32), &[u8]> = TableDefinition::new("members");

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

/// A copy of the old file, and an empty registry for its content.
fn old() -> (TempDir, PathBuf, Registry) {
    let dir = tempdir().unwrap();
    for name in ["registry.redb", "registry.redb.commits"] {
        fs::copy(kept(name), dir.path().join(name)).unwrap();
    }
    let credential: Credential = fs::read_to_string(kept("regCred.dat")).unwrap().parse().unwrap();
    let path = dir.path().join("registry.redb");
    (dir, path, Registry::new(credential, RegistryLimits::default()))
}

/// The rows of a table in the file.
fn rows<K: Key + 'static, V: Value + 'static>(
    path: &Path,
    table: TableDefinition<'static, K, V>,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let database = Database::open(path).unwrap();
    let table = database.begin_read().unwrap().open_table(table).unwrap();
    let rows = table.iter().unwrap().map(|row| {
        let (key, value) = row.unwrap();
        let (key, value) = (key.value(), value.value());
        (K::as_bytes(&key).as_ref().to_vec(), V::as_bytes(&value).as_ref().to_vec())
    });
    rows.collect()
}

fn all_rows(path: &Path) -> [Vec<(Vec<u8>, Vec<u8>)>; 3] {
    [rows(path, NODES), rows(path, CLUSTERS), rows(path, MEMBERS)]
}

#[test]
fn it_opens_and_holds_what_it_held() {
    let (_dir, path, mut registry) = old();
    drop(Redb::open(&path, &mut registry, CounterTrust::Needed).unwrap());
    assert_eq!((registry.size().nodes, registry.size().memberships), (3, 2));
    let cluster = registry.cluster_named(&"alpha".parse().unwrap()).unwrap();
    assert_eq!((cluster.info().max_size, cluster.info().end_point_count), (2, 1));
    let members: Vec<_> = cluster
        .members()
        .iter()
        .map(|member| format!("{} {}", member.name, member.end_points[0]))
        .collect();
    assert_eq!(members, ["alice 10.0.0.9:4009", "bob 10.0.0.2:4000"]);
    let long = registry.cluster_named(&"n".repeat(254).parse().unwrap()).unwrap();
    assert_eq!((long.info().max_size, long.info().end_point_count), (5, 2));
    assert!(long.members().is_empty());
}

/// Today's version writes the same rows, into tables that the old version would open.
#[test]
fn what_it_holds_is_written_as_it_was() {
    let (dir, path, mut registry) = old();
    drop(Redb::open(&path, &mut registry, CounterTrust::Needed).unwrap());
    let new = dir.path().join("new.redb");
    let id = registry.credential().id;
    Redb::create(&new, id).unwrap();
    let credential = registry.credential().clone();
    let mut empty = Registry::new(credential, RegistryLimits::default());
    let mut log = Redb::open(&new, &mut empty, CounterTrust::Needed).unwrap();
    let changes: Vec<Change> = registry.changes();
    log.commit(&changes).unwrap();
    assert!(log.bytes().unwrap() > 0);
    drop(log);
    let counts = all_rows(&kept_copy(&dir)).map(|rows| rows.len());
    assert_eq!(counts, [3, 2, 2]);
    assert_eq!(all_rows(&new), all_rows(&path));
    let old_meta = rows(&path, META);
    let new_meta = rows(&new, META);
    let commits = |(key, value): (Vec<u8>, Vec<u8>)| match key.as_slice() {
        b"commits" => (key, vec![0; value.len()]),
        _ => (key, value),
    };
    let apart = |meta: Vec<_>| meta.into_iter().map(commits).collect::<Vec<_>>();
    assert_eq!(apart(new_meta), apart(old_meta), "but for how often it was written");
}

/// The kept file.
fn kept_copy(dir: &TempDir) -> PathBuf {
    let path = dir.path().join("kept.redb");
    fs::copy(kept("registry.redb"), &path).unwrap();
    path
}

#[tokio::test]
async fn a_store_over_it_knows_its_clusters() {
    let (_dir, path, mut registry) = old();
    let log = Redb::open(&path, &mut registry, CounterTrust::Needed).unwrap();
    let cluster = registry.cluster_named(&"alpha".parse().unwrap()).unwrap().info().id;
    let store = MemoryStore::with_log(registry, log, Arc::default()).unwrap();
    assert!(store.changed(cluster, None).await.unwrap().is_some());
    let health = store.health();
    assert_eq!((health.waiting, health.bytes), (0, Some(fs::metadata(&path).unwrap().len())));
    assert!(health.is_writable());
    store.close().await;
}
