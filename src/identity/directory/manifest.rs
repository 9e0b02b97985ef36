//! The manifest: the content of a directory when it was whole.

use std::fmt::Write;
use std::path::Path;
use std::string::{String, ToString};

use super::files::{self, PUBLIC};
use super::{COMMS_KEY, DirectoryError, ID, NAME, SIG_KEY};
use crate::identity::{Fingerprint, Identity, Name, NodeId};

/// The name of the manifest.
pub const MANIFEST: &str = "manifest";
/// The first line: the format of the file and its version.
const FORMAT: &str = "xlreg directory 1";

/// The manifest of a directory. It says whether the directory is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// The directory is being made.
    Unfinished,
    /// The directory is whole, and has this content.
    Whole(Facts),
}

/// The content of a whole directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The node's name.
    pub name: Name,
    /// The old name, while the name is being changed. The file may still have it.
    pub name_before: Option<Name>,
    /// The node's ID, once it has one.
    pub id: Option<NodeId>,
    /// The fingerprint of the comms key.
    pub comms_key: Fingerprint,
    /// The fingerprint of the sig key.
    pub sig_key: Fingerprint,
    /// Whether a registry has made its store here.
    pub store: bool,
}

impl Manifest {
    /// Reads the manifest of a directory; `None` if it has none.
    pub fn read(dir: &Path) -> Result<Option<Self>, DirectoryError> {
        let path = dir.join(MANIFEST);
        let Some(text) = files::read(&path)? else { return Ok(None) };
        let wrong = |reason: &str| DirectoryError::Manifest { path, reason: reason.into() };
        Self::parse(&text).map(Some).map_err(wrong)
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let mut lines = text.lines();
        if lines.next() != Some(FORMAT) {
            return Err("it does not start as one");
        }
        match lines.next() {
            Some("unfinished") if lines.next().is_none() => return Ok(Self::Unfinished),
            Some("whole") => {}
            _ => return Err("it is neither whole nor unfinished"),
        }
        let (mut name, mut name_before, mut id, mut comms_key, mut sig_key) =
            (None, None, None, None, None);
        let fingerprint = |text: &str| text.parse().map_err(|_| "a fingerprint is none");
        let mut store = false;
        for line in lines {
            match line.split_once(": ").ok_or("a line without a colon")? {
                ("name", text) => name = Some(text.parse().map_err(|_| "the name is none")?),
                ("name before", text) => {
                    name_before = Some(text.parse().map_err(|_| "the name before is none")?);
                }
                ("id", text) => id = Some(text.parse().map_err(|_| "the ID is none")?),
                ("comms key", text) => comms_key = Some(fingerprint(text)?),
                ("sig key", text) => sig_key = Some(fingerprint(text)?),
                ("store", "made") => store = true,
                // An unknown fact is an error, because it would be lost when the file is written
                // again.
                _ => return Err("it says more"),
            }
        }
        let (Some(name), Some(comms_key), Some(sig_key)) = (name, comms_key, sig_key) else {
            return Err("it says too little");
        };
        Ok(Self::Whole(Facts { name, name_before, id, comms_key, sig_key, store }))
    }

    fn text(&self) -> String {
        let mut text = String::from(FORMAT);
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            // Writing into a string cannot fail.
            let written = write!(text, "\n{key}{value}");
            debug_assert!(written.is_ok());
        };
        match self {
            Self::Unfinished => line("unfinished", &""),
            Self::Whole(facts) => {
                line("whole", &"");
                line("name: ", &facts.name);
                if let Some(name) = &facts.name_before {
                    line("name before: ", name);
                }
                if let Some(id) = facts.id {
                    line("id: ", &id);
                }
                line("comms key: ", &facts.comms_key);
                line("sig key: ", &facts.sig_key);
                if facts.store {
                    line("store: ", &"made");
                }
            }
        }
        text.push('\n');
        text
    }

    /// Writes the manifest durably, unless the directory has the same one.
    pub fn write(&self, dir: &Path) -> Result<(), DirectoryError> {
        files::keep(&dir.join(MANIFEST), self.text().as_bytes(), PUBLIC)?;
        match self {
            // The directory itself must be durable before anything in it.
            Self::Unfinished => files::sync_ancestors(dir),
            Self::Whole(_) => Ok(()),
        }
    }
}

impl Facts {
    /// The facts of an identity.
    pub fn of(identity: &Identity, store: bool) -> Self {
        Self {
            name: identity.name.clone(),
            name_before: None,
            id: identity.id,
            comms_key: identity.comms.public_key().fingerprint(),
            sig_key: identity.sig.public_key().fingerprint(),
            store,
        }
    }

    /// Compares these facts with the identity that was loaded.
    pub fn check(&self, loaded: &Identity, dir: &Path) -> Result<(), DirectoryError> {
        let found = Self::of(loaded, self.store);
        let same = |file: &str, kept: &dyn ToString, found: &dyn ToString| {
            let (path, kept, found) = (dir.join(file), kept.to_string(), found.to_string());
            match kept == found {
                true => Ok(()),
                false => Err(DirectoryError::Changed { path, kept, found }),
            }
        };
        same(COMMS_KEY, &self.comms_key, &found.comms_key)?;
        same(SIG_KEY, &self.sig_key, &found.sig_key)?;
        if self.name_before.as_ref() != Some(&found.name) {
            same(NAME, &self.name, &found.name)?;
        }
        match (self.id, found.id) {
            (Some(kept), Some(found)) => same(ID, &kept, &found),
            (Some(id), None) => {
                Err(DirectoryError::Lost { path: dir.join(ID), line: id.to_string() })
            }
            // This is the first ID, whose file is written before the manifest.
            (None, _) => Ok(()),
        }
    }
}
