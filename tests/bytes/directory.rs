//! The identity in a directory never changes in silence: parts that are missing, from another
//! identity, unfinished or locked.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use tempfile::{TempDir, tempdir};
use xlreg::identity::directory::{DirectoryError, DirectoryLock, DirectoryState};
use xlreg::identity::{Identity, NodeId};
use xlreg_testkit::{Seeded, identity};

const PARTS: [&str; 4] = ["comms_key.pem", "sig_key.pem", "name", "id"];

fn node(n: u8) -> Identity {
    let id = NodeId::from_bytes(&[n; 32]).ok();
    Identity { id, ..identity(&format!("node{n}"), usize::from(n)) }
}

/// Makes a directory that is whole.
fn whole(n: u8) -> TempDir {
    let temp = tempdir().unwrap();
    node(n).save(temp.path()).unwrap();
    temp
}

/// Makes a directory of a version before the manifest.
fn unmarked(n: u8) -> TempDir {
    let temp = whole(n);
    fs::remove_file(temp.path().join("manifest")).unwrap();
    temp
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let named = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()));
    named.filter(|(name, _)| name != ".lock").collect()
}

/// All ways to open an identity. Some of them would make a new one.
fn attempts(dir: &Path) -> Vec<Result<Identity, DirectoryError>> {
    let other = || "other".parse().unwrap();
    let load = Identity::load(dir);
    let lock = DirectoryLock::try_now(dir).unwrap();
    let locked = [lock.load(), lock.load_or_generate(other(), &mut Seeded::new(1))];
    drop(lock);
    let generate = || Identity::load_or_generate(dir, other(), &mut Seeded::new(1));
    locked.into_iter().chain([load, generate()]).collect()
}

/// The file that an error names.
fn named(error: &DirectoryError) -> String {
    let path = match error {
        DirectoryError::Incomplete { path }
        | DirectoryError::Lost { path, .. }
        | DirectoryError::Changed { path, .. }
        | DirectoryError::Manifest { path, .. }
        | DirectoryError::Key { path, .. }
        | DirectoryError::Name { path, .. }
        | DirectoryError::Id { path, .. } => path,
        other => panic!("{other}"),
    };
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    path.file_name().unwrap().to_str().unwrap().into()
}

/// Checks that nobody gets an identity, each way names the same file, and nothing is written.
fn refused(dir: &Path, file: &str, what: &str) {
    let before = files(dir);
    for attempt in attempts(dir) {
        let error = attempt.err().unwrap_or_else(|| panic!("{what} is not noticed"));
        assert_eq!(named(&error), file, "{what}: {error}");
    }
    assert_eq!(files(dir), before, "{what}");
}

#[test]
fn what_is_missing_of_a_whole_directory_is_not_made_anew() {
    // Each subset of the parts, down to the manifest alone.
    for lost in 1..1_u32 << PARTS.len() {
        let temp = whole(1);
        let lost: Vec<_> = (0..PARTS.len()).filter(|n| lost >> n & 1 == 1).collect();
        for n in &lost {
            fs::remove_file(temp.path().join(PARTS[*n])).unwrap();
        }
        refused(temp.path(), PARTS[lost[0]], &format!("without {lost:?}"));
    }
}

#[test]
fn what_is_another_s_in_a_whole_directory_is_not_taken() {
    for part in PARTS {
        let (temp, other) = (whole(1), whole(2));
        fs::copy(other.path().join(part), temp.path().join(part)).unwrap();
        refused(temp.path(), part, &format!("another's {part}"));
        let Err(DirectoryError::Changed { kept, found, .. }) = Identity::load(temp.path()) else {
            panic!("{part}")
        };
        assert_ne!(kept, found);
        // With the old content the directory is good again.
        fs::copy(whole(1).path().join(part), temp.path().join(part)).unwrap();
        assert_eq!(Identity::load(temp.path()).unwrap().id, node(1).id);
    }
}

#[test]
fn what_is_damaged_is_not_made_anew() {
    for marked in [true, false] {
        for part in PARTS {
            for damage in [&b""[..], b"\n", b"two words\n"] {
                let temp = if marked { whole(1) } else { unmarked(1) };
                fs::write(temp.path().join(part), damage).unwrap();
                refused(temp.path(), part, &format!("{part} holding {damage:?}"));
            }
        }
    }
    for manifest in [
        "",
        "whole\n",
        "xlreg directory 2\nunfinished\n",
        "xlreg directory 1\n",
        "xlreg directory 1\nwhole\n",
        "xlreg directory 1\nwhole\nname: node1\n",
        "xlreg directory 1\nunfinished\nname: node1\n",
    ] {
        let temp = whole(1);
        fs::write(temp.path().join("manifest"), manifest).unwrap();
        refused(temp.path(), "manifest", manifest);
    }
    let temp = whole(1);
    let path = temp.path().join("manifest");
    let more = fs::read_to_string(&path).unwrap() + "colour: red\n";
    fs::write(path, more).unwrap();
    refused(temp.path(), "manifest", "a fact of a later version");
}

#[test]
fn a_part_of_an_unmarked_directory_is_no_new_one() {
    // An ID may be missing, because a new node has none.
    for lost in 1..(1_u32 << 3) - 1 {
        let temp = unmarked(1);
        let lost: Vec<_> = (0..3).filter(|n| lost >> n & 1 == 1).collect();
        for n in &lost {
            fs::remove_file(temp.path().join(PARTS[*n])).unwrap();
        }
        refused(temp.path(), PARTS[lost[0]], &format!("unmarked, without {lost:?}"));
    }
    let temp = unmarked(1);
    for part in &PARTS[..3] {
        fs::remove_file(temp.path().join(part)).unwrap();
    }
    refused(temp.path(), "comms_key.pem", "an ID alone");
}

#[test]
fn an_unmarked_directory_that_is_whole_is_marked_when_it_is_opened() {
    let temp = unmarked(1);
    assert_eq!(DirectoryState::of(temp.path()).unwrap(), DirectoryState::Unmarked);
    Identity::load(temp.path()).unwrap();
    assert_eq!(DirectoryState::of(temp.path()).unwrap(), DirectoryState::Unmarked);
    DirectoryLock::try_now(temp.path()).unwrap().load().unwrap();
    let state = DirectoryState::Whole { store: false };
    assert_eq!(DirectoryState::of(temp.path()).unwrap(), state);
    assert_eq!(files(temp.path()), files(whole(1).path()));
}

#[test]
fn a_save_over_another_that_fails_in_between_is_noticed() {
    for temp in [whole(1), unmarked(1)] {
        // The second key cannot be written, because every other name for it is taken.
        let names = (0..5000).map(|n| format!("sig_key.pem.{}-{n}.tmp", std::process::id()));
        let taken: Vec<_> = names.map(|name| temp.path().join(name)).collect();
        taken.iter().for_each(|path| fs::create_dir(path).unwrap());
        assert!(node(2).save(temp.path()).is_err());
        taken.iter().for_each(|path| fs::remove_dir(path).unwrap());
        refused(temp.path(), "comms_key.pem", "half saved");
        // Saving the identity replaces all parts on purpose.
        node(2).save(temp.path()).unwrap();
        assert_eq!(Identity::load(temp.path()).unwrap().id, node(2).id);
    }
}

#[test]
fn what_was_never_whole_is_begun_anew() {
    for parts in 0..=PARTS.len() {
        let temp = whole(1);
        fs::write(temp.path().join("manifest"), "xlreg directory 1\nunfinished\n").unwrap();
        for part in &PARTS[parts..] {
            fs::remove_file(temp.path().join(part)).unwrap();
        }
        if parts > 0 {
            fs::write(temp.path().join(PARTS[parts - 1]), "-----BEGIN").unwrap();
        }
        assert!(matches!(
            Identity::load(temp.path()),
            Err(DirectoryError::Unfinished { path }) if path == temp.path()
        ));
        let made = Identity::load_or_generate(
            temp.path(),
            "new".parse().unwrap(),
            &mut Seeded::new(parts as u64),
        )
        .unwrap();
        assert_eq!((made.name.as_str(), made.id), ("new", None));
        let loaded = Identity::load(temp.path()).unwrap();
        assert_eq!(loaded.comms.public_key(), made.comms.public_key());
        assert_eq!(loaded.sig.public_key(), made.sig.public_key());
    }
}

#[test]
fn a_name_that_is_being_changed_is_the_old_one_or_the_new_one() {
    let temp = whole(1);
    let manifest = temp.path().join("manifest");
    let between = fs::read_to_string(&manifest).unwrap();
    let between = between.replace("name: node1\n", "name: east\nname before: node1\n");
    for name in ["node1", "east"] {
        fs::write(&manifest, &between).unwrap();
        fs::write(temp.path().join("name"), format!("{name}\n")).unwrap();
        let loaded = DirectoryLock::try_now(temp.path()).unwrap().load().unwrap();
        assert_eq!(loaded.name.as_str(), name);
        // After that the directory is settled.
        assert!(!fs::read_to_string(&manifest).unwrap().contains("before"));
        assert_eq!(Identity::load(temp.path()).unwrap().name.as_str(), name);
    }
    fs::write(&manifest, &between).unwrap();
    fs::write(temp.path().join("name"), "west\n").unwrap();
    refused(temp.path(), "name", "a third name");
}

#[test]
fn a_first_id_is_taken_and_another_one_is_not() {
    let temp = tempdir().unwrap();
    Identity { id: None, ..node(1) }.save(temp.path()).unwrap();
    fs::write(temp.path().join("id"), format!("{}\n", node(1).id.unwrap())).unwrap();
    let loaded = DirectoryLock::try_now(temp.path()).unwrap().load().unwrap();
    assert_eq!(loaded.id, node(1).id);
    fs::write(temp.path().join("id"), format!("{}\n", node(2).id.unwrap())).unwrap();
    refused(temp.path(), "id", "another ID");
}

#[test]
fn what_is_accepted_is_what_it_is_from_now_on() {
    let temp = whole(1);
    fs::copy(whole(2).path().join("sig_key.pem"), temp.path().join("sig_key.pem")).unwrap();
    refused(temp.path(), "sig_key.pem", "another key");
    let lock = DirectoryLock::try_now(temp.path()).unwrap();
    lock.note_store().unwrap();
    lock.accept().unwrap();
    drop(lock);
    assert_eq!(Identity::load(temp.path()).unwrap().sig.public_key(), node(2).sig.public_key());
    let state = DirectoryState::Whole { store: false };
    assert_eq!(DirectoryState::of(temp.path()).unwrap(), state);
    fs::remove_file(temp.path().join("comms_key.pem")).unwrap();
    let accepted = DirectoryLock::try_now(temp.path()).unwrap().accept();
    assert!(matches!(accepted, Err(DirectoryError::Incomplete { .. })), "what is missing is not");
}

#[test]
fn a_store_that_was_noted_stays_noted() {
    let temp = whole(1);
    let lock = DirectoryLock::try_now(temp.path()).unwrap();
    lock.note_store().unwrap();
    let renamed = Identity { name: "east".parse().unwrap(), ..node(1) };
    renamed.save(temp.path()).unwrap();
    lock.load().unwrap();
    let state = DirectoryState::Whole { store: true };
    assert_eq!(DirectoryState::of(temp.path()).unwrap(), state);
    let empty = tempdir().unwrap();
    let lock = DirectoryLock::try_now(empty.path()).unwrap();
    assert!(matches!(lock.note_store(), Err(DirectoryError::Absent { .. })));
}

#[test]
fn keys_that_a_killed_process_left_under_another_name_are_removed() {
    let temp = whole(1);
    let left = ["comms_key.pem.123-0.tmp", "sig_key.pem.1-22.tmp", "manifest.9-1.tmp"];
    let kept = ["notes.tmp", "a.b-1.tmp", "1-2.tmp.old", "x.1-.tmp"];
    for name in left.iter().chain(&kept) {
        fs::write(temp.path().join(name), "-----BEGIN PRIVATE KEY-----").unwrap();
    }
    drop(DirectoryLock::try_now(temp.path()).unwrap());
    let names = files(temp.path());
    assert!(left.iter().all(|name| !names.contains_key(*name)), "{:?}", names.keys());
    assert!(kept.iter().all(|name| names.contains_key(*name)), "{:?}", names.keys());
}

// Two daemons shared a directory once its `.lock` had been removed.
#[cfg(unix)]
#[test]
fn a_directory_is_locked_with_and_without_its_lock_file() {
    let temp = tempdir().unwrap();
    let file = temp.path().join(".lock");
    let busy = || matches!(DirectoryLock::try_now(temp.path()), Err(DirectoryError::Busy { .. }));
    let held = DirectoryLock::try_now(temp.path()).unwrap();
    for _ in 0..2 {
        fs::remove_file(&file).unwrap();
        assert!(busy(), "with the file removed");
        File::create(&file).unwrap();
        assert!(busy(), "with another file");
    }
    drop(held);
    assert!(!busy());
    // Earlier versions lock the file alone.
    let earlier = File::create(&file).unwrap();
    earlier.lock().unwrap();
    assert!(busy(), "with the file locked");
    drop(earlier);
    assert!(!busy());
}

#[cfg(unix)]
#[test]
fn a_key_that_others_may_read_is_taken_from_them() {
    use std::os::unix::fs::PermissionsExt;
    let temp = whole(1);
    let key = temp.path().join("comms_key.pem");
    for (given, left) in [(0o644, 0o600), (0o440, 0o600), (0o400, 0o400), (0o600, 0o600)] {
        fs::set_permissions(&key, fs::Permissions::from_mode(given)).unwrap();
        DirectoryLock::try_now(temp.path()).unwrap().load().unwrap();
        let mode = fs::metadata(&key).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, left, "{given:o}");
    }
}
