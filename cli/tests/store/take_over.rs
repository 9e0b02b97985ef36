//! A directory of an earlier version: its store is taken over, and its clients notice nothing.
//!
//! `old/` was written by the last version that kept a store of `redb`: alice and bob are in the
//! cluster `alpha` of two, and bob is alone in `beta` of three.

use std::fs;
use std::path::Path;

use tempfile::tempdir;
use xlreg::identity::Name;
use xlreg_testkit::client::{Way, token};
use xlreg_testkit::{Seeded, identity};

use super::first_start::{can_walk, images};
use crate::common::{Daemon, Failed, furnish, serve};
use crate::power_cut::{record, walk};

/// A directory as the earlier version has left it.
fn old(dir: &Path) {
    furnish(dir);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/old");
    for name in ["registry.redb", "registry.redb.commits", "manifest"] {
        fs::copy(kept.join(name), dir.join(name)).unwrap();
    }
}

fn launch(dir: &Path) -> Result<Daemon, Failed> {
    Daemon::launch(serve(dir, &["--listen", "127.0.0.1:0"]), dir, 1)
}

/// Starts it, looks for all that was there, and kills it. Gives the log.
fn holds_all(dir: &Path) -> Result<String, String> {
    let daemon = launch(dir).map_err(|failed| format!("does not start: {}", failed.stderr))?;
    let way = Way::new(daemon.address(), &daemon.credential());
    let rng = &mut Seeded(7);
    let checker = token(&identity("checker", 0), "checker:1", rng);
    let (mut client, _) = way.visit(&checker, rng).map_err(|error| format!("{error:?}"))?;
    let mut found = Vec::new();
    for name in ["alpha", "beta"] {
        let name: Name = name.parse().unwrap();
        let info = client.create(name.as_str(), 1).map_err(|error| format!("{error:?}"))?;
        let members = client.members(info.id).map_err(|error| format!("{error:?}"))?;
        let members: Vec<_> = members
            .iter()
            .map(|(index, token)| format!("{index} {} {}", token.name, token.end_points[0]))
            .collect();
        found.push(format!("{name} of {}: {}", info.max_size, members.join(", ")));
    }
    let expected = [
        "alpha of 2: 0 alice 10.0.0.1:4000, 1 bob 10.0.0.2:4000",
        "beta of 3: 0 bob 10.0.0.2:4000",
    ];
    let log = daemon.kill();
    match found == expected && !log.contains("panicked") {
        true => Ok(log),
        false => Err(format!("{found:?}\n{log}")),
    }
}

#[test]
fn the_first_start_takes_it_over_and_says_so_and_the_next_one_does_not() {
    let temp = tempdir().unwrap();
    old(temp.path());
    let log = holds_all(temp.path()).unwrap();
    let told = "took over";
    assert!(log.contains(told) && log.contains("registry.redb.taken-over"), "{log}");
    let log = holds_all(temp.path()).unwrap();
    assert!(!log.contains(told), "{log}");
    assert!(temp.path().join("registry.redb.taken-over").exists());
}

#[test]
fn a_damaged_old_store_is_refused_and_left_as_it_is() {
    let temp = tempdir().unwrap();
    old(temp.path());
    let path = temp.path().join("registry.redb");
    let mut bytes = fs::read(&path).unwrap();
    let len = bytes.len();
    bytes.truncate(len / 2);
    fs::write(&path, &bytes).unwrap();
    for _ in 0..2 {
        let failed = launch(temp.path()).unwrap_err();
        assert_eq!(failed.code, Some(1));
        assert!(failed.stderr.contains("registry.redb"), "{}", failed.stderr);
        assert!(!temp.path().join("registry.sqlite").exists());
    }
}

#[test]
fn a_store_that_was_taken_over_and_is_lost_is_missed() {
    let temp = tempdir().unwrap();
    old(temp.path());
    holds_all(temp.path()).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(temp.path().join(format!("registry.sqlite{suffix}")));
    }
    let failed = launch(temp.path()).unwrap_err();
    assert!(failed.stderr.contains("registry.sqlite: missing"), "{}", failed.stderr);
}

#[test]
fn a_take_over_that_the_power_ends_is_made_by_the_next_start() {
    if !can_walk() {
        return;
    }
    let temp = tempdir().unwrap();
    let dir = temp.path().join("reg");
    old(&dir);
    let recording =
        record(&serve(&dir, &["--listen", "127.0.0.1:0"]), temp.path(), Some("listening on"));
    assert!(recording.stderr.contains("took over"), "{}", recording.stderr);
    walk("a take-over", &images(&recording), |_, root| {
        // Twice: what the first start has made, the second one finds.
        holds_all(&root.join("reg"))?;
        holds_all(&root.join("reg"))?;
        Ok(())
    });
}
