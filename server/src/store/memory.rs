//! A registry in this process. Requests are decided under a lock, and a thread makes the changes
//! durable, many with one commit.
//!
//! 1. [`MemoryStore::decide`](Store::decide) takes the lock, decides, and queues the change while
//!    it has the lock. So the queue is in the order of decisions.
//! 2. The committer takes all queued changes, makes them durable with one commit, moves the
//!    revisions of their clusters, and announces the revision of the registry that is durable.
//! 3. Every reply waits until its revision is durable, even a reply without a change: it may tell
//!    of changes made just before.

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

/// The number of changes in one commit. It is enough for all connections at once, and bounded so
/// that a commit stays short.
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

/// The owner of the changes that are not durable yet.
enum Keeper {
    /// There is no log. All changes count as durable at once, and are gone when the process ends.
    Nobody,
    /// The committer has this queue.
    Committer(mpsc::UnboundedSender<Change>),
    /// The store is closed, and decides nothing more.
    Closed,
}

/// The state of the committer.
#[derive(Clone, Default)]
struct Durable {
    /// The revision of the registry that is durable.
    revision: u64,
    /// The size of the log on disk, in bytes.
    bytes: Option<u64>,
    /// The reason why nothing more becomes durable.
    failure: Option<StoreError>,
}

impl MemoryStore {
    /// Makes a store without a log: all changes count as durable at once, and are gone when the
    /// process ends.
    pub fn new(registry: Registry) -> Self {
        let (_, durable) = watch::channel(Durable { revision: u64::MAX, ..Durable::default() });
        Self {
            state: Mutex::new(State { registry, keeper: Keeper::Nobody }),
            revisions: Arc::default(),
            durable,
            committer: Mutex::new(None),
        }
    }

    /// Makes a store with a log. `registry` has the state of the log, and `metrics` counts its
    /// commits.
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

    /// Decides a request, and queues its change.
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
            // If the committer is gone, nobody announces the revision, and the wait for it fails.
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

/// Locks a mutex. If a thread panicked with the lock, the state is whole all the same, because it
/// changes only by whole changes.
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
        // A cluster that is not durable is not told of.
        self.durable(revision).await?;
        loop {
            let waiting;
            let notified;
            match locked(&self.revisions).look(cluster, known) {
                Look::Moved(revision) => return Ok(Some(revision)),
                Look::Ended => break,
                Look::Same(place) => {
                    waiting = place;
                    // Still under the lock, so that no change is missed.
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
                // Never negative, by the assertion. A gauge of 0 is the least misleading otherwise.
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
            // The committer is gone but was not told to go: it has panicked.
            _ if matches!(self.state().keeper, Keeper::Committer(_)) => closed(),
            // A store without a log does not fail, and a closed one has nothing more to report.
            _ => std::future::pending().await,
        }
    }

    async fn close(&self) {
        self.state().keeper = Keeper::Closed;
        let committer = locked(&self.committer).take();
        if let Some(committer) = committer {
            // If the committer has panicked, its dropped channel has shown it.
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

/// Ends all waits, in any case, because nothing changes any more.
impl<L> Drop for Committer<L> {
    fn drop(&mut self) {
        locked(&self.revisions).end();
    }
}

#[cfg(test)]
mod tests;
