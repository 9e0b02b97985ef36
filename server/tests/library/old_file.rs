//! Taking over the store of an earlier version.
//!
//! `files/registry.redb` was written by an earlier daemon: a cluster of two whose first member came
//! again with another end point, an empty cluster with a long name, and the node that made both.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, Key, ReadableDatabase, ReadableTable, TableDefinition, Value};
use tempfile::{TempDir, tempdir};
use xlreg::credential::Credential;
use xlreg::registry::{Change, Registry, RegistryLimits};
use xlreg_server::store::{
    CounterTrust, Log, MemoryStore, Sqlite, Store, StoreError, TakeOver, take_over,
};

// The tables, as that version has made them.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const NODES: TableDefinition<&[u8], &[u8; 32]> = TableDefinition::new("nodes");
const CLUSTERS: TableDefinition<&[u8], (&str, u32, u64, u32)> = TableDefinition::new("clusters");
const MEMBERS: TableDefinition<(&[u8], u32), &[u8]> = TableDefinition::new("members");

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

/// A directory with the old file.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        for name in ["registry.redb", "registry.redb.commits"] {
            fs::copy(kept(name), dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn take_over(&self) -> Result<Option<PathBuf>, StoreError> {
        let (old, new) = (self.path("registry.redb"), self.path("registry.sqlite"));
        take_over(&TakeOver { old: &old, new: &new, trust: CounterTrust::Needed }, empty())
    }

    fn open(&self) -> (Sqlite, Registry) {
        let mut registry = empty();
        let path = self.path("registry.sqlite");
        let log = Sqlite::open(&path, &mut registry, CounterTrust::Needed).unwrap();
        (log, registry)
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut files: Vec<_> = entries
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read(&path).unwrap())
            })
            .collect();
        files.sort();
        files
    }
}

fn empty() -> Registry {
    let credential: Credential = fs::read_to_string(kept("regCred.dat")).unwrap().parse().unwrap();
    Registry::new(credential, RegistryLimits::default())
}

/// The rows of a table in an old file.
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

fn assert_is_the_old_content(registry: &Registry) {
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

/// A change that the old content lets happen.
fn change() -> Change {
    let key = xlreg::identity::Fingerprint::from_bytes([3; 32]);
    Change::NodeBound { id: [3; 20].into(), key, day: None }
}

#[test]
fn what_an_old_file_holds_is_in_the_new_one() {
    let place = Place::new();
    let aside = place.take_over().unwrap().unwrap();
    assert_is_the_old_content(&place.open().1);
    // The old file is the same, under another name.
    assert_eq!(aside, place.path("registry.redb.taken-over"));
    assert_eq!(rows(&aside, NODES).len(), 3);
    assert_eq!(rows(&aside, CLUSTERS).len(), 2);
    assert_eq!(rows(&aside, MEMBERS).len(), 2);
    assert!(!rows(&aside, META).is_empty());
    // Once is enough.
    assert_eq!(place.take_over().unwrap(), None);
    assert_is_the_old_content(&place.open().1);
}

/// An earlier version opens what stands there by redb, and makes what is absent.
#[test]
fn an_earlier_version_does_not_open_a_directory_that_was_taken_over() {
    let place = Place::new();
    place.take_over().unwrap();
    let old = place.path("registry.redb");
    let before = fs::read(&old).unwrap();
    assert!(Database::open(&old).is_err());
    assert!(Database::create(&old).is_err());
    assert_eq!(fs::read(&old).unwrap(), before);
    let said = String::from_utf8(before).unwrap();
    assert!(said.contains("registry.sqlite now") && said.contains("registry.redb.taken-over"));
}

#[test]
fn the_way_back_is_a_rename_and_without_it_nothing_is_chosen() {
    let place = Place::new();
    let aside = place.take_over().unwrap().unwrap();
    let (mut log, _) = place.open();
    log.commit(&[change()]).unwrap();
    drop(log);
    fs::rename(&aside, place.path("registry.redb")).unwrap();
    let before = place.files();
    let refused = place.take_over().unwrap_err().to_string();
    assert!(
        refused.contains("registry.sqlite is here too and has changes of its own"),
        "{refused}"
    );
    assert_eq!(place.files(), before);
    // With the new store gone, the old one is the store again.
    for suffix in ["", ".commits", ".lock"] {
        fs::remove_file(place.path(&format!("registry.sqlite{suffix}"))).unwrap();
    }
    assert!(place.take_over().unwrap().is_some());
    assert_is_the_old_content(&place.open().1);
}

#[test]
fn one_that_was_interrupted_is_made_again() {
    let place = Place::new();
    let aside = place.take_over().unwrap().unwrap();
    // As if the mark had not taken its place. Meanwhile an earlier version could have written.
    fs::rename(aside, place.path("registry.redb")).unwrap();
    fs::write(place.path("registry.sqlite.new"), "half").unwrap();
    assert!(place.take_over().unwrap().is_some());
    assert_is_the_old_content(&place.open().1);
    let names: Vec<_> = place.files().into_iter().map(|(name, _)| name).collect();
    let expected = ["", ".commits", ".taken-over"].map(|suffix| format!("registry.redb{suffix}"));
    assert_eq!(names[..3], expected);
    assert_eq!(names[3..], ["", ".commits", ".lock"].map(|end| format!("registry.sqlite{end}")));
}

#[test]
fn an_old_file_that_is_not_the_latest_is_not_taken_over() {
    let place = Place::new();
    fs::write(place.path("registry.redb.commits"), 1000_u64.to_le_bytes()).unwrap();
    let refused = place.take_over().unwrap_err().to_string();
    assert!(refused.contains("commits are missing"), "{refused}");
    assert!(!place.path("registry.sqlite").exists());
}

#[test]
fn a_new_store_that_is_missing_is_not_made_again_in_silence() {
    let place = Place::new();
    place.take_over().unwrap();
    fs::remove_file(place.path("registry.sqlite")).unwrap();
    assert!(matches!(place.take_over(), Err(StoreError::Lost(_))));
}

#[tokio::test]
async fn a_store_over_it_knows_its_clusters() {
    let place = Place::new();
    place.take_over().unwrap();
    let (log, registry) = place.open();
    let cluster = registry.cluster_named(&"alpha".parse().unwrap()).unwrap().info().id;
    let store = MemoryStore::with_log(registry, log, Arc::default()).unwrap();
    assert!(store.changed(cluster, None).await.unwrap().is_some());
    let health = store.health();
    assert_eq!(health.waiting, 0);
    assert!(health.disk.unwrap().store > 0 && health.is_writable());
    store.close().await;
}
