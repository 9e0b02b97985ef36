//! A registry in this process: decided under a lock, made durable by a thread that commits for many
//! at once.
//!
//! 1. [`MemoryStore::decide`](Store::decide) takes the lock, decides, and queues the change while
//!    it still has the lock, so that the queue is in the order of decisions.
//! 2. The committer takes everything that is queued, makes it durable with one commit, moves the
//!    revisions of clusters, and announces how far it has come.
//! 3. Every reply waits for its revision, also one that changes nothing: it may tell of changes
//!    made just before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use xlreg::crypto::SystemRng;
use xlreg::identity::NodeId;
use xlreg::message::Reply;
use xlreg::registry::{Change, CheckedRequest, ClientState, Outcome, Registry, Size};

use super::revisions::{Look, Revision, Revisions};
use super::{Health, Log, Store, StoreError};
use crate::metrics::Metrics;

/// Changes in one commit. Enough for every connection there can be at a time; bounded so that one
/// commit stays short.
const MAX_BATCH: usize = 4096;

/// A registry in this process.
pub struct MemoryStore {
    state: Mutex<State>,
    revisions: Arc<Mutex<Revisions>>,
    durable: watch::Receiver<Durable>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    registry: Registry,
    keeper: Keeper,
}

/// Who makes changes durable.
enum Keeper {
    /// Nobody: all is gone when the process ends, and counts as durable at once.
    Nobody,
    /// The committer, in the order of this queue.
    Committer(mpsc::UnboundedSender<Change>),
    /// Nobody any more, and nothing is decided any more.
    Closed,
}

/// How far everything is durable.
#[derive(Clone, Default)]
struct Durable {
    /// Up to this revision of the registry.
    revision: u64,
    /// What the log takes on disk.
    bytes: Option<u64>,
    /// Why there will be no more.
    failure: Option<StoreError>,
}

impl MemoryStore {
    /// A registry that is gone when the process ends: everything counts as durable at once.
    pub fn new(registry: Registry) -> Self {
        let (_, durable) = watch::channel(Durable { revision: u64::MAX, ..Durable::default() });
        Self {
            state: Mutex::new(State { registry, keeper: Keeper::Nobody }),
            revisions: Arc::default(),
            durable,
            committer: Mutex::new(None),
        }
    }

    /// A registry whose changes go to a log. `registry` is what the log holds already; `metrics`
    /// counts its commits.
    ///
    /// # Errors
    ///
    /// The system's, if it has no more threads.
    pub fn with_log(
        registry: Registry,
        log: impl Log,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let (queue, changes) = mpsc::unbounded_channel();
        let revision = registry.revision();
        let (announce, durable) =
            watch::channel(Durable { revision, bytes: log.bytes(), failure: None });
        let revisions = Arc::<Mutex<Revisions>>::default();
        let committer = Committer { log, revisions: Arc::clone(&revisions), announce, metrics };
        let committer = thread::Builder::new()
            .name("committer".into())
            .spawn(move || committer.commit_all(changes))?;
        Ok(Self {
            state: Mutex::new(State { registry, keeper: Keeper::Committer(queue) }),
            revisions,
            durable,
            committer: Mutex::new(Some(committer)),
        })
    }

    /// Decides, and queues what changes.
    fn decide_now(
        &self,
        client: &mut ClientState,
        request: CheckedRequest,
    ) -> Result<Outcome, StoreError> {
        let State { registry, keeper } = &mut *self.state();
        if matches!(keeper, Keeper::Closed) {
            return Err(closed());
        }
        let mut outcome = registry.handle_checked(client, request, &mut SystemRng);
        match (outcome.change.take(), keeper) {
            // Where nobody takes it, nobody announces its revision either: the wait for it fails.
            (Some(change), Keeper::Committer(queue)) => drop(queue.send(change)),
            (Some(change), Keeper::Nobody) => locked(&self.revisions).change(&change),
            _ => {}
        }
        Ok(outcome)
    }

    /// Resolves when all changes up to this revision of the registry are durable.
    async fn durable(&self, revision: u64) -> Result<(), StoreError> {
        let mut durable = self.durable.clone();
        let reached = |durable: &Durable| durable.failure.is_some() || durable.revision >= revision;
        match durable.wait_for(reached).await {
            Ok(durable) => durable.failure.clone().map_or(Ok(()), Err),
            Err(_) => Err(closed()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

/// What is behind a lock is whole whatever a thread that held it came to: it changes only by whole
/// changes.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store for MemoryStore {
    async fn decide(
        &self,
        state: &mut ClientState,
        request: CheckedRequest,
    ) -> Result<Reply, StoreError> {
        let Outcome { reply, revision, .. } = self.decide_now(state, request)?;
        self.durable(revision).await?;
        Ok(reply)
    }

    async fn changed(
        &self,
        cluster: NodeId,
        known: Option<Revision>,
    ) -> Result<Option<Revision>, StoreError> {
        let (is_there, revision) = {
            let State { registry, .. } = &*self.state();
            (registry.cluster(&cluster).is_some(), registry.revision())
        };
        if !is_there {
            return Ok(None);
        }
        // A cluster that is not durable yet is not told of.
        self.durable(revision).await?;
        loop {
            let waiting;
            let notified;
            match locked(&self.revisions).look(cluster, known) {
                Look::Moved(revision) => return Ok(Some(revision)),
                Look::Ended => break,
                Look::Same(place) => {
                    waiting = place;
                    // While the lock is held: from here on nothing is missed.
                    notified = waiting.notified();
                }
            }
            notified.await;
        }
        Err(self.health().failure.unwrap_or_else(closed))
    }

    fn size(&self) -> Size {
        self.state().registry.size()
    }

    fn health(&self) -> Health {
        let State { registry, keeper } = &*self.state();
        let Durable { revision, bytes, failure } = self.durable.borrow().clone();
        let (ended, waiting) = match keeper {
            Keeper::Nobody => (false, 0),
            Keeper::Committer(_) => {
                debug_assert!(revision <= registry.revision(), "it is decided, then durable");
                let waiting = registry.revision().saturating_sub(revision);
                (self.durable.has_changed().is_err(), waiting)
            }
            Keeper::Closed => (true, 0),
        };
        Health { failure: failure.or_else(|| ended.then(closed)), waiting, bytes }
    }

    async fn failed(&self) -> StoreError {
        let mut durable = self.durable.clone();
        let failure = durable.wait_for(|durable| durable.failure.is_some()).await;
        match failure.map(|durable| durable.failure.clone()) {
            Ok(Some(error)) => error,
            // The committer is gone without a word, though it was not told to go: it has panicked.
            _ if matches!(self.state().keeper, Keeper::Committer(_)) => closed(),
            // One that nobody keeps does not fail, and a closed one has no more to say.
            _ => std::future::pending().await,
        }
    }

    async fn close(&self) {
        self.state().keeper = Keeper::Closed;
        let committer = locked(&self.committer).take();
        if let Some(committer) = committer {
            // A panic of the committer has shown in the channel that it dropped.
            let _ = spawn_blocking(move || committer.join()).await;
        }
        locked(&self.revisions).end();
    }
}

fn closed() -> StoreError {
    StoreError::Io { path: "the store".into(), reason: "closed".into() }
}

/// The thread that makes changes durable.
struct Committer<L> {
    log: L,
    revisions: Arc<Mutex<Revisions>>,
    announce: watch::Sender<Durable>,
    metrics: Arc<Metrics>,
}

impl<L: Log> Committer<L> {
    /// Commits until the queue ends, or the log fails.
    fn commit_all(mut self, mut changes: mpsc::UnboundedReceiver<Change>) {
        let mut batch = Vec::new();
        while changes.blocking_recv_many(&mut batch, MAX_BATCH) > 0 {
            let started = Instant::now();
            if let Err(error) = self.log.commit(&batch) {
                self.announce.send_modify(|durable| durable.failure = Some(error));
                return;
            }
            self.metrics.commit(batch.len(), started.elapsed().as_secs_f64());
            let mut revisions = locked(&self.revisions);
            batch.iter().for_each(|change| revisions.change(change));
            drop(revisions);
            let bytes = self.log.bytes();
            self.announce.send_modify(|durable| {
                durable.revision += batch.len() as u64;
                durable.bytes = bytes;
            });
            batch.clear();
        }
    }
}

/// However the thread ends, nothing changes any more.
impl<L> Drop for Committer<L> {
    fn drop(&mut self) {
        locked(&self.revisions).end();
    }
}

#[cfg(test)]
mod tests;
