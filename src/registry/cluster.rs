//! One cluster and its rules, as functions over its value (PROTOCOL 6.5 to 6.7).

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::change::{ApplyError, Change};
use crate::identity::{Fingerprint, Name, NodeId};
use crate::message::{
    ClusterInfo, Create, MAX_CLUSTER_SIZE, MemberEntry, MemberIndex, MemberList, MemberSet, Refusal,
};

/// What never changes of a cluster. It can be had without its members, and checked against while
/// others change them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ClusterProperties {
    /// Its name.
    pub name: Name,
    /// Its ID, size, attrs and number of end points.
    pub info: ClusterInfo,
    /// The sig key of the member that created it; `None` if nobody knows.
    pub created_by: Option<Fingerprint>,
}

/// A cluster: its properties and its members by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    properties: Arc<ClusterProperties>,
    /// The indexes in use. There may be gaps between them.
    taken: MemberSet,
    /// One member for each index in use, in the same order.
    members: Vec<MemberEntry>,
}

/// The result of a join that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The member's index.
    pub index: MemberIndex,
    /// The change; `None` if the same token has joined already.
    pub change: Option<Change>,
}

impl Cluster {
    /// Makes a cluster without members. Its size is at most [`MAX_CLUSTER_SIZE`].
    ///
    /// # Errors
    ///
    /// The [`Refusal`] to send if the cluster is not allowed.
    pub fn create(
        id: NodeId,
        create: Create,
        created_by: Option<Fingerprint>,
    ) -> Result<Self, Refusal> {
        if create.max_size == 0 {
            return Err(Refusal::EmptyCluster);
        }
        if !(1..=2).contains(&create.end_point_count) {
            return Err(Refusal::EndPointCount);
        }
        let info = ClusterInfo {
            id,
            max_size: create.max_size.min(MAX_CLUSTER_SIZE.into()),
            attrs: create.attrs,
            end_point_count: create.end_point_count,
        };
        let properties = Arc::new(ClusterProperties { name: create.name, info, created_by });
        Ok(Self { properties, taken: MemberSet::NONE, members: Vec::new() })
    }

    /// What never changes of it.
    pub const fn properties(&self) -> &Arc<ClusterProperties> {
        &self.properties
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.properties.name
    }

    /// Its ID, size, attrs and number of end points.
    pub fn info(&self) -> &ClusterInfo {
        &self.properties.info
    }

    /// The sig key of the member that created it; `None` if nobody knows.
    pub fn created_by(&self) -> Option<Fingerprint> {
        self.properties.created_by
    }

    /// The change that creates it.
    pub(super) fn creation(&self) -> Change {
        let ClusterProperties { name, info, created_by } = (*self.properties).clone();
        Change::ClusterCreated { name, info, created_by }
    }

    /// Its members, in the order of their indexes.
    pub fn members(&self) -> &[MemberEntry] {
        &self.members
    }

    /// The indexes that a new member of this cluster can have.
    fn free(&self) -> MemberSet {
        MemberSet::first(self.info().max_size).without(self.taken)
    }

    /// Its members with their indexes.
    pub fn entries(&self) -> impl Iterator<Item = (MemberIndex, &MemberEntry)> {
        self.taken.iter().zip(&self.members)
    }

    /// The member with this index.
    pub fn member(&self, index: MemberIndex) -> Option<&MemberEntry> {
        self.taken.contains(index).then(|| self.members.get(self.rank(index)))?
    }

    /// How many members have a lower index than this.
    fn rank(&self, index: MemberIndex) -> usize {
        self.taken.iter().take_while(|taken| *taken < index).count()
    }

    /// Decides whether a member may join, and what changes. The member has an ID, which is bound to
    /// its sig key.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] to send if the member may not join.
    pub fn join(&self, member: &MemberEntry) -> Result<Joined, Refusal> {
        let wanted = self.info().end_point_count;
        if u32::try_from(member.end_points.len()).is_ok_and(|count| count < wanted) {
            return Err(match wanted {
                1 => Refusal::NoEnd,
                _ => Refusal::TooFewEnds,
            });
        }
        let cluster = self.info().id;
        let mut others = self.members.iter().filter(|other| other.id != member.id);
        if others.any(|other| other.name == member.name) {
            return Err(Refusal::MemberNameInUse);
        }
        let member = member.clone();
        let Some((index, known)) = self.entries().find(|(_, known)| known.id == member.id) else {
            let index = self.free().iter().next().ok_or(Refusal::ClusterFull)?;
            let change = Change::MemberJoined { cluster, index, member };
            return Ok(Joined { index, change: Some(change) });
        };
        if *known == member {
            return Ok(Joined { index, change: None });
        }
        if known.sig_key != member.sig_key {
            return Err(Refusal::MemberIdInUse);
        }
        Ok(Joined { index, change: Some(Change::MemberUpdated { cluster, index, member }) })
    }

    /// Lists the members in `which`, or all of them. Bits without a member are ignored.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`] if a member has no ID. In a cluster that was built by these rules
    /// every member has one.
    pub fn list(&self, which: Option<MemberSet>) -> Result<MemberList, Refusal> {
        let which = which.unwrap_or(MemberSet::ALL).and(self.taken);
        let mut members = Vec::with_capacity(self.members.len());
        let wanted = self.entries().filter(|(index, _)| which.contains(*index));
        members.extend(wanted.map(|(_, member)| member.clone()));
        let list = MemberList::of(self.info().id, which, members);
        debug_assert!(list.is_ok(), "each member has an ID");
        list.map_err(|_| Refusal::Unavailable)
    }

    /// Makes the empty cluster of a [`Change::ClusterCreated`].
    ///
    /// # Errors
    ///
    /// [`ApplyError::Properties`] if no such cluster can be created.
    pub fn restore(
        name: Name,
        info: ClusterInfo,
        created_by: Option<Fingerprint>,
    ) -> Result<Self, ApplyError> {
        let ClusterInfo { id, max_size, attrs, end_point_count } = info;
        let create = Create { name, max_size, attrs, end_point_count };
        let created =
            Self::create(id, create, created_by).ok().filter(|cluster| *cluster.info() == info);
        created.ok_or(ApplyError::Properties(id))
    }

    /// Applies a change to the members, if it is one that a join gives on this state. A new member
    /// may have any free index: members before it may have gone. A change of another kind does
    /// nothing here.
    ///
    /// # Errors
    ///
    /// [`ApplyError`] if it is another one; then nothing has changed.
    pub fn apply(&mut self, change: &Change) -> Result<(), ApplyError> {
        let (Change::MemberJoined { index, member, .. }
        | Change::MemberUpdated { index, member, .. }) = change
        else {
            return Ok(());
        };
        self.check(change, *index, member)?;
        self.set(*index, Some(member.clone()));
        Ok(())
    }

    /// Checks that a change to the members is one that a join gives on this state.
    pub(super) fn check(
        &self,
        change: &Change,
        index: MemberIndex,
        member: &MemberEntry,
    ) -> Result<(), ApplyError> {
        let joined = self.join(member).map_err(ApplyError::Refused)?.change;
        let follows = match (&joined, change) {
            (Some(Change::MemberJoined { .. }), Change::MemberJoined { .. }) => {
                self.free().contains(index)
            }
            (Some(joined), Change::MemberUpdated { .. }) => joined == change,
            _ => false,
        };
        let (cluster, members) = (self.info().id, self.members.len());
        if follows { Ok(()) } else { Err(ApplyError::Index { cluster, members, index }) }
    }

    /// Puts a member in a place, or nobody. Gives back who was there.
    pub(super) fn set(
        &mut self,
        index: MemberIndex,
        member: Option<MemberEntry>,
    ) -> Option<MemberEntry> {
        let rank = self.rank(index);
        let old = self.taken.contains(index).then(|| self.members.remove(rank));
        self.taken = self.taken.without(MemberSet::NONE.with(index));
        if let Some(member) = member {
            self.members.insert(rank, member);
            self.taken = self.taken.with(index);
        }
        debug_assert_eq!(self.members.len(), self.taken.iter().count(), "a member an index");
        old
    }

    pub(super) fn changes(&self) -> Vec<Change> {
        let cluster = self.info().id;
        let joined = self.entries().map(|(index, member)| Change::MemberJoined {
            cluster,
            index,
            member: member.clone(),
        });
        core::iter::once(self.creation()).chain(joined).collect()
    }
}
