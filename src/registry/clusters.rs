//! All clusters of a registry, by ID and by name.
//!
//! Each cluster has its place in one list. Ordered maps with short keys lead there. A look-up takes
//! time with the logarithm of the registry, whatever names clients choose, and touches little
//! memory.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use sha2::digest::consts::U16;
use sha2::{Digest, Sha256};

use super::Cluster;
use crate::identity::{Name, NodeId};

/// A key for a name: 16 bytes of its SHA-256. Nobody can find two names with the same key.
type NameKey = [u8; 16];

fn key(name: &Name) -> NameKey {
    let (key, _) = Sha256::digest(name.as_str()).split::<U16>();
    key.into()
}

/// All clusters. Two values are equal if they hold the same clusters, in any order.
#[derive(Clone, Debug, Default)]
pub(super) struct Clusters {
    all: Vec<Cluster>,
    ids: BTreeMap<NodeId, usize>,
    names: BTreeMap<NameKey, usize>,
}

impl Clusters {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// All clusters, in the order of their creation as long as none was deleted.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Cluster> {
        self.all.iter()
    }

    pub(super) fn contains(&self, id: &NodeId) -> bool {
        self.ids.contains_key(id)
    }

    pub(super) fn get(&self, id: &NodeId) -> Option<&Cluster> {
        self.all.get(*self.ids.get(id)?)
    }

    pub(super) fn get_mut(&mut self, id: &NodeId) -> Option<&mut Cluster> {
        self.all.get_mut(*self.ids.get(id)?)
    }

    pub(super) fn named(&self, name: &Name) -> Option<&Cluster> {
        self.all.get(*self.names.get(&key(name))?)
    }

    /// Adds a cluster. Its ID and its name are not in use.
    pub(super) fn insert(&mut self, cluster: Cluster) {
        debug_assert!(!self.contains(&cluster.info().id), "an ID is of one cluster");
        debug_assert!(self.named(cluster.name()).is_none(), "a name is of one cluster");
        let place = self.all.len();
        self.ids.insert(cluster.info().id, place);
        self.names.insert(key(cluster.name()), place);
        self.all.push(cluster);
    }

    /// Takes a cluster out. The last one gets its place.
    pub(super) fn remove(&mut self, id: &NodeId) -> Option<Cluster> {
        let place = self.ids.remove(id)?;
        let moved = self.all.last()?;
        let (moved_id, moved_name) = (moved.info().id, key(moved.name()));
        let removed = self.all.swap_remove(place);
        self.names.remove(&key(removed.name()));
        if moved_id != *id {
            self.ids.insert(moved_id, place);
            self.names.insert(moved_name, place);
        }
        Some(removed)
    }
}

impl PartialEq for Clusters {
    fn eq(&self, other: &Self) -> bool {
        self.ids.len() == other.ids.len()
            && self.ids.keys().all(|id| other.get(id).is_some_and(|it| self.get(id) == Some(it)))
    }
}
