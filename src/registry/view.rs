//! What the rules look up.

use super::{Cluster, RegistryLimits, Size};
use crate::credential::Credential;
use crate::identity::{Fingerprint, Name, NodeId};

/// A registry as the rules see it: a handful of look-ups.
///
/// [`Registry`](super::Registry) is one that holds everything in memory. A store whose state is
/// elsewhere fetches the few rows that a request names and answers from them; a batch that is not
/// durable yet is a view laid over another. All look-ups during one [`decide`](super::decide) must
/// answer from the same state.
pub trait View {
    /// Who the registry is.
    fn credential(&self) -> &Credential;

    /// How large it may grow.
    fn limits(&self) -> &RegistryLimits;

    /// How much it knows.
    fn size(&self) -> Size;

    /// The sig key that a node ID is bound to, whether it was accepted or issued.
    fn node(&self, id: &NodeId) -> Option<Fingerprint>;

    /// The cluster with this ID.
    fn cluster(&self, id: &NodeId) -> Option<&Cluster>;

    /// The cluster with this name.
    fn cluster_named(&self, name: &Name) -> Option<&Cluster>;

    /// Whether an ID is in use as anything at all: IDs are unique in a registry (PROTOCOL 1).
    fn is_taken(&self, id: &NodeId) -> bool {
        self.node(id).is_some() || self.cluster(id).is_some() || self.credential().id == *id
    }
}
