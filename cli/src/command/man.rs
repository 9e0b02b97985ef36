//! `xlreg man`: the manual, a page a command, one after the other.

use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::args::Args;
use crate::failure::{Failure, print};

/// For the subcommand, which takes nothing.
pub const AFTER_HELP: &str = "\
Exit codes:
  0  the manual is printed
  1  it cannot be written
  2  usage

Examples:
  xlreg man | man -l -
  xlreg man > /usr/local/share/man/man1/xlreg.1";

pub fn run() -> Result<(), Failure> {
    let mut command = Args::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    render(&command, &mut pages).map_err(Failure::new)?;
    print(&String::from_utf8_lossy(&pages))
}

/// A command's page, then those of its subcommands.
fn render(command: &Command, pages: &mut Vec<u8>) -> io::Result<()> {
    Man::new(command.clone()).render(pages)?;
    command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set())
        .try_for_each(|sub| render(sub, pages))
}
