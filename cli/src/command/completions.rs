//! `xlreg completions`: what a shell needs to complete the command line.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::args::Args;
use crate::failure::{Failure, print};

const AFTER_HELP: &str = "\
Exit codes:
  0  the script is printed
  1  it cannot be written
  2  usage

Examples:
  xlreg completions bash > ~/.local/share/bash-completion/completions/xlreg
  xlreg completions fish > ~/.config/fish/completions/xlreg.fish
  xlreg completions zsh > /usr/local/share/zsh/site-functions/_xlreg";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct CompletionsArgs {
    /// The shell to complete for
    #[arg(value_enum)]
    pub shell: Shell,
}

pub fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut Args::command(), "xlreg", &mut script);
    print(&String::from_utf8_lossy(&script))
}
