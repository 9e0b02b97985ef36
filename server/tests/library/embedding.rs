//! A registry inside another program.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tempfile::tempdir;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use xlreg::credential::Credential;
use xlreg::identity::{Identity, NodeId};
use xlreg::registry::{Registry, RegistryLimits};
use xlreg_server::store::{MemoryStore, Store, StoreError};
use xlreg_server::{Limits, Options, Rates, Server, ServerError, credential};
use xlreg_testkit::client::{Client, Failure, Way, token};
use xlreg_testkit::keys;
use xlreg_testkit::rng::Seeded;

/// A registry with these limits, with an ID and keys that need not be generated.
async fn started(
    limits: Limits,
) -> (Server<MemoryStore>, Arc<MemoryStore>, SocketAddr, Credential) {
    let identity = Identity { id: Some(NodeId::from([5; 32])), ..keys::identity("registry", 0) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let credential = credential(&identity, vec![address.into()]).unwrap();
    let registry = Registry::new(credential.clone(), RegistryLimits::default());
    let store = Arc::new(MemoryStore::new(registry));
    let options = Options { limits, ..Options::default() };
    let server =
        Server::start(Arc::clone(&store), &identity.comms, options, vec![listener]).unwrap();
    (server, store, address, credential)
}

/// A client that has registered. It runs on a thread of its own.
async fn visit(address: SocketAddr, credential: &Credential, seed: u64) -> Result<Client, Failure> {
    let way = Way::new(&address.to_string(), credential);
    let visit = move || {
        let rng = &mut Seeded::new(seed);
        let node = keys::identity("alice", 1);
        let token = token(&node, "alice.example:4000", rng);
        way.visit(&token, rng).map(|(client, _)| client)
    };
    spawn_blocking(visit).await.unwrap()
}

/// The example is a binary beside this one. `cargo test` builds both.
/// Runs an example twice on the same path, and gives what it printed.
fn twice(example: &str, path: &Path) -> [String; 2] {
    let test = std::env::current_exe().unwrap();
    let example = test.parent().and_then(Path::parent).unwrap().join("examples").join(example);
    assert!(example.exists(), "not built: run `cargo build -p xlreg-server --examples` first");
    [(); 2].map(|()| {
        let output = Command::new(&example).arg(path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    })
}

#[test]
fn a_store_of_one_s_own_keeps_what_was_decided() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("changes");
    let [first, second] = twice("own_store", &path);
    assert!(first.starts_with("0 nodes and 0 clusters were there\n"), "{first}");
    assert!(second.starts_with("1 nodes and 1 clusters were there\n"), "{second}");
    assert!(second.ends_with("2 nodes and 1 clusters are there\n"), "{second}");
    // A change that was cut short was never acknowledged.
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let [third, _] = twice("own_store", &path);
    assert!(third.starts_with("1 nodes and 1 clusters were there\n"), "{third}");
}

#[test]
fn the_example_keeps_its_cluster_from_run_to_run() {
    let dir = tempdir().unwrap();
    let [first, second] = twice("embed", dir.path());
    assert!(first.starts_with("alice is in the cluster "), "{first}");
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_client_is_served_and_a_stop_ends_all_of_it() {
    let (server, store, address, credential) = started(Limits::default()).await;
    let mut client = visit(address, &credential, 1).await.unwrap();
    let created = spawn_blocking(move || client.create("alpha", 2).map(|info| (client, info)));
    let (_client, info) = created.await.unwrap().unwrap();
    assert_eq!((store.size().nodes, store.size().clusters), (1, 1));
    assert!(store.changed(info.id, None).await.unwrap().is_some());
    server.stop().await.unwrap();
    assert!(!store.health().is_writable());
    assert!(visit(address, &credential, 2).await.err().unwrap().is_lost());
}

#[tokio::test]
async fn limits_are_reloaded_while_it_runs() {
    let limits = |connections| Limits { connections, ..Limits::default() };
    let (server, _, address, credential) = started(limits(1)).await;
    let first = visit(address, &credential, 1).await.unwrap();
    assert!(visit(address, &credential, 2).await.err().unwrap().is_lost());
    server.reload(limits(2), Rates::default());
    let second = visit(address, &credential, 3).await.unwrap();
    assert!(visit(address, &credential, 4).await.err().unwrap().is_lost());
    drop((first, second));
    server.stop().await.unwrap();
}

/// The owner of the server learns that its store has failed, and can stop it then.
#[tokio::test]
async fn a_store_that_fails_is_told_of() {
    struct Full;

    impl xlreg_server::store::Log for Full {
        fn commit(&mut self, _: &[xlreg::registry::Change]) -> Result<(), StoreError> {
            Err(StoreError::Io { path: "disk".into(), reason: "full".into() })
        }
    }

    let identity = Identity { id: Some(NodeId::from([5; 32])), ..keys::identity("registry", 0) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let credential = credential(&identity, vec![address.into()]).unwrap();
    let registry = Registry::new(credential.clone(), RegistryLimits::default());
    let store = MemoryStore::with_log(registry, Full, Arc::default()).unwrap();
    let options = Options::default();
    let server = Server::start(Arc::new(store), &identity.comms, options, vec![listener]);
    let mut server = server.unwrap();
    assert!(visit(address, &credential, 1).await.is_err());
    let failure = server.failed().await;
    assert!(matches!(&failure, ServerError::Store(_)), "{failure:?}");
    assert_eq!(failure.to_string(), "disk: full");
    server.stop().await.unwrap();
}

#[test]
fn a_registry_without_an_id_has_no_credential() {
    let refused = credential(&keys::identity("registry", 0), Vec::new());
    assert_eq!(refused.unwrap_err().to_string(), "the registry has no ID");
}
