//! `xlreg join`: joins a cluster and waits until it is full.

use std::fs;
use std::io::{self, IsTerminal};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use xlreg::adapter::DriveError;
use xlreg::adapter::blocking::{Clock, Driver};
use xlreg::credential::Credential;
use xlreg::enroll::{Enroll, EnrollError, EnrollEvent, Plan, Roster};
use xlreg::identity::directory::DirectoryLock;
use xlreg::identity::{ClusterAttrs, EndPoint, Identity, MemberAttrs, Name, NodeId};
use xlreg::message::{ClusterRef, Create, Reason, Refusal};
use xlreg::session::{ClientConfig, EofAt, Error, TimerKind};

use crate::failure::{Failure, note, print};
use crate::{random, roster};

/// How long to try to connect where no other time is set.
const CONNECT_TIME: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
pub struct JoinArgs {
    /// The cluster, by name or by ID (40 or 64 hex digits)
    #[arg(value_name = "CLUSTER")]
    pub cluster: String,
    /// The registry's credential, its regCred.dat
    #[arg(long, value_name = "REGCRED")]
    pub registry: PathBuf,
    /// Where this node keeps its keys and its ID; made the first time
    #[arg(long, value_name = "DIR")]
    pub node: PathBuf,
    /// What this node calls itself
    #[arg(long)]
    pub name: Name,
    /// Where this node listens: for other members, then for the cluster's clients
    #[arg(long = "end-point", value_name = "HOST:PORT", required = true)]
    pub end_points: Vec<EndPoint>,
    /// Create the cluster, for so many members (1 to 64), if it is not there yet
    #[arg(long, value_name = "SIZE", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub create: Option<u32>,
    /// Give up waiting after so long
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

pub fn run(args: &JoinArgs) -> Result<(), Failure> {
    let deadline = args.timeout.and_then(|time| Instant::now().checked_add(time));
    let errand = Errand::prepare(args)?;
    let stream = connect(&errand.credential, deadline)?;
    let enroll = errand.enroll(args, deadline)?;
    let clock = enroll.1;
    let mut driver = Driver::new(enroll.0, stream, clock);
    let ended = follow(&mut driver, args, errand.identity, errand.lock);
    let enroll = driver.into_machine();
    let known = enroll.roster();
    match ended {
        Ok(()) => report(args, errand.name.as_ref(), known),
        Err(Ended::Failed(failure)) => Err(failure),
        Err(Ended::Drive(DriveError::Machine(EnrollError::GaveUp))) => {
            report(args, errand.name.as_ref(), known)?;
            Err(gave_up(args, known))
        }
        Err(Ended::Drive(error)) => Err(explain(error, args)),
    }
}

/// What is to be done, read from the arguments and files.
struct Errand {
    credential: Credential,
    identity: Identity,
    /// The node's directory, until the ID is kept there.
    lock: Option<DirectoryLock>,
    cluster: ClusterRef,
    /// The cluster's name, where it was given.
    name: Option<Name>,
}

impl Errand {
    fn prepare(args: &JoinArgs) -> Result<Self, Failure> {
        if args.end_points.len() > 2 {
            return Err(Failure::usage("--end-point may be given once or twice, not more"));
        }
        let (cluster, name) = cluster(args)?;
        let credential = read_credential(args)?;
        let lock = DirectoryLock::wait(&args.node).map_err(Failure::new)?;
        let identity = lock.load_or_generate(args.name.clone(), &mut random::system());
        let mut identity = identity.map_err(Failure::new)?;
        identity.name = args.name.clone();
        // A node without an ID is about to be issued one: nobody else may come for another meanwhile.
        let lock = identity.id.is_none().then_some(lock);
        Ok(Self { credential, identity, lock, cluster, name })
    }

    fn enroll(
        &self,
        args: &JoinArgs,
        deadline: Option<Instant>,
    ) -> Result<(Enroll, Clock), Failure> {
        let rng = &mut random::system();
        let ends = args.end_points.clone();
        let end_point_count = u32::try_from(ends.len()).map_err(Failure::new)?;
        let token = self.identity.token(MemberAttrs::NONE, ends, rng).map_err(Failure::new)?;
        let plan = match (args.create, &self.name) {
            (Some(max_size), Some(name)) => Plan::create_and_join(
                token,
                Create { name: name.clone(), max_size, attrs: ClusterAttrs::NONE, end_point_count },
            ),
            _ => Plan::join(token, self.cluster.clone()),
        };
        let give_up_after = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let plan = Plan { give_up_after, ..plan };
        let clock = Clock::start();
        let config = ClientConfig::new(&self.credential);
        let enroll =
            Enroll::new(clock.now(), config, plan, random::system()).map_err(Failure::new)?;
        Ok((enroll, clock))
    }
}

/// The cluster by ID if the text is one, else by name.
fn cluster(args: &JoinArgs) -> Result<(ClusterRef, Option<Name>), Failure> {
    if let Ok(id) = args.cluster.parse::<NodeId>() {
        return match args.create {
            None => Ok((id.into(), None)),
            Some(_) => Err(Failure::usage("--create needs the cluster's name, not an ID")),
        };
    }
    let name: Name = args
        .cluster
        .parse()
        .map_err(|error| Failure::usage(format!("'{}' is no cluster: {error}", args.cluster)))?;
    Ok((name.clone().into(), Some(name)))
}

fn read_credential(args: &JoinArgs) -> Result<Credential, Failure> {
    let path = args.registry.display();
    let advice = "--registry takes the regCred.dat that the registry wrote in its --dir";
    let text = fs::read_to_string(&args.registry)
        .map_err(|error| Failure::new(format!("cannot read {path}: {error}")).advise(advice))?;
    text.parse().map_err(|error| Failure::new(format!("{path}: {error}")).advise(advice))
}

/// Connects to the first end point of the registry that answers.
fn connect(credential: &Credential, deadline: Option<Instant>) -> Result<TcpStream, Failure> {
    let mut problems = Vec::new();
    for end_point in &credential.end_points {
        match connect_to(end_point.as_str(), deadline) {
            Ok(stream) => return Ok(stream),
            Err(error) => problems.push(format!("{end_point}: {error}")),
        }
    }
    let message =
        format!("cannot reach the registry {} ({})", credential.name, problems.join("; "));
    Err(match deadline.is_some_and(|at| Instant::now() >= at) {
        true => Failure::timeout(message),
        false => Failure::new(message).advise(
            "is the registry running, and is the address in its regCred the one to reach it at?",
        ),
    })
}

fn connect_to(end_point: &str, deadline: Option<Instant>) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no such host");
    for address in end_point.to_socket_addrs()? {
        let left = deadline.map_or(CONNECT_TIME, |at| {
            at.saturating_duration_since(Instant::now()).min(CONNECT_TIME)
        });
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Why following an errand ended early.
enum Ended {
    Drive(DriveError<EnrollError>),
    Failed(Failure),
}

/// Follows the errand to its end, keeping what must be kept on the way.
fn follow(
    driver: &mut Driver<Enroll, TcpStream>,
    args: &JoinArgs,
    mut identity: Identity,
    mut lock: Option<DirectoryLock>,
) -> Result<(), Ended> {
    let watched = io::stderr().is_terminal();
    while let Some(event) = driver.next_event().map_err(Ended::Drive)? {
        match event {
            // Kept before anything else: with this ID, and only with it, the node is recognised again.
            EnrollEvent::Identified { id, .. } => {
                identity.id = Some(id);
                let saved = identity.save(&args.node);
                saved.map_err(|error| Ended::Failed(Failure::new(error)))?;
                drop(lock.take());
            }
            EnrollEvent::Member { token, .. } if watched => {
                let known = driver.machine().roster();
                let (known, size) = known.map_or((0, 0), |r| (r.members.len(), r.cluster.max_size));
                note(format_args!("{} is there ({known} of {size} members)", token.name));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Prints what is known of the cluster.
fn report(args: &JoinArgs, name: Option<&Name>, known: Option<&Roster>) -> Result<(), Failure> {
    if args.json {
        return print(&format!("{:#}\n", roster::json(name, known)));
    }
    match known {
        Some(known) => print(&roster::table(known)),
        None => Ok(()),
    }
}

fn gave_up(args: &JoinArgs, known: Option<&Roster>) -> Failure {
    let message = match known {
        Some(known) => format!(
            "timed out: {} of {} members of {} are known",
            known.members.len(),
            known.cluster.max_size,
            args.cluster
        ),
        None => format!("timed out before {} was joined", args.cluster),
    };
    Failure::timeout(message)
        .advise("run the same command again to go on waiting: the node keeps its place")
}

/// What happened, and what to do about it.
fn explain(error: DriveError<EnrollError>, args: &JoinArgs) -> Failure {
    let registry = args.registry.display();
    match error {
        DriveError::Machine(EnrollError::Session(Error::Handshake)) => Failure::new(format!(
            "the handshake failed: the registry does not hold the key in {registry}, or it is no xlReg registry"
        ))
        .advise("get the current regCred.dat from whoever runs the registry"),
        DriveError::Machine(EnrollError::Session(Error::Eof(EofAt::Handshake))) => {
            Failure::new(format!(
                "the handshake failed: the registry closed the connection, most likely because it \
                 does not hold the key in {registry}"
            ))
            .advise("get the current regCred.dat from whoever runs the registry; if it is the right one, the registry may be overloaded: try again")
        }
        DriveError::Machine(EnrollError::Session(Error::Timeout(TimerKind::Hello))) => {
            Failure::new("the handshake failed: the registry did not answer in time")
                .advise(format!("try again; if that does not help, {registry} may be of another registry"))
        }
        DriveError::Machine(EnrollError::Refused { request, reason }) => {
            let advice = advice(&reason);
            let error = EnrollError::Refused { request, reason };
            match advice {
                Some(advice) => Failure::new(error).advise(advice),
                None => Failure::new(error),
            }
        }
        other => Failure::new(other)
            .advise("run the same command again: the node is recognised and keeps its place"),
    }
}

fn advice(reason: &Reason) -> Option<&'static str> {
    Some(match reason.refusal()? {
        Refusal::NoClusterWithName | Refusal::NoClusterWithId => {
            "check the spelling, or create the cluster with --create SIZE"
        }
        Refusal::ClusterFull => {
            "it has all its members; join another, or create one with --create SIZE"
        }
        Refusal::MemberNameInUse => "another node has this --name in the cluster; choose another",
        Refusal::IdInUse => {
            "this node's ID belongs to other keys; use the --node directory it was made in, or a new one"
        }
        Refusal::NoEnd | Refusal::TooFewEnds => "give --end-point as often as the cluster asks for",
        _ => return None,
    })
}
