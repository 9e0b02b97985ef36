//! A registry in this process: decided under a lock, made durable by a thread that commits for many at once.
//!
//! 1. [`Local::decide`](Store::decide) takes the lock, decides, and queues the change while it still has the lock, so that
//!    the queue is in the order of decisions.
//! 2. The committer takes everything that is queued, makes it durable with one commit, and announces the revision reached.
//! 3. Every reply waits for its revision, also one that changes nothing: it may tell of changes made just before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use xlreg::message::Reply;
use xlreg::registry::{Change, CheckedRequest, Registry, Visitor};

use super::{Log, Size, Store, StoreError};
use crate::random;

/// Changes in one commit. Enough for every connection there can be at a time; bounded so that one commit stays short.
const MAX_BATCH: usize = 4096;

/// A registry in this process.
pub struct Local {
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

impl Local {
    /// A registry that is gone when the process ends: everything counts as durable at once.
    pub fn ephemeral(registry: Registry) -> Self {
        let (_, durable) = watch::channel(Ok(u64::MAX));
        let state = Mutex::new(State { registry, queue: None });
        Self { state, durable, committer: Mutex::new(None) }
    }

    /// A registry whose changes go to a log. `registry` is what the log holds already.
    pub fn durable(
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

    /// Commits what is queued and stops committing. Later requests fail.
    pub fn close(&self) {
        self.state().queue = None;
        let committer = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(committer) = committer {
            // A panic of the committer has been announced as a failure by the channel it dropped.
            let _ = committer.join();
        }
    }

    /// Resolves when nothing can be made durable any more.
    pub async fn failed(&self) -> StoreError {
        let mut durable = self.durable.clone();
        match durable.wait_for(Result::is_err).await.map(|failed| (*failed).clone()) {
            Ok(Err(error)) => error,
            // An ephemeral registry does not fail, and a closed one has no more to say.
            _ => std::future::pending().await,
        }
    }

    /// The registry is whole whatever a thread that held the lock came to: it changes only by whole changes.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Local {
    async fn decide(
        &self,
        visitor: &mut Visitor,
        request: CheckedRequest,
    ) -> Result<Reply, StoreError> {
        let (reply, revision) = {
            let State { registry, queue } = &mut *self.state();
            let outcome = registry.handle_checked(visitor, request, &mut random::system());
            if let (Some(change), Some(queue)) = (outcome.change, queue) {
                // Where nobody takes it, nobody announces its revision either: the wait below fails.
                let _ = queue.send(change);
            }
            (outcome.reply, outcome.revision)
        };
        let mut durable = self.durable.clone();
        let reached = |durable: &Durable| durable.as_ref().map_or(true, |upto| *upto >= revision);
        match durable.wait_for(reached).await.map(|durable| (*durable).clone()) {
            Ok(Ok(_)) => Ok(reply),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StoreError::Io {
                path: Default::default(),
                reason: "the store is closed".into(),
            }),
        }
    }

    fn size(&self) -> Size {
        let State { registry, .. } = &*self.state();
        Size {
            nodes: registry.node_count(),
            clusters: registry.clusters().len(),
            memberships: registry.membership_count(),
        }
    }
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
