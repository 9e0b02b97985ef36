//! Storage of an [`Identity`] in a directory, feature `std`.
//!
//! | File | Content |
//! |------|---------------|
//! | `comms_key.pem`, `sig_key.pem` | the private keys, mode 0600; PKCS#8 PEM, or the form in which a person put them there |
//! | `name` | the node's name, one line |
//! | `id` | the node's ID in hex, one line; absent until there is one |
//! | `manifest` | the content of the other files when they were whole: name, ID, fingerprints of the keys |
//! | `.lock` | nothing; see [`DirectoryLock`] |
//!
//! **A directory is whole or visibly unfinished.** The first file written is a manifest that says
//! `unfinished`, and the last one is a manifest that says `whole`. If the making is interrupted in
//! between, nobody has used the identity, and it is made again. In a directory that was whole once,
//! a missing or changed file is an error that names it, and nothing new is made in its place. A
//! directory of earlier versions, which has no manifest, gets one when it is saved or opened.
//!
//! **A reader or a crash sees the old content of a file or the new one, never half of it**: a file
//! is written under another name, flushed and renamed into place. In an unfinished directory files
//! are written in place, so a crash never leaves a private key under another name. A saved identity
//! survives a power cut, and so does its directory.
//!
//! **On Unix the private keys are for their owner only.** On other systems a file has the rights of its
//! directory, and a directory inside a user's profile is private on Windows.

mod files;
mod given;
mod lock;
mod manifest;

use std::io;
use std::path::{Path, PathBuf};
use std::string::String;

use rand_core::CryptoRng;

use super::{
    CommsKeyPair, Identity, KeyPairError, Name, NameError, NodeId, NodeIdError, Pem, PublicKey,
    SigKeyPair,
};
use files::{PRIVATE, PUBLIC, io_error};
use manifest::{Facts, Manifest};

pub use files::write_atomically;
pub use lock::{DirectoryLock, DirectoryState};

const COMMS_KEY: &str = "comms_key.pem";
const SIG_KEY: &str = "sig_key.pem";
const NAME: &str = "name";
const ID: &str = "id";
/// The files of an identity.
const PARTS: [&str; 4] = [COMMS_KEY, SIG_KEY, NAME, ID];

/// The number of times that a directory is read if it changes while it is read.
const READS: usize = 16;

/// The reason why an identity could not be saved or loaded. Each names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// An operation of the file system failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// No identity was saved in this directory.
    #[error("{}: no identity is kept here (no {COMMS_KEY}, no {SIG_KEY})", path.display())]
    Absent {
        /// The directory.
        path: PathBuf,
    },
    /// The making of an identity was interrupted. Nobody has used it.
    #[error("{}: the making of this directory was cut short", path.display())]
    Unfinished {
        /// The directory.
        path: PathBuf,
    },
    /// Another process has locked the directory.
    #[error("{}: in use by another process", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// A file of the identity is missing, but others are there, or were.
    #[error(
        "{}: missing, though the rest of the identity is there; restore it, or move the others \
         away",
        path.display()
    )]
    Incomplete {
        /// The missing file.
        path: PathBuf,
    },
    /// A file is missing. Its content was this line.
    #[error("{}: missing; it held the line '{line}'", path.display())]
    Lost {
        /// The missing file.
        path: PathBuf,
        /// The line.
        line: String,
    },
    /// A file has other content than when the directory was whole.
    #[error("{}: not what was kept here: it was {kept} and is {found}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// The old content: the line, or the fingerprint of the key.
        kept: String,
        /// The new content.
        found: String,
    },
    /// The file `manifest` is not a manifest of this version.
    #[error("{}: not a manifest that this version understands: {reason}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A key file has no usable key.
    #[error("{}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with the key.
        source: KeyPairError,
    },
    /// The file `name` has no legal name.
    #[error("{}: {source}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// What is wrong with the name.
        source: NameError,
    },
    /// The file `id` has no legal ID.
    #[error("{}: {source}", path.display())]
    Id {
        /// The file.
        path: PathBuf,
        /// What is wrong with the ID.
        source: NodeIdError,
    },
    /// A person has put another key there than the one that is saved. It may be the only copy.
    #[error(
        "{}: another key than the one to be kept here, put there by somebody; move it away",
        path.display()
    )]
    Given {
        /// The file.
        path: PathBuf,
    },
    /// New keys could not be generated.
    #[error("no keys could be generated: {0}")]
    Generate(KeyPairError),
}

impl DirectoryError {
    /// Whether the right to write was missing, and nothing else: on a read-only mount, or in
    /// another user's directory.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Io { source, .. } if files::is_read_only(source))
    }
}

impl Identity {
    /// Saves the identity. Makes the directory (mode 0700) if it is not there. Files with the same
    /// content are not written. Another identity is replaced. If that is interrupted, loading says
    /// which file was changed.
    ///
    /// A key file that has this key keeps its form. A key file that this library did not write,
    /// with another key or no usable one, is not replaced.
    ///
    /// Two processes must not save at once: hold a [`DirectoryLock`] if another one may.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`] names the file that could not be written; [`DirectoryError::Given`] if it
    /// has a person's key.
    pub fn save(&self, dir: &Path) -> Result<(), DirectoryError> {
        files::make_directory(dir)?;
        self.respect_given(dir)?;
        let facts = match Manifest::read(dir)? {
            Some(Manifest::Whole(facts)) => Some(facts),
            // The directory is from a version without manifests, and gets one now.
            None if any_part(dir)? => mark(dir)?,
            None => {
                Manifest::Unfinished.write(dir)?;
                self.begin(dir)?;
                None
            }
            Some(Manifest::Unfinished) => {
                self.begin(dir)?;
                None
            }
        };
        let store = facts.as_ref().is_some_and(|facts| facts.store);
        if let Some(facts) = facts {
            self.announce_name(dir, facts)?;
        }
        self.replace(dir)?;
        Manifest::Whole(Facts::of(self, store)).write(dir)
    }

    /// Refuses to save if a person would lose a key. Nothing is written or removed before.
    fn respect_given(&self, dir: &Path) -> Result<(), DirectoryError> {
        for (file, key) in self.key_files() {
            let path = dir.join(file);
            if !given::may_be_replaced(&path, key)? {
                return Err(DirectoryError::Given { path });
            }
        }
        Ok(())
    }

    fn key_files(&self) -> [(&'static str, &PublicKey); 2] {
        [(COMMS_KEY, self.comms.public_key()), (SIG_KEY, self.sig.public_key())]
    }

    /// Writes every file in place, in an unfinished directory.
    fn begin(&self, dir: &Path) -> Result<(), DirectoryError> {
        for (file, key) in self.key_files() {
            let path = dir.join(file);
            match given::has(&path, key) {
                true => files::sync(&path)?,
                false => files::remove_if_there(&path)?,
            }
        }
        files::remove_if_there(&dir.join(NAME))?;
        files::remove_if_there(&dir.join(ID))?;
        self.each_part(dir, files::write_new)?;
        files::sync_directory(dir)
    }

    /// Replaces every file that has other content.
    fn replace(&self, dir: &Path) -> Result<(), DirectoryError> {
        self.each_part(dir, files::keep)?;
        match self.id {
            Some(_) => Ok(()),
            None => files::remove_if_there(&dir.join(ID)),
        }
    }

    fn each_part(
        &self,
        dir: &Path,
        write: fn(&Path, &[u8], u32) -> Result<(), DirectoryError>,
    ) -> Result<(), DirectoryError> {
        let pem = |file, pem: Result<Pem, KeyPairError>, key| {
            let path = dir.join(file);
            match pem {
                _ if given::has(&path, key) => files::make_private(&path, PRIVATE),
                Ok(pem) => write(&path, pem.expose().as_bytes(), PRIVATE),
                Err(source) => Err(DirectoryError::Key { path, source }),
            }
        };
        pem(COMMS_KEY, self.comms.to_pem(), self.comms.public_key())?;
        pem(SIG_KEY, self.sig.to_pem(), self.sig.public_key())?;
        write(&dir.join(NAME), files::line(&self.name).as_bytes(), PUBLIC)?;
        match self.id {
            Some(id) => write(&dir.join(ID), files::line(&id).as_bytes(), PUBLIC),
            None => Ok(()),
        }
    }

    /// Writes both names into the manifest before the name changes. A crash between the two files
    /// then leaves a whole directory.
    fn announce_name(&self, dir: &Path, mut facts: Facts) -> Result<(), DirectoryError> {
        if facts.name == self.name {
            return Ok(());
        }
        facts.name_before = Some(std::mem::replace(&mut facts.name, self.name.clone()));
        Manifest::Whole(facts).write(dir)
    }

    /// Loads the identity kept in a directory.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Absent`] if there is none; [`DirectoryError::Unfinished`] if its making
    /// was interrupted; [`DirectoryError::Incomplete`] and [`DirectoryError::Lost`] if a file is
    /// missing; [`DirectoryError::Changed`] if a file has other content than before; otherwise the
    /// error of the file that cannot be read.
    pub fn load(dir: &Path) -> Result<Self, DirectoryError> {
        let mut manifest = Manifest::read(dir)?;
        for _ in 1..READS {
            let loaded = Self::load_as(dir, manifest.as_ref());
            let now = Manifest::read(dir)?;
            if now == manifest {
                return loaded;
            }
            // Another process has saved the identity in between.
            manifest = now;
        }
        Self::load_as(dir, manifest.as_ref())
    }

    /// Loads the identity, and compares it with this manifest.
    fn load_as(dir: &Path, manifest: Option<&Manifest>) -> Result<Self, DirectoryError> {
        let facts = match manifest {
            None => None,
            Some(Manifest::Whole(facts)) => Some(facts),
            Some(Manifest::Unfinished) => {
                return Err(DirectoryError::Unfinished { path: dir.into() });
            }
        };
        if facts.is_none() && !any_part(dir)? {
            return Err(DirectoryError::Absent { path: dir.into() });
        }
        let loaded = Self::read_parts(dir, facts)?;
        if let Some(facts) = facts {
            facts.check(&loaded, dir)?;
        }
        Ok(loaded)
    }

    fn read_parts(dir: &Path, facts: Option<&Facts>) -> Result<Self, DirectoryError> {
        let missing = |file| DirectoryError::Incomplete { path: dir.join(file) };
        let lost = |file, line: Option<String>| match line {
            Some(line) => DirectoryError::Lost { path: dir.join(file), line },
            None => missing(file),
        };
        let key = |file| given::read(&dir.join(file))?.ok_or_else(|| missing(file));
        let (comms, sig) = (key(COMMS_KEY)?, key(SIG_KEY)?);
        let unusable = |file, source| DirectoryError::Key { path: dir.join(file), source };
        let name = files::read(&dir.join(NAME))?
            .ok_or_else(|| lost(NAME, facts.map(|facts| facts.name.as_str().into())))?;
        let id = files::read(&dir.join(ID))?;
        Ok(Self {
            name: name
                .trim_end()
                .parse()
                .map_err(|source| DirectoryError::Name { path: dir.join(NAME), source })?,
            id: id
                .map(|text| text.trim_end().parse::<NodeId>())
                .transpose()
                .map_err(|source| DirectoryError::Id { path: dir.join(ID), source })?,
            comms: CommsKeyPair::from_pem(&*comms).map_err(|e| unusable(COMMS_KEY, e))?,
            sig: SigKeyPair::from_pem(&*sig).map_err(|e| unusable(SIG_KEY, e))?,
        })
    }

    /// Loads the identity kept in a directory, or generates one and saves it. `name` is for a new
    /// identity. An identity that is there keeps its name. Two processes that do this at once get
    /// the same keys. A process that asks a registry for an ID should hold a [`DirectoryLock`]
    /// until it has saved the ID.
    ///
    /// # Errors
    ///
    /// The errors of [`Identity::load`] and [`Identity::save`]; [`DirectoryError::Generate`] if no
    /// keys could be generated.
    pub fn load_or_generate(
        dir: &Path,
        name: Name,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, DirectoryError> {
        DirectoryLock::wait(dir)?.load_or_generate(name, rng)
    }
}

/// Writes the manifest of a directory that has none. Without a whole identity there are no facts to
/// write.
fn mark(dir: &Path) -> Result<Option<Facts>, DirectoryError> {
    let Ok(identity) = Identity::load_as(dir, None) else { return Ok(None) };
    let facts = Facts::of(&identity, false);
    Manifest::Whole(facts.clone()).write(dir)?;
    Ok(Some(facts))
}

/// Whether a directory has any part of an identity.
fn any_part(dir: &Path) -> Result<bool, DirectoryError> {
    for part in PARTS {
        let path = dir.join(part);
        if path.try_exists().map_err(io_error(&path))? {
            return Ok(true);
        }
    }
    Ok(false)
}
