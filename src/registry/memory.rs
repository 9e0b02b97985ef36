//! A registry in memory.
//!
//! Look-ups by ID and name go through ordered maps. Their time grows with the logarithm of the
//! registry, and no peer can choose IDs or names that collide.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::client_state::{CheckedRequest, ClientState};
use super::clusters::Clusters;
use super::rules::{Decision, decide};
use super::tokens::Tokens;
use super::{ApplyError, Change, Cluster, RegistryLimits, Size, View};
use crate::credential::Credential;
use crate::crypto::RustCrypto;
use crate::identity::{Fingerprint, Name, NodeId};
use crate::message::{Refusal, Reply, Request};

/// A registry in memory. Two registries are equal if they know the same nodes and clusters.
#[derive(Clone, Debug)]
pub struct Registry {
    credential: Credential,
    limits: RegistryLimits,
    /// Every node ID that was accepted or issued, with the sig key that it is bound to.
    nodes: BTreeMap<NodeId, Fingerprint>,
    clusters: Clusters,
    tokens: Tokens,
    /// Members of all clusters together.
    memberships: usize,
    revision: u64,
}

impl PartialEq for Registry {
    fn eq(&self, other: &Self) -> bool {
        // The number of memberships follows from the clusters. The revision is history.
        self.credential == other.credential
            && self.limits == other.limits
            && self.nodes == other.nodes
            && self.clusters == other.clusters
    }
}

impl Eq for Registry {}

/// A request that was decided and applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the change must be durable before the reply goes out"]
pub struct Outcome {
    /// The reply for the client. Send it when all changes up to [`revision`](Self::revision) are
    /// durable.
    pub reply: Reply,
    /// The change that this request has made, if any.
    pub change: Option<Change>,
    /// [`Registry::revision`] after the request. The reply may tell of changes that other sessions
    /// have just made, so those must be durable too.
    pub revision: u64,
}

impl Registry {
    /// An empty registry with this credential.
    pub fn new(credential: Credential, limits: RegistryLimits) -> Self {
        Self {
            credential,
            limits,
            nodes: BTreeMap::new(),
            clusters: Clusters::default(),
            tokens: Tokens::default(),
            memberships: 0,
            revision: 0,
        }
    }

    /// How many changes have been applied since the registry was made.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The registry's credential.
    pub const fn credential(&self) -> &Credential {
        &self.credential
    }

    /// How much the registry knows.
    pub fn size(&self) -> Size {
        let (nodes, clusters) = (self.nodes.len(), self.clusters.len());
        Size { nodes, clusters, memberships: self.memberships }
    }

    /// Every cluster, in the order they were created.
    pub fn clusters(&self) -> impl ExactSizeIterator<Item = &Cluster> {
        self.clusters.iter()
    }

    /// The cluster with this ID.
    pub fn cluster(&self, id: &NodeId) -> Option<&Cluster> {
        self.clusters.get(id)
    }

    /// The cluster with this name.
    pub fn cluster_named(&self, name: &Name) -> Option<&Cluster> {
        self.clusters.named(name)
    }

    /// Decides a request and applies its change. Checks a Member's signature with the default
    /// provider. The session that the request comes from has bounded its end points and keys
    /// ([`MessageLimits`](crate::message::MessageLimits)); they are not checked again here.
    ///
    /// New IDs are drawn from `rng`. It should not be a session's own.
    pub fn handle(
        &mut self,
        state: &mut ClientState,
        request: Request,
        rng: &mut dyn CryptoRng,
    ) -> Outcome {
        match CheckedRequest::new(request, &RustCrypto) {
            Ok(request) => self.handle_checked(state, request, rng),
            Err(refusal) => self.outcome(Decision::refused(refusal)),
        }
    }

    /// Decides a request whose signature has been checked, and applies its change.
    pub fn handle_checked(
        &mut self,
        state: &mut ClientState,
        request: CheckedRequest,
        rng: &mut dyn CryptoRng,
    ) -> Outcome {
        let Decision { reply, change } = decide(self, state, request, rng);
        if let Some(change) = &change
            && let Err(error) = self.apply(change)
        {
            // The change was not applied, so nothing has changed.
            debug_assert!(false, "what was decided on this state applies to it: {error}");
            return self.outcome(Decision::refused(Refusal::Unavailable));
        }
        self.outcome(Decision { reply, change })
    }

    fn outcome(&self, decision: Decision) -> Outcome {
        let Decision { reply, change } = decision;
        Outcome { reply, change, revision: self.revision }
    }

    /// Applies one change. All changes, replayed in their order, rebuild the registry exactly.
    ///
    /// # Errors
    ///
    /// [`ApplyError`] if the change does not follow from this state; then nothing has changed.
    pub fn apply(&mut self, change: &Change) -> Result<(), ApplyError> {
        let revision = self.revision.checked_add(1).ok_or(ApplyError::TooMany)?;
        match change {
            Change::NodeBound { id, key } => {
                if self.is_taken(id) {
                    return Err(ApplyError::IdTaken(*id));
                }
                self.nodes.insert(*id, *key);
            }
            Change::ClusterCreated { name, info, created_by } => {
                if self.is_taken(&info.id) {
                    return Err(ApplyError::IdTaken(info.id));
                }
                if self.clusters.named(name).is_some() {
                    return Err(ApplyError::NameTaken(name.clone()));
                }
                self.clusters.insert(Cluster::restore(name.clone(), *info, *created_by)?);
            }
            Change::MemberJoined { cluster, index, member }
            | Change::MemberUpdated { cluster, index, member } => {
                let id = member.id.ok_or(ApplyError::NotBound)?;
                if self.nodes.get(&id) != Some(&member.sig_key.fingerprint()) {
                    return Err(ApplyError::NotBound);
                }
                let known = self.clusters.get_mut(cluster);
                let known = known.ok_or(ApplyError::NoCluster(*cluster))?;
                let old = known.member(*index).cloned();
                let added = usize::from(old.is_none());
                let memberships = self.memberships.checked_add(added);
                let memberships = memberships.ok_or(ApplyError::TooMany)?;
                // The same token, in the memory that other memberships have it in.
                let shared = self.tokens.shared(member);
                known.apply(&change.with_member(&shared))?;
                self.tokens.add(&shared);
                old.iter().for_each(|old| self.tokens.remove(old));
                self.memberships = memberships;
            }
        }
        self.revision = revision;
        Ok(())
    }

    /// The changes that rebuild this registry from an empty one: a snapshot.
    pub fn changes(&self) -> Vec<Change> {
        let nodes = self.nodes.iter().map(|(id, key)| Change::NodeBound { id: *id, key: *key });
        nodes.chain(self.clusters.iter().flat_map(Cluster::changes)).collect()
    }
}

impl View for Registry {
    fn credential(&self) -> &Credential {
        &self.credential
    }

    fn limits(&self) -> &RegistryLimits {
        &self.limits
    }

    fn size(&self) -> Size {
        Self::size(self)
    }

    fn node(&self, id: &NodeId) -> Option<Fingerprint> {
        self.nodes.get(id).copied()
    }

    fn cluster(&self, id: &NodeId) -> Option<&Cluster> {
        self.clusters.get(id)
    }

    fn cluster_named(&self, name: &Name) -> Option<&Cluster> {
        self.clusters.named(name)
    }
}
