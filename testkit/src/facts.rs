//! The facts that a registry has acknowledged, and the check that they are still true.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};

use xlreg::identity::{NodeId, Token};
use xlreg::message::Refusal;

use crate::client::{Failure, Way, token};
use crate::{KEYS, Seeded, identity};

/// One acknowledged fact.
#[derive(Clone, Debug)]
pub enum Fact {
    /// MemberOK: the ID is bound to the `key`-th sig key.
    Node { id: NodeId, key: usize },
    /// CreateReply: the name is that of this cluster.
    Cluster { name: String, max_size: u32, id: NodeId },
    /// JoinReply: the member is in the cluster, at this index if the reply had one, with one of
    /// these lists of end points. There are two while the last one is not acknowledged.
    Member { cluster: NodeId, id: NodeId, index: Option<u32>, end_points: Vec<String> },
}

/// An acknowledged fact is not true.
#[derive(Debug)]
pub struct Loss(pub String);

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks all facts.
pub fn check(facts: &[Fact], way: &Way, rng: &mut Seeded) -> Result<(), Loss> {
    let lost = |why: Failure| Loss(format!("the checker: {why:?}"));
    let checker = token(&identity("checker", 0), "checker:1", rng);
    let (mut checker, _) = way.visit(&checker, rng).map_err(lost)?;
    let mut clusters: BTreeMap<NodeId, BTreeMap<u32, Token>> = BTreeMap::new();
    for fact in facts {
        let not = |why: String| Loss(format!("{fact:?}: {why}"));
        match fact {
            Fact::Node { id, key } => check_node(*id, *key, way, rng).map_err(not)?,
            Fact::Cluster { name, max_size, id } => {
                // A Create of an existing cluster gives its own size.
                let told = checker.create(name, 1).map(|info| (info.id, info.max_size));
                if told != Ok((*id, *max_size)) {
                    return Err(not(format!("{told:?}")));
                }
            }
            Fact::Member { cluster, id, index, end_points } => {
                if !clusters.contains_key(cluster) {
                    let list = checker.members(*cluster).map_err(|why| not(format!("{why:?}")))?;
                    clusters.insert(*cluster, list.into_iter().collect());
                }
                let found = clusters[cluster].iter().find(|(_, token)| token.id == Some(*id));
                let holds = found.is_some_and(|(at, token)| {
                    index.is_none_or(|index| index == *at)
                        && end_points.iter().any(|end| token.end_points[0].as_str() == end)
                });
                if !holds {
                    return Err(not(format!("{found:?}")));
                }
            }
        }
    }
    checker.bye().map_err(lost)
}

/// With its own sig key the ID is recognised. With another one it is in use.
fn check_node(id: NodeId, key: usize, way: &Way, rng: &mut Seeded) -> Result<(), String> {
    let mut present = |key| {
        let mut node = identity("checked", key);
        node.id = Some(id);
        let token = token(&node, "checked:1", rng);
        way.visit(&token, rng).map(|(_, id)| id)
    };
    match present(key) {
        Ok(same) if same == id => {}
        other => return Err(format!("its own key: {other:?}")),
    }
    match present(key + 1) {
        Err(refused) if refused.is(Refusal::IdInUse) => Ok(()),
        other => Err(format!("another key: {other:?}")),
    }
}

/// The number of writers.
pub const WRITERS: usize = 6;

/// The state that all writers share.
#[derive(Default)]
pub struct Writing {
    /// The number of acknowledgements that all writers have seen.
    pub seen: AtomicUsize,
    /// Set to stop the writers.
    pub stop: AtomicBool,
}

impl Writing {
    /// Starts the writers. Each goes on until its connection is lost or it must stop, and gives its
    /// facts.
    pub fn start<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        way: &Way,
        round: &str,
        rng: &mut Seeded,
    ) -> Vec<ScopedJoinHandle<'s, Vec<Fact>>> {
        let writer = |number: usize| {
            let rng = Seeded(rand_core::Rng::next_u64(rng));
            let (way, prefix) = (way.clone(), format!("{round}w{number}"));
            let mut writer = Writer { writing: self, way, rng, facts: Vec::new() };
            thread::Builder::new().spawn_scoped(scope, move || {
                let mut enrollment = 0;
                while !self.stop.load(Ordering::Relaxed) {
                    enrollment += 1;
                    match writer.enrollment(&prefix, enrollment) {
                        Err(failure) if failure.is_lost() => break,
                        Err(refused) => assert!(refused.is(Refusal::ClusterFull), "{refused:?}"),
                        Ok(()) => {}
                    }
                }
                writer.facts
            })
        };
        (0..WRITERS).map(writer).map(Result::unwrap).collect()
    }
}

struct Writer<'a> {
    writing: &'a Writing,
    way: Way,
    rng: Seeded,
    facts: Vec<Fact>,
}

impl Writer<'_> {
    fn told(&mut self, fact: Fact) {
        self.facts.push(fact);
        self.writing.seen.fetch_add(1, Ordering::Relaxed);
    }

    /// Registers a node, with an ID of its own or of the registry's choice; creates or finds a
    /// cluster; joins it; and sometimes comes back with other end points.
    fn enrollment(&mut self, prefix: &str, enrollment: usize) -> Result<(), Failure> {
        let key = self.rng.below(KEYS.sig.len());
        let mut node = identity(&format!("{prefix}e{enrollment}"), key);
        if self.rng.below(2) == 0 {
            node.id = Some(NodeId::random(&mut self.rng));
        }
        let first = format!("{prefix}.example:{enrollment}");
        let presented = token(&node, &first, &mut self.rng);
        let (mut client, id) = self.way.visit(&presented, &mut self.rng)?;
        assert!(node.id.is_none_or(|own| own == id));
        node.id = Some(id);
        self.told(Fact::Node { id, key });

        // One cluster in two is shared by all writers.
        let round = prefix.split('w').next().unwrap_or(prefix);
        let (name, max_size) = match self.rng.below(2) {
            0 => (format!("{round}met{}", enrollment / 16), 64),
            _ => (format!("{prefix}c{enrollment}"), 2),
        };
        let info = client.create(&name, max_size)?;
        assert_eq!(info.max_size, max_size);
        self.told(Fact::Cluster { name, max_size, id: info.id });

        client.join(info.id)?;
        self.told(Fact::Member { cluster: info.id, id, index: None, end_points: vec![first] });
        let list = client.members(info.id)?;
        let told = list.iter().find(|(_, token)| token.id == Some(id)).map(|(at, _)| *at);
        assert!(told.is_some(), "joined and not among the members");
        self.last_member(|index, _| *index = told);
        client.bye()?;

        if self.rng.below(3) == 0 {
            let other = format!("{prefix}.elsewhere:{enrollment}");
            let presented = token(&node, &other, &mut self.rng);
            let (mut client, same) = self.way.visit(&presented, &mut self.rng)?;
            assert_eq!(same, id);
            self.last_member(|_, end_points| end_points.push(other.clone()));
            client.join(info.id)?;
            self.last_member(|_, end_points| *end_points = vec![other]);
            self.writing.seen.fetch_add(1, Ordering::Relaxed);
            client.bye()?;
        }
        Ok(())
    }

    fn last_member(&mut self, change: impl FnOnce(&mut Option<u32>, &mut Vec<String>)) {
        match self.facts.last_mut() {
            Some(Fact::Member { index, end_points, .. }) => change(index, end_points),
            other => panic!("{other:?}"),
        }
    }
}
