//! The registry's rules, as a pure state machine: a request goes in, a reply and a [`Change`] come
//! out (PROTOCOL 6).
//!
//! * [`Registry`] is what all sessions share, [`ClientState`] what it remembers of one session.
//! * [`Registry::handle`] decides and applies at once. Whoever drives it makes the [`Change`]s
//!   durable in order, and lets a reply out only when all changes up to the [`Outcome`]'s revision
//!   are; replaying the changes rebuilds the registry exactly ([`Registry::apply`]).
//! * Checking a signature is the one slow step, and needs nothing of the registry:
//!   [`CheckedRequest::new`] does it on any thread, [`Registry::handle_checked`] goes on from
//!   there.
//! * The rules of one cluster are functions over one value ([`Cluster`]), so that a store that is
//!   not in one process can run them as compare-and-swap.
//!
//! Look-ups by ID and name go through ordered maps: their cost grows with the logarithm of the
//! registry, and no peer can choose IDs or names that collide.

mod change;
mod cluster;
mod clusters;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use rand_core::CryptoRng;

pub use change::{ApplyError, Change};
pub use cluster::{Cluster, Joined};
use clusters::Clusters;

use crate::credential::Credential;
use crate::crypto::{RustCrypto, Verify};
use crate::identity::{Fingerprint, Name, NodeId, Token, VerifiedToken};
use crate::message::{ClusterRef, Create, GetCluster, MemberEntry, Refusal, Reply, Request};

/// How large a registry may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistryLimits {
    /// Nodes known. Each takes about 120 bytes of memory.
    pub nodes: usize,
    /// Clusters, members apart. Each takes at most 700 bytes, with a name of the longest kind.
    pub clusters: usize,
    /// Members of all clusters together. Each takes about 1.5 KB and, with the largest keys and
    /// ends, at most 8.5 KB; one session's memberships share all of it.
    pub memberships: usize,
}

impl Default for RegistryLimits {
    fn default() -> Self {
        // At most some 8 GB for the worst that clients can think of, 1.5 GB for what people do.
        Self { nodes: 1_000_000, clusters: 250_000, memberships: 1_000_000 }
    }
}

/// Who is known and which clusters there are. Two are equal if they know the same.
#[derive(Clone, Debug)]
pub struct Registry {
    credential: Credential,
    limits: RegistryLimits,
    /// Every node ID ever accepted or issued, and the sig key it is bound to.
    nodes: BTreeMap<NodeId, Fingerprint>,
    clusters: Clusters,
    /// Members of all clusters together.
    memberships: usize,
    revision: u64,
}

impl PartialEq for Registry {
    fn eq(&self, other: &Self) -> bool {
        // Memberships follow from the clusters; the revision is history.
        self.credential == other.credential
            && self.limits == other.limits
            && self.nodes == other.nodes
            && self.clusters == other.clusters
    }
}

impl Eq for Registry {}

/// What a registry remembers of one session.
#[derive(Clone, Debug, Default)]
pub struct ClientState {
    /// Who the client has proved to be; with an ID.
    member: Option<(NodeId, MemberEntry)>,
    /// The cluster it created or joined last.
    cluster: Option<NodeId>,
}

impl ClientState {
    /// A session whose client has not said who it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// The ID of the client and its token without the signature, once it is known.
    pub fn member(&self) -> Option<(NodeId, &MemberEntry)> {
        self.member.as_ref().map(|(id, member)| (*id, member))
    }
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the change must be durable before the reply goes out"]
pub struct Outcome {
    /// What the client is told, once all changes up to [`revision`](Self::revision) are durable.
    pub reply: Reply,
    /// What this request has changed, if anything.
    pub change: Option<Change>,
    /// [`Registry::revision`] after it. A reply may tell of changes that other sessions made just
    /// before: those too must be durable before it goes out.
    pub revision: u64,
}

/// A request whose signature, if it has one, has been checked.
#[derive(Clone, Debug)]
pub struct CheckedRequest(Checked);

#[derive(Clone, Debug)]
enum Checked {
    Member(VerifiedToken),
    /// Anything but a Member.
    Other(Request),
}

impl CheckedRequest {
    /// Checks the signature of a Member; other requests pass as they are.
    ///
    /// # Errors
    ///
    /// [`Refusal::BadSignature`], to be sent to the client.
    pub fn new(request: Request, provider: &dyn Verify) -> Result<Self, Refusal> {
        Ok(Self(match request {
            Request::Member(token) => {
                Checked::Member(token.verify(provider).map_err(|_| Refusal::BadSignature)?)
            }
            other => Checked::Other(other),
        }))
    }
}

impl Registry {
    /// An empty registry with this credential.
    pub fn new(credential: Credential, limits: RegistryLimits) -> Self {
        Self {
            credential,
            limits,
            nodes: BTreeMap::new(),
            clusters: Clusters::default(),
            memberships: 0,
            revision: 0,
        }
    }

    /// How many changes have been applied since the registry was made.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Who the registry is.
    pub const fn credential(&self) -> &Credential {
        &self.credential
    }

    /// How many nodes are known.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// How many members all clusters have together.
    pub const fn membership_count(&self) -> usize {
        self.memberships
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

    /// Decides a request and applies its change, checking a Member's signature with the default
    /// provider. How many ends a token has and how large its keys are has been bounded by the
    /// session that the request comes from ([`MessageLimits`](crate::message::MessageLimits));
    /// here it is taken as it is.
    ///
    /// `rng` is for new IDs; it should not be a session's own.
    pub fn handle(
        &mut self,
        state: &mut ClientState,
        request: Request,
        rng: &mut dyn CryptoRng,
    ) -> Outcome {
        match CheckedRequest::new(request, &RustCrypto) {
            Ok(request) => self.handle_checked(state, request, rng),
            Err(refusal) => self.outcome(Reply::Error(refusal.into()), None),
        }
    }

    /// Decides a request whose signature has been checked, and applies its change.
    pub fn handle_checked(
        &mut self,
        state: &mut ClientState,
        request: CheckedRequest,
        rng: &mut dyn CryptoRng,
    ) -> Outcome {
        let decided = match request.0 {
            Checked::Member(token) => self.member(state, token.into_inner(), rng),
            Checked::Other(request) => self.other(state, request, rng),
        };
        let (reply, change) = match decided {
            Ok(Decision { reply, change }) => (reply, change),
            Err(refusal) => (Reply::Error(refusal.into()), None),
        };
        match change.as_ref().map(|change| self.apply(change)) {
            None | Some(Ok(())) => self.outcome(reply, change),
            // What was just decided on this very state applies to it; were it not so, nothing has
            // changed.
            Some(Err(_)) => self.outcome(Reply::Error(Refusal::Unavailable.into()), None),
        }
    }

    const fn outcome(&self, reply: Reply, change: Option<Change>) -> Outcome {
        Outcome { reply, change, revision: self.revision }
    }

    fn other(
        &self,
        state: &mut ClientState,
        request: Request,
        rng: &mut dyn CryptoRng,
    ) -> Result<Decision, Refusal> {
        match request {
            Request::RegCred => Ok(unchanged(Reply::RegCred(self.credential.clone()))),
            Request::Bye => Ok(unchanged(Reply::Ack)),
            Request::Create(create) => self.create(state, create, rng),
            Request::Join(cluster) => self.join(state, &cluster),
            Request::GetCluster(get) => self.get_cluster(state, &get),
            // A Member comes here only unchecked.
            Request::Member(_) => Err(Refusal::BadSignature),
        }
    }

    /// PROTOCOL 6.3.
    fn member(
        &self,
        state: &mut ClientState,
        mut token: Token,
        rng: &mut dyn CryptoRng,
    ) -> Result<Decision, Refusal> {
        if state.member.is_some() {
            return Err(Refusal::WrongState);
        }
        let key = token.sig_key.fingerprint();
        let id = match token.id {
            Some(id) => id,
            None => self.fresh_id(rng)?,
        };
        let change = match self.nodes.get(&id) {
            Some(bound) if *bound == key => None,
            Some(_) => return Err(Refusal::IdInUse),
            None if self.is_taken(&id) => return Err(Refusal::IdInUse),
            None if self.nodes.len() >= self.limits.nodes => return Err(Refusal::RegistryFull),
            None => Some(Change::NodeBound { id, key }),
        };
        let attrs = token.attrs;
        token.id = Some(id);
        state.member = Some((id, MemberEntry::new(token)));
        Ok(Decision { reply: Reply::MemberOk { id, attrs }, change })
    }

    /// PROTOCOL 6.5.
    fn create(
        &self,
        state: &mut ClientState,
        create: Create,
        rng: &mut dyn CryptoRng,
    ) -> Result<Decision, Refusal> {
        state.require_member()?;
        if let Some(existing) = self.cluster_named(&create.name) {
            let info = *existing.info();
            state.cluster = Some(info.id);
            return Ok(unchanged(Reply::Create(info)));
        }
        let cluster = Cluster::create(self.fresh_id(rng)?, create)?;
        if self.clusters.len() >= self.limits.clusters {
            return Err(Refusal::RegistryFull);
        }
        let info = *cluster.info();
        state.cluster = Some(info.id);
        let change = Change::ClusterCreated { name: cluster.name().clone(), info };
        Ok(Decision { reply: Reply::Create(info), change: Some(change) })
    }

    /// PROTOCOL 6.6.
    fn join(&self, state: &mut ClientState, cluster: &ClusterRef) -> Result<Decision, Refusal> {
        let member = state.require_member()?;
        let cluster = self.find(state, cluster)?;
        let joined = cluster.join(member)?;
        if matches!(joined.change, Some(Change::MemberJoined { .. }))
            && self.memberships >= self.limits.memberships
        {
            return Err(Refusal::RegistryFull);
        }
        let info = *cluster.info();
        state.cluster = Some(info.id);
        Ok(Decision { reply: Reply::Join(info), change: joined.change })
    }

    /// PROTOCOL 6.7.
    fn get_cluster(&self, state: &ClientState, get: &GetCluster) -> Result<Decision, Refusal> {
        state.require_member()?;
        let cluster = self.find(state, &get.cluster)?;
        Ok(unchanged(Reply::Members(cluster.list(get.which)?)))
    }

    fn find(&self, state: &ClientState, cluster: &ClusterRef) -> Result<&Cluster, Refusal> {
        match (&cluster.id, &cluster.name) {
            (Some(id), _) => self.cluster(id).ok_or(Refusal::NoClusterWithId),
            (None, Some(name)) => self.cluster_named(name).ok_or(Refusal::NoClusterWithName),
            (None, None) => {
                let current = state.cluster.as_ref().and_then(|id| self.cluster(id));
                current.ok_or(Refusal::NoClusterGiven)
            }
        }
    }

    /// Whether an ID is in use as anything at all: IDs are unique in a registry (PROTOCOL 1).
    fn is_taken(&self, id: &NodeId) -> bool {
        self.nodes.contains_key(id) || self.clusters.contains(id) || self.credential.id == *id
    }

    /// A random ID that is not in use. A second draw is never needed unless the generator is
    /// broken.
    fn fresh_id(&self, rng: &mut dyn CryptoRng) -> Result<NodeId, Refusal> {
        core::iter::repeat_with(|| NodeId::random(rng))
            .take(4)
            .find(|id| !self.is_taken(id))
            .ok_or(Refusal::Unavailable)
    }

    /// Applies one change. Changes replayed in the order they were made rebuild the registry
    /// exactly.
    ///
    /// # Errors
    ///
    /// [`ApplyError`] if the change does not follow from this state; nothing has changed then.
    pub fn apply(&mut self, change: &Change) -> Result<(), ApplyError> {
        match change {
            Change::NodeBound { id, key } => {
                if self.is_taken(id) {
                    return Err(ApplyError::IdTaken(*id));
                }
                self.nodes.insert(*id, *key);
            }
            Change::ClusterCreated { name, info } => {
                if self.is_taken(&info.id) {
                    return Err(ApplyError::IdTaken(info.id));
                }
                if self.clusters.named(name).is_some() {
                    return Err(ApplyError::NameTaken(name.clone()));
                }
                self.clusters.insert(Cluster::restore(name.clone(), *info)?);
            }
            Change::MemberJoined { cluster, member, .. }
            | Change::MemberUpdated { cluster, member, .. } => {
                let id = member.id.ok_or(ApplyError::NotBound)?;
                if self.nodes.get(&id) != Some(&member.sig_key.fingerprint()) {
                    return Err(ApplyError::NotBound);
                }
                let known = self.clusters.get_mut(cluster);
                known.ok_or(ApplyError::NoCluster(*cluster))?.apply(change)?;
                if matches!(change, Change::MemberJoined { .. }) {
                    self.memberships = self.memberships.saturating_add(1);
                }
            }
        }
        self.revision = self.revision.saturating_add(1);
        Ok(())
    }

    /// Changes that rebuild this registry from an empty one: a snapshot.
    pub fn changes(&self) -> Vec<Change> {
        let nodes = self.nodes.iter().map(|(id, key)| Change::NodeBound { id: *id, key: *key });
        nodes.chain(self.clusters.iter().flat_map(Cluster::changes)).collect()
    }
}

impl ClientState {
    fn require_member(&self) -> Result<&MemberEntry, Refusal> {
        self.member.as_ref().map(|(_, member)| member).ok_or(Refusal::WrongState)
    }
}

/// A decision that is not applied yet.
struct Decision {
    reply: Reply,
    change: Option<Change>,
}

const fn unchanged(reply: Reply) -> Decision {
    Decision { reply, change: None }
}
