//! The command line: the subcommands as values. The arguments of each are in its own file.

use clap::{Parser, Subcommand};

use crate::checked::Checked;
use crate::command::bench::BenchArgs;
use crate::command::completions::CompletionsArgs;
use crate::command::create::CreateArgs;
use crate::command::credential::{self, CredentialCommand};
#[cfg(feature = "server")]
use crate::command::demo::DemoArgs;
#[cfg(feature = "server")]
use crate::command::init::InitArgs;
use crate::command::join::JoinArgs;
use crate::command::man::ManArgs;
use crate::command::members::MembersArgs;
use crate::command::register::RegisterArgs;
#[cfg(feature = "server")]
use crate::command::serve::ServeArgs;
#[cfg(feature = "server")]
use crate::command::store::{self, StoreCommand};
#[cfg(not(feature = "server"))]
use crate::command::without_server::WithoutServerArgs;

/// xlReg: machines that want to form a cluster find each other.
#[derive(Parser)]
#[command(
    name = "xlreg",
    version,
    propagate_version = true,
    after_help = "\
Exit codes:
  0  done
  1  failed; the message on stderr says what to do
  2  usage
  3  timed out; 'join' prints what is known
  4  refused by the registry
  5  the registry could not be reached
  130, 143  interrupted by SIGINT, SIGTERM

With --json an error is one line of JSON on stderr: kind, message, advice, exit_code. Usage errors
are text.

'xlreg help COMMAND' has more, with examples."
)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Form a cluster of three on this machine, to see it work
    #[cfg(feature = "server")]
    #[command(after_help = "\
Exit codes:
  0  all three members saw the same three
  1  they did not
  2  usage

Examples:
  xlreg demo")]
    Demo(DemoArgs),
    /// Run a registry
    #[cfg(feature = "server")]
    #[command(after_help = "\
The first start makes the keys in DIR; with --existing nothing is made. Clients need DIR/regCred.dat.
If a file in DIR is missing or changed later, the registry does not start: its identity never
changes in silence.
Nodes and clusters are in DIR/registry.sqlite. Nothing is acknowledged before it is on disk.
SIGTERM and SIGINT stop the registry in order: it finishes the requests in flight.

Exit codes:
  0  stopped by SIGTERM or SIGINT
  1  failed; the message says what to do
  2  usage

Examples:
  xlreg serve --dir /var/lib/xlreg
  xlreg serve --dir /var/lib/xlreg --existing
  xlreg serve --dir reg --listen 127.0.0.1:0 --memory
  xlreg serve --dir reg --listen 0.0.0.0:56789 --listen [::]:56789 --advertise registry.example:56789")]
    Serve(ServeArgs),
    /// Make a registry for 'serve --existing'
    #[cfg(feature = "server")]
    Init(InitArgs),
    /// Look into a registry's store, check it, export it
    #[cfg(feature = "server")]
    #[command(subcommand, after_help = store::AFTER_HELP)]
    Store(StoreCommand),
    #[cfg(not(feature = "server"))]
    #[command(name = "serve", aliases = ["init", "demo", "store"], hide = true, disable_help_flag = true)]
    WithoutServer(WithoutServerArgs),
    /// Join a cluster and wait until it is full
    Join(Checked<JoinArgs>),
    /// Register a node, without a cluster
    Register(RegisterArgs),
    /// Create a cluster, or find the one with this name
    Create(CreateArgs),
    /// Print the members of a cluster, without joining it
    Members(Checked<MembersArgs>),
    /// Show a registry's credential
    #[command(subcommand, after_help = credential::AFTER_HELP)]
    Credential(CredentialCommand),
    /// Measure how fast a registry serves
    Bench(BenchArgs),
    /// Print the completions for a shell
    Completions(CompletionsArgs),
    /// Print the manual
    Man(ManArgs),
}
