//! The room for a change: the limits of the registry, and those of the sig key that it is for.

use super::{Change, Size, View};
use crate::identity::Fingerprint;
use crate::message::{MemberEntry, Refusal};

/// Checks that a change that the rules allow has room.
///
/// # Errors
///
/// The [`Refusal`] to send if it has none.
pub(super) fn check_room(
    view: &impl View,
    key: &Fingerprint,
    change: &Change,
) -> Result<(), Refusal> {
    let (size, used) = (view.size(), view.used_by(key));
    let (limits, of_a_key) = (view.limits(), view.limits().of_a_key);
    let grown = view.size_after(change);
    let too_much = |then: usize, now: usize, limit: usize| then > now && then > limit;
    if too_much(grown.nodes, size.nodes, limits.nodes)
        || too_much(grown.clusters, size.clusters, limits.clusters)
        || too_much(grown.memberships, size.memberships, limits.memberships)
        || (grown.token_bytes > size.token_bytes && grown.token_bytes > limits.token_bytes)
        || (grown.memory_bytes() > size.memory_bytes()
            && grown.memory_bytes() > limits.memory_bytes)
    {
        return Err(Refusal::RegistryFull);
    }
    for (grows, used, limit, refusal) in [
        (grown.nodes > size.nodes, used.nodes, of_a_key.nodes, Refusal::TooManyNodesOfKey),
        (
            grown.clusters > size.clusters,
            used.clusters,
            of_a_key.clusters,
            Refusal::TooManyClustersOfKey,
        ),
        (
            grown.memberships > size.memberships,
            used.memberships,
            of_a_key.memberships,
            Refusal::TooManyMembershipsOfKey,
        ),
    ] {
        if grows && used >= limit {
            return Err(refusal);
        }
    }
    view.admit(key, change)
}

/// The size after a change. A member that joins again with a token that is no longer takes no more
/// room, so a full registry lets it.
pub(super) fn size_after(view: &(impl View + ?Sized), change: &Change) -> Size {
    let mut size = view.size();
    for part in change.parts() {
        // All of it is in memory, so no number comes to its end.
        match part {
            Change::NodeBound { .. } => size.nodes = size.nodes.saturating_add(1),
            Change::ClusterCreated { .. } => size.clusters = size.clusters.saturating_add(1),
            Change::ClusterDeleted { cluster } => {
                size.clusters = size.clusters.saturating_sub(1);
                let cluster = view.cluster(cluster);
                for member in cluster.map_or(&[][..], |cluster| cluster.members()) {
                    size.memberships = size.memberships.saturating_sub(1);
                    remove_token(view, &mut size, member);
                }
            }
            Change::MemberJoined { member, .. } => {
                size.memberships = size.memberships.saturating_add(1);
                add_token(view, &mut size, member);
            }
            Change::MemberUpdated { cluster, index, member } => {
                add_token(view, &mut size, member);
                if let Some(old) = view.cluster(cluster).and_then(|it| it.member(*index)) {
                    remove_token(view, &mut size, old);
                }
            }
            Change::NodeUsed { .. } | Change::All(_) => {}
        }
    }
    size
}

fn remove_token(view: &(impl View + ?Sized), size: &mut Size, member: &MemberEntry) {
    if view.uses(member) == 1 {
        size.tokens = size.tokens.saturating_sub(1);
        size.token_bytes = size.token_bytes.saturating_sub(member.listed_len());
    }
}

fn add_token(view: &(impl View + ?Sized), size: &mut Size, member: &MemberEntry) {
    if view.uses(member) == 0 {
        size.tokens = size.tokens.saturating_add(1);
        size.token_bytes = size.token_bytes.saturating_add(member.listed_len());
    }
}
