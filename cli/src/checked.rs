//! Arguments with rules between them. The rules are checked while arguments are parsed, so a
//! command gets values instead of flags.

use clap::error::ErrorKind;
use clap::{ArgMatches, FromArgMatches};

/// Arguments that are checked together.
pub trait Check: clap::Args {
    type Values;

    /// # Errors
    ///
    /// The rule that the arguments break, as one line for the user.
    fn check(self) -> Result<Self::Values, String>;
}

/// The values of the checked arguments `A`. clap takes it for `A`.
pub struct Checked<A: Check>(pub A::Values);

impl<A: Check> FromArgMatches for Checked<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let values = A::from_arg_matches(matches)?.check();
        values.map(Self).map_err(|why| clap::Error::raw(ErrorKind::ArgumentConflict, why))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<A: Check> clap::Args for Checked<A> {
    fn augment_args(command: clap::Command) -> clap::Command {
        A::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        A::augment_args_for_update(command)
    }
}
