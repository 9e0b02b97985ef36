//! A directory to run commands in, what they say, and snapshots that pin it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use super::Daemon;

/// A directory to run commands in.
pub struct Place {
    pub temp: TempDir,
    registry: Option<Daemon>,
}

impl Place {
    /// With nothing in it.
    pub fn bare() -> Self {
        Self { temp: tempfile::tempdir().unwrap(), registry: None }
    }

    /// With a registry, and its regCred.dat.
    pub fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let registry = Daemon::start(&temp.path().join("registry"), &[]);
        fs::copy(temp.path().join("registry/regCred.dat"), temp.path().join("regCred.dat"))
            .unwrap();
        Self { temp, registry: Some(registry) }
    }

    /// Ends the registry, as a power cut would.
    pub fn stop_registry(&mut self) {
        self.registry = None;
    }

    /// Starts the registry again, at the address it had.
    pub fn start_registry(&mut self) {
        let credential = fs::read_to_string(self.path("regCred.dat")).unwrap();
        let credential: xlreg::credential::Credential = credential.parse().unwrap();
        let address = credential.end_points[0].as_str();
        self.registry = Some(Daemon::start_at(address, &self.path("registry"), &[]));
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.temp.path().join(file)
    }

    /// The binary with these arguments in the directory, where it also keeps what it keeps for its
    /// user.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = super::command(args);
        command.current_dir(self.temp.path()).env("XDG_STATE_HOME", self.path("state"));
        command
    }

    /// Runs a command line in the directory.
    pub fn run(&self, line: &str) -> Output {
        let args: Vec<_> = line.split(' ').collect();
        self.command(&args).output().unwrap()
    }

    /// Runs a command line and adds it and all it said to a transcript, what went to stderr marked.
    fn tell(&self, transcript: &mut String, line: &str) -> Output {
        let output = self.run(line);
        let said = scrub(&stdout(&output)).replace('\r', "");
        let warned: String =
            scrub(&stderr(&output)).lines().map(|line| format!("stderr| {line}\n")).collect();
        let exit = code(&output);
        transcript.push_str(&format!("$ xlreg {line}\n{said}{warned}[exit {exit}]\n\n"));
        output
    }

    /// Pins what a few command lines say, one after the other.
    pub fn pin(&self, name: &str, lines: &[&str]) -> Vec<Output> {
        let mut transcript = String::new();
        let outputs = lines.iter().map(|line| self.tell(&mut transcript, line)).collect();
        snapshot(name, &transcript);
        outputs
    }
}

pub fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {output:?}"))
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("killed: {output:?}"))
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Says what was not tested, where the harness does not catch it.
pub fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

/// Compares a transcript with the one kept in `tests/snapshots`. To keep a new one, set
/// `XLREG_SNAPSHOTS=write`.
pub fn snapshot(name: &str, transcript: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let path: PathBuf = dir.join(format!("{name}.txt"));
    if std::env::var_os("XLREG_SNAPSHOTS").is_some_and(|what| what == "write") {
        fs::write(&path, transcript).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == transcript,
        "{} differs; run with XLREG_SNAPSHOTS=write if it should.\n--- kept\n{kept}\
         --- now\n{transcript}",
        path.display()
    );
}

/// Puts placeholders where each run has something else: keys, fingerprints, IDs, ports.
pub fn scrub(text: &str) -> String {
    let between = |c: char| c.is_whitespace() || "\",;()".contains(c);
    text.split_inclusive(between)
        .map(|piece| {
            let word = piece.trim_end_matches(between);
            let rest = piece.get(word.len()..).unwrap_or_default();
            format!("{}{rest}", placeholder(word))
        })
        .collect()
}

fn placeholder(word: &str) -> &str {
    let hex = word.bytes().all(|b| b.is_ascii_hexdigit());
    let port_of = |host| word.strip_prefix(host).is_some_and(|port| port.parse::<u16>().is_ok());
    // As long as what they stand for where they are in a table, so that its columns stay.
    match word.len() {
        64 if hex => "ID",
        // A port by itself, in JSON.
        5 if word.bytes().all(|b| b.is_ascii_digit()) => "PORT",
        8 if hex => "SHORT-ID",
        19 if word.starts_with("SHA256:") => "SHA256:FINGERPRINTS",
        _ if word.starts_with("SHA256:") => "SHA256:WHOLE",
        _ if word.starts_with("AAAAB3NzaC1yc2E") => "KEY",
        _ if port_of("127.0.0.1:") => "127.0.0.1:PORT",
        _ if port_of("localhost:") => "localhost:PORT",
        _ => word,
    }
}
