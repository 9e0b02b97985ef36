//! The bytes that a store may have on disk.

use std::sync::Arc;

use tempfile::tempdir;
use xlreg::crypto::RustCrypto;
use xlreg::identity::{NodeId, Token};
use xlreg::message::{Create, Refusal, Reply, Request};
use xlreg::registry::{CheckedRequest, ClientState, Registry, RegistryLimits};
use xlreg_server::credential;
use xlreg_server::store::{CounterTrust, MemoryStore, Origin, Sqlite, Store};
use xlreg_testkit::keys;
use xlreg_testkit::pair::token;

/// The log is moved into the file from this size on.
const LOG: u64 = 64 * 4096;

#[tokio::test]
async fn the_store_has_so_many_bytes_and_no_more() {
    let mut identity = keys::identity("registry", 0);
    identity.id = Some(NodeId::from([5; 32]));
    let credential = credential(&identity, vec!["127.0.0.1:1".parse().unwrap()]).unwrap();
    let dir = tempdir().unwrap();
    let path = dir.path().join("registry.sqlite");
    Sqlite::create(&path, credential.id, []).unwrap();
    let limits = RegistryLimits { store_bytes: 1 << 20, ..RegistryLimits::NONE };
    let open = || {
        let mut registry = Registry::new(credential.clone(), limits);
        let mut log = Sqlite::open(&path, &mut registry, CounterTrust::Needed).unwrap();
        log.checkpoint_at(LOG / 4096);
        MemoryStore::with_log(registry, log, Arc::default()).unwrap()
    };
    let ask = async |store: &MemoryStore, client: &mut ClientState, request| {
        let request = CheckedRequest::new(request, &RustCrypto).unwrap();
        store.decide(client, request, &Origin::unlimited()).await.unwrap()
    };
    let create = |n: usize| {
        let name = format!("{n:0200}").parse().unwrap();
        Request::Create(Create { name, max_size: 2, attrs: Default::default(), end_point_count: 1 })
    };
    let store = open();
    let member = Token { id: Some([1; 20].into()), ..token("alice", 0, &["h:1"]) };
    let client = &mut ClientState::new();
    ask(&store, client, Request::Member(member.clone())).await;
    let (mut made, full) = (0, Reply::Error(Refusal::RegistryFull.into()));
    while ask(&store, client, create(made)).await != full {
        made += 1;
        assert!(made < 20_000, "it is never full");
    }
    assert!(made > 1000, "{made}");
    let disk = store.health().disk.unwrap();
    assert!((1 << 20..(1 << 20) + LOG).contains(&(disk.store + disk.log)), "{disk:?}");
    // What changes nothing is served, after a restart too.
    assert!(matches!(ask(&store, client, create(0)).await, Reply::Create(_)));
    store.close().await;
    let store = open();
    let client = &mut ClientState::new();
    let registered = ask(&store, client, Request::Member(member)).await;
    assert!(matches!(registered, Reply::MemberOk { .. }), "{registered:?}");
    assert!(matches!(ask(&store, client, create(made - 1)).await, Reply::Create(_)));
    let free = ask(&store, client, create(made)).await;
    let disk = store.health().disk.unwrap();
    // The log is empty after a stop, so there may be a little room.
    assert!(free == full || disk.store + disk.log - disk.free < (1 << 20) + LOG, "{disk:?}");
}
