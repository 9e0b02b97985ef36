//! The look-ups of the rules.

use alloc::vec::Vec;

use super::room::size_after;
use super::{Change, Cluster, Day, Holdings, Node, RegistryLimits, Size};
use crate::credential::Credential;
use crate::identity::{Fingerprint, Name, NodeId};
use crate::message::{MemberEntry, Refusal};

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

    /// What a sig key has of that.
    fn used_by(&self, key: &Fingerprint) -> Holdings;

    /// How many memberships have this token.
    fn uses(&self, member: &MemberEntry) -> usize;

    /// The node with this ID.
    fn node(&self, id: &NodeId) -> Option<Node>;

    /// The IDs that are bound to a sig key, in the order in which they were.
    fn nodes_of(&self, key: &Fingerprint) -> Vec<NodeId>;

    /// The cluster with this ID.
    fn cluster(&self, id: &NodeId) -> Option<&Cluster>;

    /// The cluster with this name.
    fn cluster_named(&self, name: &Name) -> Option<&Cluster>;

    /// Today, if the last use of nodes is to be noted.
    fn today(&self) -> Option<Day> {
        None
    }

    /// Whether a change that the rules and the limits allow may be made now by the client with this
    /// sig key. It is asked last, once for each change.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] to send.
    fn admit(&self, _key: &Fingerprint, _change: &Change) -> Result<(), Refusal> {
        Ok(())
    }

    /// How much the registry knows after a change, which the view does not have yet. Of a list, each
    /// change is judged on the view as it is.
    fn size_after(&self, change: &Change) -> Size {
        size_after(self, change)
    }

    /// Whether an ID is in use for anything. IDs are unique in a registry (PROTOCOL 1).
    fn is_taken(&self, id: &NodeId) -> bool {
        self.node(id).is_some() || self.cluster(id).is_some() || self.credential().id == *id
    }
}
