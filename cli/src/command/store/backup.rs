//! `xlreg store backup` and `restore`: a registry in one file, and back.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use xlreg::identity::Identity;
use xlreg::registry::Registry;
use xlreg_server::store::Backup;

use super::{StoreArgs, home, load, open, print_size};
use crate::daemon::home::store_failure;
use crate::output::count::Count;
use crate::output::{Failure, note};

const BACKUP_HELP: &str = "\
Writes the registry as it is at one moment into FILE, also while it is served. FILE must not exist.
With its private keys it is all that a registry is, and must be kept as safe as they are.

Exit codes:
  0  the backup is written and on disk
  1  failed, and there is no FILE; the message says what to do
  2  usage

Examples:
  xlreg store backup --dir /var/lib/xlreg /backup/xlreg-monday
  xlreg store backup --dir /var/lib/xlreg /backup/xlreg-monday --without-keys";

const RESTORE_HELP: &str = "\
Reads a backup into DIR, which must be empty or missing. For a backup without keys, the registry's
keys, name and ID must be in DIR, and its store must be empty.
What the registry acknowledged after the backup is not there afterwards: those nodes and clusters do
not exist any more, and their members join again.

Exit codes:
  0  the registry is in DIR
  1  failed; the message says what to do
  2  usage

Examples:
  xlreg store restore --dir /var/lib/xlreg /backup/xlreg-monday";

/// What a registry's identity is in its directory.
const FILES: [&str; 4] = ["comms_key.pem", "sig_key.pem", "name", "id"];

#[derive(Debug, clap::Args)]
#[command(after_help = BACKUP_HELP)]
pub struct BackupArgs {
    #[command(flatten)]
    pub store: StoreArgs,
    /// The file to make
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Leave the registry's private keys out
    #[arg(long)]
    pub without_keys: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = RESTORE_HELP)]
pub struct RestoreArgs {
    #[command(flatten)]
    pub store: StoreArgs,
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

pub fn back_up(args: &BackupArgs) -> Result<(), Failure> {
    let dir = &args.store.dir;
    let (snapshot, mut registry) = open(dir)?;
    load(&snapshot, &mut registry)?;
    let rows = snapshot.rows();
    // The daemon can empty its log from here on.
    drop(snapshot);
    let read = |name: &str| {
        let path = dir.join(name);
        let content = fs::read(&path);
        content
            .map(|content| (name.to_owned(), content))
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
    };
    let files = match args.without_keys {
        true => Vec::new(),
        false => FILES.iter().map(|name| read(name)).collect::<Result<_, _>>()?,
    };
    let count = Count::start("writing", rows);
    let written = Backup::create(&args.file, &registry, &files, &mut |rows| count.set(rows));
    drop(count);
    written.map_err(|error| {
        Failure::new(error).advise("choose a file that is not there, on a disk with enough room")
    })?;
    let file = args.file.display();
    match args.without_keys {
        true => note(format_args!(
            "xlreg: {file} has no private keys: to restore it, the registry's keys are needed"
        )),
        false => note(format_args!(
            "xlreg: {file} has the registry's private keys: keep it as safe as them"
        )),
    }
    print_size(&args.store, &registry)
}

pub fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    let dir = &args.store.dir;
    let backup = Backup::open(&args.file).map_err(store_failure)?;
    let files = backup.files().map_err(|error| {
        Failure::new(error).advise("FILE must be what 'xlreg store backup' has made")
    })?;
    let mut registry = Registry::new(
        crate::daemon::home::credential(&identity(dir, &backup, &files)?, Vec::new())?,
        xlreg::registry::RegistryLimits::default(),
    );
    // All of it is read before anything is made.
    let count = Count::start("reading", backup.rows());
    backup.load(&mut registry, &mut |rows| count.set(rows)).map_err(store_failure)?;
    drop(count);
    if is_empty(dir) {
        let failed =
            |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", dir.display()));
        identity(dir, &backup, &files)?.save(dir).map_err(|error| failed(&error))?;
    }
    home(dir)?.fill_store(&registry)?;
    note(format_args!(
        "xlreg: what the registry acknowledged after {} was made is not in {}",
        args.file.display(),
        dir.display()
    ));
    print_size(&args.store, &registry)
}

/// Whether a directory has nothing in it, or is not there.
fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
}

/// The identity of the registry in a backup: from the backup for an empty directory, and otherwise
/// what the directory has.
fn identity(dir: &Path, backup: &Backup, files: &[(String, Vec<u8>)]) -> Result<Identity, Failure> {
    let found = match is_empty(dir) {
        true if files.is_empty() => {
            return Err(Failure::new("the backup has no keys, and neither has DIR").advise(
                format_args!(
                    "put {} of the registry into {} first",
                    FILES.join(", "),
                    dir.display()
                ),
            ));
        }
        true => unpacked(dir, files)?,
        false => Identity::load(dir).map_err(|error| {
            Failure::new(error)
                .advise("restore into an empty directory, or one with the keys alone")
        })?,
    };
    let id = found.id.filter(|id| *id == backup.registry());
    match id {
        Some(_) => Ok(found),
        None => Err(Failure::new(format!(
            "the backup is of the registry {}, and {} has another one",
            backup.registry(),
            dir.display()
        ))
        .advise("restore into an empty directory")),
    }
}

/// Reads an identity that is given as files, in a folder for it alone that goes again.
fn unpacked(dir: &Path, files: &[(String, Vec<u8>)]) -> Result<Identity, Failure> {
    let mut name = dir.as_os_str().to_owned();
    name.push(format!(".restore-{}", std::process::id()));
    let place = PathBuf::from(name);
    let unpack = || {
        DirBuilder::new().mode(0o700).recursive(true).create(&place)?;
        for (name, content) in files.iter().filter(|(name, _)| FILES.contains(&name.as_str())) {
            let path = place.join(name);
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            file?.write_all(content)?;
        }
        Ok(())
    };
    let unpacked = unpack()
        .map_err(|error: std::io::Error| Failure::new(format!("{}: {error}", place.display())));
    let loaded = unpacked.and_then(|()| Identity::load(&place).map_err(Failure::new));
    let removed = fs::remove_dir_all(&place);
    let identity = loaded?;
    removed.map_err(|error| Failure::new(format!("{}: {error}", place.display())))?;
    Ok(identity)
}
