//! What changes have made of a registry, as far as it can be looked up over what was there.

use std::collections::BTreeMap;

use xlreg::identity::{Fingerprint, Name, NodeId};
use xlreg::message::MemberEntry;
use xlreg::registry::{ApplyError, Change, Cluster, Holdings, Node, Size, View};

/// What some changes have made of the state below.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    /// Clusters with all their members, those below too; `None` if it is gone.
    pub(super) clusters: BTreeMap<NodeId, Option<Cluster>>,
    /// `None` if the name is free again.
    pub(super) names: BTreeMap<Name, Option<NodeId>>,
    /// The size with these changes; `None` if there are none.
    pub(super) size: Option<Size>,
    keys: BTreeMap<Fingerprint, Difference>,
    /// How many memberships more or fewer have a token, by its hash.
    tokens: BTreeMap<[u8; 32], isize>,
}

/// What a sig key has more or less than below.
#[derive(Default)]
struct Difference {
    nodes: Vec<NodeId>,
    clusters: isize,
    memberships: isize,
}

impl Rows {
    /// What one change makes of what the view shows.
    ///
    /// # Errors
    ///
    /// [`ApplyError`] if the change does not follow from that.
    pub(super) fn of(view: &impl View, change: &Change) -> Result<Self, ApplyError> {
        let mut rows = Self { size: Some(view.size_after(change)), ..Self::default() };
        match change {
            Change::NodeBound { id, key, day } => {
                if view.is_taken(id) {
                    return Err(ApplyError::IdTaken(*id));
                }
                rows.nodes.insert(*id, Node { key: *key, last_use: *day });
                rows.keys.entry(*key).or_default().nodes.push(*id);
            }
            Change::NodeUsed { id, day } => {
                let node = view.node(id).ok_or(ApplyError::NoNode(*id))?;
                rows.nodes.insert(*id, Node { last_use: Some(*day), ..node });
            }
            Change::ClusterCreated { name, info, created_by } => {
                if view.cluster_named(name).is_some() {
                    return Err(ApplyError::NameTaken(name.clone()));
                }
                let cluster = Cluster::restore(name.clone(), *info, *created_by)?;
                rows.clusters.insert(info.id, Some(cluster));
                rows.names.insert(name.clone(), Some(info.id));
                rows.count_cluster(*created_by, 1);
            }
            Change::ClusterDeleted { cluster } => {
                let known = view.cluster(cluster).ok_or(ApplyError::NoCluster(*cluster))?;
                known.members().iter().for_each(|member| rows.count_member(member, -1));
                rows.names.insert(known.name().clone(), None);
                rows.count_cluster(known.created_by(), -1);
                rows.clusters.insert(*cluster, None);
            }
            Change::MemberJoined { cluster, index, member }
            | Change::MemberUpdated { cluster, index, member } => {
                let known = view.cluster(cluster).ok_or(ApplyError::NoCluster(*cluster))?;
                known.member(*index).iter().for_each(|old| rows.count_member(old, -1));
                let mut known = known.clone();
                known.apply(change)?;
                rows.clusters.insert(*cluster, Some(known));
                rows.count_member(member, 1);
            }
            // A list has been taken apart. What else there is has no rows.
            other => {
                debug_assert!(false, "a change without rows: {other:?}");
                return Err(ApplyError::Nested);
            }
        }
        Ok(rows)
    }

    fn count_cluster(&mut self, created_by: Option<Fingerprint>, step: isize) {
        if let Some(key) = created_by {
            self.keys.entry(key).or_default().clusters += step;
        }
    }

    fn count_member(&mut self, member: &MemberEntry, step: isize) {
        self.keys.entry(member.sig_key.fingerprint()).or_default().memberships += step;
        *self.tokens.entry(member.hash()).or_default() += step;
    }

    /// Puts what later changes have made over it.
    pub(super) fn put(&mut self, above: Self) {
        let Self { nodes, clusters, names, size, keys, tokens } = above;
        self.nodes.extend(nodes);
        self.clusters.extend(clusters);
        self.names.extend(names);
        self.size = size.or(self.size);
        for (key, Difference { nodes, clusters, memberships }) in keys {
            let below = self.keys.entry(key).or_default();
            below.nodes.extend(nodes);
            below.clusters += clusters;
            below.memberships += memberships;
        }
        for (token, difference) in tokens {
            *self.tokens.entry(token).or_default() += difference;
        }
    }

    /// What a sig key has with these changes, and had before them.
    pub(super) fn add_used_by(&self, key: &Fingerprint, before: Holdings) -> Holdings {
        let Some(difference) = self.keys.get(key) else { return before };
        Holdings {
            nodes: before.nodes + difference.nodes.len(),
            clusters: before.clusters.saturating_add_signed(difference.clusters),
            memberships: before.memberships.saturating_add_signed(difference.memberships),
        }
    }

    /// How many memberships have a token with these changes, and had it before them.
    pub(super) fn add_uses(&self, member: &MemberEntry, before: usize) -> usize {
        let difference = self.tokens.get(&member.hash()).copied();
        // All layers together never take away what was not there.
        before.saturating_add_signed(difference.unwrap_or(0))
    }

    /// The node IDs that these changes have bound to a sig key.
    pub(super) fn nodes_of(&self, key: &Fingerprint) -> impl Iterator<Item = NodeId> + use<'_> {
        self.keys.get(key).into_iter().flat_map(|difference| difference.nodes.iter().copied())
    }
}
