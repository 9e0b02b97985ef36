//! What the tests of the command share: the real binary, a daemon that runs, a place to run commands
//! in.

#![allow(dead_code, reason = "each test crate uses its own part of this")]

pub mod made_up;
pub mod place;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use xlreg::credential::Credential;
use xlreg::identity::NodeId;

use xlreg_testkit::wait::{HANG, until};
use xlreg_testkit::{KEYS, identity};

/// Whether everything is to be done in full size.
pub fn full() -> bool {
    std::env::var_os("XLREG_FULL").is_some()
}

/// Makes a registry's directory with captured keys, so that nothing is generated at its first
/// start.
pub fn furnish(dir: &Path) {
    let mut registry = identity("xlReg", KEYS.comms.len() - 1);
    registry.id = Some(NodeId::from_bytes(&[0x5e; 32]).unwrap());
    registry.save(dir).unwrap();
}

/// A running `xlreg serve`; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    process: Child,
    /// The addresses of its `listening on` lines.
    pub addresses: Vec<String>,
    /// What comes after those lines on stdout, to be taken.
    pub output: Option<Receiver<String>>,
    dir: PathBuf,
    log: Arc<Mutex<String>>,
    logger: Option<JoinHandle<()>>,
}

/// How `serve` ended before it listened.
#[derive(Debug)]
pub struct Failed {
    pub code: Option<i32>,
    pub stderr: String,
}

impl Daemon {
    /// Starts one with these flags on a port of its own.
    pub fn start(dir: &Path, flags: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", dir, flags)
    }

    /// Starts one with these flags that listens there.
    pub fn start_at(address: &str, dir: &Path, flags: &[&str]) -> Self {
        let mut command = serve(dir, &["--listen", address]);
        command.args(flags);
        Self::launch(command, dir, 1).unwrap_or_else(|failed| panic!("{failed:?}"))
    }

    /// Starts what the command says and waits until it listens at so many addresses. What it writes
    /// elsewhere is not read.
    pub fn launch(mut command: Command, dir: &Path, listeners: usize) -> Result<Self, Failed> {
        let mut process = command.spawn().unwrap();
        let output = process.stdout.take().map(lines);
        let log = Arc::new(Mutex::new(String::new()));
        let logger = process.stderr.take().map(|stderr| {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines() {
                    let Ok(line) = line else { return };
                    log.lock().unwrap().push_str(&(line + "\n"));
                }
            })
        });
        let addresses = Vec::new();
        let mut daemon = Self { process, addresses, output, dir: dir.into(), log, logger };
        while daemon.addresses.len() < listeners {
            match daemon.output.as_ref().expect("a pipe for stdout").recv_timeout(HANG) {
                Ok(line) => {
                    let address = line.strip_prefix("listening on ").expect(&line);
                    daemon.addresses.push(address.into());
                }
                Err(RecvTimeoutError::Timeout) => panic!("neither listens nor ends"),
                Err(RecvTimeoutError::Disconnected) => {
                    let code = daemon.wait().code();
                    return Err(Failed { code, stderr: daemon.log() });
                }
            }
        }
        Ok(daemon)
    }

    pub fn address(&self) -> &str {
        &self.addresses[0]
    }

    /// Where its metrics are: its log tells, which must not be filtered.
    pub fn metrics(&self) -> String {
        let told = || {
            let log = self.log();
            let (_, rest) = log.split_once("metrics on http://")?;
            Some(rest.split_once("/metrics")?.0.to_owned())
        };
        until("it tells where its metrics are", || told().is_some());
        told().unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it told clients in `regCred.dat`.
    pub fn credential(&self) -> Credential {
        std::fs::read_to_string(self.dir.join("regCred.dat")).unwrap().parse().unwrap()
    }

    /// What it has written to stderr; all of it once it has ended.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// `kill -9`; the log to the end.
    pub fn kill(mut self) -> String {
        self.process.kill().unwrap();
        self.wait();
        self.log()
    }

    /// SIGTERM, and what came of it: status, time taken, log.
    pub fn terminate(mut self) -> (ExitStatus, Duration, String) {
        let started = Instant::now();
        self.signal("TERM");
        let status = self.wait();
        (status, started.elapsed(), self.log())
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for its end, and for the last line of its log.
    pub fn wait(&mut self) -> ExitStatus {
        let process = &mut self.process;
        until("the daemon ends", || process.try_wait().unwrap().is_some());
        if let Some(logger) = self.logger.take() {
            logger.join().unwrap();
        }
        self.process.wait().unwrap()
    }

    /// Its resident memory in KB, now and at most so far.
    pub fn memory(&self) -> [u64; 2] {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        ["VmRSS:", "VmHWM:"].map(|field| {
            let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The real binary, in surroundings of its own: what the developer has set for `xlreg` does not
/// reach it, and what it keeps for its user does not reach the developer. A test that lets it keep
/// something for its user says where.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xlreg"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("XLREG_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG").env_remove("NO_COLOR");
    // Nothing can be made there.
    command.env("XDG_STATE_HOME", "/dev/null/none");
    command
}

/// The binary with these arguments, its output caught.
pub fn command(args: &[&str]) -> Command {
    let mut command = binary();
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Sends a process a signal.
pub fn signal(pid: u32, name: &str) {
    let kill = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(kill.unwrap().success(), "{name} to {pid}");
}

/// `xlreg serve` on a directory, to be launched.
pub fn serve(dir: &Path, flags: &[&str]) -> Command {
    let mut command = command(&["serve", "--dir"]);
    command.arg(dir).args(flags);
    command
}

/// The lines of a stream, on a channel that can be waited at for a while.
pub fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            if line.map(|line| sender.send(line)).is_err() {
                return;
            }
        }
    });
    receiver
}
