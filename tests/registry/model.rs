//! The registry against a small model of its rules, over random sequences of requests; and its
//! changes, replayed.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use xlreg::identity::{NodeId, Token};
use xlreg::message::{ClusterRef, GetCluster, MemberSet, Request};
use xlreg::registry::{ClientState, Holdings, Registry, RegistryLimits};
use xlreg_testkit::model::{Answered, Model};
use xlreg_testkit::pair::{Backend, DIALECTS, TestRegistry, cluster, token};

pub(super) const LIMITS: RegistryLimits = RegistryLimits {
    nodes: 9,
    clusters: 3,
    memberships: 5,
    token_bytes: 2_000,
    of_a_key: Holdings { nodes: 4, clusters: 2, memberships: 3 },
    ..RegistryLimits::NONE
};
const CLUSTERS: [&str; 5] = ["a", "b", "c", "d", "e"];
pub(super) const CLIENTS: usize = 6;

/// Signed tokens: 4 keys, 4 names, 0 to 2 end points.
static TOKENS: LazyLock<Vec<Token>> = LazyLock::new(|| {
    let end_points = [&[][..], &["h:1"], &["h:1", "h:2"], &["h:3", "h:4"]];
    let all =
        (0..64).map(|n| token(["n0", "n1", "n2", "n3"][n / 4 % 4], n % 4, end_points[n / 16]));
    all.collect()
});

/// The ID in a request: none, the `n`-th that the registry has issued or accepted, or an unknown
/// one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pick {
    None,
    Known(usize),
    Unknown(u8),
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The client hangs up, and another one takes its place.
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

pub(super) fn step() -> impl Strategy<Value = Step> {
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

fn picked(model: &Model, pick: Pick) -> Option<NodeId> {
    match pick {
        Pick::None => None,
        Pick::Unknown(n) => Some(NodeId::from_bytes(&[n; 20]).unwrap()),
        Pick::Known(n) => {
            let known: Vec<_> = model.ids().collect();
            (!known.is_empty()).then(|| known[n % known.len()])
        }
    }
}

/// The model's answer to a step; `None` if the client just leaves.
pub(super) fn request(model: &Model, step: &Step) -> Option<(Request, bool)> {
    let named = |name: &Option<usize>| name.map(|name| CLUSTERS[name].parse().unwrap());
    Some(match step {
        Step::Leave => return None,
        Step::Member { token, id, forged } => {
            let mut token = Token { id: picked(model, *id), ..TOKENS[*token].clone() };
            if *forged {
                token.name = "forged".parse().unwrap();
            }
            (Request::Member(token), *forged)
        }
        Step::Create { name, size, end_points } => {
            (Request::Create(cluster(CLUSTERS[*name], *size, *end_points)), false)
        }
        Step::Join { id, name } => {
            (Request::Join(ClusterRef { id: picked(model, *id), name: named(name) }), false)
        }
        Step::Get { id, which } => {
            let cluster = ClusterRef { id: picked(model, *id), name: None };
            let which = which.map(MemberSet::from_bits);
            (Request::GetCluster(GetCluster { cluster, which }), false)
        }
    })
}

fn rebuilt(registry: &TestRegistry, changes: &[xlreg::registry::Change]) -> Registry {
    let mut registry = Registry::new(registry.rules.credential().clone(), LIMITS);
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
        let mut registry = TestRegistry::new(DIALECTS[0], LIMITS);
        let credential = registry.rules.credential().clone();
        let mut model = Model::new(credential, LIMITS, CLIENTS);
        let mut clients: [ClientState; CLIENTS] = Default::default();
        for (at, step) in steps {
            let Some((request, forged)) = request(&model, &step) else {
                clients[at] = ClientState::new();
                model.hang_up(at);
                continue;
            };
            let before = (registry.rules.clone(), registry.changes.len(), format!("{:?}", clients[at]));
            let reply = registry.answer(&mut clients[at], request.clone());
            let changed = registry.changes.len() > before.1;
            let answered = Answered { reply: &reply, changed: Some(changed), forged, drawn: None };
            if model.judge(at, &request, &answered).is_none() {
                let now = (registry.rules.clone(), registry.changes.len(), format!("{:?}", clients[at]));
                prop_assert_eq!(now, before);
            } else {
                prop_assert_eq!(registry.rules != before.0, changed);
            }
            model.check(&registry.rules);
        }
        prop_assert_eq!(&rebuilt(&registry, &registry.changes), &registry.rules);
        prop_assert_eq!(&rebuilt(&registry, &registry.rules.changes()), &registry.rules);
    }
}
