//! The rosters of complete clusters in a node's directory. A node can still show them if a deployed
//! server does not accept it again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use xlreg::enroll::Roster;
use xlreg::identity::{Name, NodeId};

use crate::output::json::roster_json;

/// The file of a cluster. Its ID is in the name, because no other cluster ever has it.
fn file(dir: &Path, cluster: &NodeId) -> PathBuf {
    dir.join(format!("cluster-{cluster}.json"))
}

/// Keeps a complete roster.
///
/// # Errors
///
/// The roster cannot be written. The old one is still there then.
pub fn keep(dir: &Path, name: Option<&Name>, known: &Roster) -> io::Result<()> {
    let path = file(dir, &known.cluster.id);
    let text = format!("{:#}\n", roster_json(name, Some(known)));
    if fs::read_to_string(&path).is_ok_and(|kept| kept == text) {
        return Ok(());
    }
    let written = path.with_extension("json.new");
    fs::write(&written, text)?;
    fs::rename(&written, &path)
}

/// Loads the kept roster of a cluster, as `--json` prints it.
pub fn load(dir: &Path, cluster: &NodeId) -> Option<Value> {
    serde_json::from_str(&fs::read_to_string(file(dir, cluster)).ok()?).ok()
}
