//! `xlreg init`: makes a registry in a directory, before it is served.

use std::path::PathBuf;

use xlreg::identity::Name;

use crate::daemon::home::{Home, Tenant};
use crate::output::json::identity_json;
use crate::output::tables::{fields, ssh_line};
use crate::output::{Failure, note, print, print_json};

const AFTER_HELP: &str = "\
Makes the keys, the ID and an empty store. Existing parts stay, so an interrupted 'init' can be run
again. 'xlreg serve --existing' serves this registry, and never makes one: if the volume with DIR is
lost or not mounted, it does not start.

--accept is for a DIR that was changed on purpose. The present keys, name and ID are the registry's
from now on. The present store is accepted, and a missing one is made again.

Exit codes:
  0  the registry is in DIR; its name, ID and keys are printed
  1  failed; the message says what to do
  2  usage

Examples:
  xlreg init --dir /var/lib/xlreg
  xlreg init --dir /var/lib/xlreg --name east --json
  xlreg init --dir /var/lib/xlreg --import-config .xlattice/reg.config";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct InitArgs {
    /// The directory for the registry's keys, nodes and clusters
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The name of the registry [default: xlReg]
    #[arg(long)]
    pub name: Option<Name>,
    /// Take over the identity of a deployed registry from its .xlattice/reg.config
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    pub import_config: Option<PathBuf>,
    /// Accept the present content of DIR for the registry, even if it was changed
    #[arg(long, conflicts_with_all = ["name", "import_config"])]
    pub accept: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: &InitArgs) -> Result<(), Failure> {
    let home = match args.accept {
        true => Home::accept(&args.dir)?,
        false => make(args)?,
    };
    let identity = &home.identity;
    let id = identity.id.map(|id| id.to_string()).unwrap_or_default();
    let (comms_key, sig_key) = (identity.comms.public_key(), identity.sig.public_key());
    if args.json {
        let keys = [comms_key, sig_key];
        return print_json(&identity_json(&identity.name, identity.id, keys));
    }
    print(&fields(&[
        ("name", identity.name.to_string()),
        ("ID", id),
        ("comms key", ssh_line(comms_key)),
        ("sig key", ssh_line(sig_key)),
    ]))
}

fn make(args: &InitArgs) -> Result<Home, Failure> {
    let mut home = Home::open(&Tenant {
        dir: &args.dir,
        // A registry that exists is not renamed.
        name: None,
        first_name: args.name.as_ref(),
        config: args.import_config.as_deref(),
        credential: None,
        existing: false,
        memory: false,
    })?;
    if let Some(name) = args.name.as_ref().filter(|name| **name != home.identity.name) {
        return Err(Failure::new(format!(
            "the registry in {} is called {}, not {name}",
            args.dir.display(),
            home.identity.name
        ))
        .advise("'xlreg serve --name' gives it another name"));
    }
    home.check_store()?;
    if !home.is_new() {
        note(format_args!("xlreg: the registry in {} was there already", args.dir.display()));
    }
    Ok(home)
}
