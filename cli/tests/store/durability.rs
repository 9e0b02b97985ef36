//! What the daemon acknowledged stays true: killed at any moment, stopped under load, over a
//! damaged store.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rand_core::Rng;
use tempfile::tempdir;
use xlreg::credential::Credential;
use xlreg::identity::{Identity, Name, NodeId};
use xlreg::message::{ClusterRef, Refusal};
use xlreg_testkit::client::{Way, token};
use xlreg_testkit::facts::{Fact, Writing, check};
use xlreg_testkit::rng::number;
use xlreg_testkit::wait::until;
use xlreg_testkit::{Seeded, identity};

use crate::common::{Daemon, Failed, full, furnish, serve};

/// The writers come faster than a client with good manners.
const RATE: [&str; 2] = ["--hello-rate", "100000"];

fn start(dir: &Path) -> (Daemon, Way) {
    let daemon = Daemon::start(dir, &RATE);
    let way = Way::new(daemon.address(), &daemon.credential());
    (daemon, way)
}

/// Starts it where it was before; elsewhere if somebody else is there now.
fn start_again(dir: &Path, address: &str) -> (Daemon, Way) {
    let mut command = serve(dir, &["--listen", address]);
    command.args(RATE);
    match Daemon::launch(command, dir, 1) {
        Ok(daemon) => {
            let way = Way::new(daemon.address(), &daemon.credential());
            (daemon, way)
        }
        Err(failed) if failed.stderr.contains("cannot listen on") => start(dir),
        Err(failed) => panic!("{failed:?}"),
    }
}

/// Burns time: a pause of microseconds that sleeping could not keep to.
fn spin(time: Duration) {
    let started = Instant::now();
    while started.elapsed() < time {
        std::hint::spin_loop();
    }
}

fn assert_calm(log: &str) {
    assert!(!log.contains("panicked"), "{log}");
}

/// Has six writers write until they have been told so much and a moment more, then ends the daemon,
/// and gives what they were told.
fn write_until(
    seen: usize,
    more: Duration,
    way: &Way,
    name: &str,
    rng: &mut Seeded,
    end: impl FnOnce(),
) -> Vec<Fact> {
    let writing = Writing::default();
    thread::scope(|scope| {
        let writers = writing.start(scope, way, name, rng);
        until("the writers are told enough", || {
            writing.seen.load(Ordering::Relaxed) >= seen
                || writers.iter().any(|writer| writer.is_finished())
        });
        spin(more);
        end();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    })
}

/// How many facts of each kind there are.
fn kinds(facts: &[Fact]) -> String {
    let count = |kind: fn(&Fact) -> bool| facts.iter().filter(|fact| kind(fact)).count();
    let nodes = count(|fact| matches!(fact, Fact::Node { .. }));
    let clusters = count(|fact| matches!(fact, Fact::Cluster { .. }));
    let members = count(|fact| matches!(fact, Fact::Member { .. }));
    format!("{nodes} MemberOK, {clusters} CreateReply, {members} JoinReply")
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let rounds = number("XLREG_KILL_ROUNDS").unwrap_or(50);
    let mut rng = Seeded::announced(0x6b69_6c6c);
    let temp = tempdir().unwrap();
    furnish(temp.path());
    let (mut daemon, mut way) = start(temp.path());
    let mut all = Vec::new();
    for round in 0..rounds {
        let moment = 5 + rng.below(60);
        let more = Duration::from_micros(rng.below(8000) as u64);
        let address = daemon.address().to_string();
        let kill = || assert_calm(&daemon.kill());
        let facts = write_until(moment, more, &way, &format!("r{round}"), &mut rng, kill);
        (daemon, way) = start_again(temp.path(), &address);
        if let Err(loss) = check(&facts, &way, &mut rng) {
            panic!("round {round}: {loss}\n{}", daemon.kill());
        }
        all.extend(facts);
    }
    // What was true after one crash is still true after all of them.
    if let Err(loss) = check(&all, &way, &mut rng) {
        panic!("in the end: {loss}\n{}", daemon.kill());
    }
    println!("{rounds} times kill -9, none lost of {}", kinds(&all));
}

#[test]
fn sigterm_under_load_ends_well_and_in_time() {
    let mut rng = Seeded::announced(0x7465_726d);
    let temp = tempdir().unwrap();
    furnish(temp.path());
    for round in 0..2 {
        let (daemon, way) = start(temp.path());
        let mut stopped = None;
        let end = || stopped = Some(daemon.terminate());
        let moment = 40 + rng.below(40);
        let facts = write_until(moment, Duration::ZERO, &way, &format!("t{round}"), &mut rng, end);
        let (status, time, log) = stopped.unwrap();
        println!("stopped in {time:?} with {}", kinds(&facts));
        assert_eq!(status.code(), Some(0), "{log}");
        // 10 s for what is in flight, 2 s to linger, and time to be scheduled.
        assert!(time < Duration::from_secs(30), "{time:?}");
        assert_calm(&log);
        let (_daemon, way) = start(temp.path());
        if let Err(loss) = check(&facts, &way, &mut rng) {
            panic!("{loss}");
        }
    }
}

#[test]
fn a_store_of_another_registry_is_refused() {
    let temp = tempdir().unwrap();
    furnish(temp.path());
    let (daemon, _) = start(temp.path());
    assert_eq!(daemon.terminate().0.code(), Some(0));
    let other = tempdir().unwrap();
    furnish(other.path());
    let mut another = Identity::load(other.path()).unwrap();
    another.id = Some(NodeId::from_bytes(&[0x5f; 32]).unwrap());
    another.save(other.path()).unwrap();
    for file in ["registry.sqlite", "registry.sqlite.commits"] {
        std::fs::copy(temp.path().join(file), other.path().join(file)).unwrap();
    }
    let failed = launch(other.path()).unwrap_err();
    assert_eq!(failed.code, Some(1));
    assert!(failed.stderr.contains("registry.sqlite"), "{}", failed.stderr);
    assert!(failed.stderr.contains("belongs to a registry with another ID"), "{}", failed.stderr);
}

#[test]
fn a_second_daemon_on_the_same_directory_is_refused() {
    let temp = tempdir().unwrap();
    furnish(temp.path());
    let (daemon, way) = start(temp.path());
    let before = daemon.credential();
    for flags in [&[][..], &["--memory"]] {
        let mut command = serve(temp.path(), &["--listen", "127.0.0.1:0"]);
        command.args(flags);
        let failed = Daemon::launch(command, temp.path(), 1).err().unwrap();
        assert_eq!(failed.code, Some(1));
        assert!(failed.stderr.contains("another registry runs on"), "{}", failed.stderr);
        assert!(failed.stderr.contains(temp.path().to_str().unwrap()), "{}", failed.stderr);
    }
    // The first one has not noticed.
    assert_eq!(daemon.credential(), before);
    check(&[], &way, &mut Seeded(1)).unwrap();
}

#[test]
fn memory_forgets_and_keeps_its_keys() {
    let rng = &mut Seeded(2);
    let temp = tempdir().unwrap();
    furnish(temp.path());
    let node = token(&identity("node", 1), "node:1", rng);
    let mut known = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let daemon = Daemon::start(temp.path(), &["--memory"]);
        let way = Way::new(daemon.address(), &daemon.credential());
        let (mut client, _) = way.visit(&node, rng).unwrap();
        let refused = way.visit(&node, rng).unwrap().0.join("lasting".parse::<Name>().unwrap());
        assert!(refused.unwrap_err().is(Refusal::NoClusterWithName));
        ids.push(client.create("lasting", 2).unwrap().id);
        client.join(ClusterRef::CURRENT).unwrap();
        let Credential { comms_key, sig_key, id, .. } = daemon.credential();
        known.push((comms_key, sig_key, id));
        assert_eq!(daemon.terminate().0.code(), Some(0));
    }
    assert_eq!(known[0], known[1]);
    assert_ne!(ids[0], ids[1]);
    assert!(!temp.path().join("registry.sqlite").exists());
}

fn launch(dir: &Path) -> Result<Daemon, Failed> {
    let mut command = serve(dir, &["--listen", "127.0.0.1:0"]);
    command.args(RATE);
    Daemon::launch(command, dir, 1)
}

/// A kind of damage, and what it does to the file.
type Damage = (String, Change);

type Change = Box<dyn Fn(&mut Vec<u8>)>;

/// A page of the store's file.
const PAGE: usize = 4096;

fn damages(len: usize, rng: &mut Seeded) -> Vec<Damage> {
    let mut damages: Vec<Damage> = Vec::new();
    let mut add = |name: String, change: Change| damages.push((name, change));
    for keep in [0, 1, 9, 64, 320, 512, PAGE, len / 4, len / 2, len - 2 * PAGE, len - PAGE, len - 1]
    {
        add(format!("cut to {keep} of {len}"), Box::new(move |file| file.truncate(keep)));
    }
    let mut noise = |name: String, from: usize, to: usize| {
        let noise = Seeded(rng.next_u64());
        let fill = move |file: &mut Vec<u8>| noise.clone().fill_bytes(&mut file[from..to]);
        add(name, Box::new(fill));
    };
    noise("last page garbled".into(), len - PAGE, len);
    noise("header garbled".into(), 0, 320);
    for (at, name) in
        [(0, "magic"), (9, "god byte"), (12, "page size"), (64, "slot 0"), (192, "slot 1")]
    {
        noise(format!("{name} garbled"), at, at + 8.min(len - at));
    }
    for page in 1..9 {
        let at = page * (len / PAGE) / 9 * PAGE;
        noise(format!("page at {at} garbled"), at, at + PAGE);
    }
    for bit in 0..8 {
        // Which of the two roots counts, and whether the file was closed well.
        let flip = move |file: &mut Vec<u8>| file[9] ^= 1 << bit;
        damages.push((format!("bit {bit} of the god byte"), Box::new(flip)));
    }
    let flips = if full() { 400 } else { 40 };
    for flip in 0..flips {
        // Every other one in what is in use, of which there is little.
        let (at, bit) = (rng.next_u64() as usize, rng.below(8));
        damages.push((
            format!("bit {bit} of byte {at:#x} (used: {})", flip % 2 == 0),
            Box::new(move |file| {
                let used: Vec<usize> = (0..file.len()).filter(|at| file[*at] != 0).collect();
                let at = if flip % 2 == 0 { used[at % used.len()] } else { at % file.len() };
                file[at] ^= 1 << bit;
            }),
        ));
    }
    damages
}

/// What came of a damaged store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// `serve` said what is wrong, and ended; and whether it said that the file is as it was.
    Refused,
    /// Everything is there.
    Whole,
}

/// Starts on a damaged store. Fails if something was lost and nobody said so.
fn outcome(dir: &Path, facts: &[Fact], rng: &mut Seeded) -> Result<Outcome, String> {
    match launch(dir) {
        Err(Failed { code, stderr }) => {
            let clear = stderr.lines().any(|line| line.contains("registry.sqlite"));
            match code == Some(1) && clear && !stderr.contains("panicked") {
                true => Ok(Outcome::Refused),
                false => Err(format!("code {code:?}, {stderr}")),
            }
        }
        Ok(daemon) => {
            let way = Way::new(daemon.address(), &daemon.credential());
            let checked = check(facts, &way, rng);
            let (status, _, log) = daemon.terminate();
            match checked {
                Ok(()) if status.success() && !log.contains("panicked") => Ok(Outcome::Whole),
                Ok(()) => Err(format!("{status:?}, {log}")),
                Err(loss) => Err(format!("{loss}\n{log}")),
            }
        }
    }
}

fn a_damaged_store(name: &str, end: impl FnOnce(Daemon)) {
    let mut rng = Seeded::announced(0x6461_6d61);
    let temp = tempdir().unwrap();
    furnish(temp.path());
    let (daemon, way) = start(temp.path());
    let facts = write_until(24, Duration::ZERO, &way, name, &mut rng, || end(daemon));
    let file = temp.path().join("registry.sqlite");
    let commit_counter = temp.path().join("registry.sqlite.commits");
    let intact = std::fs::read(&file).unwrap();
    let counted = std::fs::read(&commit_counter).unwrap();
    let mut counts = BTreeMap::new();
    let mut wrong = Vec::new();
    for (what, damage) in damages(intact.len(), &mut rng) {
        let mut damaged = intact.clone();
        damage(&mut damaged);
        std::fs::write(&file, &damaged).unwrap();
        std::fs::write(&commit_counter, &counted).unwrap();
        match outcome(temp.path(), &facts, &mut rng) {
            Err(loss) => wrong.push(format!("{what}: {loss}")),
            Ok(outcome) => *counts.entry(outcome).or_insert(0) += 1,
        }
    }
    println!("{name}, {}: {counts:?}, {} wrong", kinds(&facts), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// An old store beside the commit counter of a newer one: what is missing is said, not served
/// without.
#[test]
fn a_store_older_than_its_commit_counter_is_damaged() {
    let mut rng = Seeded::announced(0x6f6c_6465);
    let temp = tempdir().unwrap();
    furnish(temp.path());
    let (daemon, _) = start(temp.path());
    assert_calm(&daemon.kill());
    // The log is a part of the store.
    let files = ["registry.sqlite", "registry.sqlite-wal"].map(|name| temp.path().join(name));
    let old = files.each_ref().map(|file| std::fs::read(file).unwrap_or_default());
    let (daemon, way) = start(temp.path());
    write_until(3, Duration::ZERO, &way, "newer", &mut rng, || assert_calm(&daemon.kill()));
    for (file, old) in files.iter().zip(&old) {
        std::fs::write(file, old).unwrap();
    }
    let Err(failed) = launch(temp.path()) else { panic!("it started") };
    assert_eq!(failed.code, Some(1));
    assert!(failed.stderr.contains("commits are missing"), "{}", failed.stderr);
}

#[test]
fn damage_after_a_clean_stop_is_never_silent_loss() {
    a_damaged_store("stopped", |daemon| assert_eq!(daemon.terminate().0.code(), Some(0)));
}

#[test]
fn damage_after_kill_9_is_never_silent_loss() {
    a_damaged_store("killed", |daemon| assert_calm(&daemon.kill()));
}

/// Nothing has been acknowledged yet, so nothing is damaged either.
#[test]
fn a_first_start_that_is_cut_short_can_be_made_again() {
    let mut rng = Seeded::announced(0x6269_7274);
    let mut stuck = Vec::new();
    for _ in 0..if full() { 200 } else { 20 } {
        let temp = tempdir().unwrap();
        furnish(temp.path());
        // Under whatever name it is made at first.
        let store_len = || {
            let entries = std::fs::read_dir(temp.path()).unwrap().map(Result::unwrap);
            let named = |name: &str| name.starts_with("registry.sqlite");
            let mut store = entries.filter(|entry| entry.file_name().to_str().is_some_and(named));
            store.next().map(|entry| entry.metadata().map_or(0, |metadata| metadata.len()))
        };
        let mut process = serve(temp.path(), &["--listen", "127.0.0.1:0"]).spawn().unwrap();
        until("there is a store", || {
            store_len().is_some() || process.try_wait().unwrap().is_some()
        });
        spin(Duration::from_micros(rng.below(6000) as u64));
        process.kill().unwrap();
        process.wait().unwrap();
        let len = store_len();
        if let Err(failed) = launch(temp.path()) {
            stuck.push(format!("with a file of {len:?} bytes: {}", failed.stderr));
        }
    }
    assert!(stuck.is_empty(), "{}", stuck.join("\n"));
}
