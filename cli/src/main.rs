//! The command `xlreg`: a registry, and what joins one.
//!
//! Each subcommand is a file in `command`; the protocol is all in the library.

mod args;
mod command;
mod failure;
mod random;
mod registry;
mod roster;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Demo => command::demo::run(),
        Command::Serve(args) => command::serve::run(&args),
        Command::Join(args) => command::join::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
