//! Changes that are decided and not durable yet. They lie in layers over the registry.
//!
//! A layer is what one commit makes durable. When that has succeeded, its changes go into the
//! registry. When it has failed, the layer and all above it are dropped, since they were decided on
//! it. So what is not durable is never in the registry.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::watch;
use xlreg::credential::Credential;
use xlreg::identity::{Fingerprint, Name, NodeId};
use xlreg::registry::{ApplyError, Change, Cluster, Registry, RegistryLimits, Size, View};

use super::StoreError;

/// The number of changes in one layer. It is enough for all connections at once, and bounded so
/// that a commit stays short.
const MAX_CHANGES: usize = 4096;

/// The outcome of a layer; `None` while it is not known.
pub(super) type Outcome = Option<Result<(), StoreError>>;

/// The layers over a registry, from the bottom up.
#[derive(Default)]
pub(super) struct Overlay {
    layers: VecDeque<Layer>,
    /// Whether the lowest layer is being committed, so that nothing more goes into it.
    committing: bool,
}

/// The changes of one commit, as far as they can be looked up.
struct Layer {
    nodes: BTreeMap<NodeId, Fingerprint>,
    /// Clusters with all their members, those of lower layers too.
    clusters: BTreeMap<NodeId, Cluster>,
    names: BTreeMap<Name, NodeId>,
    /// The size with this layer.
    size: Size,
    changes: Vec<Change>,
    /// How many changes there are, even when they are being committed.
    count: usize,
    outcome: watch::Sender<Outcome>,
}

impl Layer {
    fn over(size: Size) -> Self {
        Self {
            nodes: BTreeMap::new(),
            clusters: BTreeMap::new(),
            names: BTreeMap::new(),
            size,
            changes: Vec::new(),
            count: 0,
            outcome: watch::Sender::new(None),
        }
    }
}

impl Overlay {
    /// The registry with all layers.
    pub(super) const fn over<'a>(&'a self, registry: &'a Registry) -> Layered<'a> {
        Layered { registry, overlay: self }
    }

    /// The outcome that all that was decided up to now depends on; `None` if all is durable.
    pub(super) fn outcome(&self) -> Option<watch::Receiver<Outcome>> {
        self.layers.back().map(|layer| layer.outcome.subscribe())
    }

    /// The outcome that a cluster depends on that is not durable.
    pub(super) fn outcome_of_cluster(&self, id: &NodeId) -> Option<watch::Receiver<Outcome>> {
        let layer = self.layers.iter().find(|layer| layer.clusters.contains_key(id))?;
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
        let cluster = match &change {
            Change::ClusterCreated { name, info, created_by } => {
                Some(Cluster::restore(name.clone(), *info, *created_by)?)
            }
            Change::MemberJoined { cluster, .. } | Change::MemberUpdated { cluster, .. } => {
                let known = self.over(registry).cluster(cluster).cloned();
                let mut cluster = known.ok_or(ApplyError::NoCluster(*cluster))?;
                cluster.apply(&change)?;
                Some(cluster)
            }
            _ => None,
        };
        let size = self.over(registry).size();
        let closed = usize::from(self.committing);
        let is_open = |layer: &Layer| layer.count < MAX_CHANGES;
        if self.layers.len() <= closed || !self.layers.back().is_some_and(is_open) {
            self.layers.push_back(Layer::over(size));
        }
        let Some(layer) = self.layers.back_mut() else {
            debug_assert!(false, "a layer has just been added");
            return Err(ApplyError::TooMany);
        };
        // Each of these has taken memory, so their number cannot come to its end.
        match &change {
            Change::NodeBound { id, key } => {
                layer.nodes.insert(*id, *key);
                layer.size.nodes = layer.size.nodes.saturating_add(1);
            }
            Change::ClusterCreated { name, info, .. } => {
                layer.names.insert(name.clone(), info.id);
                layer.size.clusters = layer.size.clusters.saturating_add(1);
            }
            Change::MemberJoined { .. } => {
                layer.size.memberships = layer.size.memberships.saturating_add(1);
            }
            _ => {}
        }
        if let Some(cluster) = cluster {
            layer.clusters.insert(cluster.info().id, cluster);
        }
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
pub(super) struct Layered<'a> {
    registry: &'a Registry,
    overlay: &'a Overlay,
}

impl<'a> Layered<'a> {
    /// The layers from the top down.
    fn layers(&self) -> impl Iterator<Item = &'a Layer> + use<'a> {
        self.overlay.layers.iter().rev()
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
        self.overlay.layers.back().map_or_else(|| self.registry.size(), |layer| layer.size)
    }

    fn node(&self, id: &NodeId) -> Option<Fingerprint> {
        let found = self.layers().find_map(|layer| layer.nodes.get(id).copied());
        found.or_else(|| self.registry.node(id))
    }

    fn cluster(&self, id: &NodeId) -> Option<&Cluster> {
        let found = self.layers().find_map(|layer| layer.clusters.get(id));
        found.or_else(|| self.registry.cluster(id))
    }

    fn cluster_named(&self, name: &Name) -> Option<&Cluster> {
        match self.layers().find_map(|layer| layer.names.get(name)) {
            Some(id) => self.cluster(id),
            // Its members may have changed in a layer.
            None => {
                let known = self.registry.cluster_named(name)?;
                self.cluster(&known.info().id)
            }
        }
    }
}
