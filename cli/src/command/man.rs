//! `xlreg man`: prints the manual, one page for each command.

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Command;
use clap_mangen::Man;

use crate::environment;
use crate::output::{Failure, print};

const AFTER_HELP: &str = "\
Without COMMAND all pages are printed, one after the other.

Exit codes:
  0  the manual is printed, or with --output written
  1  it cannot be written
  2  usage; there is no such command

Examples:
  xlreg man | man -l -
  xlreg man join | man -l -
  xlreg man credential fetch | man -l -
  xlreg man --output /usr/local/share/man/man1";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ManArgs {
    /// The command of the page, as 'join' or 'credential fetch'
    #[arg(value_name = "COMMAND", conflicts_with = "output")]
    pub command: Vec<String>,
    /// Write each page into a file of its own in DIR: xlreg.1, xlreg-join.1 and so on
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

pub fn run(args: &ManArgs) -> Result<(), Failure> {
    let mut command = environment::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    collect(&command, &mut pages)?;
    if let Some(dir) = &args.output {
        return write(&pages, dir);
    }
    if args.command.is_empty() {
        let all: Vec<_> = pages.into_iter().flat_map(|page| page.text).collect();
        return print(&String::from_utf8_lossy(&all));
    }
    let name = format!("xlreg-{}.1", args.command.join("-"));
    match pages.iter().find(|page| page.file == name) {
        Some(page) => print(&String::from_utf8_lossy(&page.text)),
        None => Err(Failure::usage(format!("there is no command '{}'", args.command.join(" ")))
            .advise("'xlreg help' lists them")),
    }
}

struct Page {
    file: String,
    text: Vec<u8>,
}

/// Collects the page of a command and those of its subcommands.
fn collect(command: &Command, pages: &mut Vec<Page>) -> Result<(), Failure> {
    let man = Man::new(command.clone());
    let (file, mut text) = (man.get_filename(), Vec::new());
    man.render(&mut text).map_err(Failure::new)?;
    pages.push(Page { file, text });
    command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set())
        .try_for_each(|sub| collect(sub, pages))
}

fn write(pages: &[Page], dir: &Path) -> Result<(), Failure> {
    let failed = |path: &Path, error: io::Error| {
        Failure::new(format!("cannot write {}: {error}", path.display()))
    };
    fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    for page in pages {
        let path = dir.join(&page.file);
        fs::write(&path, &page.text).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}
