//! A power cut at every point of a registry's work: load, checkpoints, stops and starts. Whatever was
//! acknowledged before is there afterwards, or the start refuses.
//!
//! The work is done by [`writer`], which this test runs as a program of its own and records.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rand_core::Rng;
use tempfile::tempdir;
use xlreg::credential::Credential;
use xlreg::crypto::RustCrypto;
use xlreg::identity::NodeId;
use xlreg::message::{ClusterRef, Create, Reply, Request};
use xlreg::registry::{CheckedRequest, ClientState, Registry, RegistryLimits};
use xlreg_server::store::{CounterTrust, MemoryStore, Origin, Sqlite, Store};
use xlreg_testkit::client::{Way, token};
use xlreg_testkit::facts::{Fact, check};
use xlreg_testkit::{Seeded, identity};

use super::first_start::{can_walk, images};
use crate::common::{Daemon, full, furnish, serve};
use crate::power_cut::{Image, Recording, record, walk};

/// Tells the writer where the registry is.
const DIR: &str = "XLREG_TEST_WRITER";

/// Images walked, if not all are.
const MOST: usize = 60;

/// The sig key of all nodes.
const KEY: usize = 1;

/// Does a registry's work in a directory, and says each fact when it is acknowledged. It does
/// nothing as a test.
#[tokio::test(flavor = "current_thread")]
async fn writer() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let dir = Path::new(&dir);
    let credential = std::fs::read_to_string(dir.join("regCred.dat")).unwrap();
    let credential: Credential = credential.parse().unwrap();
    for round in 0..3 {
        let mut registry = Registry::new(credential.clone(), RegistryLimits::default());
        let path = dir.join("registry.sqlite");
        let mut log = Sqlite::open(&path, &mut registry, CounterTrust::Needed).unwrap();
        // Some checkpoints while it runs, too.
        log.checkpoint_at(12);
        let store = MemoryStore::with_log(registry, log, Arc::default()).unwrap();
        for n in 0..3 {
            enroll(&store, &format!("r{round}n{n}")).await;
        }
        store.close().await;
    }
}

async fn ask(store: &MemoryStore, state: &mut ClientState, request: Request) -> Reply {
    let request = CheckedRequest::new(request, &RustCrypto).unwrap();
    store.decide(state, request, &Origin::unlimited()).await.unwrap()
}

/// A node registers, creates a cluster, joins it, and comes back with another end point.
async fn enroll(store: &MemoryStore, name: &str) {
    let mut node = identity(name, KEY);
    for end in ["first.example:1", "second.example:2"] {
        let mut state = ClientState::new();
        let member = Request::Member(token(&node, end, &mut Seeded(3)));
        let Reply::MemberOk { id, .. } = ask(store, &mut state, member).await else { panic!() };
        println!("fact node {id}");
        node.id = Some(id);
        let (max_size, attrs, end_point_count) = (2, Default::default(), 1);
        let create = Create { name: name.parse().unwrap(), max_size, attrs, end_point_count };
        let created = ask(store, &mut state, Request::Create(create)).await;
        let Reply::Create(info) = created else { panic!("{created:?}") };
        println!("fact cluster {name} {}", info.id);
        // From here on the registry may have it.
        println!("fact asked {} {id} {end}", info.id);
        let joined = ask(store, &mut state, Request::Join(ClusterRef::CURRENT)).await;
        assert!(matches!(joined, Reply::Join(_)), "{joined:?}");
        println!("fact member {} {id} {end}", info.id);
    }
}

/// The facts that were said.
fn facts(said: &str) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::new();
    let id = |text: &str| text.parse::<NodeId>().unwrap();
    for line in said.lines() {
        // The test harness starts a line of its own before the first one.
        let Some((_, line)) = line.split_once("fact ") else { continue };
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["node", node] => facts.push(Fact::Node { id: id(node), key: KEY }),
            ["cluster", name, cluster] => {
                facts.push(Fact::Cluster { name: name.into(), max_size: 2, id: id(cluster) });
            }
            ["asked", cluster, node, end] => {
                let known = facts.iter_mut().find_map(|fact| match fact {
                    Fact::Member { cluster: of, id: it, end_points, .. }
                        if (*of, *it) == (id(cluster), id(node)) =>
                    {
                        Some(end_points)
                    }
                    _ => None,
                });
                // Either end point may be there until the second one is acknowledged.
                known.into_iter().for_each(|known| known.push(end.into()));
            }
            ["member", cluster, node, end] => {
                let (cluster, id) = (id(cluster), id(node));
                facts.retain(|fact| match fact {
                    Fact::Member { cluster: of, id: it, .. } => (*of, *it) != (cluster, id),
                    _ => true,
                });
                let (index, end_points) = (Some(0), vec![end.into()]);
                facts.push(Fact::Member { cluster, id, index, end_points });
            }
            _ => panic!("{line}"),
        }
    }
    facts
}

/// What comes of a start on an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    Whole,
}

/// Starts the real daemon on an image, and looks up all that was acknowledged.
fn outcome(said: &str, root: &Path) -> Result<Outcome, String> {
    let dir = root.join("reg");
    let mut command = serve(&dir, &["--listen", "127.0.0.1:0"]);
    command.args(["--hello-rate", "100000"]);
    let daemon = match Daemon::launch(command, &dir, 1) {
        Ok(daemon) => daemon,
        Err(failed) if failed.stderr.contains("panicked") => return Err(failed.stderr),
        Err(failed) if failed.stderr.contains("damaged") => return Ok(Outcome::Refused),
        Err(failed) => return Err(failed.stderr),
    };
    let way = Way::new(daemon.address(), &daemon.credential());
    let checked = check(&facts(said), &way, &mut Seeded(9));
    let log = daemon.kill();
    match checked {
        Ok(()) if !log.contains("panicked") => Ok(Outcome::Whole),
        Ok(()) => Err(log),
        Err(loss) => Err(format!("{loss}\n{log}")),
    }
}

fn holds_all(said: &str, root: &Path) -> Result<(), String> {
    match outcome(said, root)? {
        Outcome::Whole => Ok(()),
        Outcome::Refused => Err("refused".into()),
    }
}

/// Records the work, on the directory of a registry that was started once.
fn recorded() -> (tempfile::TempDir, Recording) {
    let temp = tempdir().unwrap();
    let dir = temp.path().join("reg");
    furnish(&dir);
    assert!(Daemon::start(&dir, &[]).terminate().0.success());
    let mut writer = Command::new(std::env::current_exe().unwrap());
    writer.args(["--exact", "load::writer", "--nocapture", "--test-threads=1"]).env(DIR, &dir);
    let recording = record(&writer, temp.path(), None);
    assert_eq!(facts(&recording.stdout).len(), 9 * (2 + 2 + 1), "{}", recording.stdout);
    (temp, recording)
}

/// SQLite's index of the log is memory that a crash leaves in any state, or not at all.
fn with_any_index(mut image: Image, rng: &mut Seeded) -> Image {
    let choice = rng.below(3);
    image.tree.change("reg/registry.sqlite-shm", |mut index| {
        match choice {
            0 => return None,
            1 => rng.fill_bytes(&mut index),
            _ => {}
        }
        Some(index)
    });
    image
}

#[test]
fn what_is_acknowledged_under_load_is_there_after_the_power_was_cut_and_cut_again() {
    if !can_walk() {
        return;
    }
    let (_temp, recording) = recorded();
    let rng = &mut Seeded::announced(0x6c6f_6164);
    let mut images = images(&recording);
    while !full() && images.len() > MOST {
        images.swap_remove(rng.below(images.len()));
    }
    let images: Vec<_> = images.into_iter().map(|image| with_any_index(image, rng)).collect();
    walk("load", &images, |image, root| holds_all(&image.moment.said, root));
    // A second cut, while the first one is recovered from.
    for _ in 0..if full() { 20 } else { 1 } {
        let image = &images[rng.below(images.len())];
        let temp = tempdir().unwrap();
        image.tree.write(temp.path());
        let dir = temp.path().join("reg");
        let start = serve(&dir, &["--listen", "127.0.0.1:0"]);
        let second = record(&start, temp.path(), Some("listening on"));
        let mut again = self::images(&second);
        while !full() && again.len() > MOST / 2 {
            again.swap_remove(rng.below(again.len()));
        }
        walk("recovery", &again, |_, root| holds_all(&image.moment.said, root));
    }
}

/// The witness of a disk that lies is the commit counter, which such a disk has not lost.
#[test]
fn a_disk_that_drops_what_it_flushed_is_noticed() {
    if !can_walk() {
        return;
    }
    let (_temp, recording) = recorded();
    let rng = &mut Seeded::announced(0x6c69_6573);
    let mut lies = recording.lies(&["registry.sqlite", "registry.sqlite-wal"], rng);
    while !full() && lies.len() > 30 {
        lies.swap_remove(rng.below(lies.len()));
    }
    let refused = std::sync::atomic::AtomicUsize::new(0);
    walk("lies", &lies, |image, root| {
        if outcome(&image.moment.said, root)? == Outcome::Refused {
            refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        Ok(())
    });
    let refused = refused.into_inner();
    assert!(refused > lies.len() / 2, "only {refused} of {} were refused", lies.len());
}
