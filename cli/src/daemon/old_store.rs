//! The store of earlier versions, in a registry's directory.

use std::path::Path;

use xlreg::registry::Registry;
use xlreg_server::store::{CounterTrust, StoreError};

/// The file of an earlier version.
pub const FILE: &str = "registry.redb";

/// Whether something is in the place of an old store: the store, or the mark of one that was taken
/// over.
pub fn is_there(dir: &Path) -> bool {
    // What cannot be looked at is told by whoever opens it.
    dir.join(FILE).try_exists().unwrap_or(true)
}

/// Whether an old store or its commit counter is there.
pub fn is_trace(dir: &Path) -> bool {
    is_there(dir) || counter(dir).is_some_and(|commits| commits > 0)
}

/// Whether the file of an old store and its commit counter are there.
pub fn is_whole(dir: &Path) -> bool {
    dir.join(FILE).is_file() && counter(dir).is_some()
}

/// The number in the commit counter of an old store.
fn counter(dir: &Path) -> Option<u64> {
    let bytes = std::fs::read(dir.join(format!("{FILE}.commits"))).ok()?;
    bytes.try_into().ok().map(u64::from_le_bytes)
}

/// Takes over an old store, if one is there.
#[cfg(feature = "redb")]
pub fn take_over(
    dir: &Path,
    new: &Path,
    registry: Registry,
    trust: CounterTrust,
) -> Result<(), StoreError> {
    use xlreg_server::store::{TakeOver, take_over};
    let old = dir.join(FILE);
    take_over(&TakeOver { old: &old, new, trust }, registry)?;
    Ok(())
}

/// Refuses an old store, if one is there: this build cannot read it.
#[cfg(not(feature = "redb"))]
pub fn take_over(dir: &Path, new: &Path, _: Registry, _: CounterTrust) -> Result<(), StoreError> {
    if !is_trace(dir) || new.exists() {
        return Ok(());
    }
    if !is_there(dir) {
        return Err(StoreError::Lost(dir.join(FILE)));
    }
    let reason = "it is of an earlier version, and this build (without the feature `redb`) cannot \
                  take it over";
    Err(StoreError::Foreign { path: dir.join(FILE), reason: reason.into() })
}
