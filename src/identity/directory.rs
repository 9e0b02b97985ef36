//! An [`Identity`] kept in a directory, feature `std`.
//!
//! | File | What it holds |
//! |------|---------------|
//! | `comms_key.pem`, `sig_key.pem` | the private keys, PKCS#8 PEM, mode 0600 |
//! | `name` | the node's name, one line |
//! | `id` | the node's ID in hex, one line; absent until there is one |
//!
//! Each file is written under another name, flushed to disk and renamed into place, so that a reader or a crash
//! sees the old content or the new, never half of it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::string::{String, ToString};
use std::sync::atomic::{AtomicU64, Ordering};

use rand_core::CryptoRng;

use super::{
    CommsKeyPair, Identity, KeyPairError, Name, NameError, NodeId, NodeIdError, SigKeyPair,
};

const COMMS_KEY: &str = "comms_key.pem";
const SIG_KEY: &str = "sig_key.pem";
const NAME: &str = "name";
const ID: &str = "id";
const LOCK: &str = ".lock";

/// Why an identity could not be saved or loaded; each says which file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Neither key is there: no identity has been saved in this directory.
    #[error("{}: no identity is kept here (no {COMMS_KEY}, no {SIG_KEY})", path.display())]
    Absent {
        /// The directory.
        path: PathBuf,
    },
    /// Another process has locked the directory.
    #[error("{}: in use by another process", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// A part of the identity is missing while others are there.
    #[error("{}: missing, though the rest of the identity is there; restore it, or move the others away", path.display())]
    Incomplete {
        /// The missing file.
        path: PathBuf,
    },
    /// A key file does not hold a usable key.
    #[error("{}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with the key.
        source: KeyPairError,
    },
    /// The name file does not hold a name.
    #[error("{}: {source}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// What is wrong with the name.
        source: NameError,
    },
    /// The ID file does not hold an ID.
    #[error("{}: {source}", path.display())]
    Id {
        /// The file.
        path: PathBuf,
        /// What is wrong with the ID.
        source: NodeIdError,
    },
    /// New keys could not be generated.
    #[error("no keys could be generated: {0}")]
    Generate(KeyPairError),
}

impl Identity {
    /// Saves the identity, making the directory (mode 0700) if it is not there. Files that say the same
    /// already are left alone.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`] names the file that could not be written.
    pub fn save(&self, dir: &Path) -> Result<(), DirectoryError> {
        make_directory(dir)?;
        let pem = |path: PathBuf, pem: Result<super::Pem, KeyPairError>| match pem {
            Ok(pem) => keep(&path, pem.expose(), PRIVATE),
            Err(source) => Err(DirectoryError::Key { path, source }),
        };
        pem(dir.join(COMMS_KEY), self.comms.to_pem())?;
        pem(dir.join(SIG_KEY), self.sig.to_pem())?;
        keep(&dir.join(NAME), &line(&self.name), PUBLIC)?;
        match self.id {
            Some(id) => keep(&dir.join(ID), &line(&id), PUBLIC),
            None => remove_if_there(&dir.join(ID)),
        }
    }

    /// Loads the identity kept in a directory.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Absent`] if there is none, [`DirectoryError::Incomplete`] if a part of it is missing,
    /// else which file is unreadable and why.
    pub fn load(dir: &Path) -> Result<Self, DirectoryError> {
        let (comms, sig) = (read(&dir.join(COMMS_KEY))?, read(&dir.join(SIG_KEY))?);
        let missing = |file| DirectoryError::Incomplete { path: dir.join(file) };
        let (comms, sig) = match (comms, sig) {
            (Some(comms), Some(sig)) => (Secret::new(comms), Secret::new(sig)),
            (None, None) => return Err(DirectoryError::Absent { path: dir.into() }),
            (None, Some(_)) => return Err(missing(COMMS_KEY)),
            (Some(_), None) => return Err(missing(SIG_KEY)),
        };
        let key = |file, source| DirectoryError::Key { path: dir.join(file), source };
        let name = read(&dir.join(NAME))?.ok_or_else(|| missing(NAME))?;
        let id = read(&dir.join(ID))?;
        Ok(Self {
            name: name
                .trim_end()
                .parse()
                .map_err(|source| DirectoryError::Name { path: dir.join(NAME), source })?,
            id: id
                .map(|text| text.trim_end().parse::<NodeId>())
                .transpose()
                .map_err(|source| DirectoryError::Id { path: dir.join(ID), source })?,
            comms: CommsKeyPair::from_pem(&comms).map_err(|e| key(COMMS_KEY, e))?,
            sig: SigKeyPair::from_pem(&sig).map_err(|e| key(SIG_KEY, e))?,
        })
    }

    /// Loads the identity kept in a directory, or generates one and saves it. `name` is for a new identity; an
    /// identity already there keeps its own. Two processes that do this at once end with the same keys. A
    /// process that is about to be issued an ID should hold a [`DirectoryLock`] until it has saved it.
    ///
    /// # Errors
    ///
    /// As [`Identity::load`] and [`Identity::save`]; [`DirectoryError::Generate`] if no keys could be made.
    pub fn load_or_generate(
        dir: &Path,
        name: Name,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, DirectoryError> {
        DirectoryLock::wait(dir)?.load_or_generate(name, rng)
    }
}

/// A directory to oneself, among those who lock it; given back when dropped, or when the process ends.
#[derive(Debug)]
pub struct DirectoryLock {
    dir: PathBuf,
    // The lock goes with the handle.
    _file: File,
}

impl DirectoryLock {
    /// Waits until nobody else has the directory. Makes it (mode 0700) if it is not there.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Io`].
    pub fn wait(dir: &Path) -> Result<Self, DirectoryError> {
        let (path, file) = lock_file(dir)?;
        file.lock().map_err(io_error(&path))?;
        Ok(Self { dir: dir.into(), _file: file })
    }

    /// Takes the directory if nobody else has it. Makes it (mode 0700) if it is not there.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Busy`] if somebody has it, [`DirectoryError::Io`].
    pub fn try_now(dir: &Path) -> Result<Self, DirectoryError> {
        let (path, file) = lock_file(dir)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { dir: dir.into(), _file: file }),
            Err(TryLockError::WouldBlock) => Err(DirectoryError::Busy { path: dir.into() }),
            Err(TryLockError::Error(error)) => Err(io_error(&path)(error)),
        }
    }

    /// As [`Identity::load_or_generate`], in this directory.
    ///
    /// # Errors
    ///
    /// As [`Identity::load_or_generate`].
    pub fn load_or_generate(
        &self,
        name: Name,
        rng: &mut dyn CryptoRng,
    ) -> Result<Identity, DirectoryError> {
        match Identity::load(&self.dir) {
            Err(DirectoryError::Absent { .. }) => {
                let identity = Identity::generate(name, rng).map_err(DirectoryError::Generate)?;
                identity.save(&self.dir)?;
                Ok(identity)
            }
            loaded => loaded,
        }
    }
}

fn lock_file(dir: &Path) -> Result<(PathBuf, File), DirectoryError> {
    make_directory(dir)?;
    let path = dir.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(io_error(&path))?;
    Ok((path, file))
}

type Secret = zeroize::Zeroizing<String>;

/// Modes of the files written, as `chmod` takes them.
const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

fn line(value: &dyn ToString) -> String {
    let mut line = value.to_string();
    line.push('\n');
    line
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> DirectoryError + use<> {
    let path = path.into();
    move |source| DirectoryError::Io { path, source }
}

fn read(path: &Path) -> Result<Option<String>, DirectoryError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error(path)(e)),
    }
}

/// Writes a file unless it has this content and mode.
fn keep(path: &Path, content: &str, mode: u32) -> Result<(), DirectoryError> {
    // A file that cannot be read is written anew, or it is writing that fails.
    let known = zeroize::Zeroizing::new(fs::read(path).unwrap_or_default());
    match *known == content.as_bytes() && has_mode(path, mode) {
        true => Ok(()),
        false => write_atomically(path, content.as_bytes(), mode),
    }
}

/// A private key that others may read is as good as changed.
#[cfg(unix)]
fn has_mode(path: &Path, mode: u32) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|meta| mode == PUBLIC || meta.permissions().mode() & 0o777 == mode)
}

#[cfg(not(unix))]
fn has_mode(_: &Path, _: u32) -> bool {
    true
}

fn remove_if_there(path: &Path) -> Result<(), DirectoryError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error(path)(e)),
        _ => Ok(()),
    }
}

fn make_directory(dir: &Path) -> Result<(), DirectoryError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(io_error(dir))
}

/// Replaces a file whole: written and flushed beside it under a name of its own, then renamed over it.
///
/// # Errors
///
/// [`DirectoryError::Io`] with the path that failed; the old content is then still there.
pub fn write_atomically(path: &Path, content: &[u8], mode: u32) -> Result<(), DirectoryError> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let mut temporary = OsString::from(path);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    temporary.push(std::format!(".{}-{serial}.tmp", process::id()));
    let temporary = PathBuf::from(temporary);
    let written = write_new(&temporary, content, mode)
        .map_err(io_error(&temporary))
        .and_then(|()| fs::rename(&temporary, path).map_err(io_error(path)));
    if written.is_err() {
        // Best effort: the failure itself is what the caller must hear of.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    sync_directory(path)
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes a rename durable, where directories can be flushed.
fn sync_directory(path: &Path) -> Result<(), DirectoryError> {
    if cfg!(unix)
        && let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty())
    {
        File::open(parent).and_then(|d| d.sync_all()).map_err(io_error(parent))?;
    }
    Ok(())
}
