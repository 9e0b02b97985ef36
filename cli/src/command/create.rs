//! `xlreg create`: creates a cluster as an administrator, who joins none.

use serde_json::json;
use xlreg::identity::{ClusterAttrs, MemberAttrs, Name};
use xlreg::message::{ClusterInfo, Create, Refusal};

use crate::client::{Advice, Conversation, RegistryArgs, Trouble};
use crate::failure::{Failure, note, print, print_json};
use crate::node::VisitorArgs;
use crate::roster::{cluster_json, fields};

const AFTER_HELP: &str = "\
A cluster of that name that exists already stays as it is, and its properties are printed; where they are not those
asked for, a note on stderr says so.

Exit codes:
  0  the cluster exists; its properties are printed
  1  failed; the message says what to do
  2  usage
  4  refused by the registry
  5  the registry could not be reached

Examples:
  xlreg create alpha --size 3 --registry regCred.dat
  xlreg create alpha --size 3 --end-points 2 --registry regCred.dat --node ./admin --json";

const ADVICE: Advice = Advice {
    refused: refused_advice,
    otherwise: "run the same command again: a cluster that was created is found",
};

/// What deployed administrators call themselves, and how they are flagged.
const NAME: &str = "admin";
const ATTRS: MemberAttrs =
    MemberAttrs::EPHEMERAL.union(MemberAttrs::ADMIN).union(MemberAttrs::SOLO);

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct CreateArgs {
    /// The name of the cluster
    #[arg(value_name = "CLUSTER")]
    pub cluster: Name,
    /// How many members it may have, 1 to 64
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub size: u32,
    /// How many end points each member must have: for other members, and for the cluster's clients
    #[arg(long, value_name = "1|2", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    pub end_points: u32,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub visitor: VisitorArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: &CreateArgs) -> Result<(), Failure> {
    let cluster = create(args).map_err(|trouble| trouble.explain(&args.registry, &ADVICE))?;
    compare(args, &cluster);
    if args.json {
        let cluster = cluster_json(Some(&args.cluster), Some(cluster.id), Some(cluster));
        return print_json(&json!({ "cluster": cluster }));
    }
    print(&fields(&[
        ("cluster", args.cluster.to_string()),
        ("ID", cluster.id.to_string()),
        ("size", cluster.max_size.to_string()),
        ("end points", cluster.end_point_count.to_string()),
    ]))
}

fn create(args: &CreateArgs) -> Result<ClusterInfo, Trouble> {
    let credential = args.registry.credential()?;
    let mut node = args.visitor.open(NAME)?;
    let (mut registry, _) =
        Conversation::open_as(&args.registry, &credential, &mut node, ATTRS, Vec::new())?;
    let cluster = registry.create(Create {
        name: args.cluster.clone(),
        max_size: args.size,
        attrs: ClusterAttrs::NONE,
        end_point_count: args.end_points,
    })?;
    registry.bye();
    Ok(cluster)
}

/// A registry answers with the cluster as it is, whatever was asked for.
fn compare(args: &CreateArgs, cluster: &ClusterInfo) {
    let mut others = Vec::new();
    let properties = [
        ("size", cluster.max_size, args.size),
        ("end points", cluster.end_point_count, args.end_points),
    ];
    for (property, is, asked) in properties {
        if is != asked {
            others.push(format!("{property} {is} instead of {asked}"));
        }
    }
    if !others.is_empty() {
        note(format_args!(
            "xlreg: {} existed before and stays as it is: {}",
            args.cluster,
            others.join(", ")
        ));
    }
}

fn refused_advice(refusal: Refusal) -> Option<&'static str> {
    Some(match refusal {
        Refusal::IdInUse => {
            "the administrator's ID belongs to other keys; use the --node directory it was made in, or none"
        }
        Refusal::RegistryFull => "ask whoever runs the registry to make room",
        _ => return None,
    })
}
