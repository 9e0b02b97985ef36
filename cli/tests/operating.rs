//! The steps of a first start in `docs/operating.md`, run as they are written: only files are
//! elsewhere, the port is a free one, and what is not here (systemd, Docker) is played.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Daemon, command};
use tempfile::{TempDir, tempdir};

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The commands of a section.
fn steps(section: &str) -> Vec<Vec<String>> {
    let text = file("../docs/operating.md");
    let (_, text) = text.split_once(&format!("## {section}\n")).unwrap();
    let (_, text) = text.split_once("```console\n").unwrap();
    let (text, _) = text.split_once("```").unwrap();
    let words = |line: &str| line.split(' ').map(String::from).collect();
    text.lines().map(|line| words(line.strip_prefix("$ ").unwrap())).collect()
}

/// A machine to install on.
struct Machine {
    root: TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { root: tempdir().unwrap() }
    }

    /// Where a file of the machine is.
    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// The arguments, with the machine's files and a free port.
    fn here(&self, args: &[String]) -> Vec<String> {
        let place = |arg: &String| match arg.as_str() {
            path if path.starts_with('/') => self.at(path).to_str().unwrap().into(),
            "0.0.0.0:56789" => "127.0.0.1:0".into(),
            _ => arg.clone(),
        };
        args.iter().map(place).collect()
    }

    fn run(&self, command: &mut Command) {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
    }

    /// Serves with these arguments, which make nothing.
    fn serve(&self, args: &[String]) -> Daemon {
        assert!(args.starts_with(&["serve".into(), "--existing".into()]), "{args:?}");
        let mut args = self.here(args);
        if !args.contains(&"--listen".into()) {
            args.extend(["--listen".into(), "127.0.0.1:0".into()]);
        }
        let mut serve = command(&[]);
        serve.args(args);
        Daemon::launch(serve, &self.at("/var/lib/xlreg"), 1).unwrap()
    }
}

#[test]
fn the_steps_for_systemd_are_as_they_are_written() {
    let machine = Machine::new();
    let source = tempdir().unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_xlreg"), source.path().join("xlreg")).unwrap();
    fs::write(source.path().join("xlreg.service"), file("dist/xlreg.service")).unwrap();
    let mut served = false;
    for step in steps("First start under systemd") {
        match step[0].as_str() {
            "install" => machine
                .run(Command::new("install").args(machine.here(&step[1..])).current_dir(&source)),
            "/usr/local/bin/xlreg" => {
                machine.run(Command::new(machine.at(&step[0])).args(machine.here(&step[1..])));
            }
            "systemctl" => {
                assert_eq!(step[1..], ["enable", "--now", "xlreg"]);
                let unit = machine.at("/etc/systemd/system/xlreg.service");
                let unit = fs::read_to_string(unit).unwrap();
                assert!(unit.lines().any(|line| line.starts_with("WatchdogSec=")));
                let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
                let start: Vec<_> = start.split(' ').map(String::from).collect();
                assert!(machine.at(&start[0]).exists());
                let daemon = machine.serve(&start[1..]);
                assert_eq!(daemon.credential().end_points[0].as_str(), "registry.example:56789");
                served = true;
            }
            other => panic!("an unknown step: {other}"),
        }
    }
    assert!(served);
}

#[test]
fn the_steps_for_containers_are_as_they_are_written() {
    let machine = Machine::new();
    let mut served = false;
    for step in steps("First start in a container") {
        assert_eq!(step[0], "docker");
        if step[1] == "volume" {
            fs::create_dir_all(machine.at("/var/lib/xlreg")).unwrap();
            continue;
        }
        assert!(step.contains(&"xlreg:/var/lib/xlreg".into()), "{step:?}");
        // The image, whose entry point is the binary.
        let image = step.iter().position(|word| word == "xlreg").unwrap();
        let args = &step[image + 1..];
        match args[0].as_str() {
            "init" => machine.run(command(&[]).args(machine.here(args))),
            "serve" => {
                machine.serve(args);
                served = true;
            }
            other => panic!("an unknown step: {other}"),
        }
    }
    assert!(served);
}
