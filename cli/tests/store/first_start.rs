//! Starts that the power ended, and all that a directory may be afterwards: the next start starts,
//! and nobody becomes somebody else by it. The images are those of `support/power_cut`.
//!
//! `XLREG_FULL=1` walks every image, `XLREG_SEED` chooses which otherwise.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::{TempDir, tempdir};
use xlreg::credential::Credential;
use xlreg_testkit::Seeded;

use crate::common::{Daemon, command, full, serve};
use crate::power_cut::{Image, Recording, Tree, record, walk};

/// Images of each walk, besides those that keep all or nothing of what was not flushed.
const MOST: usize = 100;

/// Whether `strace` is here; loud where it is not.
pub fn can_walk() -> bool {
    if crate::power_cut::is_here() {
        return true;
    }
    let required =
        ["CI", "XLREG_REQUIRE_TOOLS"].into_iter().any(|it| std::env::var_os(it).is_some());
    assert!(!required, "no strace, which ci/install installs");
    let _ = writeln!(std::io::stderr(), "SKIPPED: crash images, strace is not here");
    false
}

pub fn images(recording: &Recording) -> Vec<Image> {
    let mut rng = Seeded::announced(0x6669_7273);
    recording.images(if full() { usize::MAX } else { MOST }, &mut rng)
}

/// A private key anywhere but in its own file.
fn no_stray_key(root: &Path) -> Result<(), String> {
    let tree = Tree::read(root);
    let holds_key = |file: &[u8]| file.windows(11).any(|it| it == b"PRIVATE KEY");
    let stray = tree.files().find(|(path, file)| {
        !path.ends_with("comms_key.pem") && !path.ends_with("sig_key.pem") && holds_key(file)
    });
    stray.map_or(Ok(()), |(path, _)| Err(format!("a private key in {}", path.display())))
}

/// Who a registry is, as its clients know it.
fn identity(credential: &Credential) -> String {
    let Credential { id, comms_key, sig_key, .. } = credential;
    format!("{id} {} {}", comms_key.fingerprint(), sig_key.fingerprint())
}

/// Who the registry is that clients were told of in this image.
fn told(tree: &Tree) -> Option<String> {
    let credential = std::str::from_utf8(tree.file("reg/regCred.dat")?).ok()?;
    Some(identity(&credential.parse().ok()?))
}

fn registry(root: &Path, flags: &[&str]) -> Command {
    let mut command = serve(&root.join("reg"), &["--listen", "127.0.0.1:0"]);
    command.args(flags);
    command
}

/// Starts it, and says who it is then.
fn start(root: &Path, flags: &[&str]) -> Result<String, String> {
    let daemon = Daemon::launch(registry(root, flags), &root.join("reg"), 1)
        .map_err(|failed| format!("does not start: {}", failed.stderr))?;
    let identity = identity(&daemon.credential());
    let log = daemon.kill();
    if log.contains("panicked") { Err(log) } else { Ok(identity) }
}

/// Runs a command that prints JSON, to its end.
fn json(mut command: Command) -> Result<Value, String> {
    let output = command.arg("--json").output().unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

/// Starts what an image has, twice: it is who it has been for its clients, and leaves no key
/// astray.
fn starts_twice(
    told: Option<String>,
    root: &Path,
    start: impl Fn(&Path) -> Result<String, String>,
) -> Result<(), String> {
    no_stray_key(root)?;
    let first = start(root)?;
    if let Some(told) = told.filter(|told| *told != first) {
        return Err(format!("others were told of {told}, it is {first}"));
    }
    no_stray_key(root)?;
    match start(root)? {
        second if second != first => Err(format!("it was {first} and is {second}")),
        _ => Ok(()),
    }
}

/// Starts the registry of an image, which is this one once it has said that it listens.
fn serves(image: &Image, root: &Path, recorded: &str) -> Result<(), String> {
    let told = match image.moment.said.contains("listening on") {
        true => Some(recorded.to_owned()),
        false => told(&image.tree),
    };
    starts_twice(told, root, |root| start(root, &[]))
}

#[test]
fn a_first_start_that_the_power_ends_is_followed_by_one_that_starts() {
    if !can_walk() {
        return;
    }
    let temp = tempdir().unwrap();
    let recording = record(&registry(temp.path(), &[]), temp.path(), Some("listening on"));
    let recorded = told(&Tree::read(temp.path())).expect(&recording.stderr);
    let images = images(&recording);
    walk("a first start", &images, |image, root| serves(image, root, &recorded));
    a_start_after_a_start(&images);
}

/// The start after a first one that was cut short can be cut short itself.
fn a_start_after_a_start(images: &[Image]) {
    // The one with most in it that was never whole.
    let unfinished = |image: &&Image| {
        let manifest = image.tree.file("reg/manifest");
        manifest.is_some_and(|text| text.ends_with(b"unfinished\n"))
    };
    let image = images.iter().filter(unfinished).max_by_key(|image| image.tree.files().count());
    let temp = tempdir().unwrap();
    image.unwrap().tree.write(temp.path());
    let recording = record(&registry(temp.path(), &[]), temp.path(), Some("listening on"));
    let recorded = told(&Tree::read(temp.path())).expect(&recording.stderr);
    let images = self::images(&recording);
    walk("a second first start", &images, |image, root| serves(image, root, &recorded));
}

#[test]
fn an_init_that_the_power_ends_can_be_run_again() {
    if !can_walk() {
        return;
    }
    let init = |root: &Path| {
        let mut command = command(&["init", "--dir"]);
        command.arg(root.join("reg"));
        command
    };
    let who = |told: &Value| {
        let text = |key: &str| told[key].as_str().unwrap().to_owned();
        format!("{} {} {}", text("id"), text("comms_key_fingerprint"), text("sig_key_fingerprint"))
    };
    let temp = tempdir().unwrap();
    let mut command = init(temp.path());
    command.arg("--json");
    let recording = record(&command, temp.path(), None);
    let recorded = who(&serde_json::from_str(&recording.stdout).expect(&recording.stderr));
    walk("init", &images(&recording), |image, root| {
        let told = image.moment.said.contains('}').then(|| recorded.clone());
        starts_twice(told, root, |root| {
            let made = who(&json(init(root))?);
            let served = start(root, &["--existing"])?;
            if made == served { Ok(made) } else { Err(format!("{made} made, {served} served")) }
        })
    });
}

/// A directory with a registry that has been served.
fn served() -> (TempDir, String) {
    let temp = tempdir().unwrap();
    let identity = start(temp.path(), &[]).unwrap();
    (temp, identity)
}

/// Records a start on a directory that is whole, and walks it: whatever is left starts, as the same
/// registry.
fn stays_the_same(what: &str, prepare: impl Fn(&Path), flags: &[&str]) {
    if !can_walk() {
        return;
    }
    let (temp, identity) = served();
    prepare(&temp.path().join("reg"));
    let recording = record(&registry(temp.path(), flags), temp.path(), Some("listening on"));
    assert!(recording.stdout.starts_with("listening on"), "{}", recording.stderr);
    walk(what, &images(&recording), |_, root| {
        starts_twice(Some(identity.clone()), root, |root| start(root, &["--existing"]))
    });
}

#[test]
fn a_name_that_changes_when_the_power_ends_is_the_old_or_the_new_one() {
    stays_the_same("another name", |_| {}, &["--name", "east"]);
}

#[test]
fn a_directory_of_an_earlier_version_is_taken_over_at_once_or_at_the_next_start() {
    let without_manifest = |dir: &Path| fs::remove_file(dir.join("manifest")).unwrap();
    stays_the_same("an earlier version", without_manifest, &[]);
}

#[test]
fn a_first_store_after_memory_is_made_whole() {
    let without_store = |dir: &Path| {
        fs::remove_file(dir.join("registry.sqlite")).unwrap();
        fs::remove_file(dir.join("registry.sqlite.commits")).unwrap();
        let manifest = fs::read_to_string(dir.join("manifest")).unwrap();
        fs::write(dir.join("manifest"), manifest.replace("store: made\n", "")).unwrap();
    };
    if !can_walk() {
        return;
    }
    let (temp, identity) = served();
    without_store(&temp.path().join("reg"));
    let recording = record(&registry(temp.path(), &[]), temp.path(), Some("listening on"));
    walk("a first store", &images(&recording), |_, root| {
        starts_twice(Some(identity.clone()), root, |root| start(root, &[]))
    });
}

#[test]
fn a_node_that_the_power_ends_is_registered_again_as_who_it_was() {
    if !can_walk() {
        return;
    }
    let home = tempdir().unwrap();
    let daemon = Daemon::start(home.path(), &["--hello-rate", "100000"]);
    let register = |root: &Path, name: &str| {
        let mut command = command(&["register", "--name", name, "--node"]);
        command.arg(root.join("node/of/mine"));
        command.arg("--registry").arg(home.path().join("regCred.dat"));
        command
    };
    let id = |told: &Value| told["id"].as_str().unwrap().to_owned();
    let temp = tempdir().unwrap();
    let mut command = register(temp.path(), "node");
    command.arg("--json");
    let recording = record(&command, temp.path(), None);
    let recorded = id(&serde_json::from_str(&recording.stdout).expect(&recording.stderr));
    walk("a new node", &images(&recording), |image, root| {
        let told = image.moment.said.contains('}').then(|| recorded.clone());
        starts_twice(told, root, |root| Ok(id(&json(register(root, "node"))?)))
    });

    let mut command = register(temp.path(), "renamed");
    command.arg("--json");
    let recording = record(&command, temp.path(), None);
    walk("a renamed node", &images(&recording), |_, root| {
        starts_twice(Some(recorded.clone()), root, |root| Ok(id(&json(register(root, "node"))?)))
    });
    drop(daemon);
}
