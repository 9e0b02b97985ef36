//! A model of a registry's rules, written from PROTOCOL 6. It keeps its state in lists and searches
//! them.

use xlreg::credential::Credential;
use xlreg::identity::{Name, NodeId, PublicKey, Token};
use xlreg::message::{
    ClusterInfo, ClusterRef, MemberEntry, MemberList, MemberSet, Refusal, Reply, Request,
};
use xlreg::registry::{Holdings, Registry, RegistryLimits, Size, View};

/// The expected state of a registry and of its clients.
pub struct Model {
    credential: Credential,
    limits: RegistryLimits,
    nodes: Vec<(NodeId, Token)>,
    clusters: Vec<(Name, ClusterInfo, Vec<Token>)>,
    /// The creator of each cluster.
    creators: Vec<PublicKey>,
    clients: Vec<Client>,
}

/// The expected state of one connection.
#[derive(Clone, Default)]
struct Client {
    member: Option<Token>,
    cluster: Option<NodeId>,
}

/// The answer of a registry to a request.
pub struct Answered<'a> {
    pub reply: &'a Reply,
    /// Whether the request has changed something, if that is known.
    pub changed: Option<bool>,
    /// Whether the signature of a Member was wrong.
    pub forged: bool,
    /// The IDs that the registry has drawn, if the draws are known.
    pub drawn: Option<&'a [NodeId]>,
}

impl Model {
    /// Makes an empty registry with a number of clients.
    pub fn new(credential: Credential, limits: RegistryLimits, clients: usize) -> Self {
        let clients = vec![Client::default(); clients];
        let (nodes, clusters, creators) = Default::default();
        Self { credential, limits, nodes, clusters, creators, clients }
    }

    /// A client hangs up, and another one takes its place.
    pub fn hang_up(&mut self, client: usize) {
        self.clients[client] = Client::default();
    }

    /// The ID that a client has, if it has registered.
    pub fn id_of(&self, client: usize) -> Option<NodeId> {
        self.clients[client].member.as_ref().and_then(|token| token.id)
    }

    /// The IDs that the registry has issued or accepted: first those of nodes, then those of
    /// clusters.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> {
        let nodes = self.nodes.iter().map(|(id, _)| *id);
        nodes.chain(self.clusters.iter().map(|(_, info, _)| info.id))
    }

    /// Panics unless the answer follows the rules, and notes the news. Gives the reply that the
    /// model would have given; `None` for a refusal.
    pub fn judge(
        &mut self,
        client: usize,
        request: &Request,
        answered: &Answered<'_>,
    ) -> Option<Reply> {
        let fresh = match (answered.drawn, answered.reply) {
            (Some(drawn), _) => drawn.iter().copied().find(|id| !self.is_taken(*id)),
            // If the draws are unknown, the ID in the reply is taken.
            (None, Reply::MemberOk { id, .. }) => Some(*id).filter(|id| !self.is_taken(*id)),
            (None, Reply::Create(info)) => Some(info.id).filter(|id| !self.is_taken(*id)),
            (None, _) => None,
        };
        let none_left = answered.drawn.is_some_and(|drawn| drawn.len() >= 4) && fresh.is_none();
        let reasons = self.reasons(client, request, answered.forged, none_left);
        if let Reply::Error(reason) = answered.reply {
            let refusal = reason.refusal().expect("a known refusal");
            assert!(reasons.contains(&refusal), "{refusal:?} to {request:?}, not {reasons:?}");
            assert_ne!(answered.changed, Some(true), "refused, and changes something");
            return None;
        }
        assert!(reasons.is_empty(), "{:?} to {request:?}: {reasons:?}", answered.reply);
        let (reply, changed) = self.take(client, request, fresh);
        assert_eq!(*answered.reply, reply, "to {request:?}");
        assert!(answered.changed.is_none_or(|it| it == changed), "{request:?}");
        Some(reply)
    }

    /// Finds the cluster that a request names.
    fn find(&self, client: &Client, cluster: &ClusterRef) -> Result<usize, Refusal> {
        let place = |wanted: &dyn Fn(&Name, NodeId) -> bool| {
            self.clusters.iter().position(|(name, info, _)| wanted(name, info.id))
        };
        if let Some(id) = cluster.id {
            return place(&|_, it| it == id).ok_or(Refusal::NoClusterWithId);
        }
        if let Some(named) = &cluster.name {
            return place(&|it, _| it == named).ok_or(Refusal::NoClusterWithName);
        }
        place(&|_, it| Some(it) == client.cluster).ok_or(Refusal::NoClusterGiven)
    }

    fn is_taken(&self, id: NodeId) -> bool {
        self.nodes.iter().any(|(node, _)| *node == id)
            || self.clusters.iter().any(|(_, info, _)| info.id == id)
            || self.credential.id == id
    }

    /// All reasons to refuse a request. The rules do not say which one is given.
    fn reasons(
        &self,
        client: usize,
        request: &Request,
        forged: bool,
        none_left: bool,
    ) -> Vec<Refusal> {
        let client = &self.clients[client];
        let of_a_key = self.limits.of_a_key;
        let mut reasons = Vec::new();
        let mut unless = |fine: bool, refusal| reasons.extend((!fine).then_some(refusal));
        match (request, &client.member) {
            (Request::Member(token), before) => {
                unless(before.is_none(), Refusal::WrongState);
                unless(!forged, Refusal::BadSignature);
                let bound = self.nodes.iter().find(|(id, _)| Some(*id) == token.id);
                match bound {
                    Some((_, by)) => unless(by.sig_key == token.sig_key, Refusal::IdInUse),
                    None => {
                        unless(!token.id.is_some_and(|id| self.is_taken(id)), Refusal::IdInUse);
                        unless(self.nodes.len() < self.limits.nodes, Refusal::RegistryFull);
                        let used = self.used_by(&token.sig_key);
                        unless(used.nodes < of_a_key.nodes, Refusal::TooManyNodesOfKey);
                        unless(token.id.is_some() || !none_left, Refusal::Unavailable);
                    }
                }
            }
            (Request::RegCred | Request::Bye, _) => {}
            (_, None) => unless(false, Refusal::WrongState),
            (Request::Create(create), Some(token)) => {
                if !self.clusters.iter().any(|(name, ..)| *name == create.name) {
                    unless(create.max_size > 0, Refusal::EmptyCluster);
                    unless(matches!(create.end_point_count, 1 | 2), Refusal::EndPointCount);
                    unless(self.clusters.len() < self.limits.clusters, Refusal::RegistryFull);
                    let used = self.used_by(&token.sig_key);
                    unless(used.clusters < of_a_key.clusters, Refusal::TooManyClustersOfKey);
                    unless(!none_left, Refusal::Unavailable);
                }
            }
            (Request::Join(cluster), Some(token)) => match self.find(client, cluster) {
                Err(refusal) => unless(false, refusal),
                Ok(place) => {
                    let (_, info, members) = &self.clusters[place];
                    let few = match info.end_point_count {
                        1 => Refusal::NoEnd,
                        _ => Refusal::TooFewEnds,
                    };
                    unless(token.end_points.len() >= info.end_point_count as usize, few);
                    let own = members.iter().position(|member| member.id == token.id);
                    let namesake = members.iter().position(|member| member.name == token.name);
                    unless(namesake.is_none() || namesake == own, Refusal::MemberNameInUse);
                    let room = members.len() < info.max_size as usize;
                    unless(own.is_some() || room, Refusal::ClusterFull);
                    let room = self.memberships() < self.limits.memberships;
                    unless(own.is_some() || room, Refusal::RegistryFull);
                    let (before, after) =
                        (self.size().token_bytes, self.token_bytes_after(place, own, token));
                    unless(after <= before.max(self.limits.token_bytes), Refusal::RegistryFull);
                    let room = self.used_by(&token.sig_key).memberships < of_a_key.memberships;
                    unless(own.is_some() || room, Refusal::TooManyMembershipsOfKey);
                }
            },
            (Request::GetCluster(get), _) => {
                self.find(client, &get.cluster).err().into_iter().for_each(|no| unless(false, no));
            }
        }
        reasons
    }

    /// The bytes of tokens when this one is there too, in the place of the own one if there is one.
    fn token_bytes_after(&self, place: usize, own: Option<usize>, token: &Token) -> u64 {
        let mut after = self.clusters[place].2.clone();
        match own {
            Some(own) => after[own] = token.clone(),
            None => after.push(token.clone()),
        }
        let others = self.clusters.iter().enumerate().filter(|(at, _)| *at != place);
        token_bytes(others.flat_map(|(_, (.., members))| members).chain(&after))
    }

    /// What a sig key has.
    fn used_by(&self, key: &PublicKey) -> Holdings {
        let members = self.clusters.iter().flat_map(|(.., members)| members);
        Holdings {
            nodes: self.nodes.iter().filter(|(_, token)| token.sig_key == *key).count(),
            clusters: self.creators.iter().filter(|creator| *creator == key).count(),
            memberships: members.filter(|member| member.sig_key == *key).count(),
        }
    }

    fn size(&self) -> Size {
        let tokens = || self.clusters.iter().flat_map(|(.., members)| members);
        Size {
            nodes: self.nodes.len(),
            clusters: self.clusters.len(),
            memberships: self.memberships(),
            tokens: distinct(tokens()).len(),
            token_bytes: token_bytes(tokens()),
        }
    }

    fn memberships(&self) -> usize {
        self.clusters.iter().map(|(.., members)| members.len()).sum()
    }

    /// Applies a request without a reason to refuse it. Gives the reply, and whether something is
    /// new. `fresh` is the drawn ID, if one was needed.
    fn take(&mut self, at: usize, request: &Request, fresh: Option<NodeId>) -> (Reply, bool) {
        let mut client = self.clients[at].clone();
        let answer = match request {
            Request::Member(token) => {
                let id = token.id.or(fresh).expect("an ID");
                let new = !self.nodes.iter().any(|(node, _)| *node == id);
                if new {
                    self.nodes.push((id, token.clone()));
                }
                client.member = Some(Token { id: Some(id), signature: None, ..token.clone() });
                (Reply::MemberOk { id, attrs: token.attrs }, new)
            }
            Request::Create(create) => {
                let place = self.clusters.iter().position(|(name, ..)| *name == create.name);
                let info = place.map(|place| self.clusters[place].1).unwrap_or_else(|| {
                    let info = ClusterInfo {
                        id: fresh.expect("an ID"),
                        max_size: create.max_size.min(64),
                        attrs: create.attrs,
                        end_point_count: create.end_point_count,
                    };
                    self.clusters.push((create.name.clone(), info, Vec::new()));
                    let creator = client.member.as_ref().expect("a member");
                    self.creators.push(creator.sig_key.clone());
                    info
                });
                client.cluster = Some(info.id);
                (Reply::Create(info), place.is_none())
            }
            Request::Join(cluster) => {
                let place = self.find(&client, cluster).expect("a cluster");
                let (_, info, members) = &mut self.clusters[place];
                let token = client.member.clone().expect("a member");
                client.cluster = Some(info.id);
                let new = match members.iter_mut().find(|member| member.id == token.id) {
                    Some(member) if *member == token => false,
                    Some(member) => {
                        *member = token;
                        true
                    }
                    None => {
                        members.push(token);
                        true
                    }
                };
                (Reply::Join(*info), new)
            }
            Request::GetCluster(get) => {
                let place = self.find(&client, &get.cluster).expect("a cluster");
                let (_, info, members) = &self.clusters[place];
                let wanted = |n: usize| get.which.is_none_or(|which| which.bits() >> n & 1 == 1);
                let wanted: Vec<_> = (0..members.len()).filter(|n| wanted(*n)).collect();
                let which = MemberSet::from_bits(wanted.iter().map(|n| 1 << n).sum());
                let tokens = wanted.into_iter().map(|n| members[n].clone()).collect();
                let list = MemberList::new(info.id, which, tokens).expect("a list");
                (Reply::Members(list), false)
            }
            Request::RegCred => (Reply::RegCred(self.credential.clone()), false),
            Request::Bye => (Reply::Ack, false),
        };
        self.clients[at] = client;
        answer
    }

    /// Panics unless the registry has the same counts as the model, within the limits.
    pub fn check_counts(&self, registry: &Registry) {
        let size = registry.size();
        assert_eq!(size, self.size());
        let counts = [
            (size.nodes, self.limits.nodes),
            (size.clusters, self.limits.clusters),
            (size.memberships, self.limits.memberships),
        ];
        for (count, limit) in counts {
            assert!(count <= limit, "more than allowed");
        }
        assert!(size.token_bytes <= self.limits.token_bytes, "more than allowed");
        for (id, token) in &self.nodes {
            let key = token.sig_key.fingerprint();
            assert_eq!(registry.used_by(&key), self.used_by(&token.sig_key));
            assert!(registry.nodes_of(&key).contains(id));
        }
    }

    /// Panics unless the registry has the same state as the model, within the limits.
    pub fn check(&self, registry: &Registry) {
        self.check_counts(registry);
        for (name, info, members) in &self.clusters {
            let cluster = registry.cluster(&info.id).expect("a cluster");
            assert_eq!(registry.cluster_named(name), Some(cluster));
            assert_eq!((cluster.name(), cluster.info()), (name, info));
            assert_eq!(cluster.members(), &members[..]);
        }
        check_bounds(registry);
    }
}

/// The different ones among these tokens, as they are listed.
fn distinct<'a>(tokens: impl Iterator<Item = &'a Token>) -> Vec<MemberEntry> {
    let mut distinct: Vec<MemberEntry> = Vec::new();
    for token in tokens {
        if !distinct.iter().any(|it| *it == *token) {
            distinct.push(token.clone().into());
        }
    }
    distinct
}

fn token_bytes<'a>(tokens: impl Iterator<Item = &'a Token>) -> u64 {
    distinct(tokens).iter().map(|member| member.listed_len()).sum()
}

/// Panics unless the registry keeps the bounds of all registries.
pub fn check_bounds(registry: &Registry) {
    let mut members = 0;
    for cluster in registry.clusters() {
        let (info, tokens) = (cluster.info(), cluster.members());
        assert!(tokens.len() <= info.max_size as usize && info.max_size <= 64, "overflow");
        for (n, member) in tokens.iter().enumerate() {
            assert!(member.id.is_some() && member.signature.is_none());
            assert!(tokens[n + 1..].iter().all(|it| it.id != member.id && it.name != member.name));
        }
        members += tokens.len();
    }
    assert_eq!(registry.size().memberships, members);
}
