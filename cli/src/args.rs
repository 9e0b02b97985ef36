//! The subcommands; what each takes is in its own file.

use clap::{Parser, Subcommand};

use crate::command::join::JoinArgs;
use crate::command::serve::ServeArgs;

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
