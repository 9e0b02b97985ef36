//! A registry in this process: decided under a lock, made durable by a thread that commits for many
//! at once.
//!
//! 1. [`MemoryStore::decide`](Store::decide) takes the lock, decides, and queues the change while
//!    it still has the lock, so that the queue is in the order of decisions.
//! 2. The committer takes everything that is queued, makes it durable with one commit, and
//!    announces the revision reached.
//! 3. Every reply waits for its revision, also one that changes nothing: it may tell of changes
//!    made just before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use xlreg::crypto::SystemRng;
use xlreg::message::Reply;
use xlreg::registry::{Change, CheckedRequest, ClientState, Registry, Size};

use super::{Log, Store, StoreError};

/// Changes in one commit. Enough for every connection there can be at a time; bounded so that one
/// commit stays short.
const MAX_BATCH: usize = 4096;

/// A registry in this process.
pub struct MemoryStore {
    state: Mutex<State>,
    durable: watch::Receiver<Durable>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    registry: Registry,
    /// To the committer; gone for an ephemeral registry and after closing.
    queue: Option<mpsc::UnboundedSender<Change>>,
}

/// The revision up to which everything is durable, or why nothing more will be.
type Durable = Result<u64, StoreError>;

/// Told of each commit: how many changes, and how long it took in seconds.
pub type OnCommit = Arc<dyn Fn(usize, f64) + Send + Sync>;

impl MemoryStore {
    /// A registry that is gone when the process ends: everything counts as durable at once.
    pub fn new(registry: Registry) -> Self {
        let (_, durable) = watch::channel(Ok(u64::MAX));
        let state = Mutex::new(State { registry, queue: None });
        Self { state, durable, committer: Mutex::new(None) }
    }

    /// A registry whose changes go to a log. `registry` is what the log holds already.
    pub fn with_log(
        registry: Registry,
        log: impl Log,
        on_commit: OnCommit,
    ) -> std::io::Result<Self> {
        let (queue, changes) = mpsc::unbounded_channel();
        let revision = registry.revision();
        let (announce, durable) = watch::channel(Ok(revision));
        let committer = thread::Builder::new()
            .name("committer".into())
            .spawn(move || commit_all(log, changes, revision, &announce, &*on_commit))?;
        let state = Mutex::new(State { registry, queue: Some(queue) });
        Ok(Self { state, durable, committer: Mutex::new(Some(committer)) })
    }

    /// The registry is whole whatever a thread that held the lock came to: it changes only by whole
    /// changes.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    async fn decide(
        &self,
        state: &mut ClientState,
        request: CheckedRequest,
    ) -> Result<Reply, StoreError> {
        let (reply, revision) = {
            let State { registry, queue } = &mut *self.state();
            let outcome = registry.handle_checked(state, request, &mut SystemRng);
            if let (Some(change), Some(queue)) = (outcome.change, queue) {
                // Where nobody takes it, nobody announces its revision either: the wait below
                // fails.
                let _ = queue.send(change);
            }
            (outcome.reply, outcome.revision)
        };
        let mut durable = self.durable.clone();
        let reached = |durable: &Durable| durable.as_ref().map_or(true, |upto| *upto >= revision);
        match durable.wait_for(reached).await.map(|durable| (*durable).clone()) {
            Ok(Ok(_)) => Ok(reply),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(closed()),
        }
    }

    fn size(&self) -> Size {
        self.state().registry.size()
    }

    async fn failed(&self) -> StoreError {
        let mut durable = self.durable.clone();
        match durable.wait_for(Result::is_err).await.map(|failed| (*failed).clone()) {
            Ok(Err(error)) => error,
            // The committer is gone without a word, though it was not told to go: it has panicked.
            _ if self.state().queue.is_some() => closed(),
            // An ephemeral registry does not fail, and a closed one has no more to say.
            _ => std::future::pending().await,
        }
    }

    async fn close(&self) {
        self.state().queue = None;
        let committer = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(committer) = committer {
            // A panic of the committer has shown in the channel that it dropped.
            let _ = spawn_blocking(move || committer.join()).await;
        }
    }
}

fn closed() -> StoreError {
    StoreError::Io { path: "the store".into(), reason: "closed".into() }
}

fn commit_all(
    mut log: impl Log,
    mut changes: mpsc::UnboundedReceiver<Change>,
    mut revision: u64,
    announce: &watch::Sender<Durable>,
    on_commit: &(dyn Fn(usize, f64) + Send + Sync),
) {
    let mut batch = Vec::new();
    while changes.blocking_recv_many(&mut batch, MAX_BATCH) > 0 {
        let started = Instant::now();
        if let Err(error) = log.commit(&batch) {
            announce.send_modify(|durable| *durable = Err(error));
            return;
        }
        on_commit(batch.len(), started.elapsed().as_secs_f64());
        revision += batch.len() as u64;
        announce.send_modify(|durable| *durable = Ok(revision));
        batch.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as std_mpsc;

    use xlreg::credential::Credential;
    use xlreg::identity::{CommsKeyPair, Identity, MemberAttrs, NodeId, SigKeyPair, Version};
    use xlreg::message::{ClusterRef, Create, Request};
    use xlreg::registry::RegistryLimits;

    use super::*;

    /// A log that commits when it is told to, and fails when it is told so.
    struct Gate {
        verdicts: std_mpsc::Receiver<bool>,
        committed: std_mpsc::Sender<usize>,
    }

    impl Log for Gate {
        fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
            match self.verdicts.recv() {
                Ok(true) => {
                    let _ = self.committed.send(changes.len());
                    Ok(())
                }
                _ => Err(StoreError::Io { path: "disk".into(), reason: "full".into() }),
            }
        }
    }

    struct Bench {
        store: Arc<MemoryStore>,
        verdict: std_mpsc::Sender<bool>,
        committed: std_mpsc::Receiver<usize>,
        node: Identity,
    }

    fn bench() -> Bench {
        let rng = &mut SystemRng;
        // Small keys: it is the store that is tested here.
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
        let log = Gate { verdicts, committed: sender };
        let store = MemoryStore::with_log(registry, log, Arc::new(|_, _| ())).unwrap();
        Bench { store: Arc::new(store), verdict, committed, node }
    }

    impl Bench {
        /// Asks on a task of its own, which ends when the reply is let out.
        fn ask(
            &self,
            mut state: ClientState,
            request: Request,
        ) -> tokio::task::JoinHandle<(ClientState, Result<Reply, StoreError>)> {
            let store = Arc::clone(&self.store);
            tokio::spawn(async move {
                let request = CheckedRequest::new(request, &xlreg::crypto::RustCrypto).unwrap();
                let reply = store.decide(&mut state, request).await;
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

    /// A runtime of one thread, so that tasks run in the order they are spawned up to where they
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
        // The first commit has taken what was there when it began; the second takes all the rest.
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

    /// A log whose commits panic.
    struct Broken;

    impl Log for Broken {
        fn commit(&mut self, _: &[Change]) -> Result<(), StoreError> {
            panic!("as the test wants it")
        }
    }

    #[tokio::test]
    async fn a_committer_that_panics_is_a_failure() {
        let Bench { node, store, .. } = bench();
        let credential = store.state().registry.credential().clone();
        let registry = Registry::new(credential, RegistryLimits::default());
        let store = MemoryStore::with_log(registry, Broken, Arc::new(|_, _| ())).unwrap();
        let token = node.token(MemberAttrs::NONE, Vec::new(), &mut SystemRng).unwrap();
        let request = CheckedRequest::new(Request::Member(token), &xlreg::crypto::RustCrypto);
        assert!(store.decide(&mut ClientState::new(), request.unwrap()).await.is_err());
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
}
