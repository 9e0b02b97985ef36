//! The identity of a user that only looks. It is kept for each registry, so that looking leaves
//! nothing behind.
//!
//! A registry keeps every node for ever. So a user is one node to it, whatever they look at and how
//! often, even with several commands at once.

use std::env;
use std::fmt::{Display, Write};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use xlreg::credential::Credential;
use xlreg::identity::directory::{DirectoryError, DirectoryLock};
use xlreg::identity::{Fingerprint, Identity, MemberAttrs, Name, NodeId};

use crate::node::Node;
use crate::output::{Failure, note};
use crate::random;

/// The folder of the identities in the user's state directory.
const FOLDER: [&str; 2] = ["xlreg", "visitors"];
/// The name of the kept identity. A command may present it under another name, because a registry
/// recognises it by the ID.
const NAME: &str = "guest";

/// The advice how to make room for the identities.
const PLACE_ADVICE: &str = match cfg!(windows) {
    true => "give --node DIR, or make the folder of the profile for local data writable",
    false => "give --node DIR, or set XDG_STATE_HOME to a directory that this user may write",
};

const NODE_HELP: &str = match cfg!(windows) {
    true => {
        "Where to keep the keys and the ID of who asks [default: one identity of this user for \
         each registry, in %LOCALAPPDATA%\\xlreg]"
    }
    false => {
        "Where to keep the keys and the ID of who asks [default: one identity of this user for \
         each registry, in $XDG_STATE_HOME/xlreg, ~/.local/state/xlreg if that is not set]"
    }
};

/// The flags of a node that only looks.
pub const VISITOR_ATTRS: MemberAttrs = MemberAttrs::EPHEMERAL.union(MemberAttrs::SOLO);

/// The node of a command that only looks.
#[derive(Debug, clap::Args)]
pub struct VisitorArgs {
    #[arg(long, value_name = "DIR", help = NODE_HELP)]
    pub node: Option<PathBuf>,
}

impl VisitorArgs {
    /// Opens the node in the directory, or makes a new one with this name. Without a directory it
    /// is this user's identity for the registry of this credential, under this name.
    pub fn open(&self, name: &str, credential: &Credential) -> Result<Node, Failure> {
        let name = name.parse().map_err(Failure::new)?;
        match &self.node {
            Some(dir) => Node::open(dir, name),
            None => {
                let mut node = visitor(credential)?;
                node.identity.name = name;
                Ok(node)
            }
        }
    }
}

/// Loads this user's identity for the registry of this credential, or makes it. It is for commands
/// that are not a node, and for questions that should not come from one. Its keys have 2048 bits,
/// so that its Member without end points fits one segment.
///
/// If it cannot be kept, the command makes one for itself and says so.
///
/// # Errors
///
/// [`Failure`] if the kept identity is damaged.
pub fn visitor(credential: &Credential) -> Result<Node, Failure> {
    let name: Name = NAME.parse().map_err(Failure::new)?;
    let Some(folder) = state_home().map(|home| home.join(FOLDER.iter().collect::<PathBuf>()))
    else {
        return for_this_time(name, "no home directory is known");
    };
    let dir = folder.join(hex(credential.sig_key.fingerprint()));
    match keep(&dir, &name) {
        Ok(identity) => Ok(Node::unkept(identity)),
        Err(error @ DirectoryError::Io { .. }) => for_this_time(name, error),
        Err(error) => Err(Failure::new(error).advise(format_args!(
            "this identity is only for asking: if {} cannot be restored, remove it, and the next \
             command makes another one",
            dir.display()
        ))),
    }
}

/// The directory for the state of a user's programs.
fn state_home() -> Option<PathBuf> {
    // The crate needs a home directory even if this variable is enough.
    let given = env::var_os("XDG_STATE_HOME").filter(|_| cfg!(not(windows))).map(PathBuf::from);
    given.filter(|path| path.is_absolute()).or_else(|| {
        let system = etcetera::choose_base_strategy().ok()?;
        // Windows has no such directory. The cache directory of `etcetera` is %LOCALAPPDATA%, which
        // stays on this machine and is never cleaned.
        let home = system.state_dir().unwrap_or_else(|| system.cache_dir());
        home.is_absolute().then_some(home)
    })
}

fn hex(fingerprint: Fingerprint) -> String {
    fingerprint.to_bytes().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Loads the identity in a directory, or makes a new one.
///
/// It gives itself an ID, as deployed clients do, before the registry knows it. With an ID from the
/// registry, an interrupted command would leave a node behind, and two commands at once would have
/// to wait for each other.
fn keep(dir: &Path, name: &Name) -> Result<Identity, DirectoryError> {
    match Identity::load(dir) {
        Ok(identity) if identity.id.is_some() => return Ok(identity),
        Ok(_) | Err(DirectoryError::Absent { .. } | DirectoryError::Unfinished { .. }) => {}
        Err(error) => return Err(error),
    }
    let lock = match DirectoryLock::try_now(dir) {
        Err(DirectoryError::Busy { .. }) => {
            note(format_args!(
                "xlreg: another command is making this user's identity in {}; waiting for it",
                dir.display()
            ));
            DirectoryLock::wait(dir)?
        }
        taken => taken?,
    };
    let rng = &mut random::system();
    let mut identity = match lock.load() {
        Err(DirectoryError::Absent { .. } | DirectoryError::Unfinished { .. }) => {
            Identity::generate(name.clone(), rng).map_err(DirectoryError::Generate)?
        }
        loaded => loaded?,
    };
    if identity.id.is_none() {
        identity.id = Some(NodeId::random(rng));
        identity.save(dir)?;
    }
    Ok(identity)
}

/// Makes an identity that is gone with the command, although the registry keeps it.
fn for_this_time(name: Name, why: impl Display) -> Result<Node, Failure> {
    note(format_args!(
        "xlreg: this user's identity cannot be kept: {why}\n  \
         it is made for this command only, and the registry keeps one more node for ever; {}",
        PLACE_ADVICE
    ));
    let identity = Identity::generate(name, &mut random::system()).map_err(Failure::new)?;
    Ok(Node::unkept(identity))
}
