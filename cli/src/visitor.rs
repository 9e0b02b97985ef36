//! The identity of somebody who only looks: one that lasts, for each registry, so that looking
//! leaves nothing behind.
//!
//! A registry keeps every node that it was ever told of. So a user is one node to it, however often
//! they look, whatever they look at, and also when several commands look at once.

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

/// Where the identities are, below the user's state directory: a folder in a folder.
const FOLDER: [&str; 2] = ["xlreg", "visitors"];
/// What it is called where it is kept. A command may present it under another name: a registry goes
/// by the ID.
const NAME: &str = "guest";

/// How a user makes room for the identities.
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

/// Flags of a node that only looks.
pub const VISITOR_ATTRS: MemberAttrs = MemberAttrs::EPHEMERAL.union(MemberAttrs::SOLO);

/// A node that only visits.
#[derive(Debug, clap::Args)]
pub struct VisitorArgs {
    #[arg(long, value_name = "DIR", help = NODE_HELP)]
    pub node: Option<PathBuf>,
}

impl VisitorArgs {
    /// The node kept there, under the name it has or, if it is new, under this one; else who this
    /// user is to the registry of this credential, under this name.
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

/// Who this user is to the registry of this credential: for whoever asks without being a node of
/// their own, and for a question that shall not be asked as one. Its keys have 2048 bits, so that
/// without end points its Member fits into a segment.
///
/// Where it can't be kept it is made for this time only, and that is told: somebody wants to look.
///
/// # Errors
///
/// [`Failure`] if what is kept is damaged.
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
            "this identity only asks: if {} can't be restored, remove it, and the next command \
             makes another one",
            dir.display()
        ))),
    }
}

/// Where the system wants what a user's programs keep from run to run.
fn state_home() -> Option<PathBuf> {
    // The crate wants to know a home first, also where this says it all.
    let given = env::var_os("XDG_STATE_HOME").filter(|_| cfg!(not(windows))).map(PathBuf::from);
    given.filter(|path| path.is_absolute()).or_else(|| {
        let system = etcetera::choose_base_strategy().ok()?;
        // Windows has no folder of this kind. What `etcetera` calls the folder for caches is
        // %LOCALAPPDATA%, which does not roam to other machines, and which nothing cleans.
        let home = system.state_dir().unwrap_or_else(|| system.cache_dir());
        home.is_absolute().then_some(home)
    })
}

fn hex(fingerprint: Fingerprint) -> String {
    fingerprint.to_bytes().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The identity kept there, or a new one.
///
/// It gives itself an ID, as deployed clients do, and has it before the registry hears of it. Were
/// it to wait to be issued one, a command that is cut off in between would leave a node behind, and
/// two at once had to wait for each other.
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

/// An identity that is gone with the command, while the registry keeps it.
fn for_this_time(name: Name, why: impl Display) -> Result<Node, Failure> {
    note(format_args!(
        "xlreg: this user's identity can't be kept: {why}\n  \
         it is made for this time only, and the registry has one more node for good; {}",
        PLACE_ADVICE
    ));
    let identity = Identity::generate(name, &mut random::system()).map_err(Failure::new)?;
    Ok(Node::unkept(identity))
}
