//! The rosters of complete clusters, kept in a node's directory: what a node can still show where a
//! deployed server does not take it again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use xlreg::enroll::Roster;
use xlreg::identity::{Name, NodeId};

use crate::output::json::roster_json;

/// A cluster's file, named by its ID, which no other cluster ever has.
fn file(dir: &Path, cluster: &NodeId) -> PathBuf {
    dir.join(format!("cluster-{cluster}.json"))
}

/// Keeps a complete roster.
///
/// # Errors
///
/// Where it cannot be written; what was kept before is still there then.
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

/// The roster that was kept of a cluster, as `--json` prints it.
pub fn load(dir: &Path, cluster: &NodeId) -> Option<Value> {
    serde_json::from_str(&fs::read_to_string(file(dir, cluster)).ok()?).ok()
}
