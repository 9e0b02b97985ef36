//! The errors of enrollments.

use alloc::vec::Vec;

use crate::crypto::SealError;
use crate::identity::{EndPoint, Name, NodeId, Version};
use crate::message::{MemberIndex, Op, Reason};
use crate::session::{CommandError, Error};

/// The reason why an enrollment has failed. It is fatal and sticky.
/// [`Enroll::roster`](super::Enroll::roster) still gives all that is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnrollError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] Error),
    /// The registry refused a request.
    #[error("the registry refused {}: {reason}", request.map_or("the session", Op::name))]
    Refused {
        /// The request; `None` for the session as a whole.
        request: Option<Op>,
        /// The text of the registry.
        reason: Reason,
    },
    /// The time of the plan is over.
    #[error("the cluster was not complete in time")]
    GaveUp,
    /// The registry is a deployed server. It does not say whether a cluster exists, and a Join of
    /// an unknown cluster ends it. So nothing was joined. [`Plan::create`](super::Plan::create) is
    /// safe.
    #[error(
        "the registry is a deployed server, which ends, and all its clusters with it, by a join \
         of a cluster that it does not have; nothing was joined"
    )]
    Deployed,
    /// The Member is too long for a registry that may be a deployed server. A record that the
    /// network cuts in two ends such a server. Nothing was sent.
    #[error(
        "this member's keys and end points make a record of {bytes} bytes; a deployed server ends \
         by one that the network cuts, as it may one of more than {limit}; nothing was sent"
    )]
    LargeMember {
        /// The length of the record, in bytes.
        bytes: usize,
        /// The length that the network does not cut, in bytes.
        limit: usize,
    },
    /// The registry is older than any that this library works with.
    #[error("the registry has version {version}; servers before {first} are not supported")]
    TooOld {
        /// The registry's version.
        version: Version,
        /// The first version that is supported.
        first: Version,
    },
    /// The plan names no cluster.
    #[error("no cluster is named")]
    NoCluster,
    /// The registry knows the member by another ID than its own.
    #[error("the registry knows this member as {got} instead of {presented}")]
    WrongMember {
        /// The member's ID.
        presented: NodeId,
        /// The ID in the reply.
        got: NodeId,
    },
    /// The registry answered for another cluster than the one asked about.
    #[error("the registry answered for cluster {got} instead of {asked}")]
    WrongCluster {
        /// The cluster asked about.
        asked: NodeId,
        /// The cluster in the reply.
        got: NodeId,
    },
    /// The registry gave two sizes for one cluster.
    #[error("the registry says that the cluster has {got} places, and said {told} before")]
    SizeChanged {
        /// The first size.
        told: u32,
        /// The second size.
        got: u32,
    },
    /// The registry gave two numbers of end points for one cluster.
    #[error("the registry says that members need {got} end points, and said {told} before")]
    EndPointCountChanged {
        /// The first number.
        told: u32,
        /// The second number.
        got: u32,
    },
    /// The registry said that this member has joined, but does not list it. A deployed server lets
    /// more members join than there are places.
    #[error("this member is not among the members of the cluster that it joined")]
    NotListed,
    /// The registry serves other keys for this member than its own. Bytes were changed on the way,
    /// or the registry lies. The owner of those keys could pass for this member.
    #[error("the registry serves other keys for this member than its own")]
    WrongKeys,
    /// Another process has joined with the ID and the keys of this member. A copy of the member
    /// runs elsewhere, or the member was started a second time.
    #[error(
        "this member is in the cluster as {name} at {}, which is not what it said: a copy with \
         the same keys runs elsewhere",
        list(end_points)
    )]
    Cloned {
        /// The name of the other.
        name: Name,
        /// The end points of the other.
        end_points: Vec<EndPoint>,
    },
    /// The registry listed a member that was not asked for.
    #[error("the registry listed member {index}, which was not asked for")]
    NotAskedFor {
        /// The index of the member.
        index: MemberIndex,
    },
    /// The registry listed a member beyond the cluster's size.
    #[error("the registry listed member {index} of a cluster with {size} places")]
    BeyondSize {
        /// The index of the member.
        index: MemberIndex,
        /// The cluster's size.
        size: u32,
    },
    /// Two members have the same name.
    #[error("the registry listed {name} twice, as members {first} and {second}")]
    NameTwice {
        /// The name.
        name: Name,
        /// The lower index.
        first: MemberIndex,
        /// The higher index.
        second: MemberIndex,
    },
    /// Two members have the same ID.
    #[error("the registry listed node {id} twice, as members {first} and {second}")]
    IdTwice {
        /// The ID.
        id: NodeId,
        /// The lower index.
        first: MemberIndex,
        /// The higher index.
        second: MemberIndex,
    },
    /// A member was listed before and is not listed now. Members keep their places for ever.
    #[error("the registry does not list member {index}, {name}, any more")]
    Vanished {
        /// The index of the member.
        index: MemberIndex,
        /// The name of the member.
        name: Name,
    },
    /// Another node is in a member's place, or the same node with another sig key. Members keep
    /// their places for ever.
    #[error("the registry listed {name} as member {index} before, and now another, {by}")]
    Replaced {
        /// The index.
        index: MemberIndex,
        /// The name of the first member.
        name: Name,
        /// The name of the second member.
        by: Name,
    },
    /// There are members after an empty place. Members take places in order.
    #[error("the registry listed no member {index}, but members after it")]
    Gap {
        /// The empty place.
        index: MemberIndex,
    },
    /// A member has fewer end points than the cluster needs.
    #[error(
        "the registry listed member {index}, {name}, with {got} end points; the cluster asks for \
         {needed}"
    )]
    TooFewEnds {
        /// The index of the member.
        index: MemberIndex,
        /// The name of the member.
        name: Name,
        /// The number of its end points.
        got: usize,
        /// The number that each member must have.
        needed: u32,
    },
    /// The Hello could not be sealed to the registry's key.
    #[error("the Hello: {0}")]
    Seal(#[from] SealError),
    /// A request could not be made.
    #[error("{0}")]
    Command(#[from] CommandError),
}

/// Writes end points as a text.
fn list(end_points: &[EndPoint]) -> alloc::string::String {
    let texts: Vec<&str> = end_points.iter().map(EndPoint::as_str).collect();
    match texts.is_empty() {
        true => "no end point".into(),
        false => texts.join(" "),
    }
}
