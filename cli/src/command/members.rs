//! `xlreg members`: tells who is in a cluster, without joining it.

use xlreg::message::MemberList;

use crate::client::advice::{Command, Peer, explain};
use crate::client::{
    self, ClusterArgs, PatienceArgs, Presence, RegistryArgs, RegistryClient, persist,
};
use crate::failure::{Failure, print, print_json};
use crate::roster::{members_table, outside_json};
use crate::visitor::{VISITOR_ATTRS, VisitorArgs};

const AFTER_HELP: &str = "\
Nothing is joined. Deployed xlReg servers tell members only to members: there it refuses, with exit code 4.
Without --timeout the registry is tried for 10 seconds.
Whoever asks is a node to the registry: this user always the same one, or the one in --node.
The JSON is that of 'join'; what a registry does not tell someone outside (the cluster's size, whether it is complete)
is null.

Exit codes:
  0  the members are printed; there may be none yet
  1  failed; the message says what to do
  2  usage
  3  timed out
  4  refused by the registry
  5  the registry could not be reached

Examples:
  xlreg members alpha --registry regCred.dat
  xlreg members alpha --registry regCred.dat --node ./watcher
  xlreg members --id 105f1a9aab6ed41d1de4bfefa074c824bd05e3d4 --registry regCred.dat
  xlreg members alpha --registry regCred.dat --json | jq -r '.members[].end_points[0]'";

/// Who asks; nobody is told.
const NAME: &str = "guest";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct MembersArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub visitor: VisitorArgs,
    #[command(flatten)]
    pub patience: PatienceArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: &MembersArgs) -> Result<(), Failure> {
    let list = ask(args)?;
    match args.json {
        true => print_json(&outside_json(args.cluster.name.as_ref(), &list)),
        false => print(&members_table(list.iter())),
    }
}

fn ask(args: &MembersArgs) -> Result<MemberList, Failure> {
    let credential = args.registry.credential()?;
    client::run(&args.patience, args.json, async |patience| {
        let mut node = args.visitor.open(NAME, &credential)?;
        let presence = Presence { attrs: VISITOR_ATTRS, ends: Vec::new() };
        let listed = persist(patience, async |stop| {
            let opened =
                RegistryClient::open_as(&args.registry, &credential, stop, &mut node, &presence);
            let (mut registry, _) = opened.await?;
            let id = registry.find(args.cluster.cluster()).await?;
            let list = registry.members(id).await?;
            registry.bye().await;
            Ok(list)
        });
        let listed = listed.await;
        listed.map_err(|e| explain(e, &args.registry, Command::Members, Peer::Unknown))
    })
}
