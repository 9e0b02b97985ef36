//! The look-ups of the rules.

use super::{Cluster, RegistryLimits, Size};
use crate::credential::Credential;
use crate::identity::{Fingerprint, Name, NodeId};

/// A registry as the rules see it.
///
/// [`Registry`](super::Registry) is a view with everything in memory. A store with its state
/// elsewhere fetches the few rows that a request names, and is a view of those. Changes that are
/// not durable yet are a view laid over another. All look-ups of one [`decide`](super::decide) must
/// answer from the same state.
pub trait View {
    /// The registry's credential.
    fn credential(&self) -> &Credential;

    /// The limits of the registry.
    fn limits(&self) -> &RegistryLimits;

    /// How much the registry knows.
    fn size(&self) -> Size;

    /// The sig key that this node ID is bound to.
    fn node(&self, id: &NodeId) -> Option<Fingerprint>;

    /// The cluster with this ID.
    fn cluster(&self, id: &NodeId) -> Option<&Cluster>;

    /// The cluster with this name.
    fn cluster_named(&self, name: &Name) -> Option<&Cluster>;

    /// Whether an ID is in use for anything. IDs are unique in a registry (PROTOCOL 1).
    fn is_taken(&self, id: &NodeId) -> bool {
        self.node(id).is_some() || self.cluster(id).is_some() || self.credential().id == *id
    }
}
