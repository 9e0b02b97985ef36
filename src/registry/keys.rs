//! What each sig key has in a registry.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Holdings;
use crate::identity::{Fingerprint, NodeId};

/// What each sig key has, and the most that any of them has had.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    all: BTreeMap<Fingerprint, Key>,
    most: Holdings,
}

#[derive(Clone, Debug, Default)]
struct Key {
    nodes: Nodes,
    clusters: usize,
    memberships: usize,
}

/// The IDs that are bound to a key. It is one, unless something went wrong.
#[derive(Clone, Debug, Default)]
enum Nodes {
    #[default]
    None,
    One(NodeId),
    Many(Vec<NodeId>),
}

impl Nodes {
    fn as_slice(&self) -> &[NodeId] {
        match self {
            Self::None => &[],
            Self::One(id) => core::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }

    fn push(&mut self, id: NodeId) {
        match self {
            Self::None => *self = Self::One(id),
            Self::One(first) => *self = Self::Many([*first, id].into()),
            Self::Many(ids) => ids.push(id),
        }
    }

    fn remove(&mut self, id: &NodeId) {
        let mut ids = self.as_slice().to_vec();
        ids.retain(|it| it != id);
        *self = match ids[..] {
            [] => Self::None,
            [one] => Self::One(one),
            _ => Self::Many(ids),
        };
    }
}

impl Key {
    fn holdings(&self) -> Holdings {
        let Self { nodes, clusters, memberships } = self;
        let nodes = nodes.as_slice().len();
        Holdings { nodes, clusters: *clusters, memberships: *memberships }
    }
}

impl Keys {
    /// What this key has.
    pub(super) fn used_by(&self, key: &Fingerprint) -> Holdings {
        self.all.get(key).map(Key::holdings).unwrap_or_default()
    }

    /// The IDs that are bound to this key, in the order in which they were.
    pub(super) fn nodes(&self, key: &Fingerprint) -> &[NodeId] {
        self.all.get(key).map_or(&[], |key| key.nodes.as_slice())
    }

    /// The most of each that one key has had.
    pub(super) const fn most(&self) -> Holdings {
        self.most
    }

    pub(super) fn bind(&mut self, key: Fingerprint, id: NodeId) {
        self.change(key, |key| key.nodes.push(id));
    }

    pub(super) fn unbind(&mut self, key: Fingerprint, id: &NodeId) {
        self.change(key, |key| key.nodes.remove(id));
    }

    /// Counts a cluster that this key has created, or that is gone.
    pub(super) fn count_cluster(&mut self, key: Fingerprint, step: Step) {
        self.change(key, |key| key.clusters = step.from(key.clusters));
    }

    /// Counts a membership of this key that comes or goes.
    pub(super) fn count_membership(&mut self, key: Fingerprint, step: Step) {
        self.change(key, |key| key.memberships = step.from(key.memberships));
    }

    fn change(&mut self, fingerprint: Fingerprint, change: impl FnOnce(&mut Key)) {
        let key = self.all.entry(fingerprint).or_default();
        change(key);
        let now = key.holdings();
        self.most = Holdings {
            nodes: self.most.nodes.max(now.nodes),
            clusters: self.most.clusters.max(now.clusters),
            memberships: self.most.memberships.max(now.memberships),
        };
        if now == Holdings::default() {
            self.all.remove(&fingerprint);
        }
    }
}

/// A count goes up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Up,
    Down,
}

impl Step {
    /// The next count. Each that is counted takes memory, and none goes that was not counted.
    pub(super) fn from(self, count: usize) -> usize {
        debug_assert!(self == Self::Up || count > 0, "what goes was counted");
        match self {
            Self::Up => count.saturating_add(1),
            Self::Down => count.saturating_sub(1),
        }
    }

    /// The next number of bytes, as above.
    pub(super) fn by(self, count: u64, bytes: u64) -> u64 {
        debug_assert!(self == Self::Up || count >= bytes, "what goes was counted");
        match self {
            Self::Up => count.saturating_add(bytes),
            Self::Down => count.saturating_sub(bytes),
        }
    }
}
