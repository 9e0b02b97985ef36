//! A registry in this process. Requests are decided under a lock, and a thread makes the changes
//! durable, many with one commit.
//!
//! 1. [`MemoryStore::decide`](Store::decide) takes the lock, decides on the registry with all that
//!    is not durable yet, and adds the change to that. So changes are in the order of decisions.
//! 2. The committer takes the changes that wait, and makes them durable with one commit. Then they
//!    go into the registry, and the revisions of their clusters move.
//! 3. Every reply waits until all that was decided before it is durable, even a reply without a
//!    change: it may tell of changes made just before.
//! 4. If a commit fails because nothing can be written now, all that is not durable is dropped. A
//!    request that would have changed something is refused, and all others are decided again.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::{info, warn};
use xlreg::crypto::SystemRng;
use xlreg::identity::{Fingerprint, NodeId};
use xlreg::message::{Refusal, Reply};
use xlreg::registry::{
    Change, CheckedRequest, ClientState, ClusterProperties, Decision, Holdings, Registry,
    RegistryLimits, Size, View, decide,
};

use super::overlay::{Outcome, Overlay};
use super::revisions::{Look, Revision, Revisions};
use super::{ChangeError, DiskSize, Health, Log, Store, StoreError};
use crate::metrics::Metrics;
use crate::rates::Origin;
use crate::target;

/// The pause between two tries to write where nothing can be written now. It is short enough that
/// nobody waits long for a disk that has room again.
const RETRY: Duration = Duration::from_secs(1);

/// How often a request that changes nothing is decided again because what it told of was dropped.
/// Then it is told only what is durable, so that nobody's failing changes can keep it waiting.
const DECIDED_AGAIN: u32 = 3;

/// A registry in this process.
pub struct MemoryStore {
    shared: Arc<Shared>,
    written: watch::Receiver<Written>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

/// What connections and the committer share.
struct Shared {
    state: Mutex<State>,
    /// There are changes for the committer, or the store was closed.
    work: Condvar,
    revisions: Mutex<Revisions>,
}

struct State {
    /// What is durable.
    registry: Registry,
    /// What is not.
    overlay: Overlay,
    keeper: Keeper,
}

/// The owner of the changes that are not durable yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeper {
    /// There is no log. All changes count as durable at once, and are gone when the process ends.
    Nobody,
    /// The committer makes them durable.
    Committer,
    /// The store is closed, and decides nothing more.
    Closed,
    /// The committer has ended, and nothing becomes durable any more.
    Gone,
}

/// What the committer has written.
#[derive(Clone, Default)]
struct Written {
    /// The size on disk.
    disk: Option<DiskSize>,
    /// The reason why nothing can be written now.
    unwritable: Option<StoreError>,
    /// The reason why nothing more becomes durable.
    failure: Option<StoreError>,
}

/// A decision that may have to wait.
struct Decided {
    reply: Reply,
    changes: bool,
    /// What it depends on; `None` if all of that is durable.
    outcome: Option<watch::Receiver<Outcome>>,
}

impl MemoryStore {
    /// Makes a store without a log: all changes count as durable at once, and are gone when the
    /// process ends.
    pub fn new(registry: Registry) -> Self {
        let (_, written) = watch::channel(Written::default());
        let shared = Arc::new(Shared::new(registry, Keeper::Nobody));
        Self { shared, written, committer: Mutex::new(None) }
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
        let unwritable = log.unwritable();
        if let Some(error) = &unwritable {
            warn!(target: target::STORE, "{error}; changes are refused until then");
        }
        let (announce, written) =
            watch::channel(Written { disk: log.disk(), unwritable, failure: None });
        let shared = Arc::new(Shared::new(registry, Keeper::Committer));
        let committer = Committer { log, shared: Arc::clone(&shared), announce, metrics };
        let committer = thread::Builder::new()
            .name("committer".into())
            .spawn(move || committer.commit_all())?;
        Ok(Self { shared, written, committer: Mutex::new(Some(committer)) })
    }

    /// Decides a request, and hands its change to the committer.
    fn decide_now(
        &self,
        client: &mut ClientState,
        request: CheckedRequest,
        origin: &Origin,
    ) -> Result<Decided, StoreError> {
        let state = &mut *self.shared.state();
        if matches!(state.keeper, Keeper::Closed | Keeper::Gone) {
            return Err(self.end());
        }
        let admit = |key: &Fingerprint, change: &Change| {
            // What has no room on disk is not counted against anybody.
            if self.disk_use() >= state.registry.limits().store_bytes {
                return Err(Refusal::RegistryFull);
            }
            origin.admit(key, change)
        };
        let view = state.overlay.over(&state.registry).live(&admit);
        let Decision { mut reply, change } = decide(&view, client, request, &mut SystemRng);
        let changes = change.as_ref().is_some_and(|change| !change.is_note());
        match change.map_or(Ok(()), |change| self.take(state, change)) {
            Ok(()) => {}
            Err(ChangeError::Store(error)) => return Err(error),
            Err(ChangeError::Apply(error)) => {
                debug_assert!(false, "what was decided applies: {error}");
                reply = Reply::Error(Refusal::Unavailable.into());
            }
        }
        Ok(Decided { reply, changes, outcome: state.overlay.outcome() })
    }

    /// Takes a change that was decided on this state: into the registry, or to the committer.
    fn take(&self, state: &mut State, change: Change) -> Result<(), ChangeError> {
        let State { registry, overlay, keeper } = state;
        match keeper {
            Keeper::Nobody => {
                registry.apply(&change)?;
                self.shared.revisions().change(&change);
            }
            Keeper::Committer => {
                overlay.add(registry, change)?;
                self.shared.work.notify_one();
            }
            Keeper::Closed | Keeper::Gone => return Err(self.end().into()),
        }
        Ok(())
    }

    /// Makes a change that no client has asked for. Resolves when it is durable.
    ///
    /// # Errors
    ///
    /// [`ChangeError`] if it does not follow from the state, or cannot be made durable.
    pub async fn change(&self, change: Change) -> Result<(), ChangeError> {
        let outcome = {
            let state = &mut *self.shared.state();
            self.take(state, change)?;
            state.overlay.outcome()
        };
        match outcome {
            Some(mut outcome) => Ok(wait(&mut outcome).await?),
            None => Ok(()),
        }
    }

    /// Whether a cluster is there that is durable. Waits for one that is becoming so.
    async fn is_durable(&self, cluster: &NodeId) -> Result<bool, StoreError> {
        loop {
            let waiting = {
                let State { registry, overlay, .. } = &*self.shared.state();
                if registry.cluster(cluster).is_some() {
                    return Ok(true);
                }
                overlay.outcome_of_cluster(cluster)
            };
            let Some(mut outcome) = waiting else { return Ok(false) };
            match wait(&mut outcome).await {
                Ok(()) | Err(StoreError::Unwritable { .. }) => {}
                Err(_) => return Err(self.end()),
            }
        }
    }

    /// The bytes on disk that are in use.
    fn disk_use(&self) -> u64 {
        let disk = self.written.borrow().disk.unwrap_or_default();
        // What is free in the file was in it before.
        disk.store.saturating_add(disk.log).saturating_sub(disk.free)
    }

    /// Decides a request on what is durable alone. It is refused if it would change something, but
    /// for a note, which is not taken.
    fn decide_on_durable(&self, client: &mut ClientState, request: CheckedRequest) -> Reply {
        let before = client.clone();
        let State { registry, .. } = &*self.shared.state();
        let Decision { reply, change } = decide(registry, client, request, &mut SystemRng);
        match change {
            None => reply,
            Some(change) if change.is_note() => reply,
            Some(_) => {
                *client = before;
                Reply::Error(Refusal::CannotStore.into())
            }
        }
    }

    /// The reason why the store does nothing more.
    fn end(&self) -> StoreError {
        self.written.borrow().failure.clone().unwrap_or_else(closed)
    }
}

impl Shared {
    fn new(registry: Registry, keeper: Keeper) -> Self {
        Self {
            state: Mutex::new(State { registry, overlay: Overlay::default(), keeper }),
            work: Condvar::new(),
            revisions: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    fn revisions(&self) -> MutexGuard<'_, Revisions> {
        locked(&self.revisions)
    }
}

/// Locks a mutex. If a thread panicked with the lock, the state is whole all the same, because it
/// changes only by whole changes.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for an outcome.
async fn wait(outcome: &mut watch::Receiver<Outcome>) -> Result<(), StoreError> {
    match outcome.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(closed())),
        Err(_) => Err(closed()),
    }
}

impl Store for MemoryStore {
    async fn decide(
        &self,
        state: &mut ClientState,
        request: CheckedRequest,
        origin: &Origin,
    ) -> Result<Reply, StoreError> {
        for _ in 0..DECIDED_AGAIN {
            let before = state.clone();
            let decided = self.decide_now(state, request.clone(), origin)?;
            let Some(mut outcome) = decided.outcome else { return Ok(decided.reply) };
            match wait(&mut outcome).await {
                Ok(()) => return Ok(decided.reply),
                Err(error) => {
                    // What was decided was dropped, and so is what the session has of it.
                    *state = before;
                    match error {
                        StoreError::Unwritable { .. } if decided.changes => {
                            return Ok(Reply::Error(Refusal::CannotStore.into()));
                        }
                        // What it told of was dropped. Perhaps it can tell of something else.
                        StoreError::Unwritable { .. } => {}
                        _ => return Err(self.end()),
                    }
                }
            }
        }
        Ok(self.decide_on_durable(state, request))
    }

    async fn properties(
        &self,
        cluster: NodeId,
    ) -> Result<Option<Arc<ClusterProperties>>, StoreError> {
        let State { registry, overlay, .. } = &*self.shared.state();
        let view = overlay.over(registry);
        Ok(view.cluster(&cluster).map(|cluster| Arc::clone(cluster.properties())))
    }

    async fn changed(
        &self,
        cluster: NodeId,
        known: Option<Revision>,
    ) -> Result<Option<Revision>, StoreError> {
        loop {
            if !self.is_durable(&cluster).await? {
                return Ok(None);
            }
            let waiting;
            let notified;
            {
                let state = self.shared.state();
                if state.registry.cluster(&cluster).is_none() {
                    return Ok(None);
                }
                match self.shared.revisions().look(cluster, known) {
                    Look::Moved(revision) => return Ok(Some(revision)),
                    Look::Ended => break,
                    Look::Same(place) => {
                        waiting = place;
                        // Still under the locks, so that no change is missed.
                        notified = waiting.notified();
                    }
                }
            }
            notified.await;
        }
        Err(self.end())
    }

    fn size(&self) -> Size {
        let State { registry, overlay, .. } = &*self.shared.state();
        overlay.over(registry).size()
    }

    fn limits(&self) -> RegistryLimits {
        *self.shared.state().registry.limits()
    }

    fn most_of_a_key(&self) -> Holdings {
        self.shared.state().registry.most_of_a_key()
    }

    fn health(&self) -> Health {
        let State { overlay, keeper, .. } = &*self.shared.state();
        let Written { disk, unwritable, failure } = self.written.borrow().clone();
        let ended = matches!(keeper, Keeper::Closed | Keeper::Gone);
        let failure = failure.or_else(|| ended.then(closed));
        Health { failure, unwritable, waiting: overlay.len() as u64, disk }
    }

    async fn failed(&self) -> StoreError {
        let mut written = self.written.clone();
        let failure = written.wait_for(|written| written.failure.is_some()).await;
        match failure.map(|written| written.failure.clone()) {
            Ok(Some(error)) => error,
            // The committer is gone but was not told to go: it has panicked.
            _ if self.shared.state().keeper == Keeper::Gone => closed(),
            // A store without a log does not fail, and a closed one has nothing more to report.
            _ => std::future::pending().await,
        }
    }

    async fn close(&self) {
        {
            let mut state = self.shared.state();
            if state.keeper != Keeper::Gone {
                state.keeper = Keeper::Closed;
            }
            self.shared.work.notify_one();
        }
        let committer = locked(&self.committer).take();
        if let Some(committer) = committer {
            // If the committer has panicked, the end of its work has shown it.
            let _ = spawn_blocking(move || committer.join()).await;
        }
        self.shared.revisions().end();
    }
}

fn closed() -> StoreError {
    StoreError::Io { path: "the store".into(), reason: "closed".into() }
}

/// The thread that makes changes durable.
struct Committer<L> {
    log: L,
    shared: Arc<Shared>,
    announce: watch::Sender<Written>,
    metrics: Arc<Metrics>,
}

impl<L: Log> Committer<L> {
    /// Commits until the store is closed, or the log fails.
    fn commit_all(mut self) {
        while let Some(changes) = self.next() {
            let started = Instant::now();
            match self.log.commit(&changes) {
                Ok(()) => self.succeed(&changes, started.elapsed()),
                Err(error @ StoreError::Unwritable { .. }) => {
                    self.shared.state().overlay.fail(&error);
                    self.announce(|written| {
                        if written.unwritable.is_none() {
                            warn!(target: target::STORE, "{error}; changes are refused until then");
                        }
                        written.unwritable = Some(error);
                    });
                }
                Err(error) => {
                    self.announce(|written| written.failure = Some(error.clone()));
                    let mut state = self.shared.state();
                    state.keeper = Keeper::Gone;
                    state.overlay.fail(&error);
                    return;
                }
            }
        }
    }

    /// The changes of the next commit: none of them to try whether it is possible again. `None` when
    /// the store is closed and everything is durable.
    fn next(&self) -> Option<Vec<Change>> {
        let is_writable = self.announce.borrow().unwritable.is_none();
        let mut state = self.shared.state();
        loop {
            if state.overlay.len() > 0 {
                return Some(state.overlay.begin());
            }
            if state.keeper == Keeper::Closed {
                return None;
            }
            let work = &self.shared.work;
            if is_writable {
                state = work.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                let waited = work.wait_timeout(state, RETRY);
                let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                state = guard;
                if timeout.timed_out() && state.overlay.len() == 0 {
                    return Some(Vec::new());
                }
            }
        }
    }

    fn succeed(&mut self, changes: &[Change], time: Duration) {
        // A try without changes is no commit that anybody waits for.
        if !changes.is_empty() {
            self.metrics.commit(changes.len(), time.as_secs_f64());
        }
        {
            let State { registry, overlay, .. } = &mut *self.shared.state();
            let mut revisions = self.shared.revisions();
            changes.iter().for_each(|change| revisions.change(change));
            if !changes.is_empty() {
                overlay.succeed(registry, changes);
            }
        }
        let disk = self.log.disk();
        self.announce(|written| {
            if written.unwritable.take().is_some() {
                info!(target: target::STORE, "changes are stored again");
            }
            written.disk = disk;
        });
        self.log.tidy();
    }

    fn announce(&self, change: impl FnOnce(&mut Written)) {
        self.announce.send_modify(change);
    }
}

/// Ends all waits, in any case, because nothing changes any more.
impl<L> Drop for Committer<L> {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state();
            if state.keeper == Keeper::Committer {
                state.keeper = Keeper::Gone;
            }
            let failure = self.announce.borrow().failure.clone();
            state.overlay.fail(&failure.unwrap_or_else(closed));
        }
        self.shared.revisions().end();
    }
}

#[cfg(test)]
mod tests;
