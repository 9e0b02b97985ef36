//! What an operator does to a store: check it, count it, write it out, read it in, make it small.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tempfile::{TempDir, tempdir};
use xlreg::identity::{Identity, NodeId};
use xlreg_testkit::Seeded;
use xlreg_testkit::client::Way;
use xlreg_testkit::facts::{Fact, Writing, check};
use xlreg_testkit::wait::until;

use crate::common::{Daemon, command, furnish};

const RATE: [&str; 2] = ["--hello-rate", "100000"];

/// Runs `xlreg store` with these words, on a directory.
fn store(words: &[&str], dir: &Path) -> Output {
    let mut command = command(&["store"]);
    command.args(words).arg("--dir").arg(dir).output().unwrap()
}

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn number(json: &Value, key: &str) -> u64 {
    json[key].as_u64().unwrap_or_else(|| panic!("{key} in {json}"))
}

/// A registry that was written to while its store was verified and exported, with the facts from
/// before that.
fn written() -> (TempDir, Vec<Fact>, String) {
    let temp = tempdir().unwrap();
    furnish(temp.path());
    let daemon = Daemon::start(temp.path(), &RATE);
    let way = Way::new(daemon.address(), &daemon.credential());
    let mut rng = Seeded::announced(0x746f_6f6c);
    let write = |round: &str, rng: &mut Seeded, during: &dyn Fn()| {
        let writing = Writing::default();
        std::thread::scope(|scope| {
            let writers = writing.start(scope, &way, round, rng);
            let seen = || writing.seen.load(std::sync::atomic::Ordering::Relaxed);
            until("something is written", || seen() >= 40);
            during();
            writing.stop.store(true, std::sync::atomic::Ordering::Relaxed);
            writers.into_iter().flat_map(|it| it.join().unwrap()).collect::<Vec<_>>()
        })
    };
    let facts = write("a", &mut rng, &|| ());
    let export = temp.path().join("export.jsonl");
    write("b", &mut rng, &|| {
        let verified: Value =
            serde_json::from_str(&done(&store(&["verify", "--json"], temp.path()))).unwrap();
        assert!(number(&verified, "memberships") >= 10, "{verified}");
        done(&store(&["export", export.to_str().unwrap()], temp.path()));
        let backup = temp.path().join("backup");
        done(&store(&["backup", backup.to_str().unwrap()], temp.path()));
    });
    let (status, time, log) = daemon.terminate();
    assert!(status.success() && time < Duration::from_secs(30), "{log}");
    let text = fs::read_to_string(&export).unwrap();
    (temp, facts, text)
}

/// A directory with the same keys, name and ID.
fn twin() -> TempDir {
    let temp = tempdir().unwrap();
    furnish(temp.path());
    temp
}

#[test]
fn an_export_that_was_made_under_load_makes_the_same_registry_elsewhere() {
    let (temp, facts, text) = written();
    let file = temp.path().join("export.jsonl");
    let twin = twin();
    let words = ["import", file.to_str().unwrap()];
    done(&store(&words, twin.path()));
    let daemon = Daemon::start(twin.path(), &RATE);
    let way = Way::new(daemon.address(), &daemon.credential());
    // What was acknowledged before the export was begun.
    check(&facts, &way, &mut Seeded(5)).unwrap_or_else(|loss| panic!("{loss}"));
    assert!(daemon.terminate().0.success());
    // It is full now.
    let told = refused(&store(&words, twin.path()));
    assert!(told.contains("is not empty"), "{told}");
    // One is the same as the other, but for what the check has made.
    let lines = |text: &str| text.lines().filter(|line| !line.contains("\"node\"")).count();
    let again = done(&store(&["export"], twin.path()));
    assert_eq!(lines(&again), lines(&text));
}

#[test]
fn an_export_that_is_not_whole_or_of_another_registry_is_refused() {
    let (temp, _, text) = written();
    let file = temp.path().join("other.jsonl");
    let lines: Vec<_> = text.lines().collect();
    let member = lines.iter().position(|line| line.contains("{\"member\"")).unwrap();
    let without = |n: usize| {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != n).map(|(_, line)| *line);
        kept.map(|line| format!("{line}\n")).collect::<String>()
    };
    for (text, told) in [
        (String::new(), "it ends early"),
        (text[..text.len() / 2].to_owned(), "has no end"),
        (without(lines.len() - 1), "it ends early"),
        (without(0), "does not start an export"),
        (without(1), "line"),
        (without(member), "lines are missing"),
        (text.replacen("\"xlreg_export\":1", "\"xlreg_export\":2", 1), "version 2 is not known"),
        (text.replacen("{\"cluster\"", "{\"house\"", 1), "'house' is not known"),
        (text.replacen("ssh-rsa AAAA", "ssh-rsa BBBB", 1), "token.comms_key"),
    ] {
        let twin = twin();
        fs::write(&file, &text).unwrap();
        let refusal = refused(&store(&["import", file.to_str().unwrap()], twin.path()));
        assert!(refusal.contains(told), "{told}: {refusal}");
        assert!(!twin.path().join("registry.sqlite").exists(), "{told}");
    }
    let twin = twin();
    let mut another = Identity::load(twin.path()).unwrap();
    another.id = Some(NodeId::from_bytes(&[0x5f; 32]).unwrap());
    another.save(twin.path()).unwrap();
    fs::write(&file, &text).unwrap();
    let refusal = refused(&store(&["import", file.to_str().unwrap()], twin.path()));
    assert!(refusal.contains("it is of the registry 5e5e"), "{refusal}");
    // A file that is there is not written over.
    let refusal = refused(&store(&["export", file.to_str().unwrap()], temp.path()));
    assert!(refusal.contains("cannot write"), "{refusal}");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

/// The identity of the registry in a directory, as its clients know it.
fn who(dir: &Path) -> String {
    let identity = Identity::load(dir).unwrap();
    let keys = [identity.comms.public_key(), identity.sig.public_key()];
    format!("{:?} {:?} {}", identity.id, keys.map(|key| key.fingerprint()), identity.name)
}

/// Starts the registry, and looks up facts.
fn holds(dir: &Path, facts: &[Fact]) {
    let daemon = Daemon::start(dir, &RATE);
    let way = Way::new(daemon.address(), &daemon.credential());
    check(facts, &way, &mut Seeded(5)).unwrap_or_else(|loss| panic!("{loss}"));
    assert!(daemon.terminate().0.success());
}

#[test]
fn a_backup_that_was_made_under_load_is_restored_into_an_empty_directory() {
    let (temp, facts, _) = written();
    let backup = temp.path().join("backup");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&backup).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let elsewhere = tempdir().unwrap();
    let dir = elsewhere.path().join("registry");
    let words = ["restore", backup.to_str().unwrap()];
    let output = store(&words, &dir);
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(told.contains("acknowledged after"), "{told}");
    done(&output);
    assert_eq!(who(&dir), who(temp.path()));
    done(&store(&["verify"], &dir));
    holds(&dir, &facts);
    // Nothing is left of it but the directory.
    let left: Vec<_> = fs::read_dir(elsewhere.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    // There it is not restored again, nor is it written over.
    let told = refused(&store(&words, &dir));
    assert!(told.contains("is not empty"), "{told}");
    let told = refused(&store(&["backup", backup.to_str().unwrap()], temp.path()));
    assert!(told.contains("xists"), "{told}");
}

#[test]
fn a_backup_without_keys_needs_them() {
    let (temp, facts, _) = written();
    let backup = temp.path().join("keyless");
    let words = ["backup", "--without-keys", backup.to_str().unwrap()];
    let output = store(&words, temp.path());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no private keys"), "{output:?}");
    done(&output);
    let bytes = fs::read(&backup).unwrap();
    assert!(!bytes.windows(11).any(|it| it == b"PRIVATE KEY"));
    let words = ["restore", backup.to_str().unwrap()];
    let empty = tempdir().unwrap();
    let told = refused(&store(&words, empty.path()));
    assert!(told.contains("has no keys"), "{told}");
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
    let twin = twin();
    done(&store(&words, twin.path()));
    holds(twin.path(), &facts);
    let other = self::twin();
    let mut another = Identity::load(other.path()).unwrap();
    another.id = Some(NodeId::from_bytes(&[0x5f; 32]).unwrap());
    another.save(other.path()).unwrap();
    let told = refused(&store(&words, other.path()));
    assert!(told.contains("has another one"), "{told}");
}

#[test]
fn a_backup_that_is_damaged_is_refused_before_anything_is_made() {
    let (temp, ..) = written();
    let backup = temp.path().join("backup");
    let whole = fs::read(&backup).unwrap();
    let mut found = 0;
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&backup, &damaged).unwrap();
        let elsewhere = tempdir().unwrap();
        let output = store(&["restore", backup.to_str().unwrap()], elsewhere.path());
        if !output.status.success() {
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "{at}");
            found += 1;
        }
    }
    assert!(found > 15, "{found}");
    fs::write(&backup, "no backup").unwrap();
    let elsewhere = tempdir().unwrap();
    refused(&store(&["restore", backup.to_str().unwrap()], elsewhere.path()));
}

#[test]
fn damage_is_found_by_verify() {
    let (temp, ..) = written();
    let path = temp.path().join("registry.sqlite");
    let whole = fs::read(&path).unwrap();
    done(&store(&["verify"], temp.path()));
    let mut found = 0;
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let output = store(&["verify"], temp.path());
        // What nothing reads may be changed.
        if !output.status.success() {
            let told = refused(&output);
            assert!(told.contains("registry.sqlite"), "{told}");
            found += 1;
        }
    }
    assert!(found > 20, "{found}");
}

#[test]
fn compact_needs_the_registry_stopped_and_loses_nothing() {
    let (temp, facts, _) = written();
    let daemon = Daemon::start(temp.path(), &RATE);
    let told = refused(&store(&["compact"], temp.path()));
    assert!(told.contains("another registry runs on"), "{told}");
    assert!(daemon.terminate().0.success());
    let compacted: Value =
        serde_json::from_str(&done(&store(&["compact", "--json"], temp.path()))).unwrap();
    assert!(number(&compacted, "bytes") <= number(&compacted, "bytes_before"), "{compacted}");
    done(&store(&["verify"], temp.path()));
    let daemon = Daemon::start(temp.path(), &RATE);
    let way = Way::new(daemon.address(), &daemon.credential());
    check(&facts, &way, &mut Seeded(5)).unwrap_or_else(|loss| panic!("{loss}"));
}

#[test]
fn where_there_is_no_registry_that_is_said() {
    let temp = tempdir().unwrap();
    for words in [&["verify"][..], &["stats"], &["export"], &["compact"]] {
        let told = refused(&store(words, temp.path()));
        assert!(told.contains(temp.path().to_str().unwrap()), "{told}");
    }
    let twin = twin();
    let told = refused(&store(&["verify"], twin.path()));
    assert!(told.contains("registry.sqlite: missing"), "{told}");
}
