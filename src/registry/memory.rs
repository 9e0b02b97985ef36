//! A registry in memory.
//!
//! Look-ups by ID and name go through ordered maps. Their time grows with the logarithm of the
//! registry, and no peer can choose IDs or names that collide.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::client_state::{CheckedRequest, ClientState};
use super::clusters::Clusters;
use super::keys::{Keys, Step};
use super::rules::{Decision, decide};
use super::tokens::Tokens;
use super::undo::Undo;
use super::{ApplyError, Change, Cluster, Day, Holdings, Node, RegistryLimits, Size, View};
use crate::credential::Credential;
use crate::crypto::RustCrypto;
use crate::identity::{Fingerprint, Name, NodeId};
use crate::message::{MemberEntry, MemberIndex, Refusal, Reply, Request};

/// A registry in memory. Two registries are equal if they know the same nodes and clusters.
#[derive(Clone, Debug)]
pub struct Registry {
    credential: Credential,
    limits: RegistryLimits,
    /// Every node ID that was accepted or issued.
    nodes: BTreeMap<NodeId, Node>,
    clusters: Clusters,
    tokens: Tokens,
    token_bytes: u64,
    /// Members of all clusters together.
    memberships: usize,
    keys: Keys,
    today: Option<Day>,
    revision: u64,
}

impl PartialEq for Registry {
    fn eq(&self, other: &Self) -> bool {
        // Tokens, keys and all numbers follow from nodes and clusters. The revision is history.
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
            token_bytes: 0,
            memberships: 0,
            keys: Keys::default(),
            today: None,
            revision: 0,
        }
    }

    /// Sets the present day. From now on the last use of nodes is noted.
    pub const fn set_today(&mut self, today: Day) {
        self.today = Some(today);
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
        Size {
            nodes: self.nodes.len(),
            clusters: self.clusters.len(),
            memberships: self.memberships,
            tokens: self.tokens.len(),
            token_bytes: self.token_bytes,
        }
    }

    /// The most of each that one sig key has had since this registry was made.
    pub const fn most_of_a_key(&self) -> Holdings {
        self.keys.most()
    }

    /// Every cluster, in the order they were created as long as none was deleted.
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
        let mut applied = Vec::new();
        for part in change.parts() {
            match self.apply_part(part) {
                Ok(undo) => applied.push(undo),
                Err(error) => {
                    applied.into_iter().rev().for_each(|undo| self.undo(undo));
                    return Err(error);
                }
            }
        }
        self.revision = revision;
        Ok(())
    }

    fn apply_part(&mut self, change: &Change) -> Result<Undo, ApplyError> {
        match change {
            Change::NodeBound { id, key, day } => {
                if self.is_taken(id) {
                    return Err(ApplyError::IdTaken(*id));
                }
                self.nodes.insert(*id, Node { key: *key, last_use: *day });
                self.keys.bind(*key, *id);
                Ok(Undo::RemoveNode(*id))
            }
            Change::NodeUsed { id, day } => {
                let node = self.nodes.get_mut(id).ok_or(ApplyError::NoNode(*id))?;
                if !node.is_news(*day) {
                    return Err(ApplyError::Day(*id));
                }
                Ok(Undo::SetLastUse(*id, node.last_use.replace(*day)))
            }
            Change::ClusterCreated { name, info, created_by } => {
                if self.is_taken(&info.id) {
                    return Err(ApplyError::IdTaken(info.id));
                }
                if self.clusters.named(name).is_some() {
                    return Err(ApplyError::NameTaken(name.clone()));
                }
                self.put_cluster(Cluster::restore(name.clone(), *info, *created_by)?);
                Ok(Undo::RemoveCluster(info.id))
            }
            Change::ClusterDeleted { cluster } => {
                let removed = self.remove_cluster(cluster).ok_or(ApplyError::NoCluster(*cluster));
                removed.map(|cluster| Undo::PutCluster(Box::new(cluster)))
            }
            Change::MemberJoined { cluster, index, member }
            | Change::MemberUpdated { cluster, index, member } => {
                let id = member.id.ok_or(ApplyError::NotBound)?;
                if self.nodes.get(&id).map(|node| node.key) != Some(member.sig_key.fingerprint()) {
                    return Err(ApplyError::NotBound);
                }
                let known = self.clusters.get(cluster);
                let known = known.ok_or(ApplyError::NoCluster(*cluster))?;
                known.check(change, *index, member)?;
                let old = self.set_member(cluster, *index, Some(member));
                Ok(Undo::SetMember(*cluster, *index, old))
            }
            Change::All(_) => Err(ApplyError::Nested),
        }
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::RemoveNode(id) => {
                if let Some(node) = self.nodes.remove(&id) {
                    self.keys.unbind(node.key, &id);
                }
            }
            Undo::SetLastUse(id, day) => {
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.last_use = day;
                }
            }
            Undo::RemoveCluster(id) => drop(self.remove_cluster(&id)),
            Undo::PutCluster(cluster) => self.put_cluster(*cluster),
            Undo::SetMember(cluster, index, member) => {
                self.set_member(&cluster, index, member.as_ref());
            }
        }
    }

    /// Adds a cluster with the members that it has.
    fn put_cluster(&mut self, cluster: Cluster) {
        for member in cluster.members() {
            self.count(member, Step::Up);
        }
        if let Some(key) = cluster.created_by() {
            self.keys.count_cluster(key, Step::Up);
        }
        self.clusters.insert(cluster);
    }

    /// Takes a cluster out with its members.
    fn remove_cluster(&mut self, id: &NodeId) -> Option<Cluster> {
        let cluster = self.clusters.remove(id)?;
        for member in cluster.members() {
            self.count(member, Step::Down);
        }
        if let Some(key) = cluster.created_by() {
            self.keys.count_cluster(key, Step::Down);
        }
        Some(cluster)
    }

    /// Puts a member in a place of a cluster, or nobody. Gives back who was there.
    fn set_member(
        &mut self,
        cluster: &NodeId,
        index: MemberIndex,
        member: Option<&MemberEntry>,
    ) -> Option<MemberEntry> {
        // The same token, in the memory that other memberships have it in.
        let shared = member.map(|member| self.tokens.shared(member));
        let old = self.clusters.get_mut(cluster)?.set(index, shared.clone());
        old.iter().for_each(|member| self.count(member, Step::Down));
        shared.iter().for_each(|member| self.count(member, Step::Up));
        old
    }

    /// Counts a membership that comes or goes, and its token.
    fn count(&mut self, member: &MemberEntry, step: Step) {
        let counts_token = match step {
            Step::Up => self.tokens.add(member),
            Step::Down => self.tokens.remove(member),
        };
        if counts_token {
            self.token_bytes = step.by(self.token_bytes, member.listed_len());
        }
        self.memberships = step.from(self.memberships);
        self.keys.count_membership(member.sig_key.fingerprint(), step);
    }

    /// The changes that rebuild this registry from an empty one: a snapshot.
    pub fn changes(&self) -> Vec<Change> {
        let nodes = self.nodes.iter();
        let nodes = nodes.map(|(id, Node { key, last_use })| Change::NodeBound {
            id: *id,
            key: *key,
            day: *last_use,
        });
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

    fn used_by(&self, key: &Fingerprint) -> Holdings {
        self.keys.used_by(key)
    }
    fn uses(&self, member: &MemberEntry) -> usize {
        self.tokens.uses(member)
    }
    fn node(&self, id: &NodeId) -> Option<Node> {
        self.nodes.get(id).copied()
    }
    fn nodes_of(&self, key: &Fingerprint) -> Vec<NodeId> {
        self.keys.nodes(key).to_vec()
    }
    fn today(&self) -> Option<Day> {
        self.today
    }

    fn cluster(&self, id: &NodeId) -> Option<&Cluster> {
        self.clusters.get(id)
    }

    fn cluster_named(&self, name: &Name) -> Option<&Cluster> {
        self.clusters.named(name)
    }
}
