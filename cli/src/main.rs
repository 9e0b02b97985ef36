//! The command `xlreg`: a registry, and what joins one.
//!
//! Each subcommand is a file in `command`; the protocol is all in the library.

mod args;
mod checked;
mod client;
mod command;
mod daemon;
mod environment;
mod home;
mod import;
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
use output::Failure;

fn main() -> ExitCode {
    let code = match environment::parse() {
        Ok(Args { command }) => {
            output::set_message_format(command.message_format());
            run(command).map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS)
        }
        Err(Unparsed::Clap(error)) => tell(&error),
        Err(Unparsed::Contradiction(failure)) => failure.report(),
    };
    output::stderr::finish(output::stderr::LAST_WORDS);
    code
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => command::demo::run(&args),
        Command::Serve(args) => command::serve::run(&args),
        Command::Init(args) => command::init::run(&args),
        Command::Join(Checked(join)) => command::join::run(&join),
        Command::Register(args) => command::register::run(&args),
        Command::Create(args) => command::create::run(&args),
        Command::Members(Checked(members)) => command::members::run(&members),
        Command::Credential(command) => command::credential::run(&command),
        Command::Bench(args) => command::bench::run(&args),
        Command::Completions(args) => command::completions::run(&args),
        Command::Man(args) => command::man::run(&args),
    }
}

/// Tells what clap has to say: help on stdout, or what is wrong with the command line on stderr.
fn tell(error: &clap::Error) -> ExitCode {
    match error.print() {
        Err(unwritten) if unwritten.kind() != ErrorKind::BrokenPipe && !error.use_stderr() => {
            Failure::new(format!("cannot write the output: {unwritten}")).report()
        }
        _ => ExitCode::from(if error.use_stderr() { 2 } else { 0 }),
    }
}
