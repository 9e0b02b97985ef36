//! `xlreg register`: makes a node known to a registry without joining any cluster.

use serde_json::json;
use xlreg::credential::Credential;
use xlreg::identity::{EndPoint, MemberAttrs, Token, Version};
use xlreg::message::Refusal;

use crate::client::{Advice, Conversation, RegistryArgs, Trouble};
use crate::failure::{Failure, print, print_json};
use crate::node::NodeArgs;
use crate::roster::{fields, ssh_line, texts, token_json};

const AFTER_HELP: &str = "\
The registry issues an ID the first time; keys and ID are kept in DIR, and a node that registers again has the same.

Exit codes:
  0  the registry knows the node; its ID is printed
  1  failed; the message says what to do
  2  usage
  4  refused by the registry
  5  the registry could not be reached

Examples:
  xlreg register --registry regCred.dat --node ./node --name host1
  xlreg register --registry regCred.dat --node ./node --name host1 --end-point 10.0.0.1:4000 --json";

const ADVICE: Advice = Advice {
    refused: refused_advice,
    otherwise: "run the same command again: a node that has its ID keeps it",
};

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
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: &RegisterArgs) -> Result<(), Failure> {
    let credential = args.registry.credential()?;
    let (token, version) =
        register(args, &credential).map_err(|trouble| trouble.explain(&args.registry, &ADVICE))?;
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
        ("end points", texts(&token.ends).join(" ")),
        ("comms key", ssh_line(&token.comms_key)),
        ("sig key", ssh_line(&token.sig_key)),
        ("registry", format!("{} {version} {}", credential.name, credential.id)),
    ]))
}

/// Registers the node: what it says of itself, with the ID it is known by, and the registry's version.
fn register(args: &RegisterArgs, credential: &Credential) -> Result<(Token, Version), Trouble> {
    let mut node = args.node.open()?;
    let ends = args.end_points.clone();
    let (registry, token) =
        Conversation::open_as(&args.registry, credential, &mut node, MemberAttrs::SOLO, ends)?;
    let version = registry.version;
    registry.bye();
    Ok((token, version))
}

fn refused_advice(refusal: Refusal) -> Option<&'static str> {
    Some(match refusal {
        Refusal::IdInUse => {
            "this node's ID belongs to other keys; use the --node directory it was made in, or a new one"
        }
        Refusal::MemberWithoutEnd => {
            "give an --end-point; port 0 says that the node does not listen yet"
        }
        Refusal::BadEnd => {
            "a registry takes eight --end-point at most, unless it was set up otherwise"
        }
        _ => return None,
    })
}
