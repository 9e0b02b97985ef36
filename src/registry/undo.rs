//! Taking back the first changes of a list, when a later one does not apply.

use alloc::boxed::Box;

use super::{Cluster, Day};
use crate::identity::NodeId;
use crate::message::{MemberEntry, MemberIndex};

/// What takes back one change that was applied.
#[derive(Debug)]
pub(super) enum Undo {
    /// The node was not there.
    RemoveNode(NodeId),
    /// The node was last used on this day.
    SetLastUse(NodeId, Option<Day>),
    /// The cluster was not there.
    RemoveCluster(NodeId),
    /// The cluster was there, with its members.
    PutCluster(Box<Cluster>),
    /// This is what was at the place of the member.
    SetMember(NodeId, MemberIndex, Option<MemberEntry>),
}
