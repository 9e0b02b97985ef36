//! `xlreg serve`, `init` and `demo` in a build without the feature `server`: they say where to get
//! it.

use std::ffi::OsString;

use crate::output::Failure;

#[derive(Debug, clap::Args)]
pub struct WithoutServerArgs {
    /// The arguments that the command takes in a build with the server.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _args: Vec<OsString>,
}

pub fn run(_: &WithoutServerArgs) -> Result<(), Failure> {
    let failure = Failure::usage(
        "this xlreg is a client only: it has no 'serve', 'init', 'store' and 'demo'",
    );
    Err(failure.advise("install one with the server: it is in the default features of xlreg-cli"))
}
