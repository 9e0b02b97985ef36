//! A disk that cannot be written: the registry serves what it knows, refuses what is new, and goes
//! on when there is room again.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::{TempDir, tempdir};
use xlreg::message::Refusal;
use xlreg_testkit::client::{Failure, Way, token};
use xlreg_testkit::facts::{Fact, check};
use xlreg_testkit::http::{Samples, get};
use xlreg_testkit::wait::until;
use xlreg_testkit::{Seeded, identity};

use crate::common::{Daemon, Failed, furnish, serve, signal};

/// A small file system of its own, in memory.
struct Small {
    dir: TempDir,
}

impl Small {
    /// Mounts one with this number of KiB; `None`, loudly, where mounting is not possible.
    fn mount(kib: usize) -> Option<Self> {
        let dir = tempdir().unwrap();
        let options = format!("size={kib}k,mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path());
        let mounted = mount.output();
        if mounted.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self { dir });
        }
        let required = std::env::var_os("XLREG_REQUIRE_TOOLS").is_some();
        assert!(!required, "nothing can be mounted here: {mounted:?}");
        let skipped = format!("SKIPPED: nothing can be mounted here: {mounted:?}\n");
        // It goes past the capture of the test harness, so that it shows when the test passes.
        std::io::stderr().write_all(skipped.as_bytes()).unwrap();
        None
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Fills all the room there is.
    fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        for size in [65536, 4096, 512, 1] {
            while filler.write_all(&vec![7; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn remount(&self, how: &str) {
        let mut mount = Command::new("mount");
        let remounted = mount.args(["-o", &format!("remount,{how}")]).arg(self.path()).output();
        let remounted = remounted.unwrap();
        assert!(remounted.status.success(), "{remounted:?}");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// A registry on a disk of its own, and what it has acknowledged.
struct Registry {
    daemon: Daemon,
    way: Way,
    facts: Vec<Fact>,
    rng: Seeded,
    count: usize,
}

const FLAGS: [&str; 4] = ["--hello-rate", "100000", "--metrics", "127.0.0.1:0"];

fn launch(dir: &Path) -> Result<Daemon, Failed> {
    let mut command = serve(dir, &["--listen", "127.0.0.1:0"]);
    command.args(FLAGS);
    Daemon::launch(command, dir, 1)
}

impl Registry {
    fn start(dir: &Path) -> Self {
        furnish(dir);
        let daemon = launch(dir).unwrap();
        let way = Way::new(daemon.address(), &daemon.credential());
        Self { daemon, way, facts: Vec::new(), rng: Seeded::announced(0x6469_736b), count: 0 }
    }

    /// Registers a new node, and lets it create and join a cluster. Keeps what is acknowledged.
    fn write(&mut self) -> Result<(), Failure> {
        self.count += 1;
        let (name, end) = (format!("n{}", self.count), format!("n{}.example:1", self.count));
        let node = token(&identity(&name, 1), &end, &mut self.rng);
        let (mut client, id) = self.way.visit(&node, &mut self.rng)?;
        self.facts.push(Fact::Node { id, key: 1 });
        let name = format!("c{}", self.count);
        let info = client.create(&name, 2)?;
        self.facts.push(Fact::Cluster { name, max_size: 2, id: info.id });
        client.join(info.id)?;
        let (cluster, end_points) = (info.id, vec![end]);
        self.facts.push(Fact::Member { cluster, id, index: Some(0), end_points });
        client.bye()
    }

    /// Writes until the registry says several times that it cannot store more. After the first time
    /// it can use the room of its log again, which it has emptied.
    fn write_until_refused(&mut self) {
        let mut refusals = 0;
        for _ in 0..10_000 {
            match self.write() {
                Ok(()) => refusals = 0,
                Err(refused) => {
                    assert!(refused.is(Refusal::CannotStore), "{refused:?}");
                    refusals += 1;
                    if refusals == 5 {
                        return;
                    }
                }
            }
        }
        panic!("it stores ever more");
    }

    /// Checks what can be checked without a change: the members of each cluster, as a node that is
    /// known.
    fn assert_served(&mut self) {
        let known = self.facts.iter().find_map(|fact| match fact {
            Fact::Node { id, key } => Some((*id, *key)),
            _ => None,
        });
        let (id, key) = known.unwrap();
        let mut node = identity("n1", key);
        node.id = Some(id);
        let node = token(&node, "n1.example:1", &mut self.rng);
        let (mut client, same) = self.way.visit(&node, &mut self.rng).unwrap();
        assert_eq!(same, id);
        for fact in &self.facts {
            let Fact::Member { cluster, id, .. } = fact else { continue };
            let members = client.members(*cluster).unwrap();
            assert!(members.iter().any(|(_, token)| token.id == Some(*id)), "{fact:?}");
        }
        client.bye().unwrap();
    }

    fn readiness(&self) -> (bool, String) {
        let answer = get(&self.daemon.metrics(), "/readyz");
        (answer.status.contains(" 200 "), answer.body)
    }

    fn assert_unwritable(&self) {
        assert_eq!(self.readiness(), (false, "nothing can be stored now\n".into()));
        assert_eq!(Samples::of(&self.daemon.metrics()).value("xlreg_store_writable", &[]), 0.0);
        assert!(get(&self.daemon.metrics(), "/livez").status.contains(" 200 "));
        // Lines of the log have their way to go.
        until("it is told", || self.daemon.log().contains("nothing can be stored now"));
        assert!(!self.daemon.log().contains("panicked"), "{}", self.daemon.log());
    }

    fn wait_until_writable(&mut self) {
        until("it stores again", || self.readiness().0);
        assert_eq!(Samples::of(&self.daemon.metrics()).value("xlreg_store_writable", &[]), 1.0);
        self.write().unwrap();
    }

    /// Kills it. What comes in between happens to the disk; then it is started.
    fn restart(mut self, dir: &Path, between: impl FnOnce()) -> Result<Self, Failed> {
        let log = self.daemon.kill();
        assert!(!log.contains("panicked"), "{log}");
        between();
        self.daemon = launch(dir)?;
        self.way = Way::new(self.daemon.address(), &self.daemon.credential());
        Ok(self)
    }

    fn check(&mut self) {
        if let Err(loss) = check(&self.facts, &self.way, &mut self.rng) {
            panic!("{loss}\n{}", self.daemon.log());
        }
    }
}

#[test]
fn on_a_full_disk_what_is_known_is_served_and_what_is_new_is_refused_until_there_is_room() {
    let Some(disk) = Small::mount(4096) else { return };
    let mut registry = Registry::start(disk.path());
    registry.write().unwrap();
    for _ in 0..3 {
        disk.fill();
        registry.write_until_refused();
        registry.assert_unwritable();
        registry.assert_served();
        disk.make_room();
        registry.wait_until_writable();
    }
    let mut registry = registry.restart(disk.path(), || {}).unwrap();
    registry.check();
}

#[test]
fn it_starts_on_a_full_disk_after_a_crash() {
    let Some(disk) = Small::mount(4096) else { return };
    let mut registry = Registry::start(disk.path());
    for _ in 0..5 {
        registry.write().unwrap();
    }
    // SQLite's index of the log is gone, and there is no room for another one.
    let full = || {
        fs::remove_file(disk.path().join("registry.sqlite-shm")).unwrap();
        disk.fill();
    };
    let mut registry = registry.restart(disk.path(), full).unwrap();
    registry.assert_served();
    registry.write_until_refused();
    registry.assert_unwritable();
    disk.make_room();
    registry.wait_until_writable();
    let mut registry = registry.restart(disk.path(), || {}).unwrap();
    registry.check();
}

#[test]
fn after_a_clean_stop_it_starts_on_a_disk_that_can_only_be_read() {
    let Some(disk) = Small::mount(4096) else { return };
    let mut registry = Registry::start(disk.path());
    registry.write().unwrap();
    // In a directory that cannot be written, the file for clients must be elsewhere.
    let (status, ..) = registry.daemon.terminate();
    assert!(status.success());
    disk.remount("ro");
    let elsewhere = tempdir().unwrap();
    let told = elsewhere.path().join("regCred.dat");
    let mut command = serve(disk.path(), &["--existing", "--listen", "127.0.0.1:0"]);
    command.args(FLAGS).arg("--credential").arg(&told);
    registry.daemon = Daemon::launch(command, elsewhere.path(), 1).unwrap();
    registry.way = Way::new(registry.daemon.address(), &registry.daemon.credential());
    // It knows before anybody asks for a change.
    registry.assert_unwritable();
    registry.assert_served();
    assert!(registry.write().unwrap_err().is(Refusal::CannotStore));
    disk.remount("rw");
    registry.wait_until_writable();
}

/// What is in the log alone would be missing.
#[test]
fn after_a_crash_it_does_not_start_on_a_disk_that_can_only_be_read() {
    let Some(disk) = Small::mount(4096) else { return };
    let mut registry = Registry::start(disk.path());
    registry.write().unwrap();
    for gone in [false, true] {
        let read_only = || {
            if gone {
                fs::remove_file(disk.path().join("registry.sqlite-shm")).unwrap();
            }
            disk.remount("ro");
        };
        let log = registry.daemon.kill();
        assert!(!log.contains("panicked"), "{log}");
        read_only();
        let elsewhere = tempdir().unwrap();
        let told = elsewhere.path().join("regCred.dat");
        let mut command = serve(disk.path(), &["--existing", "--listen", "127.0.0.1:0"]);
        command.args(FLAGS).arg("--credential").arg(&told);
        let failed = Daemon::launch(command, elsewhere.path(), 1).unwrap_err();
        assert_eq!(failed.code, Some(1), "{}", failed.stderr);
        assert!(failed.stderr.contains("registry.sqlite-wal"), "{}", failed.stderr);
        disk.remount("rw");
        registry.daemon = launch(disk.path()).unwrap();
        registry.way = Way::new(registry.daemon.address(), &registry.daemon.credential());
        registry.check();
    }
}

#[test]
fn a_limit_of_file_size_is_weather_too() {
    let temp = tempdir().unwrap();
    furnish(temp.path());
    let daemon = serve(temp.path(), &["--listen", "127.0.0.1:0"]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f 256; exec \"$0\" \"$@\""]).arg(daemon.get_program());
    limited.args(daemon.get_args()).args(FLAGS);
    limited.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let daemon = Daemon::launch(limited, temp.path(), 1).unwrap();
    let way = Way::new(daemon.address(), &daemon.credential());
    let rng = Seeded::announced(0x6c69_6d69);
    let mut registry = Registry { daemon, way, facts: Vec::new(), rng, count: 0 };
    registry.write_until_refused();
    registry.assert_served();
    let (status, _, log) = registry.daemon.terminate();
    assert!(status.success() && log.contains("nothing can be stored now"), "{log}");
    registry.daemon = launch(temp.path()).unwrap();
    registry.way = Way::new(registry.daemon.address(), &registry.daemon.credential());
    registry.check();
    registry.write().unwrap();
}

/// The daemon under `strace`, which makes some of its system calls fail. `None`, loudly, where there
/// is no `strace`.
fn failing(dir: &Path, faults: &[&str]) -> Option<Daemon> {
    if !super::first_start::can_walk() {
        return None;
    }
    let daemon = serve(dir, &["--listen", "127.0.0.1:0"]);
    let mut strace = Command::new("strace");
    strace.args(["--follow-forks", "--output=/dev/null", "--trace=fsync,pwrite64,write"]);
    for fault in faults {
        strace.arg(format!("--inject={fault}"));
    }
    strace.arg("--").arg(daemon.get_program()).args(daemon.get_args()).args(FLAGS);
    strace.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    Some(Daemon::launch(strace, dir, 1).unwrap())
}

/// A write that fails is rolled back, and the next one may succeed.
#[test]
fn a_write_that_fails_is_refused_and_undone() {
    let temp = tempdir().unwrap();
    let mut registry = Registry::start(temp.path());
    registry.write().unwrap();
    let (status, ..) = registry.daemon.terminate();
    assert!(status.success());
    for error in ["EIO", "EDQUOT"] {
        // One write of 41 to the store fails.
        let fault = format!("pwrite64:error={error}:when=41+41");
        let Some(daemon) = failing(temp.path(), &[&fault]) else { return };
        registry.way = Way::new(daemon.address(), &daemon.credential());
        registry.daemon = daemon;
        let mut refused = 0;
        for _ in 0..20 {
            match registry.write() {
                Ok(()) => {}
                Err(failure) => {
                    assert!(failure.is(Refusal::CannotStore), "{error}: {failure:?}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 2 && refused < 15, "{error}: {refused}\n{}", registry.daemon.log());
        registry.check();
        // strace ends with its program.
        let pid = registry.daemon.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        signal(children.trim().parse().unwrap(), "TERM");
        registry.daemon.wait();
        let log = registry.daemon.log();
        assert!(!log.contains("panicked"), "{log}");
        registry.daemon = launch(temp.path()).unwrap();
        registry.way = Way::new(registry.daemon.address(), &registry.daemon.credential());
        registry.check();
        assert!(registry.daemon.terminate().0.success());
    }
}

/// After a failed flush nobody knows what is on disk: the system has marked the pages as written.
#[test]
fn a_flush_that_fails_ends_the_registry_and_loses_nothing() {
    let temp = tempdir().unwrap();
    let mut registry = Registry::start(temp.path());
    registry.write().unwrap();
    assert!(registry.daemon.terminate().0.success());
    let Some(daemon) = failing(temp.path(), &["fsync:error=EIO:when=12+"]) else { return };
    registry.way = Way::new(daemon.address(), &daemon.credential());
    registry.daemon = daemon;
    let failure = (0..1000).find_map(|_| registry.write().err()).unwrap();
    assert!(!failure.is(Refusal::CannotStore), "{failure:?}");
    let status = registry.daemon.wait();
    let log = registry.daemon.log();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("registry.sqlite") && log.contains("disk I/O error"), "{log}");
    assert!(log.contains("nothing can be made durable any more"), "{log}");
    registry.daemon = launch(temp.path()).unwrap();
    registry.way = Way::new(registry.daemon.address(), &registry.daemon.credential());
    registry.check();
    registry.write().unwrap();
}
