//! Flags from the environment: `--end-point` is also `XLREG_END_POINT`.
//!
//! The command line comes before the environment, and the environment comes before a flag's
//! default. An empty variable counts as absent. A variable that contradicts a flag on the command
//! line is ignored, because nobody typed it.

use std::collections::HashSet;
use std::env;
use std::ffi::OsString;

use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, Id};

use crate::args::Args;
use crate::output::Failure;

const PREFIX: &str = "XLREG_";
/// Flags without a variable. `--dialect` is for one server that gives a wrong version, not for all
/// servers.
const WITHOUT: [&str; 1] = ["dialect"];

/// The command line, with the variable of each flag.
pub fn command() -> Command {
    add_variables(Args::command(), None)
}

/// The reason why there is no command to run.
pub enum Unparsed {
    /// The user asked for help or the version, or a word of the command line is wrong.
    Clap(clap::Error),
    /// Arguments contradict each other.
    Contradiction(Failure),
}

/// Parses the command line and the environment.
///
/// # Errors
///
/// [`Unparsed`], also for help.
pub fn parse() -> Result<Args, Unparsed> {
    let words: Vec<OsString> = env::args_os().collect();
    // The arguments on the command line itself. Their errors are reported below.
    let typed = Args::command().ignore_errors(true).try_get_matches_from(&words).ok();
    let command = add_variables(Args::command(), typed.as_ref());
    let mut matches = command.clone().try_get_matches_from(&words).map_err(|error| {
        let set = typed.as_ref().map(|typed| variables_set(&command, typed)).unwrap_or_default();
        Unparsed::Clap(tell_variables(error, &set))
    })?;
    // All arguments are values now, so only `Checked` can fail.
    Args::from_arg_matches_mut(&mut matches).map_err(|error| {
        let why = error.to_string();
        let why = why.strip_prefix("error: ").unwrap_or(&why).trim_end();
        Unparsed::Contradiction(Failure::usage(why))
    })
}

/// The variable of a flag, if it has one.
fn variable(arg: &Arg) -> Option<String> {
    let flag = arg.get_long().filter(|flag| !WITHOUT.contains(flag))?;
    Some(format!("{PREFIX}{}", flag.to_uppercase().replace('-', "_")))
}

/// Gives each flag its variable, except for flags that contradict the command line.
fn add_variables(command: Command, typed: Option<&ArgMatches>) -> Command {
    let contradicting = typed.map(|typed| contradicting(&command, typed)).unwrap_or_default();
    let below = typed.and_then(ArgMatches::subcommand);
    command
        .mut_args(|arg| match contradicting.contains(arg.get_id()) {
            true => arg,
            false => add_variable(arg),
        })
        .mut_subcommands(|subcommand| {
            let typed = below.filter(|(name, _)| *name == subcommand.get_name());
            add_variables(subcommand, typed.map(|(_, typed)| typed))
        })
}

fn add_variable(arg: Arg) -> Arg {
    let Some(name) = variable(&arg) else { return arg };
    if env::var_os(&name).is_some_and(|value| value.is_empty()) {
        return arg;
    }
    // The values on this machine do not belong into a manual page.
    let arg = arg.env(name).hide_env_values(true);
    match arg.get_action() {
        ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()),
        ArgAction::Append => arg.value_delimiter(','),
        _ => arg,
    }
}

/// The flags that contradict one on the command line.
fn contradicting(command: &Command, typed: &ArgMatches) -> HashSet<Id> {
    let given = |id: &Id| {
        typed.try_contains_id(id.as_str()).is_ok_and(|known| known)
            && typed.value_source(id.as_str()) == Some(ValueSource::CommandLine)
    };
    let mut contradicting = HashSet::new();
    for arg in command.get_arguments() {
        for other in command.get_arg_conflicts_with(arg) {
            if given(other.get_id()) {
                contradicting.insert(arg.get_id().clone());
            }
            if given(arg.get_id()) {
                contradicting.insert(other.get_id().clone());
            }
        }
    }
    contradicting
}

/// The variables that are set and belong to the command line.
fn variables_set(command: &Command, typed: &ArgMatches) -> Vec<String> {
    let is_set = |name: &String| env::var_os(name).is_some();
    let args = command.get_arguments().filter(|arg| arg.get_env().is_some());
    let mut set: Vec<_> = args.filter_map(variable).filter(is_set).collect();
    if let Some((name, typed)) = typed.subcommand()
        && let Some(command) = command.find_subcommand(name)
    {
        set.extend(variables_set(command, typed));
    }
    set
}

/// Adds the names of set variables to a usage error, because they are not visible on the command
/// line.
fn tell_variables(error: clap::Error, set: &[String]) -> clap::Error {
    if !error.use_stderr() || set.is_empty() {
        return error;
    }
    let told = error.render().to_string();
    let told = told.strip_prefix("error: ").unwrap_or(&told);
    let told = format!("{told}\nSet in the environment: {}\n", set.join(", "));
    let kind = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return error,
        kind => kind,
    };
    clap::Error::raw(kind, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each flag and its variable, of a command and of all its subcommands.
    fn flags(command: &Command, found: &mut Vec<(String, Option<String>)>) {
        for arg in command.get_arguments() {
            if let Some(flag) = arg.get_long() {
                let variable = arg.get_env().map(|name| name.to_string_lossy().into_owned());
                found.push((flag.to_owned(), variable));
            }
        }
        for subcommand in command.get_subcommands() {
            flags(subcommand, found);
        }
    }

    #[test]
    fn every_flag_has_a_variable_but_those_that_must_not() {
        let without = [
            ("dialect", "for one server, not for all that are talked to"),
            ("help", "asks instead of doing anything"),
            ("version", "asks instead of doing anything"),
        ];
        let mut command = command();
        command.build();
        let mut found = Vec::new();
        flags(&command, &mut found);
        let fewest = if cfg!(feature = "server") { 40 } else { 30 };
        assert!(found.len() > fewest, "{found:?}");
        for (flag, variable) in found {
            let expected = match without.iter().any(|(name, _)| *name == flag) {
                true => None,
                false => Some(format!("XLREG_{}", flag.to_uppercase().replace('-', "_"))),
            };
            assert_eq!(variable, expected, "--{flag}");
        }
    }
}
