//! `xlreg store`: an operator's look into a registry's store, and what is done to it.

mod backup;

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use backup::{BackupArgs, RestoreArgs};
use serde_json::json;
use xlreg::identity::Identity;
use xlreg::registry::{Registry, RegistryLimits};
use xlreg_server::store::{Snapshot, export};

use crate::daemon::home::{Home, STORE_FILE, Tenant, credential, store_failure};
use crate::output::count::Count;
use crate::output::tables::fields;
use crate::output::{Failure, note, print, print_json};

/// The help of the command itself, which needs a subcommand.
pub const AFTER_HELP: &str = "\
'verify', 'stats', 'backup' and 'export' read the store as it is at one moment, and may run beside
'serve'. While they read, the daemon cannot empty its log. 'restore', 'import' and 'compact' need the
registry stopped.

Exit codes:
  0  done
  1  failed; the message says what to do
  2  usage

Examples:
  xlreg store verify --dir /var/lib/xlreg
  xlreg store export --dir /var/lib/xlreg export.jsonl";

const VERIFY_HELP: &str = "\
Checks the database, the digest of every row and every rule of the registry, and that its export
makes the same state again. Damage is an error, which says where.

Exit codes:
  0  everything is as it must be; what there is is printed
  1  the store is damaged, or cannot be read
  2  usage

Examples:
  xlreg store verify --dir /var/lib/xlreg
  xlreg store verify --dir /var/lib/xlreg --json | jq .memberships";

const EXPORT_HELP: &str = "\
Writes every node, cluster and membership as a line of JSON, to FILE or to stdout. docs/store.md has
the form. FILE must not exist. The registry's own keys are not in it.

Exit codes:
  0  everything is written
  1  failed; the message says what to do
  2  usage

Examples:
  xlreg store export --dir /var/lib/xlreg export.jsonl
  xlreg store export --dir /var/lib/xlreg | grep '^{\"cluster\"'";

const IMPORT_HELP: &str = "\
Reads an export into the empty store of the registry with the same ID. The registry must be stopped.
Its keys are not in an export: they must be in DIR already.
What the registry acknowledged after the export is not there afterwards: those nodes and clusters do
not exist any more, and their members join again.

Exit codes:
  0  the store has what is in FILE
  1  failed, and the store is as it was; the message says what to do
  2  usage

Examples:
  xlreg store import --dir /var/lib/xlreg export.jsonl";

const COMPACT_HELP: &str = "\
Gives the room of rows that are gone back to the system. The registry must be stopped. The disk needs
room for a second copy meanwhile.

Exit codes:
  0  done; the sizes before and after are printed
  1  failed, and the store is as it was; the message says what to do
  2  usage

Examples:
  xlreg store compact --dir /var/lib/xlreg";

#[derive(Debug, clap::Subcommand)]
pub enum StoreCommand {
    /// Check everything in a store
    #[command(after_help = VERIFY_HELP)]
    Verify(StoreArgs),
    /// Print how much is in a store
    Stats(StoreArgs),
    /// Write the registry into one file
    Backup(BackupArgs),
    /// Read a backup into an empty directory
    Restore(RestoreArgs),
    /// Write what is in a store as lines of JSON
    Export(ExportArgs),
    /// Read an export into an empty store
    Import(ImportArgs),
    /// Make a store as small as it can be
    #[command(after_help = COMPACT_HELP)]
    Compact(StoreArgs),
}

#[derive(Debug, clap::Args)]
pub struct StoreArgs {
    /// The directory of the registry
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = EXPORT_HELP)]
pub struct ExportArgs {
    #[command(flatten)]
    pub store: StoreArgs,
    /// The file to make [default: stdout]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = IMPORT_HELP)]
pub struct ImportArgs {
    #[command(flatten)]
    pub store: StoreArgs,
    /// The export
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

impl StoreCommand {
    /// Whether `--json` was given.
    pub const fn json(&self) -> bool {
        match self {
            Self::Verify(args) | Self::Stats(args) | Self::Compact(args) => args.json,
            Self::Backup(args) => args.store.json,
            Self::Restore(args) => args.store.json,
            Self::Export(args) => args.store.json,
            Self::Import(args) => args.store.json,
        }
    }
}

pub fn run(command: &StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Verify(args) => verify(args),
        StoreCommand::Stats(args) => stats(args),
        StoreCommand::Backup(args) => backup::back_up(args),
        StoreCommand::Restore(args) => backup::restore(args),
        StoreCommand::Export(args) => write_export(args),
        StoreCommand::Import(args) => import(args),
        StoreCommand::Compact(args) => compact(args),
    }
}

/// A snapshot of the store in a directory, and an empty registry for its content.
fn open(dir: &Path) -> Result<(Snapshot, Registry), Failure> {
    let identity = Identity::load(dir).map_err(|error| {
        Failure::new(error).advise("DIR is that of a registry: what 'xlreg serve --dir' was given")
    })?;
    let credential = credential(&identity, Vec::new())?;
    let store = dir.join(STORE_FILE);
    let snapshot = Snapshot::open(&store, credential.id).map_err(store_failure)?;
    Ok((snapshot, Registry::new(credential, RegistryLimits::default())))
}

fn load(snapshot: &Snapshot, registry: &mut Registry) -> Result<(), Failure> {
    let count = Count::start("reading", snapshot.rows());
    snapshot.load(registry, &mut |rows| count.set(rows)).map_err(store_failure)
}

fn verify(args: &StoreArgs) -> Result<(), Failure> {
    let (snapshot, mut registry) = open(&args.dir)?;
    snapshot.check_structure().map_err(store_failure)?;
    let empty = registry.clone();
    load(&snapshot, &mut registry)?;
    // What an export is made of makes the same registry again.
    let mut again = empty;
    let rebuilt = registry.changes().iter().try_for_each(|change| again.apply(change));
    if rebuilt.is_err() || again != registry {
        return Err(Failure::new(format!(
            "{}: its changes do not make the same registry again",
            args.dir.join(STORE_FILE).display()
        ))
        .advise("report this as a fault of xlreg, with the output of 'xlreg store stats'"));
    }
    print_stats(args, &snapshot)
}

fn stats(args: &StoreArgs) -> Result<(), Failure> {
    let (snapshot, _) = open(&args.dir)?;
    print_stats(args, &snapshot)
}

fn print_stats(args: &StoreArgs, snapshot: &Snapshot) -> Result<(), Failure> {
    let stats = snapshot.stats().map_err(store_failure)?;
    if args.json {
        return print_json(&json!({
            "commits": stats.commits,
            "nodes": stats.nodes,
            "clusters": stats.clusters,
            "complete_clusters": stats.complete_clusters,
            "tokens": stats.tokens,
            "memberships": stats.memberships,
            "bytes": stats.bytes,
            "free_bytes": stats.free_bytes,
        }));
    }
    print(&fields(&[
        ("commits", stats.commits.to_string()),
        ("nodes", stats.nodes.to_string()),
        ("clusters", format!("{} ({} complete)", stats.clusters, stats.complete_clusters)),
        ("tokens", stats.tokens.to_string()),
        ("memberships", stats.memberships.to_string()),
        ("bytes", format!("{} ({} free)", stats.bytes, stats.free_bytes)),
    ]))
}

fn write_export(args: &ExportArgs) -> Result<(), Failure> {
    let (snapshot, mut registry) = open(&args.store.dir)?;
    load(&snapshot, &mut registry)?;
    let lines = snapshot.rows();
    // The daemon can empty its log from here on.
    drop(snapshot);
    let Some(path) = &args.file else {
        let mut out = BufWriter::new(std::io::stdout().lock());
        return match export::export(&registry, &mut out, &mut |_| ()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Failure::new(format!("cannot write the output: {error}")))
            }
            _ => Ok(()),
        };
    };
    let count = Count::start("writing", lines);
    let write = || {
        // Who may read the store may read the export.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let mut out = BufWriter::new(&file);
        export::export(&registry, &mut out, &mut |lines| count.set(lines))?;
        out.flush()?;
        file.sync_all()
    };
    write().map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))?;
    drop(count);
    note(format_args!(
        "xlreg: {} has the nodes, clusters and memberships, and not the registry's keys",
        path.display()
    ));
    print_size(&args.store, &registry)
}

fn print_size(args: &StoreArgs, registry: &Registry) -> Result<(), Failure> {
    let size = registry.size();
    if args.json {
        return print_json(&json!({
            "nodes": size.nodes, "clusters": size.clusters, "memberships": size.memberships
        }));
    }
    print(&fields(&[
        ("nodes", size.nodes.to_string()),
        ("clusters", size.clusters.to_string()),
        ("memberships", size.memberships.to_string()),
    ]))
}

/// The registry in a directory, which nobody serves meanwhile.
fn home(dir: &Path) -> Result<Home, Failure> {
    Home::open(&Tenant {
        dir,
        name: None,
        first_name: None,
        config: None,
        credential: None,
        existing: true,
        memory: false,
    })
}

fn import(args: &ImportArgs) -> Result<(), Failure> {
    let mut home = home(&args.store.dir)?;
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", args.file.display()));
    let file = File::open(&args.file).map_err(|error| failed(&error))?;
    let mut registry = home.empty_registry()?;
    let count = Count::unknown("reading");
    let read = export::import(&mut BufReader::new(file), &mut registry, &mut |n| count.set(n));
    read.map_err(|error| failed(&error))?;
    drop(count);
    home.fill_store(&registry)?;
    print_size(&args.store, &registry)
}

fn compact(args: &StoreArgs) -> Result<(), Failure> {
    let mut home = home(&args.dir)?;
    let before = open(&args.dir)?.0.stats().map_err(store_failure)?.bytes;
    if std::io::stderr().is_terminal() {
        note("xlreg: writing the store anew; it takes as long as copying it");
    }
    home.compact_store()?;
    let after = open(&args.dir)?.0.stats().map_err(store_failure)?.bytes;
    if args.json {
        return print_json(&json!({ "bytes_before": before, "bytes": after }));
    }
    print(&fields(&[("bytes before", before.to_string()), ("bytes", after.to_string())]))
}
