//! The identity with which a command presents itself as a node.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use xlreg::enroll::Roster;
use xlreg::identity::directory::{DirectoryError, DirectoryLock, DirectoryState};
use xlreg::identity::{Identity, Name, NodeId, Token};

use crate::client::{Presence, Stop, aside};
use crate::output::{Failure, note};
use crate::{last_roster, random};

/// A node with a directory.
#[derive(Debug, clap::Args)]
pub struct NodeArgs {
    /// The directory for this node's keys and ID; made the first time
    #[arg(long, value_name = "DIR")]
    pub node: PathBuf,
    /// The name of this node
    #[arg(long)]
    pub name: Name,
}

impl NodeArgs {
    /// Opens the node in the directory, or makes a new one, and sets its name. It may wait for
    /// another command that gets the node's ID.
    pub async fn open(&self, stop: &Stop) -> Result<Node, Failure> {
        let (dir, name) = (self.node.clone(), self.name.clone());
        let what = format!("the node in {}: another command registers it", dir.display());
        let mut node = aside(stop, &what, move || Node::open(&dir, name)).await?;
        node.identity.name = self.name.clone();
        Ok(node)
    }
}

/// An identity and its directory.
pub struct Node {
    pub identity: Identity,
    /// The directory; `None` if the identity is not to be saved.
    dir: Option<PathBuf>,
    /// The lock, held until there is an ID: no other command may ask for one at the same time.
    lock: Option<DirectoryLock>,
}

impl Node {
    /// Opens the node in this directory, or makes a new one. `name` is for a new one.
    pub fn open(dir: &Path, name: Name) -> Result<Self, Failure> {
        let failed = |error| cannot_use(dir, error);
        let lock = DirectoryLock::wait(dir).map_err(failed)?;
        if DirectoryState::of(dir).map_err(failed)? == DirectoryState::Unfinished {
            note(format_args!(
                "xlreg: the making of the node in {} was interrupted; it is made again",
                dir.display()
            ));
        }
        let identity = lock.load_or_generate(name, &mut random::system()).map_err(failed)?;
        let lock = match identity.id {
            Some(_) => None,
            None => {
                // An ID that cannot be kept would be another one each time.
                lock.check_writable().map_err(failed)?;
                Some(lock)
            }
        };
        Ok(Self { identity, dir: Some(dir.into()), lock })
    }

    /// Makes a node that is not saved: it is saved already, or gone with the command.
    pub const fn unkept(identity: Identity) -> Self {
        Self { identity, dir: None, lock: None }
    }

    /// Makes the node's signed token.
    pub fn token(&self, presence: &Presence) -> Result<Token, Failure> {
        let Presence { attrs, end_points } = presence;
        let token = self.identity.token(*attrs, end_points.clone(), &mut random::system());
        token.map_err(Failure::new)
    }

    /// Keeps the roster of a complete cluster, if the directory can be written.
    pub fn keep_roster(&self, name: Option<&Name>, known: &Roster) {
        let Some(dir) = &self.dir else { return };
        match last_roster::keep(dir, name, known) {
            Err(error) if !is_read_only(&error) => note(format_args!(
                "xlreg: the members of the cluster could not be kept in {}: {error}",
                dir.display()
            )),
            _ => {}
        }
    }

    /// Loads the kept roster of a cluster, as JSON.
    pub fn kept_roster(&self, cluster: &NodeId) -> Option<Value> {
        last_roster::load(self.dir.as_ref()?, cluster)
    }

    /// Keeps the node's ID. The registry recognises the node only by it.
    pub fn keep(&mut self, id: NodeId) -> Result<(), Failure> {
        let known = self.identity.id.replace(id);
        if let Some(dir) = &self.dir {
            match self.identity.save(dir) {
                // Only the name can be new.
                Err(error) if known.is_some() && error.is_read_only() => note(format_args!(
                    "xlreg: {} is read-only: the name {} is used this time, but not kept",
                    dir.display(),
                    self.identity.name
                )),
                saved => saved.map_err(|error| cannot_use(dir, error))?,
            }
        }
        self.lock = None;
        Ok(())
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

/// Explains why a node's directory cannot be used. The user never gets another node in silence.
fn cannot_use(dir: &Path, error: DirectoryError) -> Failure {
    let dir = dir.display();
    let advice = match &error {
        DirectoryError::Lost { .. } => format!(
            "write that line into it, or restore it from a backup; for a new node, use another \
             --node than {dir}"
        ),
        DirectoryError::Key { .. } => format!(
            "put a key there that can be used, or restore it from a backup; for a new node, use \
             another --node than {dir}"
        ),
        DirectoryError::Incomplete { .. }
        | DirectoryError::Changed { .. }
        | DirectoryError::Name { .. }
        | DirectoryError::Id { .. }
        | DirectoryError::Manifest { .. } => {
            format!("restore it from a backup; for a new node, use another --node than {dir}")
        }
        DirectoryError::Given { .. } => {
            format!(
                "the making of {dir} was interrupted before that; move the key away, or use another \
                 --node"
            )
        }
        error if error.is_read_only() => format!(
            "this user must be able to read {dir}, and to write it unless a whole node with its ID \
             is kept there"
        ),
        _ => return Failure::new(error),
    };
    Failure::new(error).advise(advice)
}
