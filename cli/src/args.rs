//! What the command line accepts.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use xlreg::identity::{EndPoint, Name};

/// xlReg: machines that want to form a cluster find each other.
#[derive(Debug, Parser)]
#[command(name = "xlreg", version, propagate_version = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Form a cluster of three on this machine, to see it work
    #[command(
        after_help = "Exit codes:\n  0  all three members saw the same three\n  1  they did not"
    )]
    Demo,
    /// Run a registry
    #[command(after_help = "\
The keys are made in DIR the first time and kept. Clients need DIR/regCred.dat.
Clusters live in memory: they are gone when the registry stops.

Examples:
  xlreg serve --dir /var/lib/xlreg
  xlreg serve --dir reg --listen 127.0.0.1:0")]
    Serve(ServeArgs),
    /// Join a cluster and wait until it is full
    #[command(after_help = "\
Exit codes:
  0  the cluster is complete; its members are printed
  1  failed; the message says what to do
  2  usage
  3  timed out before the cluster was complete; what is known is printed

Examples:
  xlreg join alpha --registry regCred.dat --node ./node --name host1 --end-point 10.0.0.1:4000 --create 3
  xlreg join alpha --registry regCred.dat --node ./node --name host2 --end-point 10.0.0.2:4000 --json")]
    Join(JoinArgs),
}

#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Where the registry keeps its keys and writes regCred.dat
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:56789")]
    pub listen: EndPoint,
    /// The address that regCred.dat tells clients [default: where it listens, 127.0.0.1 if that is everywhere]
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<EndPoint>,
    /// What the registry calls itself [default: the name it had before, xlReg the first time]
    #[arg(long)]
    pub name: Option<Name>,
}

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
    pub timeout: Option<std::time::Duration>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_string())?;
    std::time::Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
