//! The registry against a tiny model of its rules, over random sequences of requests; and its
//! changes, replayed.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use xlreg::identity::{NodeId, Token};
use xlreg::message::{ClusterInfo, ClusterRef, GetCluster, MemberSet, Refusal, Reply, Request};
use xlreg::registry::{ClientState, Registry, RegistryLimits};
use xlreg_testkit::pair::{Backend, DIALECTS, TestRegistry, cluster, served, token};

const LIMITS: RegistryLimits = RegistryLimits { nodes: 9, clusters: 3, memberships: 5 };
const CLUSTERS: [&str; 5] = ["a", "b", "c", "d", "e"];
const CLIENTS: usize = 6;

/// Signed tokens: 4 keys, 4 names, 0 to 2 ends.
static TOKENS: LazyLock<Vec<Token>> = LazyLock::new(|| {
    let end_points = [&[][..], &["h:1"], &["h:1", "h:2"], &["h:3", "h:4"]];
    let all =
        (0..64).map(|n| token(["n0", "n1", "n2", "n3"][n / 4 % 4], n % 4, end_points[n / 16]));
    all.collect()
});

/// Which ID a request names: none, the `n`-th that the registry has issued or taken, or one it has
/// never seen.
#[derive(Clone, Copy, Debug)]
enum Pick {
    None,
    Known(usize),
    Unknown(u8),
}

#[derive(Clone, Debug)]
enum Step {
    /// The client hangs up, and another takes the place.
    Leave,
    Member {
        token: usize,
        id: Pick,
        forged: bool,
    },
    Create {
        name: usize,
        size: u32,
        end_points: u32,
    },
    Join {
        id: Pick,
        name: Option<usize>,
    },
    Get {
        id: Pick,
        which: Option<u64>,
    },
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![
        4 => Just(Pick::None),
        3 => (0usize..32).prop_map(Pick::Known),
        1 => (0u8..4).prop_map(Pick::Unknown),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..CLUSTERS.len();
    let forged = prop::bool::weighted(0.05);
    prop_oneof![
        2 => Just(Step::Leave),
        6 => (0usize..64, pick(), forged)
            .prop_map(|(token, id, forged)| Step::Member { token, id, forged }),
        3 => (name.clone(), prop_oneof![0u32..5, Just(70)], 0u32..4)
            .prop_map(|(name, size, end_points)| Step::Create { name, size, end_points }),
        8 => (pick(), prop::option::of(name)).prop_map(|(id, name)| Step::Join { id, name }),
        2 => (pick(), prop::option::of(0u64..16)).prop_map(|(id, which)| Step::Get { id, which }),
    ]
}

/// What the registry should know, kept in lists and found by looking through them.
#[derive(Default)]
struct Model {
    nodes: Vec<(NodeId, Token)>,
    clusters: Vec<(String, ClusterInfo, Vec<Token>)>,
    clients: [ClientModel; CLIENTS],
}

#[derive(Clone, Default)]
struct ClientModel {
    member: Option<Token>,
    cluster: Option<NodeId>,
}

impl Model {
    fn find(&self, client: &ClientModel, cluster: &ClusterRef) -> Result<usize, Refusal> {
        let place = |wanted: &dyn Fn(&str, NodeId) -> bool| {
            self.clusters.iter().position(|(name, info, _)| wanted(name, info.id))
        };
        if let Some(id) = cluster.id {
            return place(&|_, it| it == id).ok_or(Refusal::NoClusterWithId);
        }
        if let Some(named) = &cluster.name {
            return place(&|it, _| it == named.as_str()).ok_or(Refusal::NoClusterWithName);
        }
        place(&|_, it| Some(it) == client.cluster).ok_or(Refusal::NoClusterGiven)
    }

    /// Every reason there is to refuse a request; PROTOCOL does not say which goes first.
    fn reasons(&self, client: &ClientModel, request: &Request, forged: bool) -> Vec<Refusal> {
        let mut reasons = Vec::new();
        let mut unless = |fine: bool, refusal| {
            if !fine {
                reasons.push(refusal)
            }
        };
        match (request, &client.member) {
            (Request::Member(token), before) => {
                unless(before.is_none(), Refusal::WrongState);
                unless(!forged, Refusal::BadSignature);
                let bound = self.nodes.iter().find(|(id, _)| Some(*id) == token.id);
                let cluster = self.clusters.iter().any(|(_, info, _)| Some(info.id) == token.id);
                match bound {
                    Some((_, by)) => unless(by.sig_key == token.sig_key, Refusal::IdInUse),
                    None => {
                        unless(!cluster, Refusal::IdInUse);
                        unless(self.nodes.len() < LIMITS.nodes, Refusal::RegistryFull);
                    }
                }
            }
            (_, None) => unless(false, Refusal::WrongState),
            (Request::Create(create), _) => {
                if !self.clusters.iter().any(|(name, ..)| name == create.name.as_str()) {
                    unless(create.max_size > 0, Refusal::EmptyCluster);
                    let end_points = create.end_point_count;
                    unless(end_points == 1 || end_points == 2, Refusal::EndPointCount);
                    unless(self.clusters.len() < LIMITS.clusters, Refusal::RegistryFull);
                }
            }
            (Request::Join(cluster), Some(token)) => match self.find(client, cluster) {
                Err(refusal) => unless(false, refusal),
                Ok(place) => {
                    let (_, info, members) = &self.clusters[place];
                    let few = if info.end_point_count == 1 {
                        Refusal::NoEnd
                    } else {
                        Refusal::TooFewEnds
                    };
                    unless(token.end_points.len() >= info.end_point_count as usize, few);
                    let own = members.iter().position(|member| member.id == token.id);
                    let namesake = members.iter().position(|member| member.name == token.name);
                    unless(namesake.is_none() || namesake == own, Refusal::MemberNameInUse);
                    let room = members.len() < info.max_size as usize;
                    unless(own.is_some() || room, Refusal::ClusterFull);
                    let all: usize = self.clusters.iter().map(|(.., members)| members.len()).sum();
                    unless(own.is_some() || all < LIMITS.memberships, Refusal::RegistryFull);
                }
            },
            (Request::GetCluster(get), _) => {
                if let Err(refusal) = self.find(client, &get.cluster) {
                    unless(false, refusal);
                }
            }
            (Request::RegCred | Request::Bye, _) => {}
        }
        reasons
    }

    /// Takes a request that was not refused, and says what the answer should have been.
    fn take(&mut self, at: usize, request: &Request, reply: &Reply) -> Reply {
        let mut client = self.clients[at].clone();
        let expected = match request {
            Request::Member(token) => {
                // A fresh ID is the registry's to choose, if it is fresh.
                let Reply::MemberOk { id, .. } = reply else { return Reply::Ack };
                let known = self.nodes.iter().any(|(node, _)| node == id);
                assert!(token.id == Some(*id) || token.id.is_none() && !known);
                assert!(!self.clusters.iter().any(|(_, info, _)| info.id == *id));
                if !known {
                    self.nodes.push((*id, token.clone()));
                }
                client.member = Some(served(token, *id));
                Reply::MemberOk { id: *id, attrs: token.attrs }
            }
            Request::Create(create) => {
                let place = self.clusters.iter().position(|(it, ..)| it == create.name.as_str());
                let place = place.unwrap_or_else(|| {
                    let Reply::Create(ClusterInfo { id, .. }) = *reply else { panic!("{reply:?}") };
                    assert!(!self.nodes.iter().any(|(node, _)| *node == id));
                    assert!(!self.clusters.iter().any(|(_, info, _)| info.id == id));
                    let max_size = create.max_size.min(64);
                    let info = ClusterInfo { max_size, ..xlreg_testkit::pair::info(id, create) };
                    self.clusters.push((create.name.as_str().into(), info, Vec::new()));
                    self.clusters.len() - 1
                });
                let info = self.clusters[place].1;
                client.cluster = Some(info.id);
                Reply::Create(info)
            }
            Request::Join(cluster) => {
                let place = self.find(&client, cluster).unwrap();
                let (_, info, members) = &mut self.clusters[place];
                let token = client.member.clone().unwrap();
                match members.iter_mut().find(|member| member.id == token.id) {
                    Some(member) => *member = token,
                    None => members.push(token),
                }
                client.cluster = Some(info.id);
                Reply::Join(*info)
            }
            Request::GetCluster(get) => {
                let (_, info, members) = &self.clusters[self.find(&client, &get.cluster).unwrap()];
                let wanted = |n: usize| get.which.is_none_or(|which| which.bits() >> n & 1 == 1);
                let wanted: Vec<_> = (0..members.len()).filter(|n| wanted(*n)).collect();
                let which = MemberSet::from_bits(wanted.iter().map(|n| 1 << n).sum());
                let tokens = wanted.into_iter().map(|n| members[n].clone()).collect();
                Reply::Members(xlreg::message::MemberList::new(info.id, which, tokens).unwrap())
            }
            Request::RegCred | Request::Bye => panic!("not asked here"),
        };
        self.clients[at] = client;
        expected
    }

    fn id(&self, pick: Pick) -> Option<NodeId> {
        match pick {
            Pick::None => None,
            Pick::Unknown(n) => Some(NodeId::from_bytes(&[n; 20]).unwrap()),
            Pick::Known(n) => {
                let nodes = self.nodes.iter().map(|(id, _)| *id);
                let known: Vec<_> =
                    nodes.chain(self.clusters.iter().map(|(_, info, _)| info.id)).collect();
                (!known.is_empty()).then(|| known[n % known.len()])
            }
        }
    }

    /// What the model makes of a step; `None` where the client just leaves.
    fn request(&self, step: &Step) -> Option<(Request, bool)> {
        let named = |name: &Option<usize>| name.map(|name| CLUSTERS[name].parse().unwrap());
        Some(match step {
            Step::Leave => return None,
            Step::Member { token, id, forged } => {
                let mut token = Token { id: self.id(*id), ..TOKENS[*token].clone() };
                if *forged {
                    token.name = "forged".parse().unwrap();
                }
                (Request::Member(token), *forged)
            }
            Step::Create { name, size, end_points } => {
                (Request::Create(cluster(CLUSTERS[*name], *size, *end_points)), false)
            }
            Step::Join { id, name } => {
                (Request::Join(ClusterRef { id: self.id(*id), name: named(name) }), false)
            }
            Step::Get { id, which } => {
                let cluster = ClusterRef { id: self.id(*id), name: None };
                let which = which.map(MemberSet::from_bits);
                (Request::GetCluster(GetCluster { cluster, which }), false)
            }
        })
    }

    /// The registry knows what the model knows, and keeps within its bounds.
    fn check(&self, registry: &Registry) {
        assert_eq!(registry.node_count(), self.nodes.len());
        assert_eq!(registry.clusters().len(), self.clusters.len());
        for (name, info, members) in &self.clusters {
            let cluster = registry.cluster(&info.id).unwrap();
            assert_eq!(registry.cluster_named(&name.parse().unwrap()), Some(cluster));
            assert_eq!(cluster.info(), info);
            assert_eq!(cluster.members(), &members[..]);
            assert!(members.len() <= info.max_size as usize && info.max_size <= 64);
            for (n, member) in members.iter().enumerate() {
                let rest = &members[n + 1..];
                assert!(rest.iter().all(|it| it.id != member.id && it.name != member.name));
            }
        }
    }
}

fn rebuilt(desk: &TestRegistry, changes: &[xlreg::registry::Change]) -> Registry {
    let mut registry = Registry::new(desk.registry.credential().clone(), LIMITS);
    changes.iter().for_each(|change| registry.apply(change).unwrap());
    registry
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        rng_seed: RngSeed::Fixed(0x0078_6C52_6567),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_registry_does_what_the_model_does(
        steps in prop::collection::vec((0..CLIENTS, step()), 1..80),
    ) {
        let mut desk = TestRegistry::new(DIALECTS[0], LIMITS);
        let mut model = Model::default();
        let mut clients: [ClientState; CLIENTS] = Default::default();
        for (at, step) in steps {
            let Some((request, forged)) = model.request(&step) else {
                clients[at] = ClientState::new();
                model.clients[at] = ClientModel::default();
                continue;
            };
            let reasons = model.reasons(&model.clients[at], &request, forged);
            let before = (desk.registry.clone(), desk.changes.len(), format!("{:?}", clients[at]));
            let reply = desk.answer(&mut clients[at], request.clone());
            if let Reply::Error(reason) = &reply {
                let refusal = reason.refusal().unwrap();
                prop_assert!(reasons.contains(&refusal), "{refusal:?} to {request:?}");
                let now = (desk.registry.clone(), desk.changes.len(), format!("{:?}", clients[at]));
                prop_assert_eq!(now, before);
            } else {
                prop_assert!(reasons.is_empty(), "{:?} to {:?}: {:?}", reply, request, reasons);
                prop_assert_eq!(&model.take(at, &request, &reply), &reply);
                prop_assert_eq!(desk.registry != before.0, desk.changes.len() > before.1);
            }
            model.check(&desk.registry);
        }
        prop_assert_eq!(&rebuilt(&desk, &desk.changes), &desk.registry);
        prop_assert_eq!(&rebuilt(&desk, &desk.registry.changes()), &desk.registry);
    }
}
