//! The behaviour of every store. A new one belongs into [`Kind`].

use std::sync::Arc;

use tempfile::{TempDir, tempdir};
use xlreg::credential::Credential;
use xlreg::crypto::RustCrypto;
use xlreg::identity::{NodeId, Token};
use xlreg::message::{ClusterInfo, ClusterRef, GetCluster, MemberSet, Refusal, Reply, Request};
use xlreg::registry::{
    Change, CheckedRequest, ClientState, Day, Holdings, Registry, RegistryLimits,
};
use xlreg_server::credential;
use xlreg_server::store::{CounterTrust, MemoryStore, Origin, Sqlite, Store};
use xlreg_testkit::keys;
use xlreg_testkit::model::{Answered, Model};
use xlreg_testkit::pair::{cluster, token};
use xlreg_testkit::rng::Seeded;

const LIMITS: RegistryLimits = RegistryLimits {
    nodes: 9,
    clusters: 3,
    memberships: 5,
    token_bytes: 2_000,
    of_a_key: Holdings { nodes: 3, clusters: 2, memberships: 4 },
    ..RegistryLimits::NONE
};
const CLIENTS: usize = 6;

/// All kinds of stores, and whether they keep their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Memory,
    Sqlite,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Memory, Self::Sqlite];

    const fn is_kept(self) -> bool {
        matches!(self, Self::Sqlite)
    }
}

/// A place for the store of one registry.
struct Place {
    kind: Kind,
    dir: TempDir,
    credential: Credential,
}

impl Place {
    fn new(kind: Kind) -> Self {
        let mut identity = keys::identity("registry", 0);
        identity.id = Some(NodeId::from([5; 32]));
        let credential = credential(&identity, vec!["127.0.0.1:1".parse().unwrap()]).unwrap();
        let place = Self { kind, dir: tempdir().unwrap(), credential };
        if kind == Kind::Sqlite {
            Sqlite::create(&place.file(), place.credential.id, []).unwrap();
        }
        place
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("registry.sqlite")
    }

    fn open(&self) -> MemoryStore {
        let mut registry = Registry::new(self.credential.clone(), LIMITS);
        match self.kind {
            Kind::Memory => MemoryStore::new(registry),
            Kind::Sqlite => {
                let log = Sqlite::open(&self.file(), &mut registry, CounterTrust::Needed).unwrap();
                MemoryStore::with_log(registry, log, Arc::default()).unwrap()
            }
        }
    }
}

/// Sends a request as a session does: one with a bad signature does not reach the store.
async fn ask(store: &impl Store, client: &mut ClientState, request: Request) -> Reply {
    match CheckedRequest::new(request, &RustCrypto) {
        Ok(request) => store.decide(client, request, &Origin::unlimited()).await.unwrap(),
        Err(refusal) => Reply::Error(refusal.into()),
    }
}

/// Random requests, often about nodes and clusters that exist.
struct Drawn {
    rng: Seeded,
    tokens: Vec<Token>,
}

impl Drawn {
    fn new(rng: Seeded) -> Self {
        let end_points = [&[][..], &["h:1"], &["h:1", "h:2"]];
        let names = ["n0", "n1", "n2", "n3"];
        let tokens = (0..24_u8).map(|n| {
            let (key, at) = (n % 4, usize::from(n));
            let token = token(names[at / 4 % 4], key.into(), end_points[at % 3]);
            Token { id: Some([key; 20].into()), ..token }
        });
        Self { rng, tokens: tokens.collect() }
    }

    fn id(&mut self, model: &Model) -> Option<NodeId> {
        let known: Vec<_> = model.ids().collect();
        match self.rng.below(8) {
            0 => Some([9; 20].into()),
            1..4 if !known.is_empty() => Some(known[self.rng.below(known.len())]),
            _ => None,
        }
    }

    fn cluster(&mut self, model: &Model) -> ClusterRef {
        let name = (self.rng.below(2) == 0).then(|| self.name().parse().unwrap());
        ClusterRef { id: self.id(model), name }
    }

    fn name(&mut self) -> &'static str {
        ["a", "b", "c", "d"][self.rng.below(4)]
    }

    /// A request, and whether it is forged; `None` if the client hangs up.
    fn request(&mut self, model: &Model) -> Option<(Request, bool)> {
        Some(match self.rng.below(20) {
            0..2 => return None,
            2..8 => {
                let forged = self.rng.below(20) == 0;
                let mut token = self.tokens[self.rng.below(self.tokens.len())].clone();
                // Mostly the one that belongs to the key.
                if self.rng.below(4) == 0 {
                    token.id = self.id(model);
                }
                if forged {
                    token.name = "forged".parse().unwrap();
                }
                (Request::Member(token), forged)
            }
            8..10 => {
                let size = [0, 1, 2, 3, 70][self.rng.below(5)];
                let end_points = u32::try_from(self.rng.below(4)).unwrap();
                (Request::Create(cluster(self.name(), size, end_points)), false)
            }
            10..17 => (Request::Join(self.cluster(model)), false),
            _ => {
                let which = [None, Some(MemberSet::from_bits(5))][self.rng.below(2)];
                (Request::GetCluster(GetCluster { cluster: self.cluster(model), which }), false)
            }
        })
    }
}

/// A store that keeps its state is closed and opened again in between.
#[tokio::test]
async fn each_answers_as_the_model_of_the_rules() {
    const STEPS: usize = 600;
    for kind in Kind::ALL {
        let place = Place::new(kind);
        let mut model = Model::new(place.credential.clone(), LIMITS, CLIENTS);
        let mut drawn = Drawn::new(Seeded::announced(31));
        let (mut store, mut clients) = (place.open(), vec![ClientState::new(); CLIENTS]);
        let mut taken = 0;
        for step in 0..STEPS {
            if kind.is_kept() && step % 100 == 99 {
                store.close().await;
                let size = store.size();
                store = place.open();
                assert_eq!(store.size(), size, "what fits while it runs fits after a restart");
                clients.fill(ClientState::new());
                (0..CLIENTS).for_each(|client| model.hang_up(client));
            }
            let at = drawn.rng.below(CLIENTS);
            let Some((request, forged)) = drawn.request(&model) else {
                clients[at] = ClientState::new();
                model.hang_up(at);
                continue;
            };
            let reply = ask(&store, &mut clients[at], request.clone()).await;
            let answered = Answered { reply: &reply, changed: None, forged, drawn: None };
            taken += usize::from(model.judge(at, &request, &answered).is_some());
        }
        assert!(taken > STEPS / 10, "{kind:?}: only {taken} were not refused");
        assert!(store.size().memberships > 1, "{kind:?}: {:?}", store.size());
    }
}

/// A registered client that has created the cluster `alpha`.
async fn creator(store: &impl Store) -> (ClientState, ClusterInfo) {
    let mut client = ClientState::new();
    let member = ask(store, &mut client, Request::Member(token("alice", 0, &["h:1"]))).await;
    assert!(matches!(member, Reply::MemberOk { .. }), "{member:?}");
    let created = ask(store, &mut client, Request::Create(cluster("alpha", 2, 1))).await;
    let Reply::Create(info) = created else { panic!("{created:?}") };
    (client, info)
}

#[tokio::test]
async fn each_tells_when_a_cluster_has_changed() {
    for kind in Kind::ALL {
        let place = Place::new(kind);
        let store = Arc::new(place.open());
        let (mut client, info) = creator(&*store).await;
        let before = store.changed(info.id, None).await.unwrap();
        assert_eq!(store.changed([8; 32].into(), before).await.unwrap(), None, "no such cluster");
        // Two wait, and one of them gives up.
        let [waiting, given_up] = [(); 2].map(|()| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.changed(info.id, before).await })
        });
        tokio::task::yield_now().await;
        given_up.abort();
        assert!(given_up.await.unwrap_err().is_cancelled());
        assert!(!waiting.is_finished());
        let joined = ask(&*store, &mut client, Request::Join(ClusterRef::CURRENT)).await;
        assert!(matches!(joined, Reply::Join(_)), "{joined:?}");
        let after = waiting.await.unwrap().unwrap();
        assert!(after.is_some() && after != before, "{kind:?}");
        assert_eq!(after, store.changed(info.id, before).await.unwrap());

        store.close().await;
        assert!(store.changed(info.id, after).await.is_err(), "it changes no more");
        if kind.is_kept() {
            let again = place.open();
            // A revision from another process does not count.
            let told = again.changed(info.id, after).await.unwrap();
            assert!(told.is_some() && told != after && told != before);
        }
    }
}

/// Who waits for a cluster is told that it is gone; a new one of this name is another one.
#[tokio::test]
async fn each_tells_when_a_cluster_is_deleted() {
    for kind in Kind::ALL {
        let place = Place::new(kind);
        let store = Arc::new(place.open());
        let (mut client, info) = creator(&*store).await;
        assert!(matches!(
            ask(&*store, &mut client, Request::Join(ClusterRef::CURRENT)).await,
            Reply::Join(_)
        ));
        let properties = store.properties(info.id).await.unwrap().unwrap();
        let creator_key = token("alice", 0, &[]).sig_key.fingerprint();
        assert_eq!((properties.name.as_str(), properties.info), ("alpha", info));
        assert_eq!(properties.created_by, Some(creator_key));
        let known = store.changed(info.id, None).await.unwrap();
        let waiting = {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.changed(info.id, known).await })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        // It goes with another change, as one.
        let (key, id) = (creator_key, NodeId::from([9; 32]));
        let list = Change::All(vec![
            Change::ClusterDeleted { cluster: info.id },
            Change::NodeBound { id, key, day: Some(Day::new(20_000)) },
        ]);
        store.change(list).await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), None, "{kind:?}");
        assert_eq!(store.properties(info.id).await.unwrap(), None);
        let size = store.size();
        assert_eq!((size.nodes, size.clusters, size.memberships, size.token_bytes), (2, 0, 0, 0));
        let created = ask(&*store, &mut client, Request::Create(cluster("alpha", 2, 1))).await;
        let Reply::Create(again) = created else { panic!("{created:?}") };
        assert_ne!(again.id, info.id);
        store.close().await;
        if kind.is_kept() {
            let opened = place.open();
            assert_eq!(opened.size(), store.size());
            assert_eq!(opened.properties(info.id).await.unwrap(), None);
        }
    }
}

#[tokio::test]
async fn each_decides_nothing_any_more_when_it_is_closed() {
    for kind in Kind::ALL {
        let place = Place::new(kind);
        let store = place.open();
        let (mut client, _) = creator(&store).await;
        let (size, health) = (store.size(), store.health());
        assert!(health.is_writable() && health.waiting == 0, "{kind:?}: {health:?}");
        assert_eq!(health.disk.is_some(), kind.is_kept());
        store.close().await;
        let join = CheckedRequest::new(Request::Join(ClusterRef::CURRENT), &RustCrypto).unwrap();
        let refused = store.decide(&mut client, join, &Origin::unlimited()).await.unwrap_err();
        assert_eq!(refused.to_string(), "the store: closed");
        assert_eq!(store.size(), size);
        assert!(!store.health().is_writable());
    }
}

#[tokio::test]
async fn each_refuses_what_the_rules_refuse() {
    for kind in Kind::ALL {
        let store = Place::new(kind).open();
        let join =
            Request::Join(ClusterRef::from("alpha".parse::<xlreg::identity::Name>().unwrap()));
        let reply = ask(&store, &mut ClientState::new(), join).await;
        assert_eq!(reply, Reply::Error(Refusal::WrongState.into()));
        assert_eq!(store.size().nodes, 0);
    }
}
