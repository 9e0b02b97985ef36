//! The rules over other views than a registry in memory. They decide the same.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use xlreg::credential::Credential;
use xlreg::crypto::RustCrypto;
use xlreg::identity::{Fingerprint, Name, NodeId};
use xlreg::message::MemberEntry;
use xlreg::registry::{
    Change, CheckedRequest, ClientState, Cluster, Holdings, Node, Registry, RegistryLimits, Size,
    View, decide,
};
use xlreg_testkit::model::{Answered, Model};
use xlreg_testkit::pair::{Backend, DIALECTS, TestRegistry};

use super::model::{CLIENTS, LIMITS, request, step};

/// The changes as rows, which any store could keep.
#[derive(Clone, Default)]
struct Rows {
    nodes: BTreeMap<NodeId, Node>,
    clusters: BTreeMap<NodeId, Cluster>,
}

impl Rows {
    fn write(&mut self, change: &Change, below: Option<&Cluster>) {
        match change {
            Change::NodeBound { id, key, day } => {
                let node = Node { key: *key, last_use: *day };
                assert_eq!(self.nodes.insert(*id, node), None);
            }
            Change::ClusterCreated { name, info, created_by } => {
                let cluster = Cluster::restore(name.clone(), *info, *created_by).unwrap();
                assert_eq!(self.clusters.insert(info.id, cluster), None);
            }
            Change::MemberJoined { cluster, .. } | Change::MemberUpdated { cluster, .. } => {
                let row = self.clusters.entry(*cluster).or_insert_with(|| below.unwrap().clone());
                row.apply(change).unwrap();
            }
            _ => panic!("a change of another kind: {change:?}"),
        }
    }

    /// These rows over others.
    fn over(&self, below: &Self) -> Self {
        let mut all = below.clone();
        all.nodes.extend(self.nodes.clone());
        all.clusters.extend(self.clusters.clone());
        all
    }

    fn of(registry: &Registry) -> Self {
        let mut rows = Self::default();
        registry.changes().iter().for_each(|change| rows.write(change, None));
        rows
    }

    fn members(&self) -> impl Iterator<Item = &MemberEntry> {
        self.clusters.values().flat_map(Cluster::members)
    }
}

/// A view over rows only.
struct Fetched<'a>(&'a Credential, &'a Rows);

impl View for Fetched<'_> {
    fn credential(&self) -> &Credential {
        self.0
    }
    fn limits(&self) -> &RegistryLimits {
        &LIMITS
    }
    fn size(&self) -> Size {
        let mut tokens: Vec<_> = self.1.members().map(|it| (it.hash(), it.listed_len())).collect();
        let memberships = tokens.len();
        tokens.sort_unstable();
        tokens.dedup();
        Size {
            nodes: self.1.nodes.len(),
            clusters: self.1.clusters.len(),
            memberships,
            tokens: tokens.len(),
            token_bytes: tokens.iter().map(|(_, len)| *len).sum(),
        }
    }
    fn used_by(&self, key: &Fingerprint) -> Holdings {
        Holdings {
            nodes: self.nodes_of(key).len(),
            clusters: self.1.clusters.values().filter(|it| it.created_by() == Some(*key)).count(),
            memberships: self.1.members().filter(|it| it.sig_key.fingerprint() == *key).count(),
        }
    }
    fn uses(&self, member: &MemberEntry) -> usize {
        self.1.members().filter(|it| *it == member).count()
    }
    fn node(&self, id: &NodeId) -> Option<Node> {
        self.1.nodes.get(id).copied()
    }
    fn nodes_of(&self, key: &Fingerprint) -> Vec<NodeId> {
        self.1.nodes.iter().filter(|(_, node)| node.key == *key).map(|(id, _)| *id).collect()
    }
    fn cluster(&self, id: &NodeId) -> Option<&Cluster> {
        self.1.clusters.get(id)
    }
    fn cluster_named(&self, name: &Name) -> Option<&Cluster> {
        self.1.clusters.values().find(|cluster| cluster.name() == name)
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        rng_seed: RngSeed::Fixed(0x5669_6577),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn rows_and_overlays_decide_as_a_registry_in_memory_does(
        steps in prop::collection::vec((0..CLIENTS, step(), prop::bool::weighted(0.2)), 1..80),
    ) {
        let mut registry = TestRegistry::new(DIALECTS[0], LIMITS);
        let credential = registry.rules.credential().clone();
        let mut model = Model::new(credential.clone(), LIMITS, CLIENTS);
        let mut clients: [ClientState; CLIENTS] = Default::default();
        let (mut rows, mut durable, mut pending) = (Rows::default(), registry.rules.clone(), Rows::default());
        for (at, step, commit) in steps {
            let Some((request, forged)) = request(&model, &step) else {
                clients[at] = ClientState::new();
                model.hang_up(at);
                continue;
            };
            let checked = CheckedRequest::new(request.clone(), &RustCrypto);
            let (mut by_rows, mut by_overlay) = (clients[at].clone(), clients[at].clone());
            let decided = checked.ok().map(|checked| [
                decide(&Fetched(&credential, &rows), &mut by_rows, checked.clone(), &mut registry.rng.clone()),
                decide(&Fetched(&credential, &pending.over(&Rows::of(&durable))), &mut by_overlay, checked, &mut registry.rng.clone()),
            ]);
            let count = registry.changes.len();
            let reply = registry.answer(&mut clients[at], request.clone());
            let change = registry.changes.get(count).cloned();
            model.judge(at, &request, &Answered { reply: &reply, changed: Some(change.is_some()), forged, drawn: None });
            for decision in decided.into_iter().flatten() {
                prop_assert_eq!((&decision.reply, &decision.change), (&reply, &change));
            }
            let state = format!("{:?}", clients[at]);
            prop_assert_eq!((&format!("{by_rows:?}"), &format!("{by_overlay:?}")), (&state, &state));
            if let Some(change) = &change {
                rows.write(change, None);
                let below = match change {
                    Change::MemberJoined { cluster, .. } | Change::MemberUpdated { cluster, .. } => durable.cluster(cluster),
                    _ => None,
                };
                pending.write(change, below);
            }
            if commit {
                (durable, pending) = (registry.rules.clone(), Rows::default());
            }
        }
    }
}
