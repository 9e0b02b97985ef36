//! `xlreg completions`: prints the completions for a shell.

use clap::ValueEnum;
use clap_complete::{Shell, generate};
use clap_complete_nushell::Nushell;

use crate::environment;
use crate::output::{Failure, print};

const AFTER_HELP: &str = "\
Exit codes:
  0  the script is printed
  1  it cannot be written
  2  usage

Examples:
  xlreg completions bash > ~/.local/share/bash-completion/completions/xlreg
  xlreg completions elvish > ~/.config/elvish/lib/xlreg.elv
  xlreg completions fish > ~/.config/fish/completions/xlreg.fish
  xlreg completions nushell > ~/.config/nushell/autoload/xlreg.nu
  xlreg completions powershell >> $PROFILE
  xlreg completions zsh > /usr/local/share/zsh/site-functions/_xlreg";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: ShellChoice,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ShellChoice {
    Bash,
    Elvish,
    Fish,
    Nushell,
    #[value(name = "powershell", alias = "pwsh")]
    PowerShell,
    Zsh,
}

pub fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let (mut command, mut script) = (environment::command(), Vec::new());
    let shell = match args.shell {
        ShellChoice::Nushell => {
            generate(Nushell, &mut command, "xlreg", &mut script);
            return print(&String::from_utf8_lossy(&script));
        }
        ShellChoice::Bash => Shell::Bash,
        ShellChoice::Elvish => Shell::Elvish,
        ShellChoice::Fish => Shell::Fish,
        ShellChoice::PowerShell => Shell::PowerShell,
        ShellChoice::Zsh => Shell::Zsh,
    };
    generate(shell, &mut command, "xlreg", &mut script);
    print(&String::from_utf8_lossy(&script))
}
