//! The command `xlreg`: a registry, and clients of one.
//!
//! Arguments become values in [`environment::parse`], and [`run`] has the one match over the
//! subcommands. Each of them is a file in `command`. The protocol is in the library.

#[cfg(all(feature = "server", not(unix)))]
compile_error!("a registry runs on Unix only; build the client with --no-default-features");

mod args;
mod checked;
mod client;
mod command;
#[cfg(feature = "server")]
mod daemon;
mod environment;
mod last_roster;
mod node;
mod output;
mod random;
mod resolve;
mod visitor;
mod watch;

use std::io::ErrorKind;
use std::process::ExitCode;

use args::{Args, Command};
use checked::Checked;
use environment::Unparsed;
use output::{Failure, MessageFormat};

fn main() -> ExitCode {
    let code = match environment::parse() {
        Ok(Args { command }) => {
            run(command).map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS)
        }
        Err(Unparsed::Clap(error)) => print_clap(&error),
        Err(Unparsed::Contradiction(failure)) => failure.report(),
    };
    output::stderr::finish(output::stderr::LAST_WORDS);
    code
}

/// Runs a subcommand, after the form of its notes and errors is set.
fn run(command: Command) -> Result<(), Failure> {
    let set_json = |json| output::set_message_format(MessageFormat::of(json));
    match command {
        #[cfg(feature = "server")]
        Command::Demo(args) => {
            set_json(args.json);
            command::demo::run(&args)
        }
        #[cfg(feature = "server")]
        Command::Serve(args) => command::serve::run(&args),
        #[cfg(feature = "server")]
        Command::Init(args) => {
            set_json(args.json);
            command::init::run(&args)
        }
        #[cfg(feature = "server")]
        Command::Store(store) => {
            set_json(store.json());
            command::store::run(&store)
        }
        #[cfg(not(feature = "server"))]
        Command::WithoutServer(args) => command::without_server::run(&args),
        Command::Join(Checked(join)) => {
            output::set_message_format(join.message_format());
            command::join::run(&join)
        }
        Command::Register(args) => {
            set_json(args.json);
            command::register::run(&args)
        }
        Command::Create(args) => {
            set_json(args.json);
            command::create::run(&args)
        }
        Command::Members(Checked(members)) => {
            output::set_message_format(members.message_format());
            command::members::run(&members)
        }
        Command::Credential(credential) => {
            set_json(credential.json());
            command::credential::run(&credential)
        }
        Command::Bench(args) => {
            set_json(args.json);
            command::bench::run(&args)
        }
        Command::Completions(args) => command::completions::run(&args),
        Command::Man(args) => command::man::run(&args),
    }
}

/// Prints help or the version on stdout, or a usage error on stderr.
fn print_clap(error: &clap::Error) -> ExitCode {
    match error.print() {
        Err(unwritten) if unwritten.kind() != ErrorKind::BrokenPipe && !error.use_stderr() => {
            Failure::new(format!("cannot write the output: {unwritten}")).report()
        }
        _ => ExitCode::from(if error.use_stderr() { 2 } else { 0 }),
    }
}
