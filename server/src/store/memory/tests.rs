//! A store over a log that commits on command.

use std::sync::mpsc as std_mpsc;

use xlreg::credential::Credential;
use xlreg::identity::{CommsKeyPair, Identity, MemberAttrs, NodeId, SigKeyPair, Version};
use xlreg::message::{ClusterRef, Create, Request};
use xlreg::registry::{ApplyError, RegistryLimits};

use super::*;
use crate::store::overlay::today;

/// A log that commits or fails on command.
struct Gate {
    verdicts: std_mpsc::Receiver<Verdict>,
    committed: std_mpsc::Sender<usize>,
    commits: u64,
}

impl Log for Gate {
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let reason = "full".into();
        match self.verdicts.recv() {
            Ok(Verdict::Durable) => {
                let _ = self.committed.send(changes.len());
                self.commits += 1;
                Ok(())
            }
            Ok(Verdict::Unwritable) => Err(StoreError::Unwritable { path: "disk".into(), reason }),
            Ok(Verdict::Lost) | Err(_) => Err(StoreError::Io { path: "disk".into(), reason }),
        }
    }

    fn disk(&self) -> Option<DiskSize> {
        Some(DiskSize { store: self.commits, log: 0, free: 0 })
    }
}

/// What comes of a commit.
enum Verdict {
    Durable,
    Unwritable,
    Lost,
}

/// The verdicts on the next commits.
struct Verdicts(std_mpsc::Sender<Verdict>);

impl Verdicts {
    /// Whether the next commit is durable; otherwise nothing is any more.
    fn send(&self, durable: bool) -> Result<(), std_mpsc::SendError<Verdict>> {
        self.0.send(if durable { Verdict::Durable } else { Verdict::Lost })
    }

    /// The next commit cannot be written, and a later one may be.
    fn unwritable(&self) {
        self.0.send(Verdict::Unwritable).unwrap();
    }
}

struct Bench {
    store: Arc<MemoryStore>,
    verdict: Verdicts,
    committed: std_mpsc::Receiver<usize>,
    node: Identity,
}

fn bench() -> Bench {
    let rng = &mut SystemRng;
    // Small keys are enough, because the store is tested here.
    let node = Identity {
        name: "node".parse().unwrap(),
        id: None,
        comms: CommsKeyPair::generate(1024, rng).unwrap(),
        sig: SigKeyPair::generate(1024, rng).unwrap(),
    };
    let credential = Credential {
        name: "registry".parse().unwrap(),
        id: NodeId::random(rng),
        comms_key: node.comms.public_key().clone(),
        sig_key: node.sig.public_key().clone(),
        end_points: vec!["127.0.0.1:1".parse().unwrap()],
        version: Version::REFERENCE,
    };
    let registry = Registry::new(credential, RegistryLimits::default());
    let (verdict, verdicts) = std_mpsc::channel();
    let (sender, committed) = std_mpsc::channel();
    let log = Gate { verdicts, committed: sender, commits: 0 };
    let store = MemoryStore::with_log(registry, log, Arc::default()).unwrap();
    Bench { store: Arc::new(store), verdict: Verdicts(verdict), committed, node }
}

impl Bench {
    /// Sends a request on a task of its own, which ends with the reply.
    fn ask(
        &self,
        mut state: ClientState,
        request: Request,
    ) -> tokio::task::JoinHandle<(ClientState, Result<Reply, StoreError>)> {
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            let request = CheckedRequest::new(request, &xlreg::crypto::RustCrypto).unwrap();
            let reply = store.decide(&mut state, request, &Origin::unlimited()).await;
            (state, reply)
        })
    }

    async fn member(&self) -> ClientState {
        let end_points = vec!["h:1".parse().unwrap()];
        let token = self.node.token(MemberAttrs::NONE, end_points, &mut SystemRng).unwrap();
        let asked = self.ask(ClientState::new(), Request::Member(token));
        self.verdict.send(true).unwrap();
        let (state, reply) = asked.await.unwrap();
        assert!(matches!(reply, Ok(Reply::MemberOk { .. })), "{reply:?}");
        state
    }
}

fn create(name: &str) -> Request {
    Request::Create(Create {
        name: name.parse().unwrap(),
        max_size: 2,
        attrs: Default::default(),
        end_point_count: 1,
    })
}

/// A runtime of one thread: tasks run in the order in which they are spawned, up to where they
/// wait.
#[tokio::test]
async fn a_reply_waits_for_what_others_have_changed_just_before() {
    let bench = bench();
    let (creator, finder) = (bench.member().await, bench.member().await);
    let created = bench.ask(creator, create("alpha"));
    let found = bench.ask(finder, create("alpha"));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!created.is_finished());
    assert!(!found.is_finished(), "it changed nothing, but tells of what is not durable yet");
    bench.verdict.send(true).unwrap();
    assert!(created.await.unwrap().1.is_ok());
    assert!(found.await.unwrap().1.is_ok());
}

#[tokio::test]
async fn one_commit_serves_all_that_wait() {
    let bench = bench();
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(bench.member().await);
    }
    while bench.committed.try_recv().is_ok() {}
    let asked: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(n, client)| bench.ask(client, create(&format!("cluster{n}"))))
        .collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    // The first commit has the changes that were queued when it began. The second one has all
    // others.
    bench.verdict.send(true).unwrap();
    bench.verdict.send(true).unwrap();
    for asked in asked {
        assert!(asked.await.unwrap().1.is_ok());
    }
    let commits: Vec<_> = bench.committed.try_iter().collect();
    assert_eq!(commits.iter().sum::<usize>(), 6);
    assert!(commits.len() <= 2, "{commits:?}");
}

#[tokio::test]
async fn nothing_is_acknowledged_any_more_when_the_log_fails() {
    let bench = bench();
    let (a, b) = (bench.member().await, bench.member().await);
    let failing = bench.ask(a, create("alpha"));
    bench.verdict.send(false).unwrap();
    assert!(matches!(failing.await.unwrap().1, Err(StoreError::Io { .. })));
    assert!(matches!(bench.store.failed().await, StoreError::Io { .. }));
    let after = bench.ask(b, Request::Join(ClusterRef::CURRENT));
    assert!(after.await.unwrap().1.is_err());
}

/// A log with commits that panic.
struct Broken;

impl Log for Broken {
    fn commit(&mut self, _: &[Change]) -> Result<(), StoreError> {
        panic!("as the test wants it")
    }
}

#[tokio::test]
async fn a_committer_that_panics_is_a_failure() {
    let Bench { node, store, .. } = bench();
    let credential = store.shared.state().registry.credential().clone();
    let registry = Registry::new(credential, RegistryLimits::default());
    let store = MemoryStore::with_log(registry, Broken, Arc::default()).unwrap();
    let token = node.token(MemberAttrs::NONE, Vec::new(), &mut SystemRng).unwrap();
    let request = CheckedRequest::new(Request::Member(token), &xlreg::crypto::RustCrypto);
    assert!(
        store
            .decide(&mut ClientState::new(), request.unwrap(), &Origin::unlimited())
            .await
            .is_err()
    );
    assert!(matches!(store.failed().await, StoreError::Io { .. }));
}

#[tokio::test]
async fn closing_commits_what_is_queued() {
    let bench = bench();
    let client = bench.member().await;
    let asked = bench.ask(client, create("alpha"));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    bench.verdict.send(true).unwrap();
    bench.store.close().await;
    assert!(asked.await.unwrap().1.is_ok());
}

/// Makes a client that has created a cluster.
async fn in_a_cluster(bench: &Bench) -> (ClientState, NodeId) {
    let creator = bench.member().await;
    let created = bench.ask(creator, create("alpha"));
    bench.verdict.send(true).unwrap();
    let (client, reply) = created.await.unwrap();
    let Ok(Reply::Create(info)) = reply else { panic!("{reply:?}") };
    (client, info.id)
}

/// Waits, on a task of its own, until the cluster has another revision than this.
fn watch_cluster(
    bench: &Bench,
    cluster: NodeId,
    known: Option<Revision>,
) -> tokio::task::JoinHandle<Result<Option<Revision>, StoreError>> {
    let store = Arc::clone(&bench.store);
    tokio::spawn(async move { store.changed(cluster, known).await })
}

/// Lets every task go on until it waits.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_waits_for_a_cluster_is_told_when_a_member_is_durable_and_not_before() {
    let bench = bench();
    let (client, cluster) = in_a_cluster(&bench).await;
    let known = bench.store.changed(cluster, None).await.unwrap();
    assert!(known.is_some());
    let watching = [(); 2].map(|()| watch_cluster(&bench, cluster, known));
    settle().await;
    assert!(watching.iter().all(|task| !task.is_finished()), "nothing has changed");
    let joined = bench.ask(client, Request::Join(ClusterRef::CURRENT));
    settle().await;
    assert!(watching.iter().all(|task| !task.is_finished()), "it may still be lost");
    bench.verdict.send(true).unwrap();
    let (client, reply) = joined.await.unwrap();
    assert!(matches!(reply, Ok(Reply::Join(_))), "{reply:?}");
    settle().await;
    assert!(watching.iter().all(tokio::task::JoinHandle::is_finished), "both are told");
    for task in watching {
        let told = task.await.unwrap().unwrap();
        assert_eq!(told.map(Revision::get), known.map(|known| known.next().get()));
    }
    // The same member joins again with the same token, which changes nothing.
    let known = bench.store.changed(cluster, known).await.unwrap();
    let again = bench.ask(client, Request::Join(ClusterRef::CURRENT));
    assert!(again.await.unwrap().1.is_ok());
    let watching = watch_cluster(&bench, cluster, known);
    settle().await;
    assert!(!watching.is_finished());
    watching.abort();
}

#[tokio::test]
async fn a_revision_that_this_store_has_not_given_is_answered_at_once() {
    let bench = bench();
    let (_, cluster) = in_a_cluster(&bench).await;
    let current = bench.store.changed(cluster, None).await.unwrap().unwrap();
    assert_eq!(bench.store.changed(cluster, None).await.unwrap(), Some(current));
    assert_eq!(bench.store.changed(cluster, Some(current.next())).await.unwrap(), Some(current));
    let unknown = NodeId::random(&mut SystemRng);
    assert_eq!(bench.store.changed(unknown, Some(current)).await.unwrap(), None);
}

#[tokio::test]
async fn a_cluster_that_is_not_durable_is_not_told_of() {
    let bench = bench();
    let created = bench.ask(bench.member().await, create("alpha"));
    settle().await;
    let cluster = {
        let state = bench.store.shared.state();
        let view = state.overlay.over(&state.registry);
        view.cluster_named(&"alpha".parse().unwrap()).unwrap().info().id
    };
    let watching = watch_cluster(&bench, cluster, None);
    settle().await;
    assert!(!watching.is_finished());
    bench.verdict.send(true).unwrap();
    assert!(created.await.unwrap().1.is_ok());
    assert!(watching.await.unwrap().unwrap().is_some());
}

#[tokio::test]
async fn who_waits_is_told_when_the_log_fails_or_the_store_is_closed() {
    let bench = bench();
    let (client, cluster) = in_a_cluster(&bench).await;
    let known = bench.store.changed(cluster, None).await.unwrap();
    let watching = watch_cluster(&bench, cluster, known);
    let joined = bench.ask(client, Request::Join(ClusterRef::CURRENT));
    settle().await;
    bench.verdict.send(false).unwrap();
    assert!(joined.await.unwrap().1.is_err());
    let told = watching.await.unwrap().unwrap_err();
    assert_eq!(told.to_string(), "disk: full");

    let bench = self::bench();
    let (_, cluster) = in_a_cluster(&bench).await;
    let known = bench.store.changed(cluster, None).await.unwrap();
    let watching = watch_cluster(&bench, cluster, known);
    settle().await;
    bench.store.close().await;
    assert_eq!(watching.await.unwrap().unwrap_err().to_string(), "the store: closed");
}

#[tokio::test]
async fn without_a_log_a_change_is_told_at_once() {
    let Bench { node, store, .. } = bench();
    let credential = store.shared.state().registry.credential().clone();
    let store = MemoryStore::new(Registry::new(credential, RegistryLimits::default()));
    let client = &mut ClientState::new();
    let token = node.token(MemberAttrs::NONE, vec!["h:1".parse().unwrap()], &mut SystemRng);
    let mut replies = Vec::new();
    for request in [Request::Member(token.unwrap()), create("alpha")] {
        let request = CheckedRequest::new(request, &xlreg::crypto::RustCrypto).unwrap();
        replies.push(store.decide(client, request, &Origin::unlimited()).await.unwrap());
    }
    let Some(Reply::Create(info)) = replies.pop() else { panic!("{replies:?}") };
    let known = store.changed(info.id, None).await.unwrap();
    // In one task, so that the waiting one is polled first.
    let join = async {
        let request = Request::Join(ClusterRef::CURRENT);
        let request = CheckedRequest::new(request, &xlreg::crypto::RustCrypto).unwrap();
        store.decide(client, request, &Origin::unlimited()).await.unwrap()
    };
    let (changed, _) = tokio::join!(biased; store.changed(info.id, known), join);
    assert_eq!(changed.unwrap(), known.map(Revision::next));
    assert_eq!((store.health().waiting, store.health().disk), (0, None));
    assert!(store.health().is_writable());
    store.close().await;
    assert!(!store.health().is_writable());
}

#[tokio::test]
async fn its_health_is_what_waits_and_whether_more_can_be_kept() {
    let bench = bench();
    let client = bench.member().await;
    let health = bench.store.health();
    assert_eq!(health.waiting, 0);
    assert_eq!(health.disk, Some(DiskSize { store: 1, log: 0, free: 0 }), "one commit");
    assert!(health.is_writable());
    let asked = bench.ask(client, create("alpha"));
    settle().await;
    assert_eq!(bench.store.health().waiting, 1);
    bench.verdict.send(false).unwrap();
    assert!(asked.await.unwrap().1.is_err());
    let health = bench.store.health();
    assert_eq!(health.failure.unwrap().to_string(), "disk: full");
    assert_eq!(health.waiting, 0, "it is dropped");
}

#[tokio::test]
async fn what_cannot_be_written_now_is_dropped_and_refused_and_the_rest_goes_on() {
    let bench = bench();
    let (creator, finder) = (bench.member().await, bench.member().await);
    let before = creator.clone();
    let created = bench.ask(creator, create("alpha"));
    settle().await;
    // It finds a cluster that is not durable, and is told to wait.
    let found = bench.ask(finder, create("alpha"));
    // Another one is decided on top of that.
    let other = bench.ask(before.clone(), create("beta"));
    settle().await;
    assert_eq!(bench.store.size().clusters, 2);
    bench.verdict.unwritable();
    for (asked, name) in [(created, "alpha"), (other, "beta")] {
        let (state, reply) = asked.await.unwrap();
        assert_eq!(reply.unwrap(), Reply::Error(Refusal::CannotStore.into()), "{name}");
        // The session knows of no cluster: it never entered one.
        assert_eq!(format!("{state:?}"), format!("{before:?}"));
    }
    let health = bench.store.health();
    assert!(!health.is_writable() && health.failure.is_none(), "{health:?}");
    assert_eq!(health.unwritable.unwrap().to_string(), "disk: nothing can be stored now: full");
    // Whoever found the cluster decides again: now it creates it.
    settle().await;
    assert!(!found.is_finished());
    bench.verdict.send(true).unwrap();
    let (_, reply) = found.await.unwrap();
    assert!(matches!(reply, Ok(Reply::Create(_))), "{reply:?}");
    assert_eq!((bench.store.size().clusters, bench.store.health().waiting), (1, 0));
    assert!(bench.store.health().is_writable(), "a commit shows it");
}

/// A request that changes nothing needs no disk, and the store finds by itself when it can write.
#[tokio::test]
async fn while_nothing_can_be_written_what_is_known_is_served_until_it_can_again() {
    let bench = bench();
    let (client, cluster) = in_a_cluster(&bench).await;
    let known = bench.store.changed(cluster, None).await.unwrap();
    let watching = watch_cluster(&bench, cluster, known);
    let joined = bench.ask(client.clone(), Request::Join(ClusterRef::CURRENT));
    settle().await;
    bench.verdict.unwritable();
    let (client, reply) = joined.await.unwrap();
    assert_eq!(reply.unwrap(), Reply::Error(Refusal::CannotStore.into()));
    let (client, reply) = bench.ask(client, create("alpha")).await.unwrap();
    assert!(matches!(reply, Ok(Reply::Create(_))), "{reply:?}");
    assert_eq!(bench.store.changed(cluster, None).await.unwrap(), known, "no member has come");
    assert!(!bench.store.health().is_writable() && !watching.is_finished());
    // It tries without anybody's request.
    while bench.committed.try_recv().is_ok() {}
    bench.verdict.unwritable();
    bench.verdict.send(true).unwrap();
    assert_eq!(bench.committed.recv().unwrap(), 0);
    while !bench.store.health().is_writable() {
        tokio::task::yield_now().await;
    }
    let joined = bench.ask(client, Request::Join(ClusterRef::CURRENT));
    bench.verdict.send(true).unwrap();
    assert!(matches!(joined.await.unwrap().1, Ok(Reply::Join(_))));
    assert!(watching.await.unwrap().unwrap().is_some());
}

/// A node that comes back on another day is noted, and served where that cannot be stored.
#[tokio::test]
async fn a_node_is_served_though_its_use_cannot_be_noted() {
    let bench = bench();
    let id = NodeId::from([7; 32]);
    let key = bench.node.sig.public_key().fingerprint();
    bench.verdict.send(true).unwrap();
    // Nobody knows when it was used last.
    bench.store.change(Change::NodeBound { id, key, day: None }).await.unwrap();
    let node = Identity { id: Some(id), ..bench.node.clone() };
    let token = node.token(MemberAttrs::NONE, Vec::new(), &mut SystemRng).unwrap();
    for _ in 0..DECIDED_AGAIN {
        bench.verdict.unwritable();
    }
    let asked = bench.ask(ClientState::new(), Request::Member(token.clone()));
    let (client, reply) = asked.await.unwrap();
    assert!(matches!(reply, Ok(Reply::MemberOk { .. })), "{reply:?}");
    assert!(client.member().is_some());
    let last_use = || bench.store.shared.state().registry.node(&id).unwrap().last_use;
    assert_eq!(last_use(), None);
    // The store is tried, with what waits or with nothing.
    bench.verdict.send(true).unwrap();
    bench.verdict.send(true).unwrap();
    let asked = bench.ask(ClientState::new(), Request::Member(token));
    assert!(matches!(asked.await.unwrap().1, Ok(Reply::MemberOk { .. })));
    assert_eq!(last_use(), today());
}

#[tokio::test]
async fn a_change_without_a_client_must_follow_and_be_durable() {
    let bench = bench();
    let lost = Change::ClusterDeleted { cluster: NodeId::from([7; 32]) };
    let refused = bench.store.change(lost.clone()).await.unwrap_err();
    assert!(matches!(refused, ChangeError::Apply(ApplyError::NoCluster(_))), "{refused}");
    let (key, id) = (bench.node.sig.public_key().fingerprint(), NodeId::from([8; 32]));
    let bound = Change::NodeBound { id, key, day: None };
    // A list of which the last change does not follow leaves nothing of the first.
    let list = Change::All(vec![bound.clone(), lost]);
    assert!(bench.store.change(list).await.is_err());
    assert_eq!((bench.store.size().nodes, bench.store.health().waiting), (0, 0));
    bench.verdict.unwritable();
    let failed = bench.store.change(bound).await.unwrap_err();
    assert!(matches!(failed, ChangeError::Store(StoreError::Unwritable { .. })), "{failed}");
    assert_eq!(bench.store.size().nodes, 0);
}
