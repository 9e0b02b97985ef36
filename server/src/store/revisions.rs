//! The revisions of clusters, and the futures that wait for a new one.
//!
//! A revision identifies the content of a cluster as long as the process runs. The first one is
//! drawn at random when it is asked for. So after a restart, or in another registry, a client with
//! an old revision does not match by chance.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use rand_core::Rng;
use tokio::sync::Notify;
use xlreg::crypto::SystemRng;
use xlreg::identity::NodeId;
use xlreg::registry::Change;

/// The revision of a cluster: an opaque number that moves with each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision(u64);

impl Revision {
    /// Revisions end here, so that they also fit signed numbers.
    const MAX: u64 = i64::MAX.unsigned_abs();

    /// Makes the revision with this number; `None` if it is not from 1 to 2⁶³ - 1.
    pub fn new(number: u64) -> Option<Self> {
        (1..=Self::MAX).contains(&number).then_some(Self(number))
    }

    /// The number of the revision.
    pub const fn get(self) -> u64 {
        self.0
    }

    fn draw(rng: &mut impl Rng) -> Self {
        Self((rng.next_u64() >> 1).max(1))
    }

    pub(super) fn next(self) -> Self {
        // After the last one comes the first.
        Self::new(self.0.wrapping_add(1)).unwrap_or(Self(1))
    }
}

/// The revisions of all clusters that were asked for. Each takes about 80 bytes, and there are no
/// more than clusters. All that wait for one cluster share one place, as long as any of them waits.
#[derive(Default)]
pub struct Revisions {
    clusters: BTreeMap<NodeId, Watched>,
    ended: bool,
}

struct Watched {
    revision: Revision,
    /// All that wait for the next revision. It is gone with the last of them.
    waiting: Weak<Notify>,
}

/// The answer to a look at a revision.
pub enum Look {
    /// The revision is not the known one.
    Moved(Revision),
    /// The revision is the known one. Look again when notified.
    Same(Arc<Notify>),
    /// There will be no other revision.
    Ended,
}

impl Revisions {
    /// Looks at the revision of a cluster, which must exist.
    pub fn look(&mut self, cluster: NodeId, known: Option<Revision>) -> Look {
        let watched = self.clusters.entry(cluster).or_insert_with(|| Watched {
            revision: Revision::draw(&mut SystemRng),
            waiting: Weak::new(),
        });
        if known != Some(watched.revision) {
            return Look::Moved(watched.revision);
        }
        if self.ended {
            return Look::Ended;
        }
        Look::Same(watched.waiting.upgrade().unwrap_or_else(|| {
            let waiting = Arc::new(Notify::new());
            watched.waiting = Arc::downgrade(&waiting);
            waiting
        }))
    }

    /// Moves the revisions of clusters whose change is durable.
    pub fn change(&mut self, change: &Change) {
        for part in change.parts() {
            match part {
                // If nobody has asked for the cluster, nobody knows a revision of it.
                Change::MemberJoined { cluster, .. } | Change::MemberUpdated { cluster, .. } => {
                    if let Some(watched) = self.clusters.get_mut(cluster) {
                        watched.revision = watched.revision.next();
                        watched.notify();
                    }
                }
                // Who waits looks again, and finds no cluster.
                Change::ClusterDeleted { cluster } => {
                    if let Some(watched) = self.clusters.remove(cluster) {
                        watched.notify();
                    }
                }
                _ => {}
            }
        }
    }

    /// Ends all waits, because nothing changes any more.
    pub fn end(&mut self) {
        self.ended = true;
        self.clusters.values().for_each(Watched::notify);
    }
}

impl Watched {
    fn notify(&self) {
        if let Some(waiting) = self.waiting.upgrade() {
            waiting.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use xlreg::identity::MemberAttrs;
    use xlreg::message::MemberIndex;
    use xlreg_testkit::keys;
    use xlreg_testkit::rng::{Script, Seeded};

    use super::*;

    #[test]
    fn revisions_go_round_below_2_to_the_63() {
        assert_eq!(Revision::new(0), None);
        assert_eq!(Revision::new(1 << 63), None);
        let last = Revision::new((1 << 63) - 1).unwrap();
        assert_eq!(last.next().get(), 1);
        assert_eq!(Revision(1).next().get(), 2);
    }

    #[test]
    fn a_revision_that_is_drawn_can_be_told() {
        for (drawn, revision) in [(0, 1), (1, 1), (5, 2), (u64::MAX, (1 << 63) - 1)] {
            let rng = &mut Script::new(u64::to_le_bytes(drawn));
            assert_eq!(Revision::draw(rng), Revision::new(revision).unwrap());
        }
    }

    /// A cluster that changes before anybody asks for it takes no place.
    #[test]
    fn only_clusters_that_were_asked_for_are_kept_and_only_who_waits_now() {
        let mut revisions = Revisions::default();
        let node = keys::identity("node", 0);
        let token = node.token(MemberAttrs::NONE, Vec::new(), &mut Seeded::new(1)).unwrap();
        let joins = |cluster| Change::MemberJoined {
            cluster,
            index: MemberIndex::new(0).unwrap(),
            member: token.clone().into(),
        };
        for n in 0..100 {
            revisions.change(&joins([n; 20].into()));
        }
        let asked = NodeId::from([1; 32]);
        let Look::Moved(known) = revisions.look(asked, None) else { panic!("none is known") };
        for _ in 0..1000 {
            let Look::Same(waiting) = revisions.look(asked, Some(known)) else { panic!("moved") };
            drop(waiting);
        }
        revisions.change(&joins(asked));
        let Look::Moved(next) = revisions.look(asked, Some(known)) else { panic!("the same") };
        assert_eq!(next, known.next());
        assert_eq!(revisions.clusters.len(), 1);
        assert_eq!(revisions.clusters[&asked].waiting.strong_count(), 0);
    }
}
