//! `xlreg create`: creates a cluster as an administrator, who does not join it.

use serde_json::json;
use xlreg::identity::{ClusterAttrs, MemberAttrs, Name};
use xlreg::message::{ClusterInfo, Create};

use crate::client::advice::{Command, Peer, explain};
use crate::client::{self, PatienceArgs, Presence, RegistryArgs, RegistryClient, persist};
use crate::output::json::cluster_json;
use crate::output::tables::fields;
use crate::output::{Failure, note, print, print_json};
use crate::visitor::VisitorArgs;

const AFTER_HELP: &str = "\
If a cluster with this name exists, it stays unchanged and its properties are printed. A note on
stderr names those that differ from the wanted ones. (Deployed servers change size 1 to 2.)
Without --timeout the registry is tried for 10 seconds.

Exit codes:
  0  the cluster exists; its properties are printed
  1  failed; the message says what to do
  2  usage
  3  timed out
  4  refused by the registry
  5  the registry could not be reached

Examples:
  xlreg create alpha --size 3 --registry regCred.dat
  xlreg create alpha --size 3 --end-points 2 --registry regCred.dat --node ./admin --json";

/// The name and the flags of deployed administrators.
const NAME: &str = "admin";
const ATTRS: MemberAttrs =
    MemberAttrs::EPHEMERAL.union(MemberAttrs::ADMIN).union(MemberAttrs::SOLO);

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct CreateArgs {
    /// The name of the cluster
    #[arg(value_name = "CLUSTER")]
    pub cluster: Name,
    /// The number of members that it may have, 1 to 64
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub size: u32,
    /// The number of end points that each member must have: for other members, and for the
    /// cluster's clients
    #[arg(
        long, value_name = "1|2", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=2)
    )]
    pub end_points: u32,
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

pub fn run(args: &CreateArgs) -> Result<(), Failure> {
    let asked = Create {
        name: args.cluster.clone(),
        max_size: args.size,
        attrs: ClusterAttrs::NONE,
        end_point_count: args.end_points,
    };
    let cluster = create(args, &asked)?;
    if let Some(difference) = difference(&asked, &cluster) {
        note(format_args!("xlreg: {difference}"));
    }
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

fn create(args: &CreateArgs, asked: &Create) -> Result<ClusterInfo, Failure> {
    let credential = args.registry.credential()?;
    client::run(&args.registry, &args.patience, async |patience| {
        let mut node = args.visitor.open(NAME, &credential)?;
        let presence = Presence { attrs: ATTRS, end_points: Vec::new() };
        let created = persist(patience, async |stop| {
            let opened =
                RegistryClient::open_as(&args.registry, &credential, stop, &mut node, &presence);
            let (mut registry, _) = opened.await?;
            let cluster = registry.create(asked.clone()).await?;
            registry.bye().await;
            Ok(cluster)
        });
        let created = created.await;
        created.map_err(|e| explain(e, &args.registry, Command::Create, Peer::Unknown))
    })
}

/// The difference between a cluster and a Create, if there is one. The registry answers with the
/// properties of the cluster, which count.
pub fn difference(asked: &Create, cluster: &ClusterInfo) -> Option<String> {
    let properties = [
        ("size", cluster.max_size, asked.max_size),
        ("end points", cluster.end_point_count, asked.end_point_count),
    ];
    let others = properties.iter().filter(|(_, is, asked)| is != asked);
    let others: Vec<_> =
        others.map(|(property, is, asked)| format!("{property} {is} instead of {asked}")).collect();
    let why = match (asked.max_size, cluster.max_size) {
        // Both are possible, and nobody can tell which.
        (1, 2) => "existed before, or was made so by a deployed server",
        _ => "existed before and stays as it is",
    };
    (!others.is_empty()).then(|| format!("{} {why}: {}", asked.name, others.join(", ")))
}
