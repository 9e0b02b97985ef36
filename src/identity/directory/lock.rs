//! The lock of a directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::vec::Vec;

use rand_core::CryptoRng;

use super::files::{self, PRIVATE, io_error};
use super::manifest::{Facts, Manifest};
use super::{COMMS_KEY, DirectoryError, SIG_KEY, any_part};
use crate::identity::{Identity, Name};

const LOCK: &str = ".lock";

/// The lock of a directory, which only one process has at a time. It is released when dropped, or
/// when the process ends.
///
/// Two things are locked: the directory itself, where the system can do that (Unix), and the file
/// `.lock` in it, for earlier versions. While the directory itself is locked, the lock holds even
/// if the file is removed. Where only the file is locked, it cannot be removed (Windows), or must
/// not be (some network file systems).
///
/// A read-only directory can be locked too.
#[derive(Debug)]
pub struct DirectoryLock {
    dir: PathBuf,
    // The locks go with the handles.
    _files: Vec<File>,
}

/// The state of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryState {
    /// The directory has no part of an identity.
    Empty,
    /// The making of an identity was interrupted. Nobody has used it.
    Unfinished,
    /// The directory has an identity, or parts of one, from a version that wrote no manifest.
    Unmarked,
    /// The directory has an identity that was whole once.
    Whole {
        /// Whether a registry's store was made beside it ([`DirectoryLock::note_store`]).
        store: bool,
    },
}

impl DirectoryState {
    /// Finds the state of a directory. A directory that does not exist is empty.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Manifest`], [`DirectoryError::Io`].
    pub fn of(dir: &Path) -> Result<Self, DirectoryError> {
        Ok(match Manifest::read(dir)? {
            Some(Manifest::Unfinished) => Self::Unfinished,
            Some(Manifest::Whole(facts)) => Self::Whole { store: facts.store },
            None if any_part(dir)? => Self::Unmarked,
            None => Self::Empty,
        })
    }
}

impl DirectoryLock {
    /// Waits until no other process has the lock, and takes it. Makes the directory (mode 0700) if
    /// it is not there.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Io`].
    pub fn wait(dir: &Path) -> Result<Self, DirectoryError> {
        Self::take(dir, |file| file.lock().map(|()| true))
    }

    /// Takes the lock if no other process has it. Makes the directory (mode 0700) if it is not
    /// there.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Busy`] if another process has it, [`DirectoryError::Io`].
    pub fn try_now(dir: &Path) -> Result<Self, DirectoryError> {
        Self::take(dir, |file| match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        })
    }

    fn take(dir: &Path, lock: fn(&File) -> io::Result<bool>) -> Result<Self, DirectoryError> {
        files::make_directory(dir)?;
        let busy = || DirectoryError::Busy { path: dir.into() };
        let mut locked = Vec::new();
        if cfg!(unix) {
            let file = File::open(dir).map_err(io_error(dir))?;
            match lock(&file) {
                Ok(true) => locked.push(file),
                Ok(false) => return Err(busy()),
                Err(error) if cannot_be_locked(&error) => {}
                Err(error) => return Err(io_error(dir)(error)),
            }
        }
        let path = dir.join(LOCK);
        if let Some(file) = lock_file(&path).map_err(io_error(&path))? {
            match lock(&file) {
                Ok(true) => locked.push(file),
                Ok(false) => return Err(busy()),
                // The directory itself is locked, and the file is only for earlier versions.
                Err(error) if cannot_be_locked(&error) && !locked.is_empty() => {}
                Err(error) => return Err(io_error(&path)(error)),
            }
        }
        match files::sweep(dir) {
            Err(error) if !files::is_read_only(&error) => Err(io_error(dir)(error)),
            _ => Ok(Self { dir: dir.into(), _files: locked }),
        }
    }

    /// Notes that a registry's store was made in this directory. From now on its absence is an
    /// error.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Absent`] if the directory has no whole identity; otherwise the errors of
    /// [`Identity::save`].
    pub fn note_store(&self) -> Result<(), DirectoryError> {
        match Manifest::read(&self.dir)? {
            Some(Manifest::Whole(mut facts)) => {
                facts.store = true;
                Manifest::Whole(facts).write(&self.dir)
            }
            _ => Err(DirectoryError::Absent { path: self.dir.clone() }),
        }
    }

    /// Accepts the present content of the directory: [`Identity::load`] does not report it as
    /// changed again. A store must be noted again.
    ///
    /// # Errors
    ///
    /// The errors of [`Identity::load`] if the keys or the name are missing or damaged; the errors
    /// of [`Identity::save`].
    pub fn accept(&self) -> Result<Identity, DirectoryError> {
        let identity = Identity::load_as(&self.dir, None)?;
        Manifest::Whole(Facts::of(&identity, false)).write(&self.dir)?;
        Ok(identity)
    }

    /// Does the same as [`Identity::load_or_generate`], in this directory.
    ///
    /// # Errors
    ///
    /// The errors of [`Identity::load_or_generate`].
    pub fn load_or_generate(
        &self,
        name: Name,
        rng: &mut dyn CryptoRng,
    ) -> Result<Identity, DirectoryError> {
        match self.load() {
            Err(DirectoryError::Absent { .. } | DirectoryError::Unfinished { .. }) => {
                let identity = Identity::generate(name, rng).map_err(DirectoryError::Generate)?;
                identity.save(&self.dir)?;
                Ok(identity)
            }
            loaded => loaded,
        }
    }

    /// Does the same as [`Identity::load`], in this directory. Also makes the key files private,
    /// and writes the manifest of a directory from an earlier version, if the directory can be
    /// written.
    ///
    /// # Errors
    ///
    /// The errors of [`Identity::load`] and [`Identity::save`].
    pub fn load(&self) -> Result<Identity, DirectoryError> {
        let identity = Identity::load(&self.dir)?;
        for key in [COMMS_KEY, SIG_KEY] {
            files::make_private(&self.dir.join(key), PRIVATE)?;
        }
        self.mark(&identity)?;
        Ok(identity)
    }

    /// Writes the facts of the loaded identity into the manifest, if they are not there: there is
    /// no manifest, or saving was interrupted. On a read-only file system it stays as it is.
    fn mark(&self, identity: &Identity) -> Result<(), DirectoryError> {
        let store = matches!(DirectoryState::of(&self.dir)?, DirectoryState::Whole { store: true });
        match Manifest::Whole(Facts::of(identity, store)).write(&self.dir) {
            Err(error) if !error.is_read_only() => Err(error),
            _ => Ok(()),
        }
    }

    /// Finds out whether the directory can be written, before anything depends on it.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Io`] if it can't.
    pub fn check_writable(&self) -> Result<(), DirectoryError> {
        files::try_to_write(&self.dir)
    }
}

/// Opens the lock file, and makes it if it is not there; `None` if it cannot be made.
fn lock_file(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    // While it is open nobody can remove it: reading and writing are shared, deleting is not.
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 3);
    match options.open(path) {
        Err(error) if files::is_read_only(&error) => match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if files::is_read_only(&error) => Ok(None),
            opened => opened.map(Some),
        },
        opened => opened.map(Some),
    }
}

/// Whether the file system cannot lock this. NFS only locks files that are open for writing
/// (EBADF).
fn cannot_be_locked(error: &io::Error) -> bool {
    const EBADF: i32 = 9;
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(EBADF)
}
