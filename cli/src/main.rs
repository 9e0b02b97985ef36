//! The command `xlreg`: a registry, and what joins one.
//!
//! Each subcommand is a file in `command`; the protocol is all in the library.

mod args;
mod client;
mod command;
mod daemon;
mod environment;
mod home;
mod import;
mod kept;
mod node;
mod output;
mod random;
mod resolve;
mod store;
mod visitor;
mod watch;

use std::io::ErrorKind;
use std::process::ExitCode;

use args::Command;
use output::Failure;

fn main() -> ExitCode {
    let command = match environment::parse() {
        Ok(args) => args.command,
        Err(error) => return tell(&error),
    };
    if command.tells_json() {
        output::note_as_json();
    }
    let json = command.asks_for_json() || command.tells_json();
    let done = match command {
        Command::Demo(args) => command::demo::run(&args),
        Command::Serve(args) => command::serve::run(&args),
        Command::Init(args) => command::init::run(&args),
        Command::Join(args) => command::join::run(&args),
        Command::Register(args) => command::register::run(&args),
        Command::Create(args) => command::create::run(&args),
        Command::Members(args) => command::members::run(&args),
        Command::Credential(command) => command::credential::run(&command),
        Command::Bench(args) => command::bench::run(&args),
        Command::Completions(args) => command::completions::run(&args),
        Command::Man(args) => command::man::run(&args),
    };
    let code = match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    };
    output::stderr::finish(output::stderr::LAST_WORDS);
    code
}

/// Tells what clap has to say: help on stdout, or what is wrong with the command line on stderr.
fn tell(error: &clap::Error) -> ExitCode {
    match error.print() {
        Err(unwritten) if unwritten.kind() != ErrorKind::BrokenPipe && !error.use_stderr() => {
            Failure::new(format!("cannot write the output: {unwritten}")).report(false)
        }
        _ => ExitCode::from(if error.use_stderr() { 2 } else { 0 }),
    }
}
