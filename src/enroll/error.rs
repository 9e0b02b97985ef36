//! Why an enrollment ends before it is done.

use alloc::vec::Vec;

use crate::crypto::SealError;
use crate::identity::{EndPoint, Name, NodeId, Version};
use crate::message::{MemberIndex, Op, Reason};
use crate::session::{CommandError, Error};

/// Why the enrollment ends before it is done. Fatal and sticky;
/// [`Enroll::roster`](super::Enroll::roster) still tells what is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnrollError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] Error),
    /// The registry refused, in its own words.
    #[error("the registry refused {}: {reason}", request.map_or("the session", Op::name))]
    Refused {
        /// What it refused.
        request: Option<Op>,
        /// Why.
        reason: Reason,
    },
    /// The plan's time is over.
    #[error("the cluster was not complete in time")]
    GaveUp,
    /// The registry is a deployed server: it does not say whether a cluster exists, and a Join of
    /// one that does not ends it. So nothing was joined. [`Plan::create`](super::Plan::create)
    /// is what is safe.
    #[error(
        "the registry is a deployed server, which ends, and all its clusters with it, by a join \
         of a cluster that it does not have; nothing was joined"
    )]
    Deployed,
    /// The Member is too long for a registry that may be a deployed server: what does not fit one
    /// segment of the network ends it. Nothing was sent.
    #[error(
        "this member's keys and end points make a record of {bytes} bytes; a deployed server ends \
         by one that the network cuts, as it may one of more than {limit}; nothing was sent"
    )]
    LargeMember {
        /// Bytes of the record.
        bytes: usize,
        /// Bytes that surely fit.
        limit: usize,
    },
    /// The registry is older than any that this library works with.
    #[error("the registry has version {version}; servers before {first} are not supported")]
    TooOld {
        /// Its version.
        version: Version,
        /// The first version that is supported.
        first: Version,
    },
    /// The plan names no cluster.
    #[error("no cluster is named")]
    NoCluster,
    /// The registry knows the member by another ID than the one it presented.
    #[error("the registry knows this member as {got} instead of {presented}")]
    WrongMember {
        /// The ID presented.
        presented: NodeId,
        /// The ID in the reply.
        got: NodeId,
    },
    /// The registry answered for another cluster.
    #[error("the registry answered for cluster {got} instead of {asked}")]
    WrongCluster {
        /// The cluster asked about.
        asked: NodeId,
        /// The cluster in the reply.
        got: NodeId,
    },
    /// The registry told two sizes of one cluster.
    #[error("the registry says that the cluster has {got} places, and said {told} before")]
    SizeChanged {
        /// What it said first.
        told: u32,
        /// What it says now.
        got: u32,
    },
    /// The registry told two numbers of end points for the members of one cluster.
    #[error("the registry says that members need {got} end points, and said {told} before")]
    EndPointCountChanged {
        /// What it said first.
        told: u32,
        /// What it says now.
        got: u32,
    },
    /// The cluster is without this member: the registry said that it has joined, and does not list
    /// it. A deployed server lets more join than there is room for.
    #[error("this member is not among the members of the cluster that it joined")]
    NotListed,
    /// The registry serves other keys for this member than its own: bytes were changed on the way,
    /// or the registry does not tell the truth. Whoever has those keys would pass for this
    /// member.
    #[error("the registry serves other keys for this member than its own")]
    WrongKeys,
    /// Somebody else has joined as this member, with its ID and its keys: a copy of it runs
    /// elsewhere, or it was started again while this one went on.
    #[error(
        "this member is in the cluster as {name} at {}, which is not what it said: a copy with \
         the same keys runs elsewhere",
        list(end_points)
    )]
    Cloned {
        /// What the other calls itself.
        name: Name,
        /// Where the other listens.
        end_points: Vec<EndPoint>,
    },
    /// The registry listed a member that was not asked for.
    #[error("the registry listed member {index}, which was not asked for")]
    NotAskedFor {
        /// Its index.
        index: MemberIndex,
    },
    /// The registry listed a member beyond the cluster's size.
    #[error("the registry listed member {index} of a cluster with {size} places")]
    BeyondSize {
        /// Its index.
        index: MemberIndex,
        /// The cluster's size.
        size: u32,
    },
    /// Two members have one name.
    #[error("the registry listed {name} twice, as members {first} and {second}")]
    NameTwice {
        /// The name.
        name: Name,
        /// The index of one.
        first: MemberIndex,
        /// The index of the other.
        second: MemberIndex,
    },
    /// Two members have one ID.
    #[error("the registry listed node {id} twice, as members {first} and {second}")]
    IdTwice {
        /// The ID.
        id: NodeId,
        /// The index of one.
        first: MemberIndex,
        /// The index of the other.
        second: MemberIndex,
    },
    /// A member that was listed before is not any more. Members keep their places for ever.
    #[error("the registry does not list member {index}, {name}, any more")]
    Vanished {
        /// Its index.
        index: MemberIndex,
        /// Its name.
        name: Name,
    },
    /// Another node, or one with another sig key, is in a member's place. Members keep their places
    /// for ever.
    #[error("the registry listed {name} as member {index} before, and now another, {by}")]
    Replaced {
        /// The index.
        index: MemberIndex,
        /// Who was there.
        name: Name,
        /// Who is there now.
        by: Name,
    },
    /// There are members after a place that is empty. Places are taken in order.
    #[error("the registry listed no member {index}, but members after it")]
    Gap {
        /// The empty place.
        index: MemberIndex,
    },
    /// A member has fewer end points than the cluster asks of all.
    #[error(
        "the registry listed member {index}, {name}, with {got} end points; the cluster asks for \
         {needed}"
    )]
    TooFewEnds {
        /// Its index.
        index: MemberIndex,
        /// Its name.
        name: Name,
        /// How many end points it has.
        got: usize,
        /// How many each member must have.
        needed: u32,
    },
    /// The Hello could not be sealed to the registry's key.
    #[error("the Hello: {0}")]
    Seal(#[from] SealError),
    /// A request could not be made.
    #[error("{0}")]
    Command(#[from] CommandError),
}

/// End points as a text.
fn list(end_points: &[EndPoint]) -> alloc::string::String {
    let texts: Vec<&str> = end_points.iter().map(EndPoint::as_str).collect();
    match texts.is_empty() {
        true => "no end point".into(),
        false => texts.join(" "),
    }
}
