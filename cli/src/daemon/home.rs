//! The directory of a registry: its keys, its ID, its store, and the file for clients.
//!
//! The identity of a registry never changes in silence. In a directory that was whole once, a
//! missing or changed part stops the start, and nothing new is made in its place. With `xlreg init
//! --accept` the operator accepts the change.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};
use xlreg::credential::Credential;
use xlreg::identity::directory::{DirectoryError, DirectoryLock, DirectoryState, write_atomically};
use xlreg::identity::{EndPoint, Identity, Name, NodeId};
use xlreg::registry::{Registry, RegistryLimits, Size};
use xlreg_server::Metrics;
use xlreg_server::store::{CounterTrust, MemoryStore, Sqlite, StoreError};

use crate::output::{Failure, note};
use crate::random;

use super::{import, old_store};

/// The file for clients.
pub const CREDENTIAL_FILE: &str = "regCred.dat";
/// The file with nodes and clusters.
pub const STORE_FILE: &str = "registry.sqlite";
/// The name of a registry without a given name.
const DEFAULT_NAME: &str = "xlReg";

/// The registry to find or make in a directory.
pub struct Tenant<'a> {
    pub dir: &'a Path,
    /// The new name of the registry, if one is given.
    pub name: Option<&'a Name>,
    /// The name of a new registry.
    pub first_name: Option<&'a Name>,
    /// The `reg.config` of a deployed registry, whose identity is taken over.
    pub config: Option<&'a Path>,
    /// The file for clients, if it is not in the directory.
    pub credential: Option<&'a Path>,
    /// Whether the registry must exist.
    pub existing: bool,
    /// Whether the registry has no store.
    pub memory: bool,
}

/// The directory of a registry, locked for this process.
pub struct Home {
    pub identity: Identity,
    dir: PathBuf,
    credential: PathBuf,
    /// Whether the store was made.
    store: bool,
    /// Whether nothing may be made.
    existing: bool,
    /// Whether the identity is new.
    new: bool,
    lock: DirectoryLock,
}

impl Home {
    /// Opens the registry in a directory, or makes a new one if that is allowed.
    pub fn open(tenant: &Tenant) -> Result<Self, Failure> {
        let dir = tenant.dir;
        // It is read first, so that a file that cannot be used leaves nothing behind.
        let imported = tenant.config.map(import::identity).transpose()?;
        let failed = |error| cannot_use(dir, error);
        let state = || DirectoryState::of(dir).map_err(failed);
        if tenant.existing && matches!(state()?, DirectoryState::Empty) {
            refuse_remains(dir)?;
            return Err(none_here(dir));
        }
        if let Some(imported) = &imported
            && matches!(state()?, DirectoryState::Unmarked | DirectoryState::Whole { .. })
        {
            // Compared before anything is changed, and again below under the lock.
            compare(dir, &Identity::load(dir).map_err(failed)?, imported)?;
        }
        let lock = lock(dir)?;
        let state_before = state()?;
        let identity = match state_before {
            DirectoryState::Empty => {
                refuse_remains(dir)?;
                Self::make(tenant, imported)?
            }
            DirectoryState::Unfinished => {
                if !tenant.existing {
                    note(format_args!(
                        "xlreg: the making of the registry in {} was interrupted; it is made again",
                        dir.display()
                    ));
                }
                Self::make(tenant, imported)?
            }
            DirectoryState::Unmarked | DirectoryState::Whole { .. } => {
                let found = Identity::load(dir).map_err(failed)?;
                if state_before == DirectoryState::Unmarked {
                    refuse_losses(dir, &found, tenant.memory)?;
                }
                if let Some(imported) = imported {
                    compare(dir, &found, &imported)?;
                }
                refuse_other_credential(&credential_file(tenant), Some(&found))?;
                lock.load().map_err(failed)?
            }
        };
        let store = matches!(state_before, DirectoryState::Whole { store: true });
        let new = matches!(state_before, DirectoryState::Empty | DirectoryState::Unfinished);
        let existing = tenant.existing;
        let (dir, credential) = (dir.into(), credential_file(tenant));
        let mut home = Self { identity, dir, credential, store, existing, new, lock };
        let marked = matches!(state()?, DirectoryState::Whole { .. });
        let is_whole = || Sqlite::is_whole(&home.store_path()) || old_store::is_whole(&home.dir);
        if marked && state_before == DirectoryState::Unmarked && is_whole() {
            home.note_store()?;
        }
        home.settle(tenant.name)?;
        Ok(home)
    }

    /// Whether the identity is new.
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// Makes a new identity, or takes over an imported one.
    fn make(tenant: &Tenant, imported: Option<Identity>) -> Result<Identity, Failure> {
        if tenant.existing {
            return Err(none_here(tenant.dir));
        }
        refuse_other_credential(&credential_file(tenant), imported.as_ref())?;
        let rng = &mut random::system();
        let mut identity = match (imported, tenant.first_name) {
            (Some(imported), _) => imported,
            (None, Some(name)) => Identity::generate(name.clone(), rng).map_err(Failure::new)?,
            (None, None) => {
                let name = DEFAULT_NAME.parse().map_err(Failure::new)?;
                Identity::generate(name, rng).map_err(Failure::new)?
            }
        };
        identity.id.get_or_insert_with(|| NodeId::random(rng));
        identity.save(tenant.dir).map_err(|error| cannot_use(tenant.dir, error))?;
        Ok(identity)
    }

    /// Sets the given name, makes an ID if there is none, and checks the file for clients.
    fn settle(&mut self, name: Option<&Name>) -> Result<(), Failure> {
        let mut changed = false;
        if let Some(name) = name.filter(|name| **name != self.identity.name) {
            info!(
                "the registry was called {} and is called {name} from now on",
                self.identity.name
            );
            self.identity.name = name.clone();
            changed = true;
        }
        if self.identity.id.is_none() {
            if self.existing {
                return Err(none_here(&self.dir));
            }
            self.identity.id = Some(NodeId::random(&mut random::system()));
            changed = true;
        }
        if changed {
            self.identity.save(&self.dir).map_err(|error| cannot_use(&self.dir, error))?;
        }
        Ok(())
    }

    fn store_path(&self) -> PathBuf {
        self.dir.join(STORE_FILE)
    }

    /// Makes an empty store if none was made.
    pub fn make_store(&mut self) -> Result<(), Failure> {
        let path = self.store_path();
        let failed = |error| self.store_failure(error);
        self.take_over(self.counter_trust())?;
        if self.store || Sqlite::is_there(&path).map_err(failed)? {
            return Ok(());
        }
        if self.existing {
            return Err(Failure::new(format!("no store was made in {}", self.dir.display()))
                .advise(format_args!(
                    "serve it with --memory, or make one on purpose: xlreg init --dir {}",
                    self.dir.display()
                )));
        }
        Sqlite::create(&path, registry_id(&self.identity)?, []).map_err(failed)?;
        info!("made an empty store: {}", path.display());
        Ok(())
    }

    /// Loads the store into an empty registry, and keeps its changes from now on.
    pub fn open_store(
        &mut self,
        registry: Registry,
        metrics: &Arc<Metrics>,
    ) -> Result<MemoryStore, Failure> {
        self.make_store()?;
        let (log, registry) = self.open_log(registry, self.counter_trust())?;
        MemoryStore::with_log(registry, log, Arc::clone(metrics)).map_err(Failure::new)
    }

    fn open_log(
        &mut self,
        mut registry: Registry,
        trust: CounterTrust,
    ) -> Result<(Sqlite, Registry), Failure> {
        let opened = Sqlite::open(&self.store_path(), &mut registry, trust);
        let log = opened.map_err(|error| self.store_failure(error))?;
        if !self.store {
            self.note_store()?;
        }
        Ok((log, registry))
    }

    /// Notes the store, so that its absence is an error from now on.
    fn note_store(&mut self) -> Result<(), Failure> {
        self.lock.note_store().map_err(|error| cannot_use(&self.dir, error))?;
        self.store = true;
        Ok(())
    }

    /// Opens the store once, to check it.
    pub fn check_store(&mut self) -> Result<(), Failure> {
        self.make_store()?;
        self.try_store(self.counter_trust())
    }

    /// How far to trust the commit counter: it must be there once a store was noted.
    fn counter_trust(&self) -> CounterTrust {
        if self.store { CounterTrust::Needed } else { CounterTrust::Welcome }
    }

    /// Takes over the store of an earlier version, if there is one.
    fn take_over(&self, trust: CounterTrust) -> Result<(), Failure> {
        let registry = self.empty_registry()?;
        old_store::take_over(&self.dir, &self.store_path(), registry, trust)
            .map_err(|error| self.store_failure(error))
    }

    /// An empty registry with this identity.
    pub fn empty_registry(&self) -> Result<Registry, Failure> {
        let credential = credential(&self.identity, Vec::new())?;
        Ok(Registry::new(credential, RegistryLimits::default()))
    }

    fn try_store(&mut self, trust: CounterTrust) -> Result<(), Failure> {
        self.open_log(self.empty_registry()?, trust)?;
        Ok(())
    }

    /// Makes the store anew with the content of a registry, if it is empty.
    pub fn fill_store(&mut self, registry: &Registry) -> Result<(), Failure> {
        let path = self.store_path();
        self.take_over(self.counter_trust())?;
        if Sqlite::is_there(&path).map_err(|error| self.store_failure(error))? {
            let (_, present) = self.open_log(self.empty_registry()?, self.counter_trust())?;
            if present.size() != Size::default() {
                return Err(Failure::new(format!("{} is not empty", path.display()))
                    .advise("import into the directory of a registry that has no nodes yet"));
            }
        }
        let made = Sqlite::create(&path, registry_id(&self.identity)?, registry.changes());
        made.map_err(|error| self.store_failure(error))?;
        self.note_store()
    }

    /// Gives back the room of rows that are gone.
    pub fn compact_store(&mut self) -> Result<(), Failure> {
        let (mut log, _) = self.open_log(self.empty_registry()?, self.counter_trust())?;
        log.compact().map_err(|error| self.store_failure(error))
    }

    /// Accepts the present content of the directory for the registry. A missing store is made
    /// again.
    pub fn accept(dir: &Path) -> Result<Self, Failure> {
        let failed = |error| cannot_use(dir, error);
        match DirectoryState::of(dir).map_err(failed)? {
            DirectoryState::Empty | DirectoryState::Unfinished => return Err(none_here(dir)),
            DirectoryState::Unmarked | DirectoryState::Whole { .. } => {}
        }
        let lock = lock(dir)?;
        let identity = lock.accept().map_err(failed)?;
        let mut home = Self {
            identity,
            dir: dir.into(),
            credential: dir.join(CREDENTIAL_FILE),
            store: false,
            existing: false,
            new: false,
            lock,
        };
        let id = registry_id(&home.identity)?;
        let path = home.store_path();
        let registry = home.empty_registry()?;
        match old_store::take_over(dir, &path, registry, CounterTrust::None) {
            Ok(()) | Err(StoreError::Lost(_)) => {}
            Err(error) => return Err(home.store_failure(error)),
        }
        let create = || match Sqlite::is_there(&path) {
            Ok(true) => Ok(()),
            Ok(false) | Err(StoreError::Lost(_)) => Sqlite::create(&path, id, []),
            Err(error) => Err(error),
        };
        create().map_err(|error| home.store_failure(error))?;
        home.try_store(CounterTrust::None)?;
        Ok(home)
    }

    /// The path of the file for clients.
    pub fn credential_file(&self) -> &Path {
        &self.credential
    }

    /// Writes the file for clients, and reports changes.
    pub fn publish(&self, credential: &Credential) -> Result<(), Failure> {
        let path = &self.credential;
        let text = credential.to_string();
        match fs::read_to_string(path) {
            Ok(known) if known == text => return Ok(()),
            Ok(known) => match known.parse::<Credential>() {
                Ok(_) => info!("{} has changed, and is written again", path.display()),
                Err(error) => warn!("{}: {error}; it is written again", path.display()),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                info!("{} was not there, and is written", path.display());
            }
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                warn!("{}: {error}; it is written again", path.display());
            }
            Err(error) => return Err(Failure::new(format!("{}: {error}", path.display()))),
        }
        write_atomically(path, text.as_bytes(), 0o644).map_err(|error| {
            let advice = match error.is_read_only() {
                true => "say with --credential FILE where it can be written",
                false => "check the disk and its free space",
            };
            Failure::new(error).advise(advice)
        })
    }

    fn store_failure(&self, error: StoreError) -> Failure {
        let advice = match &error {
            StoreError::Lost(_) => format!(
                "restore {STORE_FILE} and {STORE_FILE}.commits from a backup; {}",
                accept_advice(&self.dir)
            ),
            _ => return store_failure(error),
        };
        Failure::new(error).advise(advice)
    }
}

fn lock(dir: &Path) -> Result<DirectoryLock, Failure> {
    DirectoryLock::try_now(dir).map_err(|error| match error {
        DirectoryError::Busy { .. } => {
            Failure::new(format!("another registry runs on {}", dir.display()))
                .advise("stop it first, or give this one another --dir")
        }
        other => cannot_use(dir, other),
    })
}

/// Explains a failure of the store.
pub fn store_failure(error: StoreError) -> Failure {
    let advice = match &error {
        StoreError::Busy(_) => "stop the registry that runs on this --dir first",
        StoreError::Lost(_) | StoreError::Damaged { .. } | StoreError::Inconsistent { .. } => {
            "restore the file, and the .commits beside it, from a backup"
        }
        StoreError::Foreign { .. } => "use the --dir that the file was made in",
        StoreError::Io { .. } | StoreError::Unwritable { .. } => {
            "check the disk, its free space and the permissions of the directory"
        }
        StoreError::ForeignWrite(_) => {
            "nothing but this registry may write to the file: find the program that does, and \
             check the file with xlreg serve --check"
        }
    };
    Failure::new(error).advise(advice)
}

/// The failure if there is no registry, and none may be made.
fn none_here(dir: &Path) -> Failure {
    Failure::new(format!("no registry is kept in {}", dir.display())).advise(format_args!(
        "is its volume mounted, is it restored? To make a new one on purpose: xlreg init --dir {}",
        dir.display()
    ))
}

/// The advice how to accept the present content.
fn accept_advice(dir: &Path) -> String {
    format!(
        "if the change is meant, this accepts the present content for the registry, with an empty \
         store if there is none: xlreg init --accept --dir {}",
        dir.display()
    )
}

/// Explains why a registry's directory cannot be used.
fn cannot_use(dir: &Path, error: DirectoryError) -> Failure {
    let anew = format!(
        "restore it from a backup of {}; for a new registry, use another --dir",
        dir.display()
    );
    let advice = match &error {
        DirectoryError::Lost { .. } => format!("write that line into it, or {anew}"),
        DirectoryError::Changed { .. } => {
            format!("restore it from a backup; {}", accept_advice(dir))
        }
        DirectoryError::Key { .. } => format!("put a key there that can be used, or {anew}"),
        DirectoryError::Given { .. } => {
            format!("to start again, move it out of {} first", dir.display())
        }
        DirectoryError::Incomplete { .. }
        | DirectoryError::Name { .. }
        | DirectoryError::Id { .. }
        | DirectoryError::Manifest { .. } => anew,
        error if error.is_read_only() => {
            "this user must be able to read the directory, and to write it unless the registry in it is served with \
             --memory and --credential FILE"
                .into()
        }
        DirectoryError::Io { .. } => {
            "check the disk, its free space and the permissions of the directory".into()
        }
        _ => return Failure::new(error),
    };
    Failure::new(error).advise(advice)
}

/// Refuses a directory without keys in which a registry was.
fn refuse_remains(dir: &Path) -> Result<(), Failure> {
    let store = dir.join(STORE_FILE);
    let lost = |what: &Path| {
        Failure::new(format!(
            "{}: no keys are here, but {} of a registry is",
            dir.display(),
            what.display()
        ))
        .advise("restore all of it from a backup; for a new registry, use another --dir")
    };
    match Sqlite::is_there(&store) {
        Ok(false) => {}
        Ok(true) | Err(StoreError::Lost(_)) => return Err(lost(&store)),
        Err(error) => return Err(store_failure(error)),
    }
    if old_store::is_trace(dir) {
        return Err(lost(&dir.join(old_store::FILE)));
    }
    let credential = dir.join(CREDENTIAL_FILE);
    match credential.try_exists() {
        Ok(false) => Ok(()),
        _ => Err(lost(&credential)),
    }
}

/// Refuses a directory of an earlier version that is not whole. It must have an ID. It must have a
/// store if clients were given a file, unless it runs without one.
fn refuse_losses(dir: &Path, found: &Identity, memory: bool) -> Result<(), Failure> {
    if found.id.is_none() {
        let path = dir.join("id");
        return Err(cannot_use(dir, DirectoryError::Incomplete { path }));
    }
    let store = dir.join(STORE_FILE);
    let served = dir.join(CREDENTIAL_FILE).try_exists().unwrap_or(true);
    let is_there =
        || Ok(old_store::is_there(dir) || Sqlite::is_there(&store).map_err(store_failure)?);
    if served && !memory && !is_there()? {
        return Err(Failure::new(format!(
            "{}: missing, though a registry was served from here",
            store.display()
        ))
        .advise(format_args!(
            "restore it and {STORE_FILE}.commits from a backup; if there never was one, or {}",
            accept_advice(dir)
        )));
    }
    Ok(())
}

/// Checks that an imported identity is that of the registry in the directory.
fn compare(dir: &Path, found: &Identity, imported: &Identity) -> Result<(), Failure> {
    let same = found.id == imported.id
        && found.comms.public_key() == imported.comms.public_key()
        && found.sig.public_key() == imported.sig.public_key();
    match same {
        true => Ok(()),
        false => Err(Failure::new(format!("{} holds another registry's identity", dir.display()))
            .advise("import into an empty --dir")),
    }
}

fn credential_file(tenant: &Tenant) -> PathBuf {
    tenant.credential.map_or_else(|| tenant.dir.join(CREDENTIAL_FILE), Path::to_path_buf)
}

/// Refuses to replace the file for clients of another registry. A new registry has given no file to
/// clients.
fn refuse_other_credential(path: &Path, this: Option<&Identity>) -> Result<(), Failure> {
    let known = fs::read_to_string(path).ok().and_then(|text| text.parse::<Credential>().ok());
    let Some(known) = known else { return Ok(()) };
    let same = this.is_some_and(|this| {
        this.id.is_none_or(|id| id == known.id)
            && *this.comms.public_key() == known.comms_key
            && *this.sig.public_key() == known.sig_key
    });
    if same {
        return Ok(());
    }
    let this = this.map_or_else(
        || "a new one".into(),
        |this| format!("{} {}", this.name, this.id.map(|id| id.to_string()).unwrap_or_default()),
    );
    Err(Failure::new(format!(
        "{} is that of another registry, {} {}, and this is {this}",
        path.display(),
        known.name,
        known.id,
    ))
    .advise(
        "is this the right --dir? If it is, move the file away: clients that have it will not know this registry",
    ))
}

fn registry_id(identity: &Identity) -> Result<NodeId, Failure> {
    identity.id.ok_or_else(|| Failure::new("the registry has no ID"))
}

/// Makes the registry's credential with these end points.
pub fn credential(identity: &Identity, end_points: Vec<EndPoint>) -> Result<Credential, Failure> {
    xlreg_server::credential(identity, end_points).map_err(Failure::new)
}
