//! Changes that are decided and not durable yet. They lie in layers over the registry.
//!
//! A layer is what one commit makes durable. When that has succeeded, its changes go into the
//! registry. When it has failed, the layer and all above it are dropped, since they were decided on
//! it. So what is not durable is never in the registry.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use xlreg::credential::Credential;
use xlreg::identity::{Fingerprint, Name, NodeId};
use xlreg::message::{MemberEntry, Refusal};
use xlreg::registry::{
    ApplyError, Change, Cluster, Day, Holdings, Node, Registry, RegistryLimits, Size, View,
};

use super::StoreError;
use super::rows::Rows;

/// The number of changes in one layer. It is enough for all connections at once, and bounded so
/// that a commit stays short.
const MAX_CHANGES: usize = 4096;

/// The outcome of a layer; `None` while it is not known.
pub(super) type Outcome = Option<Result<(), StoreError>>;

/// Asks whether a change may be made now.
pub(super) type Admit<'a> = &'a dyn Fn(&Fingerprint, &Change) -> Result<(), Refusal>;

/// The layers over a registry, from the bottom up.
#[derive(Default)]
pub(super) struct Overlay {
    layers: VecDeque<Layer>,
    /// Whether the lowest layer is being committed, so that nothing more goes into it.
    committing: bool,
}

/// The changes of one commit.
struct Layer {
    rows: Rows,
    changes: Vec<Change>,
    /// How many changes there are, even when they are being committed.
    count: usize,
    outcome: watch::Sender<Outcome>,
}

impl Overlay {
    /// The registry with all layers.
    pub(super) const fn over<'a>(&'a self, registry: &'a Registry) -> Layered<'a> {
        Layered { registry, overlay: self, top: None, admit: None }
    }

    /// The outcome that all that was decided up to now depends on; `None` if all is durable.
    pub(super) fn outcome(&self) -> Option<watch::Receiver<Outcome>> {
        self.layers.back().map(|layer| layer.outcome.subscribe())
    }

    /// The outcome that a cluster depends on that is not durable.
    pub(super) fn outcome_of_cluster(&self, id: &NodeId) -> Option<watch::Receiver<Outcome>> {
        let layer = self.layers.iter().find(|layer| layer.rows.clusters.contains_key(id))?;
        Some(layer.outcome.subscribe())
    }

    /// The number of changes that are not durable.
    pub(super) fn len(&self) -> usize {
        self.layers.iter().map(|layer| layer.count).sum()
    }

    /// Adds a change that was decided on the registry with all layers.
    ///
    /// # Errors
    ///
    /// [`ApplyError`] if it was not; then nothing has changed.
    pub(super) fn add(&mut self, registry: &Registry, change: Change) -> Result<(), ApplyError> {
        let mut rows = Rows::default();
        for part in change.parts() {
            let view = Layered { top: Some(&rows), ..self.over(registry) };
            let above = Rows::of(&view, part)?;
            rows.put(above);
        }
        let closed = usize::from(self.committing);
        let is_open = |layer: &Layer| layer.count < MAX_CHANGES;
        if self.layers.len() <= closed || !self.layers.back().is_some_and(is_open) {
            let (outcome, _) = watch::channel(None);
            let (rows, changes) = (Rows::default(), Vec::new());
            self.layers.push_back(Layer { rows, changes, count: 0, outcome });
        }
        let Some(layer) = self.layers.back_mut() else {
            debug_assert!(false, "a layer has just been added");
            return Err(ApplyError::TooMany);
        };
        layer.rows.put(rows);
        layer.changes.push(change);
        layer.count = layer.changes.len();
        Ok(())
    }

    /// Takes the changes of the lowest layer, to commit them. Nothing more goes into it.
    pub(super) fn begin(&mut self) -> Vec<Change> {
        debug_assert!(!self.committing, "one commit after another");
        let Some(layer) = self.layers.front_mut() else { return Vec::new() };
        self.committing = true;
        std::mem::take(&mut layer.changes)
    }

    /// The lowest layer has become durable: these changes go into the registry.
    pub(super) fn succeed(&mut self, registry: &mut Registry, changes: &[Change]) {
        debug_assert!(self.committing, "a commit was begun");
        self.committing = false;
        for change in changes {
            let applied = registry.apply(change);
            debug_assert!(applied.is_ok(), "what was decided applies: {applied:?}");
        }
        if let Some(layer) = self.layers.pop_front() {
            layer.outcome.send_replace(Some(Ok(())));
        }
    }

    /// The lowest layer cannot become durable, and so none can.
    pub(super) fn fail(&mut self, error: &StoreError) {
        self.committing = false;
        for layer in self.layers.drain(..) {
            layer.outcome.send_replace(Some(Err(error.clone())));
        }
    }
}

/// A registry with the layers over it.
#[derive(Clone, Copy)]
pub(super) struct Layered<'a> {
    registry: &'a Registry,
    overlay: &'a Overlay,
    /// The first changes of a list, over all layers.
    top: Option<&'a Rows>,
    /// For a client's request: who admits its changes.
    admit: Option<Admit<'a>>,
}

impl<'a> Layered<'a> {
    /// The same for the request of a client whose changes are admitted so.
    pub(super) const fn live(self, admit: Admit<'a>) -> Self {
        Self { admit: Some(admit), ..self }
    }

    /// The layers from the top down.
    fn rows(&self) -> impl DoubleEndedIterator<Item = &'a Rows> + use<'a> {
        self.top.into_iter().chain(self.overlay.layers.iter().rev().map(|layer| &layer.rows))
    }
}

impl View for Layered<'_> {
    fn credential(&self) -> &Credential {
        self.registry.credential()
    }

    fn limits(&self) -> &RegistryLimits {
        View::limits(self.registry)
    }

    fn size(&self) -> Size {
        let top = self.rows().find_map(|rows| rows.size);
        top.unwrap_or_else(|| self.registry.size())
    }

    fn used_by(&self, key: &Fingerprint) -> Holdings {
        let below = self.registry.used_by(key);
        self.rows().rev().fold(below, |sum, rows| rows.add_used_by(key, sum))
    }

    fn uses(&self, member: &MemberEntry) -> usize {
        let below = self.registry.uses(member);
        self.rows().rev().fold(below, |sum, rows| rows.add_uses(member, sum))
    }

    fn node(&self, id: &NodeId) -> Option<Node> {
        let found = self.rows().find_map(|rows| rows.nodes.get(id).copied());
        found.or_else(|| self.registry.node(id))
    }

    fn nodes_of(&self, key: &Fingerprint) -> Vec<NodeId> {
        let mut nodes = self.registry.nodes_of(key);
        nodes.extend(self.rows().rev().flat_map(|rows| rows.nodes_of(key)));
        nodes
    }

    fn cluster(&self, id: &NodeId) -> Option<&Cluster> {
        match self.rows().find_map(|rows| rows.clusters.get(id)) {
            Some(cluster) => cluster.as_ref(),
            None => self.registry.cluster(id),
        }
    }

    fn cluster_named(&self, name: &Name) -> Option<&Cluster> {
        match self.rows().find_map(|rows| rows.names.get(name)) {
            Some(id) => self.cluster(&(*id)?),
            // Its members may have changed in a layer.
            None => {
                let known = self.registry.cluster_named(name)?;
                self.cluster(&known.info().id)
            }
        }
    }

    fn today(&self) -> Option<Day> {
        self.admit.and_then(|_| today())
    }

    fn admit(&self, key: &Fingerprint, change: &Change) -> Result<(), Refusal> {
        self.admit.map_or(Ok(()), |admit| admit(key, change))
    }
}

/// The day by the system's clock; `None` if that is before 1970.
pub(super) fn today() -> Option<Day> {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs() / (24 * 60 * 60);
    u32::try_from(days).ok().map(Day::new)
}
