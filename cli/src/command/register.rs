//! `xlreg register`: registers a node without joining a cluster.

use serde_json::json;
use xlreg::identity::{EndPoint, MemberAttrs};

use crate::client::advice::{Command, Peer, explain};
use crate::client::{self, PatienceArgs, Presence, RegistryArgs, RegistryClient, persist};
use crate::node::NodeArgs;
use crate::output::json::token_json;
use crate::output::tables::{fields, ssh_line, texts};
use crate::output::{Failure, print, print_json};

const AFTER_HELP: &str = "\
The registry issues an ID the first time. Keys and ID are kept in DIR, and a node that registers
again has the same ones.
Without --timeout the registry is tried for 10 seconds.

Exit codes:
  0  the registry knows the node; its ID is printed
  1  failed; the message says what to do
  2  usage
  3  timed out
  4  refused by the registry
  5  the registry could not be reached

Examples:
  xlreg register --registry regCred.dat --node ./node --name host1
  xlreg register --registry regCred.dat --node ./node --name host1 \\
    --end-point 10.0.0.1:4000 --json";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct RegisterArgs {
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub node: NodeArgs,
    /// Where this node listens; may be given several times
    #[arg(long = "end-point", value_name = "HOST:PORT")]
    pub end_points: Vec<EndPoint>,
    #[command(flatten)]
    pub patience: PatienceArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: &RegisterArgs) -> Result<(), Failure> {
    let credential = args.registry.credential()?;
    let (token, version) = client::run(&args.registry, &args.patience, async |patience| {
        let mut node = args.node.open(&patience.stop).await?;
        let presence = Presence { attrs: MemberAttrs::SOLO, end_points: args.end_points.clone() };
        let registered = persist(patience, async |stop| {
            let opened =
                RegistryClient::open_as(&args.registry, &credential, stop, &mut node, &presence);
            let (registry, token) = opened.await?;
            let version = registry.version;
            registry.bye().await;
            Ok((token, version))
        });
        let registered = registered.await;
        registered.map_err(|e| explain(e, &args.registry, Command::Register, Peer::Unknown))
    })?;
    if args.json {
        let mut value = token_json(&token);
        value["registry"] = json!({
            "name": credential.name.as_str(),
            "id": credential.id.to_string(),
            "version": version.to_string(),
        });
        return print_json(&value);
    }
    print(&fields(&[
        ("name", token.name.to_string()),
        ("ID", token.id.map(|id| id.to_string()).unwrap_or_default()),
        ("end points", texts(&token.end_points).join(" ")),
        ("comms key", ssh_line(&token.comms_key)),
        ("sig key", ssh_line(&token.sig_key)),
        ("registry", format!("{} {version} {}", credential.name, credential.id)),
    ]))
}
