//! The firmware of `examples/firmware`, on an emulated microcontroller, becomes a member at the
//! real daemon.
//!
//! Where Debian's bare-metal compiler or the emulator is missing this says so and tests nothing,
//! unless `XLREG_REQUIRE_FIRMWARE` is set: then that is a failure.

#![cfg(unix)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Instant;
use std::{fs, thread};

use serde_json::Value;
use tempfile::tempdir;
use xlreg::adapter::blocking::{Clock, Driver};
use xlreg::enroll::{Enroll, Plan, Roster};
use xlreg::identity::Identity;
use xlreg::message::Create;
use xlreg_testkit::client::{Way, token};
use xlreg_testkit::wait::HANG;
use xlreg_testkit::{Seeded, identity};

use crate::common::{Daemon, command, lines};

const TARGET: &str = "thumbv7em-none-eabihf";
const EMULATOR: &str = "qemu-system-arm";

#[test]
fn a_microcontroller_becomes_a_member() {
    if let Some(missing) = missing() {
        assert!(std::env::var_os("XLREG_REQUIRE_FIRMWARE").is_none(), "{missing}");
        // Past the harness, which shows what a test prints only if it fails.
        let _ = writeln!(std::io::stderr(), "SKIPPED: the firmware was not run: {missing}");
        return;
    }
    let image = build();
    let keys = root().join("examples/firmware/keys");
    let temp = tempdir().unwrap();
    // The registry whose credential is in the image; only where it listens is its own.
    let registry = Identity::load(&keys.join("registry")).unwrap();
    registry.save(temp.path()).unwrap();
    let daemon = Daemon::start(temp.path(), &[]);
    let mut credential = daemon.credential();
    credential.end_points = vec!["127.0.0.1:56789".parse().unwrap()];
    let baked = fs::read_to_string(keys.join("registry/regCred.dat")).unwrap();
    assert_eq!(baked.parse().as_ref(), Ok(&credential), "regCred.dat is of these keys");

    let way = Way::new(daemon.address(), &daemon.credential());
    let (rosters, (status, console)) = thread::scope(|scope| {
        let others = [("alice", 0), ("bob", 1)];
        let others = others.map(|(name, n)| {
            scope.spawn({
                let way = &way;
                move || enrol(way, name, n)
            })
        });
        let told = run(&image, daemon.address());
        // Theirs is over when all are there; if not, there is a reason on the console.
        assert!(told.0.success(), "{}: {}", told.0, told.1.join("\n"));
        (others.map(|other| other.join().unwrap()), told)
    });
    println!("{status}\n{}", console.join("\n"));

    // The daemon has it, as it is.
    let members = members(temp.path());
    let node = Identity::load(&keys.join("node")).unwrap();
    let entries = members["members"].as_array().unwrap();
    assert_eq!(entries.len(), 3, "{members}");
    let held = entries.iter().find(|member| member["name"] == "sensor").expect("a sensor");
    assert_eq!(held["id"], node.id.unwrap().to_string());
    assert_eq!(held["end_points"], serde_json::json!(["10.0.0.7:4000"]));
    assert_eq!(held["comms_key"], node.comms.public_key().to_openssh());
    assert_eq!(held["sig_key"], node.sig.public_key().to_openssh());

    // It has told its cluster, and everyone in it; the others know it, too.
    let cluster = rosters[0].cluster.id.to_string();
    assert_eq!(members["cluster"]["id"], cluster);
    let told = |what: String| {
        assert!(console.iter().any(|line| line.ends_with(&what)), "{what}: {console:#?}");
    };
    told(format!(": cluster {cluster} is for 3"));
    told(format!(": joined {cluster}"));
    told(": complete".into());
    for roster in &rosters {
        assert_eq!(roster.members, rosters[0].members);
    }
    for (index, member) in &rosters[0].members {
        let (name, end, key) =
            (&member.name, &member.end_points[0], member.comms_key.fingerprint());
        told(format!(": member {index} {name} {end} {key}"));
    }
}

/// The top of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What there is not to build or run the firmware with.
fn missing() -> Option<String> {
    let lacks = |mut command: Command| match command.arg("--version").output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_string()),
        Err(error) => Some(format!("{}: {error}", command.get_program().display())),
    };
    lacks(Command::new(root().join("ci/bare-cargo"))).or_else(|| lacks(Command::new(EMULATOR)))
}

/// Builds the image, or finds that it is built.
fn build() -> PathBuf {
    let started = Instant::now();
    let mut cargo = Command::new(root().join("ci/bare-cargo"));
    cargo.args([
        "build",
        "--release",
        "--target",
        TARGET,
        "--message-format",
        "json-render-diagnostics",
    ]);
    cargo.arg("--manifest-path").arg(root().join("examples/firmware/Cargo.toml"));
    let output = cargo.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the firmware does not build");
    println!("built in {:?}", started.elapsed());
    let messages = String::from_utf8(output.stdout).unwrap();
    let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let images: Vec<String> =
        messages.filter_map(|message| message["executable"].as_str().map(String::from)).collect();
    images.last().expect("an image").into()
}

/// An emulator that runs; stopped when dropped.
struct Emulator(Child);

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the firmware, its line connected to the registry: how it ended, and what it said.
fn run(image: &Path, registry: &str) -> (ExitStatus, Vec<String>) {
    let mut command = Command::new(EMULATOR);
    command.args(["-machine", "mps2-an386", "-display", "none", "-monitor", "none"]);
    command.args(["-serial", &format!("tcp:{registry}"), "-serial", "stdio"]);
    command.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(image);
    let process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut emulator = Emulator(process);
    let console = lines(emulator.0.stdout.take().unwrap());
    let mut said = Vec::new();
    let deadline = Instant::now() + HANG;
    loop {
        match console.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => said.push(line),
            Err(RecvTimeoutError::Disconnected) => return (emulator.0.wait().unwrap(), said),
            Err(RecvTimeoutError::Timeout) => panic!("it hangs: {}", said.join("\n")),
        }
    }
}

/// Another member of the same cluster, on this machine.
fn enrol(way: &Way, name: &str, n: usize) -> Roster {
    let rng = &mut Seeded(n as u64);
    let token = token(&identity(name, n), &format!("{name}.example:4000"), rng);
    let create = Create {
        name: "alpha".parse().unwrap(),
        max_size: 3,
        attrs: Default::default(),
        end_point_count: 1,
    };
    let plan = Plan { give_up_after: Some(HANG), ..Plan::create_and_join(token, create) };
    let (clock, stream) = (Clock::start(), std::net::TcpStream::connect(way.address).unwrap());
    let enroll = Enroll::new(clock.now(), way.config.clone(), plan, rng.clone()).unwrap();
    let mut driver = Driver::new(enroll, stream, clock);
    while driver.next_event().unwrap().is_some() {}
    driver.into_machine().into_roster().unwrap()
}

/// What the daemon tells somebody who asks for the members.
fn members(place: &Path) -> Value {
    let mut command = command(&["members", "alpha", "--json", "--registry", "regCred.dat"]);
    command.current_dir(place).env("XDG_STATE_HOME", place.join("state"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}
