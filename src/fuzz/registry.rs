//! The registry's rules against a model of them, over any requests of several clients; and its
//! changes, replayed.

use alloc::vec::Vec;

use super::arbitrary::{NoVerify, SequentialRng, end_points, key, name};
use super::input::Input;
use super::support::{CREDENTIAL, credential};
use crate::identity::{ClusterAttrs, MemberAttrs, Name, NodeId, Token};
use crate::message::{
    ClusterInfo, ClusterRef, Create, GetCluster, MemberList, MemberSet, Refusal, Reply, Request,
    encode_reply,
};
use crate::registry::{Change, CheckedRequest, ClientState, Outcome, Registry, RegistryLimits};

const CLIENTS: usize = 4;

/// Operations that a script may have. It takes some 200 to fill a cluster of 64.
const MOST: usize = 256;

/// A script: the limits, then operations of one byte and what goes with them.
pub fn registry(data: &[u8]) {
    let input = &mut Input::new(data);
    let limits = RegistryLimits {
        nodes: input.byte().into(),
        clusters: input.byte().into(),
        memberships: input.byte().into(),
    };
    let mut registry = Registry::new(credential(), limits);
    let mut model =
        Model { limits, nodes: Vec::new(), clusters: Vec::new(), clients: Default::default() };
    let mut clients: [ClientState; CLIENTS] = Default::default();
    let (mut ids, mut changes, mut missing) = (SequentialRng(0), Vec::new(), None);
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        let op = input.byte();
        let at = usize::from(op >> 4) % CLIENTS;
        match op % 16 {
            0 => (clients[at], model.clients[at]) = (ClientState::new(), ClientModel::default()),
            1 => ids.0 = input.byte(),
            2 => missing = Some(usize::from(input.byte())),
            op => {
                let request = model.request(op, input);
                let first = ids.0;
                let outcome = handle(&mut registry, &mut clients[at], request.clone(), &mut ids);
                model.judge(at, &request, &outcome, (first, ids.0));
                changes.extend(outcome.change);
                assert_eq!(registry.revision(), changes.len() as u64, "one for each change");
                assert_eq!(outcome.revision, registry.revision());
                assert_eq!(clients[at].member().map(|(id, _)| id), model.clients[at].id());
                model.check_counts(&registry);
            }
        }
    }
    model.check(&registry);
    replay(&registry, limits, &changes, missing);
}

fn handle(
    registry: &mut Registry,
    state: &mut ClientState,
    request: Request,
    ids: &mut SequentialRng,
) -> Outcome {
    match CheckedRequest::new(request, &NoVerify) {
        Ok(checked) => registry.handle_checked(state, checked, ids),
        Err(refusal) => {
            let (reply, revision) = (Reply::Error(refusal.into()), registry.revision());
            Outcome { reply, change: None, revision }
        }
    }
}

fn encoded(reply: &Reply) -> Vec<u8> {
    let mut message = Vec::new();
    encode_reply(reply, &mut message);
    message
}

/// The changes rebuild the registry, as they came and as a snapshot has them; where one is missing,
/// what does not follow is refused and changes nothing.
fn replay(registry: &Registry, limits: RegistryLimits, changes: &[Change], missing: Option<usize>) {
    let empty = Registry::new(credential(), limits);
    for changes in [changes, &registry.changes()] {
        let mut again = empty.clone();
        changes.iter().for_each(|change| again.apply(change).expect("it follows"));
        assert_eq!((&again, again.revision()), (registry, changes.len() as u64));
        assert_eq!(again.membership_count(), registry.membership_count());
    }
    if let Some(missing) = missing.filter(|missing| *missing < changes.len()) {
        let (mut lame, mut applied) = (empty, 0);
        for (_, change) in changes.iter().enumerate().filter(|(n, _)| *n != missing) {
            let before = lame.clone();
            match lame.apply(change) {
                Ok(()) => applied += 1,
                Err(_) => assert_eq!(lame, before, "refused, and changed something"),
            }
            assert_eq!(lame.revision(), applied);
        }
        bounds(&lame);
    }
}

/// What is true of any registry.
fn bounds(registry: &Registry) {
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
    assert_eq!(registry.membership_count(), members);
}

/// What the registry should know, kept in lists and found by looking through them.
struct Model {
    limits: RegistryLimits,
    nodes: Vec<(NodeId, Token)>,
    clusters: Vec<(Name, ClusterInfo, Vec<Token>)>,
    clients: [ClientModel; CLIENTS],
}

#[derive(Clone, Default)]
struct ClientModel {
    member: Option<Token>,
    cluster: Option<NodeId>,
}

impl ClientModel {
    fn id(&self) -> Option<NodeId> {
        self.member.as_ref().and_then(|token| token.id)
    }
}

impl Model {
    /// The next request of the script.
    fn request(&self, op: u8, input: &mut Input<'_>) -> Request {
        match op {
            3..=5 => {
                let (named, keys, id) = (input.byte(), input.byte(), self.id(input.byte()));
                let signature = (keys & 0x80 == 0).then(|| Vec::from([7]));
                Request::Member(Token {
                    name: name(named),
                    attrs: MemberAttrs::from_bits(u64::from(keys >> 4)),
                    id,
                    comms_key: key(keys >> 4),
                    sig_key: key(keys),
                    end_points: end_points(keys >> 2 & 3),
                    signature,
                })
            }
            6 | 7 => Request::Create(Create {
                name: name(input.byte()),
                max_size: u32::from(input.byte()),
                attrs: ClusterAttrs::from_bits(u64::from(op & 1)),
                end_point_count: u32::from(input.byte()),
            }),
            8..=11 => Request::Join(self.cluster(input)),
            12 | 13 => {
                let cluster = self.cluster(input);
                let which = match input.byte() {
                    0 => None,
                    1 => Some(u64::MAX),
                    n => Some(u64::from(n) << (input.byte() % 64)),
                };
                Request::GetCluster(GetCluster { cluster, which: which.map(MemberSet::from_bits) })
            }
            14 => Request::RegCred,
            _ => Request::Bye,
        }
    }

    /// No ID, one that the registry has issued or taken or that it is known by, or a new one.
    fn id(&self, byte: u8) -> Option<NodeId> {
        let nodes = self.nodes.iter().map(|(id, _)| *id);
        let mut known = nodes.chain(self.clusters.iter().map(|(_, info, _)| info.id));
        match byte {
            0..64 => None,
            64..192 => known.nth((byte - 64).into()),
            192..254 => Some(SequentialRng::id(byte - 192)),
            254 => NodeId::from_bytes(&[9; 20]).ok(),
            255 => Some(CREDENTIAL.id),
        }
    }

    fn cluster(&self, input: &mut Input<'_>) -> ClusterRef {
        let id = self.id(input.byte());
        let name = match input.byte() {
            0 => None,
            n => Some(name(n)),
        };
        ClusterRef { id, name }
    }

    fn find(&self, client: &ClientModel, cluster: &ClusterRef) -> Result<usize, Refusal> {
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
            || CREDENTIAL.id == id
    }

    /// Whether this is what the rules come to; takes note of what is new. `drawn` is what the
    /// generator would have drawn before and after it.
    fn judge(&mut self, at: usize, request: &Request, outcome: &Outcome, drawn: (u8, u8)) {
        let draws = drawn.1.wrapping_sub(drawn.0);
        let mut ids = (0..draws).map(|n| SequentialRng::id(drawn.0.wrapping_add(n)));
        let fresh = ids.find(|id| !self.is_taken(*id));
        let none_left = draws >= 4 && fresh.is_none();
        let reasons = self.reasons(&self.clients[at], request, none_left);
        if let Reply::Error(reason) = &outcome.reply {
            let refusal = reason.refusal().expect("a known refusal");
            assert!(reasons.contains(&refusal), "{refusal:?} to {request:?}, not {reasons:?}");
            assert_eq!(outcome.change, None, "refused, and changes something");
            return;
        }
        assert!(reasons.is_empty(), "{:?} to {request:?}: {reasons:?}", outcome.reply);
        let (reply, changed) = self.take(at, request, fresh);
        assert_eq!(outcome.reply, reply);
        if matches!(reply, Reply::Members(_)) {
            assert_eq!(encoded(&outcome.reply), encoded(&reply), "a member's kept bytes are stale");
        }
        assert_eq!(outcome.change.is_some(), changed, "{request:?}");
    }

    /// Every reason there is to refuse a request; which of them is given, the rules do not say.
    fn reasons(&self, client: &ClientModel, request: &Request, none_left: bool) -> Vec<Refusal> {
        let mut reasons = Vec::new();
        let mut unless = |fine: bool, refusal| reasons.extend((!fine).then_some(refusal));
        match (request, &client.member) {
            (Request::Member(token), before) => {
                unless(before.is_none(), Refusal::WrongState);
                unless(token.signature.is_some(), Refusal::BadSignature);
                let bound = self.nodes.iter().find(|(id, _)| Some(*id) == token.id);
                match bound {
                    Some((_, by)) => unless(by.sig_key == token.sig_key, Refusal::IdInUse),
                    None => {
                        unless(!token.id.is_some_and(|id| self.is_taken(id)), Refusal::IdInUse);
                        unless(self.nodes.len() < self.limits.nodes, Refusal::RegistryFull);
                        unless(token.id.is_some() || !none_left, Refusal::Unavailable);
                    }
                }
            }
            (Request::RegCred | Request::Bye, _) => {}
            (_, None) => unless(false, Refusal::WrongState),
            (Request::Create(create), _) => {
                if !self.clusters.iter().any(|(name, ..)| *name == create.name) {
                    unless(create.max_size > 0, Refusal::EmptyCluster);
                    unless(matches!(create.end_point_count, 1 | 2), Refusal::EndPointCount);
                    unless(self.clusters.len() < self.limits.clusters, Refusal::RegistryFull);
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
                }
            },
            (Request::GetCluster(get), _) => {
                self.find(client, &get.cluster).err().into_iter().for_each(|no| unless(false, no));
            }
        }
        reasons
    }

    fn memberships(&self) -> usize {
        self.clusters.iter().map(|(.., members)| members.len()).sum()
    }

    /// Takes a request that nothing speaks against; the reply, and whether something is new.
    /// `fresh` is the ID that has been drawn, if one was needed.
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
            Request::RegCred => (Reply::RegCred(credential()), false),
            Request::Bye => (Reply::Ack, false),
        };
        self.clients[at] = client;
        answer
    }

    fn check_counts(&self, registry: &Registry) {
        let counts = [
            (registry.node_count(), self.nodes.len(), self.limits.nodes),
            (registry.clusters().len(), self.clusters.len(), self.limits.clusters),
            (registry.membership_count(), self.memberships(), self.limits.memberships),
        ];
        for (count, model, limit) in counts {
            assert_eq!(count, model);
            assert!(count <= limit, "more than allowed");
        }
    }

    /// The registry knows what the model knows.
    fn check(&self, registry: &Registry) {
        self.check_counts(registry);
        for (name, info, members) in &self.clusters {
            let cluster = registry.cluster(&info.id).expect("a cluster");
            assert_eq!(registry.cluster_named(name).map(|it| it.info()), Some(info));
            assert_eq!((cluster.name(), cluster.info()), (name, info));
            assert_eq!(cluster.members(), &members[..]);
        }
        bounds(registry);
    }
}
