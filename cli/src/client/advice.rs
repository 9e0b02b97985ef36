//! The advice after a failure of the conversation with a registry: a table of the cause, the
//! command, and the peers for which the advice is true.
//!
//! Deployed servers differ from the registries of this project: some requests end them, and all
//! their clusters with them. So advice for a peer that may be a deployed server must be true and
//! harmless there.

use xlreg::enroll::EnrollError;
use xlreg::message::{Op, Refusal};
use xlreg::session::{EofAt, Error, TimerKind};

use super::{ClientError, RegistryArgs, Stopped};
use crate::output::Failure;

/// The command that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Join,
    Create,
    Members,
    Register,
    Fetch,
    Bench,
}

/// The kind of registry, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Peer {
    /// The registry may be a deployed server.
    #[default]
    Unknown,
    /// The registry is one of this project.
    Ours,
    /// The registry is a deployed server.
    Deployed,
}

/// The peers for which advice is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peers {
    Any,
    Ours,
    Deployed,
}

impl Peers {
    /// Whether the advice may be given for this peer.
    const fn include(self, peer: Peer) -> bool {
        matches!(
            (self, peer),
            (Self::Any, _) | (Self::Ours, Peer::Ours) | (Self::Deployed, Peer::Deployed)
        )
    }
}

/// The cause of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The registry refused a request.
    Refused(Refusal),
    /// The registry refused a request because a rate was reached.
    RateReached,
    /// No address of the registry answered.
    Unreachable,
    /// The peer does not have the key in the regCred.
    WrongKey,
    /// The peer hung up, or was silent, in the handshake.
    NoHandshake,
    /// The connection was lost after the handshake.
    Lost,
    /// The connection was lost, and the request may have ended the registry.
    PerhapsEnded,
    /// The registry is a deployed server, and the request would end it.
    Deployed,
    /// The registry is a deployed server, and the Hello of the chosen dialect would end it.
    NewerHello,
    /// The Member may not fit one segment of the network.
    LargeMember,
    /// The registry is too old.
    TooOld,
    /// The cluster was not complete in time.
    GaveUp,
    /// A copy of the node runs elsewhere.
    Cloned,
    /// The registry does not list the node.
    NotListed,
    /// The registry contradicts itself.
    Lie,
}

/// One piece of advice.
struct Row {
    cause: Cause,
    commands: &'static [Command],
    peers: Peers,
    advice: &'static str,
}

const fn row(
    cause: Cause,
    commands: &'static [Command],
    peers: Peers,
    advice: &'static str,
) -> Row {
    Row { cause, commands, peers, advice }
}

use Command::{Bench, Create, Fetch, Join, Members, Register};

const ALL: &[Command] = &[Join, Create, Members, Register, Fetch, Bench];
const NODES: &[Command] = &[Join, Create, Members, Register];

/// The table. The first row that fits is used.
const TABLE: &[Row] = &[
    row(
        Cause::Refused(Refusal::NoClusterWithName),
        &[Join],
        Peers::Ours,
        "check the spelling (an ID is given by --id), or create the cluster with --create SIZE",
    ),
    row(
        Cause::Refused(Refusal::NoClusterWithId),
        &[Join],
        Peers::Ours,
        "check the ID (a name is given without --id), or create the cluster by its name with \
         --create SIZE",
    ),
    row(
        Cause::Refused(Refusal::NoClusterWithName),
        &[Members],
        Peers::Ours,
        "check the spelling (an ID is given by --id), or create the cluster with 'xlreg create'",
    ),
    row(
        Cause::Refused(Refusal::NoClusterWithId),
        &[Members],
        Peers::Ours,
        "check the ID (a name is given without --id), or create the cluster with 'xlreg create'",
    ),
    row(
        Cause::Refused(Refusal::ClusterFull),
        &[Join],
        Peers::Any,
        "it is full; join another cluster, or create one with --create SIZE",
    ),
    row(
        Cause::Refused(Refusal::MemberNameInUse),
        &[Join],
        Peers::Ours,
        "another node has this --name in the cluster; choose another",
    ),
    row(
        Cause::Refused(Refusal::MemberNameInUse),
        &[Join],
        Peers::Deployed,
        "this server accepts no name that is in the cluster, and no node a second time: if this \
         node has joined before, it has its place with its old end points, and another --name \
         would take a second place; otherwise choose another --name",
    ),
    row(
        Cause::Refused(Refusal::MemberNameInUse),
        &[Join],
        Peers::Any,
        "the name is in the cluster: it belongs to another node, or to this one if it has joined \
         a deployed server before, which accepts no node a second time and keeps its place",
    ),
    row(
        Cause::Refused(Refusal::MemberIdInUse),
        &[Join],
        Peers::Any,
        "this node's ID is in the cluster with other keys; use the --node directory it was made \
         in, or a new one",
    ),
    row(
        Cause::Refused(Refusal::IdInUse),
        NODES,
        Peers::Any,
        "this node's ID belongs to other keys; use the --node directory it was made in, or a new \
         one",
    ),
    row(
        Cause::Refused(Refusal::NoEnd),
        &[Join],
        Peers::Any,
        "give --end-point as often as the cluster asks for",
    ),
    row(
        Cause::Refused(Refusal::TooFewEnds),
        &[Join],
        Peers::Any,
        "give --end-point as often as the cluster asks for",
    ),
    row(
        Cause::Refused(Refusal::MemberWithoutEnd),
        &[Register],
        Peers::Any,
        "give an --end-point; port 0 says that the node does not listen yet",
    ),
    row(
        Cause::Refused(Refusal::BadEnd),
        &[Join, Register],
        Peers::Ours,
        "a registry takes eight --end-point at most, unless it was set up otherwise",
    ),
    row(
        Cause::Refused(Refusal::NameInUse),
        &[Create, Join],
        Peers::Any,
        "if many create a cluster at the same moment, a deployed server refuses some: run the \
         same command again",
    ),
    row(
        Cause::Refused(Refusal::RegistryFull),
        NODES,
        Peers::Any,
        "ask the operator of the registry to make room",
    ),
    row(
        Cause::Refused(Refusal::CannotStore),
        ALL,
        Peers::Any,
        "the disk of the registry is full or cannot be written; tell its operator, and try again",
    ),
    row(
        Cause::Refused(Refusal::TooManyNodesOfKey),
        NODES,
        Peers::Any,
        "a node registers again under its own ID: keep its directory, and give each node one; the \
         operator can raise --max-nodes-per-key",
    ),
    row(
        Cause::Refused(Refusal::TooManyClustersOfKey),
        NODES,
        Peers::Any,
        "use a cluster that is there, or ask the operator to raise --max-clusters-per-key",
    ),
    row(
        Cause::Refused(Refusal::TooManyMembershipsOfKey),
        NODES,
        Peers::Any,
        "ask the operator of the registry to raise --max-memberships-per-key",
    ),
    row(
        Cause::RateReached,
        ALL,
        Peers::Any,
        "try again in a minute; the operator can raise the rate",
    ),
    row(
        Cause::Refused(Refusal::Unavailable),
        ALL,
        Peers::Any,
        "the registry has failed or is about to stop; its log says why",
    ),
    row(
        Cause::Unreachable,
        ALL,
        Peers::Any,
        "is the registry running, and is the address in its regCred the one to reach it at?",
    ),
    row(
        Cause::WrongKey,
        ALL,
        Peers::Any,
        "get the current regCred.dat from the operator of the registry",
    ),
    row(
        Cause::NoHandshake,
        ALL,
        Peers::Any,
        "get the current regCred.dat from the operator of the registry; if it is the right one, \
         the registry may be overloaded: try again later",
    ),
    row(
        Cause::Lost,
        &[Join],
        Peers::Ours,
        "run the same command again: the node is recognised and keeps its place",
    ),
    row(
        Cause::Lost,
        &[Join],
        Peers::Any,
        "run the same command again; a deployed server keeps the place of a node that has joined, \
         but does not accept it again under its name",
    ),
    row(
        Cause::Lost,
        &[Create],
        Peers::Any,
        "run the same command again: a cluster that was created is found",
    ),
    row(
        Cause::Lost,
        &[Register],
        Peers::Any,
        "run the same command again: a node that has its ID keeps it",
    ),
    row(Cause::Lost, &[Members, Fetch, Bench], Peers::Any, "run the same command again"),
    row(
        Cause::PerhapsEnded,
        ALL,
        Peers::Any,
        "the request may have ended it, and all its clusters with it: find out whether it runs \
         before you send anything else",
    ),
    row(
        Cause::GaveUp,
        &[Join],
        Peers::Ours,
        "run the same command again to go on waiting: the node keeps its place",
    ),
    row(
        Cause::GaveUp,
        &[Join],
        Peers::Any,
        "the node keeps its place; a registry of this project accepts the same command again, to \
         go on waiting; a deployed server accepts no node again under its name",
    ),
    row(
        Cause::Deployed,
        &[Join],
        Peers::Any,
        "--create SIZE is safe there: a cluster that exists keeps its own size; --may-end-server \
         is for a server of your own",
    ),
    row(
        Cause::Deployed,
        &[Members],
        Peers::Any,
        "deployed servers list members only for members: 'xlreg join CLUSTER --create SIZE ...' \
         takes a place in it, and prints them; a cluster that exists keeps its own size",
    ),
    row(
        Cause::Deployed,
        &[Fetch],
        Peers::Any,
        "get its regCred.dat from its operator; --may-end-server is for a server of your own",
    ),
    row(
        Cause::Deployed,
        &[Bench],
        Peers::Any,
        "measure a server of your own, with --may-end-server if it is a deployed one",
    ),
    row(
        Cause::NewerHello,
        ALL,
        Peers::Any,
        "leave out --dialect; --may-end-server is for a server of your own",
    ),
    row(
        Cause::LargeMember,
        NODES,
        Peers::Any,
        "use a node with keys of 2048 bits and fewer or shorter end points; --may-end-server is \
         for a server of your own",
    ),
    row(
        Cause::TooOld,
        ALL,
        Peers::Any,
        "ask its operator for a newer one; deployed servers from 1.5.0 on work, and so do all of \
         this project",
    ),
    row(
        Cause::Cloned,
        &[Join],
        Peers::Any,
        "give each host a --node directory of its own, made there; if this node was only started \
         again, the one that was started last goes on",
    ),
    row(
        Cause::NotListed,
        &[Join],
        Peers::Any,
        "a deployed server lets more nodes join than there are places, and lists the first ones; \
         create another cluster with --create SIZE",
    ),
    row(
        Cause::Lie,
        &[Join, Members, Create, Register, Bench],
        Peers::Any,
        "do not trust the answers of this registry: somebody changes them on the way, or it lies; \
         compare IDs and fingerprints with the other members in another way",
    ),
];

/// Finds the advice for a failure.
fn advise(cause: Cause, command: Command, peer: Peer) -> Option<&'static str> {
    let fits = |row: &&Row| {
        row.cause == cause && row.commands.contains(&command) && row.peers.include(peer)
    };
    TABLE.iter().find(fits).map(|row| row.advice)
}

impl Cause {
    fn of(error: &ClientError) -> Option<Self> {
        let error = match error {
            ClientError::Unreachable(_) | ClientError::Stopped(Stopped::Deadline) => {
                return Some(Self::Unreachable);
            }
            ClientError::NewerHello => return Some(Self::NewerHello),
            ClientError::Io(_) => return Some(Self::Lost),
            ClientError::TimedOut(last) => return Self::of(last),
            ClientError::Stopped(Stopped::Signal(_)) | ClientError::Failed(_) => return None,
            ClientError::Registry(error) => error,
        };
        Some(match error {
            EnrollError::Refused { reason, .. } => match reason.refusal()? {
                refusal if refusal.is_of_a_rate() => Self::RateReached,
                refusal => Self::Refused(refusal),
            },
            EnrollError::Session(Error::Handshake) => Self::WrongKey,
            EnrollError::Session(
                Error::Eof(EofAt::Handshake) | Error::Timeout(TimerKind::Hello),
            ) => Self::NoHandshake,
            EnrollError::Session(Error::Eof(_) | Error::Timeout(_)) => Self::Lost,
            EnrollError::GaveUp => Self::GaveUp,
            EnrollError::Deployed => Self::Deployed,
            EnrollError::LargeMember { .. } => Self::LargeMember,
            EnrollError::TooOld { .. } => Self::TooOld,
            EnrollError::Cloned { .. } => Self::Cloned,
            EnrollError::NotListed => Self::NotListed,
            EnrollError::Seal(_) | EnrollError::Command(_) | EnrollError::NoCluster => return None,
            EnrollError::Session(Error::Internal(_)) => return None,
            _ => Self::Lie,
        })
    }
}

/// Explains a failure: what happened, to what, and what to do.
pub fn explain(error: ClientError, args: &RegistryArgs, command: Command, peer: Peer) -> Failure {
    let cause = match Cause::of(&error) {
        Some(Cause::Lost) if args.may_end_server => Some(Cause::PerhapsEnded),
        cause => cause,
    };
    let peer = shown_by(&error).unwrap_or(peer);
    let failure = match error {
        ClientError::Failed(failure) => return failure,
        ClientError::Stopped(Stopped::Signal(number)) => return Failure::interrupted(number),
        ClientError::Stopped(Stopped::Deadline) => Failure::timeout(format!(
            "timed out: the registry in {} has not answered",
            args.registry.display()
        )),
        ClientError::TimedOut(_) => Failure::timeout(&error),
        error => describe(error, args, command, cause),
    };
    match cause.and_then(|cause| advise(cause, command, peer)) {
        Some(advice) => failure.advise(advice),
        None => failure,
    }
}

/// The kind of registry that an error shows.
fn shown_by(error: &ClientError) -> Option<Peer> {
    let error = match error {
        ClientError::Registry(error) => error,
        ClientError::NewerHello => return Some(Peer::Deployed),
        _ => return None,
    };
    match error {
        EnrollError::Deployed => Some(Peer::Deployed),
        EnrollError::Refused { request: Some(Op::GetCluster), reason } => match reason.refusal()? {
            // A deployed server refuses the question as one at the wrong time.
            Refusal::NoClusterWithName | Refusal::NoClusterWithId => Some(Peer::Ours),
            _ => None,
        },
        _ => None,
    }
}

fn describe(
    error: ClientError,
    args: &RegistryArgs,
    command: Command,
    cause: Option<Cause>,
) -> Failure {
    let registry = args.registry.display();
    match (cause, &error) {
        (Some(Cause::Unreachable | Cause::Lost | Cause::PerhapsEnded), _) => {
            Failure::unreachable(error)
        }
        (Some(Cause::WrongKey), _) => Failure::new(format!(
            "the handshake failed: the registry does not hold the key in {registry}, or it is no \
             xlReg registry"
        )),
        (Some(Cause::NoHandshake), error) if error.is_hang_up() => Failure::new(format!(
            "the handshake failed: the registry closed the connection, most likely because it does \
             not hold the key in {registry}"
        )),
        (Some(Cause::NoHandshake), _) => {
            Failure::unreachable("the handshake failed: the registry did not answer in time")
        }
        (Some(Cause::Deployed), _) => Failure::refused(deployed_refusal(&error, command)),
        (Some(Cause::GaveUp), _) => Failure::timeout(error),
        (Some(Cause::Refused(_) | Cause::NewerHello | Cause::LargeMember | Cause::TooOld), _) => {
            Failure::refused(error)
        }
        _ => match &error {
            ClientError::Registry(EnrollError::Refused { .. }) => Failure::refused(error),
            _ => Failure::new(error),
        },
    }
}

/// Explains how a deployed server prevents this command.
fn deployed_refusal(error: &ClientError, command: Command) -> String {
    let what = match command {
        // The other two never ask the question that shows it.
        Join | Create | Register => return error.to_string(),
        Members => "does not list the members of a cluster",
        Fetch => {
            "ends, and all its clusters with it, when it is asked for its credential; it was not \
             asked"
        }
        Bench => "ends, and all its clusters with it, by being measured; it was not",
    };
    format!("the registry is a deployed server, which {what}")
}

#[cfg(test)]
mod tests;
