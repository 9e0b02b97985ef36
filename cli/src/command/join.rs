//! `xlreg join`: joins a cluster and waits until it is full.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use xlreg::adapter::blocking::{Clock, DriveError, Driver};
use xlreg::credential::Credential;
use xlreg::enroll::{Enroll, EnrollError, EnrollEvent, Plan, Roster};
use xlreg::identity::{ClusterAttrs, EndPoint, MemberAttrs};
use xlreg::message::{Create, Refusal};

use crate::client::{self, Advice, ClusterArgs, RegistryArgs, Trouble};
use crate::failure::{Failure, print, print_json};
use crate::node::{Node, NodeArgs};
use crate::progress::Progress;
use crate::{random, roster};

const AFTER_HELP: &str = "\
Exit codes:
  0  the cluster is complete, or with --no-wait joined; its members are printed
  1  failed; the message says what to do
  2  usage
  3  timed out before the cluster was complete; what is known is printed
  4  refused by the registry
  5  the registry could not be reached

Examples:
  xlreg join alpha --registry regCred.dat --node ./node --name host1 --end-point 10.0.0.1:4000 --create 3
  xlreg join alpha --registry regCred.dat --node ./node --name host2 --end-point 10.0.0.2:4000 --json
  xlreg join alpha --registry regCred.dat --node ./node --name host2 --end-point 10.0.0.2:4000 --no-wait";

const ADVICE: Advice = Advice {
    refused: refused_advice,
    otherwise: "run the same command again: the node is recognised and keeps its place",
};

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct JoinArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub node: NodeArgs,
    /// Where this node listens: for other members, then for the cluster's clients
    #[arg(long = "end-point", value_name = "HOST:PORT", required = true)]
    pub end_points: Vec<EndPoint>,
    /// Create the cluster, for so many members (1 to 64), if it is not there yet
    #[arg(long, value_name = "SIZE", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub create: Option<u32>,
    /// Print who is there after joining, and do not wait for the others
    #[arg(long)]
    pub no_wait: bool,
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
    let mut errand = Errand::prepare(args)?;
    let stream = client::connect(&errand.credential, deadline)?;
    let (enroll, clock) = errand.enroll(args, deadline)?;
    let mut driver = Driver::new(enroll, stream, clock);
    let ended = follow(&mut driver, args, &mut errand.node);
    let enroll = driver.into_machine();
    let known = enroll.roster();
    match ended {
        Ok(()) => report(args, known),
        Err(Trouble::Drive(DriveError::Machine(EnrollError::GaveUp))) => {
            report(args, known)?;
            Err(gave_up(args, known))
        }
        Err(trouble) => Err(trouble.explain(&args.registry, &ADVICE)),
    }
}

/// What is to be done, read from the arguments and files.
struct Errand {
    credential: Credential,
    node: Node,
}

impl Errand {
    fn prepare(args: &JoinArgs) -> Result<Self, Failure> {
        if args.end_points.len() > 2 {
            return Err(Failure::usage("--end-point may be given once or twice, not more"));
        }
        if args.create.is_some() && args.cluster.name.is_none() {
            return Err(Failure::usage("--create needs the cluster's name, not an ID"));
        }
        let credential = args.registry.credential()?;
        let node = args.node.open()?;
        Ok(Self { credential, node })
    }

    fn enroll(
        &self,
        args: &JoinArgs,
        deadline: Option<Instant>,
    ) -> Result<(Enroll, Clock), Failure> {
        let rng = &mut random::system();
        let ends = args.end_points.clone();
        let end_point_count = u32::try_from(ends.len()).map_err(Failure::new)?;
        let token = self.node.identity.token(MemberAttrs::NONE, ends, rng).map_err(Failure::new)?;
        let plan = match (args.create, &args.cluster.name) {
            (Some(max_size), Some(name)) => Plan::create_and_join(
                token,
                Create { name: name.clone(), max_size, attrs: ClusterAttrs::NONE, end_point_count },
            ),
            _ => Plan::join(token, args.cluster.cluster()),
        };
        let give_up_after = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let plan = Plan { give_up_after, wait: !args.no_wait, ..plan };
        let clock = Clock::start();
        let config = args.registry.config(&self.credential);
        let enroll =
            Enroll::new(clock.now(), config, plan, random::system()).map_err(Failure::new)?;
        Ok((enroll, clock))
    }
}

/// Follows the errand to its end, keeping what must be kept on the way.
fn follow(
    driver: &mut Driver<Enroll, TcpStream>,
    args: &JoinArgs,
    node: &mut Node,
) -> Result<(), Trouble> {
    let mut progress = None;
    while let Some(event) = driver.next_event()? {
        match event {
            // Kept before anything else: a node that is not recognised would lose its place.
            EnrollEvent::Identified { id, .. } => node.keep(id)?,
            EnrollEvent::Joined(cluster) if !args.no_wait => {
                progress = Some(Progress::start(&args.cluster.to_string(), cluster.max_size));
            }
            EnrollEvent::Member { token, .. } => {
                if let Some(progress) = &progress {
                    progress.arrived(&token.name);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Prints what is known of the cluster.
fn report(args: &JoinArgs, known: Option<&Roster>) -> Result<(), Failure> {
    if args.json {
        return print_json(&roster::json(args.cluster.name.as_ref(), known));
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

fn refused_advice(refusal: Refusal) -> Option<&'static str> {
    Some(match refusal {
        Refusal::NoClusterWithName | Refusal::NoClusterWithId => {
            "check the spelling (an ID is given by --id), or create the cluster with --create SIZE"
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
