//! The directories of registries and nodes, as the people meet them who run both: something is
//! missing from one, it is another's, it is in use, it can only be read, its volume is lost.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::{TempDir, tempdir};
use xlreg_testkit::wait::until;

use crate::common::{Daemon, Failed, command, serve};

const STORE: [&str; 2] = ["registry.sqlite", "registry.sqlite.commits"];
const PARTS: [&str; 4] = ["comms_key.pem", "sig_key.pem", "name", "id"];

/// A directory with a registry that was served and stopped, and who it is.
fn served() -> (TempDir, String) {
    let temp = tempdir().unwrap();
    let daemon = Daemon::start(temp.path(), &[]);
    let identity = identity(&daemon);
    assert!(daemon.terminate().0.success());
    (temp, identity)
}

fn identity(daemon: &Daemon) -> String {
    let told = daemon.credential();
    format!("{} {} {}", told.id, told.comms_key.fingerprint(), told.sig_key.fingerprint())
}

fn launch(dir: &Path, flags: &[&str]) -> Result<Daemon, Failed> {
    let mut command = serve(dir, &["--listen", "127.0.0.1:0"]);
    command.args(flags);
    Daemon::launch(command, dir, 1)
}

/// How a start ends that must not start anything: it changes nothing either.
fn refusal(dir: &Path, flags: &[&str]) -> String {
    let before = files(dir);
    let failed = launch(dir, flags).err().unwrap_or_else(|| panic!("{flags:?}: it started"));
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert!(!failed.stderr.contains("panicked"), "{}", failed.stderr);
    let after = files(dir);
    let same = before.iter().all(|(path, held)| {
        // Looking at a store moves bytes in it.
        path.ends_with(STORE[0]) || after.get(path) == Some(held)
    });
    assert!(same && before.len() == after.len(), "{flags:?}: {:?}", after.keys());
    failed.stderr
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let Ok(entries) = fs::read_dir(dir) else { return BTreeMap::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.is_file() && !path.ends_with(".lock"));
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn run(args: &[&str], dir: &Path) -> Output {
    command(args).current_dir(dir).output().unwrap()
}

/// Runs a command line that must succeed.
fn done(line: &str, dir: &Path) -> String {
    let output = run(&line.split(' ').collect::<Vec<_>>(), dir);
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Says what was not tested, where the harness does not catch it.
fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}, which can't be had here");
}

// Who somebody is.

#[test]
fn a_registry_without_a_part_does_not_start_and_says_which() {
    let (temp, who) = served();
    let (other, _) = served();
    let whole = files(temp.path());
    for file in PARTS.iter().chain(&STORE).copied() {
        let path = temp.path().join(file);
        for damage in ["missing", "empty", "another's"] {
            match damage {
                "missing" => fs::remove_file(&path).unwrap(),
                "empty" => fs::write(&path, "").unwrap(),
                // Both have been served as long, and are called the same.
                _ if ["name", STORE[1]].contains(&file) => continue,
                _ => drop(fs::copy(other.path().join(file), &path).unwrap()),
            }
            for flags in [&[][..], &["--existing"], &["--memory"]] {
                if STORE.contains(&file) && flags == ["--memory"] {
                    continue;
                }
                let told = refusal(temp.path(), flags);
                assert!(told.contains(path.to_str().unwrap()), "{damage} {file}: {told}");
                let advised = told.contains("restore") || told.contains("use the --dir");
                assert!(advised, "{damage} {file}: {told}");
            }
            fs::write(&path, &whole[&path]).unwrap();
        }
    }
    assert_eq!(identity(&launch(temp.path(), &["--existing"]).unwrap()), who);
}

#[test]
fn what_is_lost_can_be_written_back_as_it_is_told() {
    let (temp, who) = served();
    for file in ["name", "id"] {
        let path = temp.path().join(file);
        let held = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let told = refusal(temp.path(), &[]);
        let (_, line) = told.split_once("it held the line '").unwrap();
        let (line, _) = line.split_once('\'').unwrap();
        assert_eq!(format!("{line}\n"), held);
        fs::write(&path, format!("{line}\n")).unwrap();
    }
    assert_eq!(identity(&launch(temp.path(), &[]).unwrap()), who);
}

#[test]
fn remains_of_a_registry_are_no_place_for_a_new_one() {
    let (temp, _) = served();
    for kept in [&["regCred.dat"][..], &["registry.sqlite"], &["name"], &["id"], &["manifest"]] {
        let remains = tempdir().unwrap();
        for file in kept {
            fs::copy(temp.path().join(file), remains.path().join(file)).unwrap();
        }
        for flags in [&[][..], &["--existing"], &["--memory"]] {
            let told = refusal(remains.path(), flags);
            assert!(told.contains("restore"), "{kept:?}: {told}");
        }
        let init = run(&["init", "--dir", "."], remains.path());
        assert_eq!(init.status.code(), Some(1), "{kept:?}: {init:?}");
    }
}

#[test]
fn reg_cred_is_written_again_unless_it_is_another_registry_s() {
    let (temp, who) = served();
    let path = temp.path().join("regCred.dat");
    let text = fs::read_to_string(&path).unwrap();
    for damage in [None, Some(""), Some(&text[..100]), Some("not a regCred")] {
        match damage {
            None => fs::remove_file(&path).unwrap(),
            Some(text) => fs::write(&path, text).unwrap(),
        }
        let daemon = launch(temp.path(), &[]).unwrap();
        assert_eq!(identity(&daemon), who);
        until("it is told", || {
            let log = daemon.log();
            log.contains("regCred.dat") && log.contains("written")
        });
    }
    let (other, _) = served();
    fs::copy(other.path().join("regCred.dat"), &path).unwrap();
    let told = refusal(temp.path(), &[]);
    assert!(told.contains("regCred.dat is that of another registry"), "{told}");
}

#[test]
fn a_name_changes_when_it_is_said_and_stays() {
    let (temp, who) = served();
    for (flags, name) in
        [(&["--name", "east"][..], "east"), (&[], "east"), (&["--existing"], "east")]
    {
        let daemon = launch(temp.path(), flags).unwrap();
        assert_eq!((identity(&daemon), daemon.credential().name.as_str()), (who.clone(), name));
        daemon.kill();
    }
    fs::write(temp.path().join("name"), "west\n").unwrap();
    let told = refusal(temp.path(), &[]);
    assert!(told.contains("east") && told.contains("west"), "{told}");
}

#[test]
fn a_store_comes_after_memory_and_is_missed_from_then_on() {
    let temp = tempdir().unwrap();
    let store = temp.path().join("registry.sqlite");
    let start = |flags: &[&str]| {
        let daemon = launch(temp.path(), flags).unwrap();
        let who = identity(&daemon);
        daemon.kill();
        who
    };
    let who = start(&["--memory"]);
    assert!(!store.exists());
    let told = refusal(temp.path(), &["--existing"]);
    assert!(told.contains("no store was made") && told.contains("xlreg init"), "{told}");
    assert_eq!(start(&["--existing", "--memory"]), who);
    assert_eq!(start(&[]), who);
    fs::remove_file(&store).unwrap();
    assert_eq!(start(&["--memory"]), who);
    refusal(temp.path(), &[]);
    assert_eq!(start(&["--memory"]), who);
    refusal(temp.path(), &["--existing"]);
}

#[test]
fn what_is_meant_is_accepted() {
    let (temp, who) = served();
    let accept = || done("init --accept --dir .", temp.path());
    // A lost store, a lost witness, both: an empty one, the one that is there.
    for lost in [&STORE[..1], &STORE[1..], &STORE[..]] {
        for file in lost {
            fs::remove_file(temp.path().join(file)).unwrap();
        }
        let told = refusal(temp.path(), &[]);
        assert!(told.contains("xlreg init --accept"), "{told}");
        accept();
        assert_eq!(identity(&launch(temp.path(), &["--existing"]).unwrap()), who);
    }
    // Another key; what clients were given must go by hand.
    let (other, _) = served();
    fs::copy(other.path().join("comms_key.pem"), temp.path().join("comms_key.pem")).unwrap();
    assert!(refusal(temp.path(), &[]).contains("xlreg init --accept"));
    accept();
    assert!(refusal(temp.path(), &[]).contains("another registry"));
    fs::remove_file(temp.path().join("regCred.dat")).unwrap();
    assert_ne!(identity(&launch(temp.path(), &["--existing"]).unwrap()), who);
    // Nothing makes up for a key or an ID.
    for file in ["id", "sig_key.pem"] {
        fs::remove_file(temp.path().join(file)).unwrap();
        let output = run(&["init", "--accept", "--dir", "."], temp.path());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
}

// Directories of earlier versions, which have no manifest.

fn unmarked() -> (TempDir, String) {
    let (temp, who) = served();
    fs::remove_file(temp.path().join("manifest")).unwrap();
    (temp, who)
}

#[test]
fn a_directory_of_an_earlier_version_is_taken_for_whole_if_it_is() {
    for flags in [&[][..], &["--existing"], &["--memory"]] {
        let (temp, who) = unmarked();
        assert_eq!(identity(&launch(temp.path(), flags).unwrap()), who);
        assert!(temp.path().join("manifest").exists());
        for file in ["id", "registry.sqlite"] {
            let path = temp.path().join(file);
            let held = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            refusal(temp.path(), &[]);
            fs::write(&path, held).unwrap();
        }
    }
}

#[test]
fn a_directory_of_an_earlier_version_that_lost_something_is_not() {
    for file in PARTS.iter().chain(&STORE[..1]) {
        let (temp, _) = unmarked();
        fs::remove_file(temp.path().join(file)).unwrap();
        let told = refusal(temp.path(), &[]);
        assert!(told.contains(&*temp.path().join(file).to_string_lossy()), "{told}");
        assert!(told.contains("restore"), "{told}");
        refusal(temp.path(), &["--existing"]);
    }
}

// Nodes.

/// A registry, and a node that it knows, beside each other.
fn known_node() -> (TempDir, Daemon) {
    let temp = tempdir().unwrap();
    let daemon = Daemon::start(&temp.path().join("registry"), &[]);
    done(&format!("{JOIN} --create 1"), temp.path());
    (temp, daemon)
}

const JOIN: &str =
    "join alpha --registry registry/regCred.dat --node node --name host --end-point h:1 --json";
const REGISTER: &str = "register --registry registry/regCred.dat --node node --name host --json";
const MEMBERS: &str = "members alpha --registry registry/regCred.dat --node node --json";

#[test]
fn a_node_without_a_part_is_nobody_else_in_its_place() {
    let (temp, daemon) = known_node();
    let node = temp.path().join("node");
    let whole = files(&node);
    for file in PARTS {
        for damage in [None, Some("")] {
            match damage {
                None => fs::remove_file(node.join(file)).unwrap(),
                Some(text) => fs::write(node.join(file), text).unwrap(),
            }
            let before = files(&node);
            for line in [JOIN, REGISTER, MEMBERS] {
                let output = run(&line.split(' ').collect::<Vec<_>>(), temp.path());
                let told = String::from_utf8(output.stderr).unwrap();
                assert_eq!(output.status.code(), Some(1), "{line}: {told}");
                assert!(told.contains(&format!("node/{file}")), "{line}: {told}");
                assert!(told.contains("restore it from a backup"), "{line}: {told}");
            }
            assert_eq!(files(&node), before);
            fs::write(node.join(file), &whole[&node.join(file)]).unwrap();
        }
    }
    done(REGISTER, temp.path());
    drop(daemon);
}

// One at a time.

// A second one started with `--memory` once `.lock` was gone, and overwrote regCred.dat.
#[test]
fn a_second_daemon_is_refused_also_where_the_lock_file_was_removed() {
    let (temp, _) = served();
    let daemon = launch(temp.path(), &[]).unwrap();
    let told = daemon.credential();
    for flags in [&[][..], &["--memory"], &["--existing"]] {
        let _ = fs::remove_file(temp.path().join(".lock"));
        let refused = refusal(temp.path(), flags);
        assert!(refused.contains("another registry runs on"), "{refused}");
    }
    let init = run(&["init", "--dir", "."], temp.path());
    assert_eq!(init.status.code(), Some(1), "{init:?}");
    assert_eq!(daemon.credential(), told);
}

// Without the right to write.

/// A command in a place where a directory can only be read; `None` where that can't be had here.
type Jail = fn(&Path, &Command) -> Option<Command>;

/// On a read-only mount, as a secret of Kubernetes is one.
fn mounted(dir: &Path, inner: &Command) -> Option<Command> {
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";
    let jail = |flags: &str| {
        let mut command = Command::new("unshare");
        command.args([flags, "sh", "-c", script]).arg(dir);
        command
    };
    let works = |flags| jail(flags).arg("true").output().is_ok_and(|it| it.status.success());
    let mut command = jail(["-m", "-rm"].into_iter().find(|flags| works(flags))?);
    command.arg(inner.get_program()).args(inner.get_args());
    Some(command)
}

/// As somebody who may read it and no more.
fn as_nobody(dir: &Path, inner: &Command) -> Option<Command> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let allow = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for file in files(dir).keys() {
        allow(file, 0o444);
    }
    allow(dir, 0o555);
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !root {
        let mut command = Command::new(inner.get_program());
        command.args(inner.get_args());
        return Some(command);
    }
    // Where the binary is, others may not get.
    let parent = dir.parent().unwrap();
    allow(parent, 0o755);
    let binary = parent.join("xlreg");
    if !binary.exists() {
        fs::copy(inner.get_program(), &binary).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.arg(binary).args(inner.get_args());
    Some(command)
}

const JAILS: [(&str, Jail); 2] = [("on a read-only mount", mounted), ("as nobody", as_nobody)];

#[test]
fn a_whole_node_that_can_only_be_read_is_used() {
    for (what, jail) in JAILS {
        let (temp, daemon) = known_node();
        let (node, given) = (temp.path().join("node"), temp.path().join("regCred.dat"));
        fs::copy(temp.path().join("registry/regCred.dat"), &given).unwrap();
        let id = fs::read_to_string(node.join("id")).unwrap();
        // As a secret is mounted: no more than what it takes.
        fs::remove_file(node.join(".lock")).unwrap();
        let before = files(&node);
        for (line, name) in [(JOIN, "host"), (REGISTER, "host"), (MEMBERS, ""), (REGISTER, "east")]
        {
            let mut inner = command(&[]);
            let given = given.to_str().unwrap();
            inner.args(line.split(' ').map(|word| match word {
                "registry/regCred.dat" => given,
                "node" => node.to_str().unwrap(),
                "host" => name,
                word => word,
            }));
            let Some(mut command) = jail(&node, &inner) else {
                skipped(what);
                break;
            };
            let output = command.output().unwrap();
            assert!(output.status.success(), "{what}, {line}: {output:?}");
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(told.contains("the name east is used this time"), name == "east", "{told}");
            if line == REGISTER {
                let told: Value = serde_json::from_slice(&output.stdout).unwrap();
                assert_eq!(
                    (told["id"].as_str(), told["name"].as_str()),
                    (Some(id.trim()), Some(name))
                );
            }
        }
        assert_eq!(files(&node), before, "{what}");
        drop(daemon);
    }
}

#[test]
fn a_node_whose_id_could_not_be_kept_is_not_registered() {
    for (what, jail) in JAILS {
        let (temp, daemon) = known_node();
        let node = temp.path().join("new");
        done("register --registry registry/regCred.dat --node new --name host2", temp.path());
        fs::remove_file(node.join("id")).unwrap();
        let manifest = fs::read_to_string(node.join("manifest")).unwrap();
        let without: Vec<_> = manifest.lines().filter(|line| !line.starts_with("id: ")).collect();
        fs::write(node.join("manifest"), without.join("\n") + "\n").unwrap();
        let given = temp.path().join("regCred.dat");
        fs::copy(temp.path().join("registry/regCred.dat"), &given).unwrap();
        let mut inner = command(&["register", "--name", "host2"]);
        inner.arg("--registry").arg(given).arg("--node").arg(&node);
        let Some(mut command) = jail(&node, &inner) else {
            skipped(what);
            continue;
        };
        let output = command.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{what}: {told}");
        assert!(told.contains("unless a whole node with its ID is kept there"), "{what}: {told}");
        // Nobody asked the registry.
        assert!(!daemon.log().contains("host2"), "{}", daemon.log());
    }
}

#[test]
fn keys_that_can_only_be_read_are_served_from_memory() {
    for (what, jail) in JAILS {
        let temp = tempdir().unwrap();
        let dir = temp.path().join("keys");
        let elsewhere = temp.path().join("elsewhere");
        let made: Value =
            serde_json::from_str(&done("init --dir keys --json", temp.path())).unwrap();
        fs::remove_file(dir.join(".lock")).unwrap();
        let before = files(&dir);
        let start = |flags: &[&str]| {
            let mut inner = serve(&dir, &["--listen", "127.0.0.1:0", "--memory"]);
            inner.args(flags);
            let mut jail = jail(&dir, &inner)?;
            jail.stdin(std::process::Stdio::null());
            jail.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            Some(Daemon::launch(jail, &elsewhere, 1))
        };
        let Some(refused) = start(&[]) else {
            skipped(what);
            continue;
        };
        let refused = refused.unwrap_err();
        assert!(refused.stderr.contains("--credential FILE"), "{what}: {}", refused.stderr);
        fs::create_dir(&elsewhere).unwrap();
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o777)).unwrap();
        let path = elsewhere.join("regCred.dat");
        let daemon = start(&["--existing", "--credential", path.to_str().unwrap()]);
        let daemon = daemon.unwrap().unwrap();
        assert_eq!(daemon.credential().id.to_string(), made["id"].as_str().unwrap());
        // Two do not share it.
        let second = start(&["--credential", path.to_str().unwrap()]).unwrap().unwrap_err();
        assert!(second.stderr.contains("another registry runs on"), "{what}: {}", second.stderr);
        daemon.kill();
        assert_eq!(files(&dir), before, "{what}");
    }
}

// A lost volume is not a new registry.

#[test]
fn serve_existing_makes_nothing() {
    let temp = tempdir().unwrap();
    fs::create_dir(temp.path().join("empty")).unwrap();
    for dir in ["empty", "none"] {
        let dir = temp.path().join(dir);
        for flags in [&["--existing"][..], &["--existing", "--memory"]] {
            let told = refusal(&dir, flags);
            assert!(told.contains("no registry is kept in"), "{told}");
            assert!(told.contains("xlreg init --dir"), "{told}");
        }
    }
    assert!(!temp.path().join("none").exists());
    assert_eq!(fs::read_dir(temp.path().join("empty")).unwrap().count(), 0);
    fs::write(temp.path().join("empty/manifest"), "xlreg directory 1\nunfinished\n").unwrap();
    refusal(&temp.path().join("empty"), &["--existing"]);
}

#[test]
fn init_makes_what_serve_existing_serves() {
    let temp = tempdir().unwrap();
    let init = |flags: &[&str]| {
        let mut all = vec!["init", "--dir", "reg", "--json"];
        all.extend(flags);
        run(&all, temp.path())
    };
    let output = init(&["--name", "east"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    for flags in [&[][..], &["--name", "east"]] {
        let again = init(flags);
        assert!(again.status.success(), "{again:?}");
        assert_eq!(serde_json::from_slice::<Value>(&again.stdout).unwrap(), made);
        assert!(String::from_utf8(again.stderr).unwrap().contains("was there already"));
    }
    let other = init(&["--name", "west"]);
    assert_eq!(other.status.code(), Some(1), "{other:?}");

    let daemon = launch(&temp.path().join("reg"), &["--existing"]).unwrap();
    let told = daemon.credential();
    assert_eq!(
        (told.id.to_string(), told.name.as_str()),
        (made["id"].as_str().unwrap().into(), "east")
    );
    assert_eq!(told.sig_key.fingerprint().to_string(), made["sig_key_fingerprint"]);
}
