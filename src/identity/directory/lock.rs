//! A directory to oneself.

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

/// A directory to oneself, among those who lock it; given back when dropped, or when the process
/// ends.
///
/// Locked are the directory itself, where the system can do that (Unix), and the file `.lock` in
/// it, which earlier versions look at. While the directory itself is locked, removing the file lets
/// nobody else in; where only the file is, it can't be removed (Windows), or must not be (some
/// network file systems).
///
/// A directory that can only be read can be locked too.
#[derive(Debug)]
pub struct DirectoryLock {
    dir: PathBuf,
    // The locks go with the handles.
    _files: Vec<File>,
}

/// What is in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryState {
    /// Nothing of an identity.
    Empty,
    /// An identity whose making was cut short: it was never anybody's.
    Unfinished,
    /// Parts of an identity or all of it, from a version that wrote no manifest.
    Unmarked,
    /// An identity that was whole once.
    Whole {
        /// Whether a registry's store was made beside it ([`DirectoryLock::note_store`]).
        store: bool,
    },
}

impl DirectoryState {
    /// What is in a directory, be it there or not.
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
    /// Waits until nobody else has the directory. Makes it (mode 0700) if it is not there.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Io`].
    pub fn wait(dir: &Path) -> Result<Self, DirectoryError> {
        Self::take(dir, |file| file.lock().map(|()| true))
    }

    /// Takes the directory if nobody else has it. Makes it (mode 0700) if it is not there.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Busy`] if somebody has it, [`DirectoryError::Io`].
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
                // With the directory itself locked, the file is there for earlier versions only.
                Err(error) if cannot_be_locked(&error) && !locked.is_empty() => {}
                Err(error) => return Err(io_error(&path)(error)),
            }
        }
        match files::sweep(dir) {
            Err(error) if !files::is_read_only(&error) => Err(io_error(dir)(error)),
            _ => Ok(Self { dir: dir.into(), _files: locked }),
        }
    }

    /// Notes that a registry's store was made in this directory: from now on it is missing if it is
    /// not there.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Absent`] if no whole identity is here, else as [`Identity::save`].
    pub fn note_store(&self) -> Result<(), DirectoryError> {
        match Manifest::read(&self.dir)? {
            Some(Manifest::Whole(mut facts)) => {
                facts.store = true;
                Manifest::Whole(facts).write(&self.dir)
            }
            _ => Err(DirectoryError::Absent { path: self.dir.clone() }),
        }
    }

    /// Takes what is in the directory for what it is from now on, whatever it was: what
    /// [`Identity::load`] calls changed, it does not call so again. Whether there is a store is
    /// to be noted again.
    ///
    /// # Errors
    ///
    /// As [`Identity::load`], if the keys or the name are missing or damaged; as
    /// [`Identity::save`].
    pub fn accept(&self) -> Result<Identity, DirectoryError> {
        let identity = Identity::load_as(&self.dir, None)?;
        Manifest::Whole(Facts::of(&identity, false)).write(&self.dir)?;
        Ok(identity)
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
        match self.load() {
            Err(DirectoryError::Absent { .. } | DirectoryError::Unfinished { .. }) => {
                let identity = Identity::generate(name, rng).map_err(DirectoryError::Generate)?;
                identity.save(&self.dir)?;
                Ok(identity)
            }
            loaded => loaded,
        }
    }

    /// As [`Identity::load`], in this directory. Keys that others may read are taken away from
    /// them, and a directory of an earlier version gets its manifest, where that can be
    /// written.
    ///
    /// # Errors
    ///
    /// As [`Identity::load`] and [`Identity::save`].
    pub fn load(&self) -> Result<Identity, DirectoryError> {
        let identity = Identity::load(&self.dir)?;
        for key in [COMMS_KEY, SIG_KEY] {
            files::make_private(&self.dir.join(key), PRIVATE)?;
        }
        self.mark(&identity)?;
        Ok(identity)
    }

    /// Writes what is true of the identity that was loaded here, where the manifest does not say it
    /// yet: it has none, or what it was saved with was cut short. Where that can't be written
    /// it is left.
    fn mark(&self, identity: &Identity) -> Result<(), DirectoryError> {
        let store = matches!(DirectoryState::of(&self.dir)?, DirectoryState::Whole { store: true });
        match Manifest::Whole(Facts::of(identity, store)).write(&self.dir) {
            Err(error) if !error.is_read_only() => Err(error),
            _ => Ok(()),
        }
    }

    /// Tells before anything depends on it whether the directory can be written.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Io`] if it can't.
    pub fn check_writable(&self) -> Result<(), DirectoryError> {
        files::try_to_write(&self.dir)
    }
}

/// The lock file, made if that can be; `None` where it is not there and can't be made.
fn lock_file(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    // While it is open nobody may remove it: reading and writing is shared, deleting is not.
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

/// Whether the file system has no locks for this: NFS wants a file that is open for writing
/// (EBADF).
fn cannot_be_locked(error: &io::Error) -> bool {
    const EBADF: i32 = 9;
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(EBADF)
}
