//! The identity a command presents as a node.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use xlreg::enroll::Roster;
use xlreg::identity::directory::{DirectoryError, DirectoryLock, DirectoryState};
use xlreg::identity::{Identity, Name, NodeId, Token};

use crate::client::{Presence, Stop, aside};
use crate::output::{Failure, note};
use crate::{last_roster, random};

/// A node that comes back.
#[derive(Debug, clap::Args)]
pub struct NodeArgs {
    /// Where this node keeps its keys and its ID; made the first time
    #[arg(long, value_name = "DIR")]
    pub node: PathBuf,
    /// What this node calls itself
    #[arg(long)]
    pub name: Name,
}

impl NodeArgs {
    /// The node kept there, or a new one, under the name given from now on. Another command may be
    /// about to get its ID.
    pub async fn open(&self, stop: &Stop) -> Result<Node, Failure> {
        let (dir, name) = (self.node.clone(), self.name.clone());
        let what = format!("the node in {}: another command makes it known", dir.display());
        let mut node = aside(stop, &what, move || Node::open(&dir, name)).await?;
        node.identity.name = self.name.clone();
        Ok(node)
    }
}

/// An identity and where it is kept.
pub struct Node {
    pub identity: Identity,
    /// `None` for one that needs no more keeping.
    dir: Option<PathBuf>,
    /// Held while there is no ID: the node is about to be issued one, and nobody else may come for
    /// another meanwhile.
    lock: Option<DirectoryLock>,
}

impl Node {
    /// The node kept in this directory, or a new one, under the name it has; `name` is for a new
    /// one.
    pub fn open(dir: &Path, name: Name) -> Result<Self, Failure> {
        let failed = |error| cannot_use(dir, error);
        let lock = DirectoryLock::wait(dir).map_err(failed)?;
        if DirectoryState::of(dir).map_err(failed)? == DirectoryState::Unfinished {
            note(format_args!(
                "xlreg: the making of the node in {} was cut short; it is made anew",
                dir.display()
            ));
        }
        let identity = lock.load_or_generate(name, &mut random::system()).map_err(failed)?;
        let lock = match identity.id {
            Some(_) => None,
            None => {
                // An ID that could not be kept would be another one each time.
                lock.check_writable().map_err(failed)?;
                Some(lock)
            }
        };
        Ok(Self { identity, dir: Some(dir.into()), lock })
    }

    /// A node of which nothing is to be kept: it is kept already, or gone with the command.
    pub const fn unkept(identity: Identity) -> Self {
        Self { identity, dir: None, lock: None }
    }

    /// What the node says of itself now, signed.
    pub fn token(&self, presence: &Presence) -> Result<Token, Failure> {
        let Presence { attrs, end_points } = presence;
        let token = self.identity.token(*attrs, end_points.clone(), &mut random::system());
        token.map_err(Failure::new)
    }

    /// Keeps the roster of a complete cluster. Where the directory cannot be written there is none.
    pub fn keep_roster(&self, name: Option<&Name>, known: &Roster) {
        let Some(dir) = &self.dir else { return };
        match last_roster::keep(dir, name, known) {
            Err(error) if !is_read_only(&error) => note(format_args!(
                "xlreg: who is in the cluster could not be kept in {}: {error}",
                dir.display()
            )),
            _ => {}
        }
    }

    /// The roster of a cluster that was kept when it was complete, as JSON.
    pub fn kept_roster(&self, cluster: &NodeId) -> Option<Value> {
        last_roster::load(self.dir.as_ref()?, cluster)
    }

    /// Keeps the ID the registry knows the node by: with it, and only with it, the node is
    /// recognised again.
    pub fn keep(&mut self, id: NodeId) -> Result<(), Failure> {
        let known = self.identity.id.replace(id);
        if let Some(dir) = &self.dir {
            match self.identity.save(dir) {
                // Only the name can be new.
                Err(error) if known.is_some() && error.is_read_only() => note(format_args!(
                    "xlreg: {} is read-only: the name {} is used this time and not kept",
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

/// Why a node's directory can't be used, and what to do: nobody is given another node for it in
/// silence.
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
                "the making of {dir} was cut short before that; move the key away, or use another \
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
