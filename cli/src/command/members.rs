//! `xlreg members`: tells who is in a cluster, without joining it.

use xlreg::adapter::blocking::DriveError;
use xlreg::enroll::EnrollError;
use xlreg::identity::MemberAttrs;
use xlreg::message::{ClusterRef, MemberList, Refusal};
use xlreg::session::Error;

use crate::client::{Advice, ClusterArgs, Conversation, RegistryArgs, Trouble};
use crate::failure::{Failure, print, print_json};
use crate::node::VisitorArgs;
use crate::roster::{members_table, outside_json};

const AFTER_HELP: &str = "\
Nothing is joined. Deployed xlReg servers tell members only to members: use 'xlreg join' there.
Every run presents a node of its own to the registry; to ask often, give it a --node, which also saves making keys.
The JSON is that of 'join'; what a registry does not tell someone outside (the cluster's size, whether it is complete)
is null.

Exit codes:
  0  the members are printed; there may be none yet
  1  failed; the message says what to do
  2  usage
  4  refused by the registry
  5  the registry could not be reached

Examples:
  xlreg members alpha --registry regCred.dat
  xlreg members alpha --registry regCred.dat --node ./watcher
  xlreg members --id 105f1a9aab6ed41d1de4bfefa074c824bd05e3d4 --registry regCred.dat
  xlreg members alpha --registry regCred.dat --json | jq -r '.members[].end_points[0]'";

const ADVICE: Advice = Advice { refused: refused_advice, otherwise: "run the same command again" };

/// Who asks; nobody is told.
const NAME: &str = "guest";
const ATTRS: MemberAttrs = MemberAttrs::EPHEMERAL.union(MemberAttrs::SOLO);

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct MembersArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub visitor: VisitorArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: &MembersArgs) -> Result<(), Failure> {
    let list = ask(args, args.cluster.cluster())
        .map_err(|trouble| trouble.explain(&args.registry, &ADVICE))?;
    match args.json {
        true => print_json(&outside_json(args.cluster.name.as_ref(), &list)),
        false => print(&members_table(list.iter())),
    }
}

fn ask(args: &MembersArgs, cluster: ClusterRef) -> Result<MemberList, Trouble> {
    let credential = args.registry.credential()?;
    let mut node = args.visitor.open(NAME)?;
    let (mut registry, _) =
        Conversation::open_as(&args.registry, &credential, &mut node, ATTRS, Vec::new())?;
    let list = registry.members(cluster).map_err(|trouble| for_members_only(trouble, args))?;
    registry.bye();
    Ok(list)
}

/// Deployed servers answer GetCluster only after Join, and otherwise refuse or just close.
fn for_members_only(trouble: Trouble, args: &MembersArgs) -> Trouble {
    let Trouble::Drive(DriveError::Machine(error)) = &trouble else { return trouble };
    let cluster = &args.cluster;
    let what = match error {
        EnrollError::Refused { reason, .. }
            if matches!(
                reason.refusal(),
                Some(Refusal::WrongState | Refusal::UnexpectedOp | Refusal::NoClusterGiven)
            ) =>
        {
            format!("{error}: it tells who is in {cluster} only to those who have joined")
        }
        EnrollError::Session(Error::Eof(_)) => {
            format!("the registry hung up instead of telling who is in {cluster}")
        }
        _ => return trouble,
    };
    Failure::refused(what)
        .advise(format_args!(
            "deployed xlReg servers tell members only to members; join to see them: xlreg join {cluster} --no-wait ..."
        ))
        .into()
}

fn refused_advice(refusal: Refusal) -> Option<&'static str> {
    Some(match refusal {
        Refusal::NoClusterWithName | Refusal::NoClusterWithId => {
            "check the spelling (an ID is given by --id), or create the cluster with 'xlreg create'"
        }
        Refusal::RegistryFull => "ask whoever runs the registry to make room",
        _ => return None,
    })
}
