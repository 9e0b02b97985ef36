//! Every command that a page shows is run as it is written: those of `xlreg` and of files here, in
//! order, on a machine of their own for each page; those that build, test and measure by `.ci/run`.
//! A block of commands that are not run says `console example`. Only the machine is played: its
//! files are below a folder of the test, its addresses are the loopback's, and systemd, Docker and
//! curl are what this file makes of them.

mod common;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::{Daemon, binary, command};
use tempfile::{TempDir, tempdir};
use xlreg_testkit::http;
use xlreg_testkit::run_words;

/// What the pages have as an address to listen at and an address to tell clients, each at its port.
const LISTENING: [&str; 3] = ["0.0.0.0", "127.0.0.1", "registry.example"];
/// Programs that are run as they are, on the files of the machine.
const TOOLS: [&str; 7] = ["cat", "cp", "grep", "install", "mkdir", "mv", "tar"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn file(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The pages, by their paths in the project.
fn pages() -> Vec<String> {
    let mut pages: Vec<_> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "fuzz/README.md"].map(String::from).into();
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let docs = docs.map(|name| format!("docs/{}", name.to_str().unwrap()));
    pages.extend(docs.filter(|path| path.ends_with(".md")));
    pages.push("examples/firmware/README.md".into());
    pages
}

/// A fenced block: what it is said to be, and its lines.
struct Block<'a> {
    kind: &'a str,
    lines: Vec<&'a str>,
}

/// The fenced blocks of a page, and the lines outside of them.
fn blocks<'a>(page: &str, text: &'a str) -> (Vec<Block<'a>>, Vec<&'a str>) {
    let (mut blocks, mut prose) = (Vec::<Block<'a>>::new(), Vec::new());
    let mut open = false;
    for line in text.lines() {
        match line.trim_start().strip_prefix("```") {
            Some(kind) if !open => blocks.push(Block { kind, lines: Vec::new() }),
            Some(_) => {}
            None if open => blocks.last_mut().unwrap().lines.push(line),
            None => prose.push(line),
        }
        open ^= line.trim_start().starts_with("```");
    }
    assert!(!open, "{page}: a block does not end");
    // Commands in an indented block would be seen by nobody.
    let programs = ["$ ", ".ci/", "benches/", "cargo ", "ci/", "fuzz/", "xlreg "];
    for line in &prose {
        let is_command = programs.iter().any(|program| line.trim().starts_with(program));
        assert!(!line.starts_with("    ") || !is_command, "{page}: not in a fence: {line}");
    }
    (blocks, prose)
}

impl Block<'_> {
    /// The commands, each as one line.
    fn commands(&self) -> Vec<String> {
        let mut commands = Vec::new();
        let mut lines = self.lines.iter();
        while let Some(line) = lines.next() {
            let Some(line) = line.strip_prefix("$ ") else { continue };
            let mut command = line.to_owned();
            loop {
                // A line that ends within quotes, or with a backslash, goes on.
                let cut = match command.strip_suffix('\\') {
                    Some(cut) => cut.trim_end(),
                    None if command.matches('\'').count() % 2 == 1 => command.as_str(),
                    None => break,
                };
                let more = lines.next().expect("a command goes on");
                command = format!("{cut} {}", more.trim());
            }
            commands.push(command);
        }
        commands
    }
}

/// What `.ci/run` runs because a page says so.
fn run_by_ci() -> BTreeSet<String> {
    let script = file(".ci/run");
    let quoted = script.split("    page '").skip(1).map(|rest| rest.split('\'').next().unwrap());
    let words = |command: &str| {
        command.replace("\\\n", " ").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let mut commands: BTreeSet<_> = quoted.map(words).collect();
    assert!(commands.len() > 3, "{commands:?}");
    commands.insert(".ci/run".into());
    commands
}

/// A machine on which the commands of one page are run.
struct Machine {
    root: TempDir,
    /// An address that no other test has.
    host: String,
    /// The registry, while it is served.
    daemon: Option<Daemon>,
    /// Another one, in a container.
    container: Option<Daemon>,
    /// What runs beside the page's next commands.
    beside: Vec<(String, Child)>,
}

impl Machine {
    fn new(number: usize) -> Self {
        let machine = Self {
            root: tempdir().unwrap(),
            host: format!("127.{}.{}.{number}", 1 + std::process::id() % 250, 1 + number % 250),
            daemon: None,
            container: None,
            beside: Vec::new(),
        };
        let home = machine.at("/home");
        fs::create_dir_all(&home).unwrap();
        fs::create_dir_all(machine.at("/usr/local/bin")).unwrap();
        // What somebody who installs it has before him: the binary and the service.
        symlink(env!("CARGO_BIN_EXE_xlreg"), home.join("xlreg")).unwrap();
        fs::write(home.join("xlreg.service"), file("cli/dist/xlreg.service")).unwrap();
        machine
    }

    /// Where a file of the machine is.
    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// A text with the machine's addresses and files.
    fn here(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for address in LISTENING {
            text = text.replace(&format!("{address}:"), &format!("{}:", self.host));
        }
        for place in ["/etc/", "/usr/", "/var/"] {
            let here = self.at(place).to_str().unwrap().to_owned() + "/";
            text = text.replace(&format!(" {place}"), &format!(" {here}"));
            text = text.replace(&format!("={place}"), &format!("={here}"));
            if text.starts_with(place) {
                text = here + &text[place.len()..];
            }
        }
        text
    }

    /// A program on this machine.
    fn program(&self, words: &[&str]) -> Command {
        let mut command = match words[0] {
            "xlreg" => binary(),
            program => Command::new(program),
        };
        command.args(&words[1..]).current_dir(self.at("/home"));
        command.env("XDG_STATE_HOME", self.at("/home/state")).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Serves with these words, which do not end by themselves.
    fn serve(&self, words: &[&str]) -> Daemon {
        let dir = words.iter().position(|word| *word == "--dir").expect("a directory") + 1;
        let dir = self.at("/home").join(words[dir]);
        let mut serve = self.program(words);
        if !words.contains(&"--listen") {
            serve.args(["--listen", &format!("{}:0", self.host)]);
        }
        Daemon::launch(serve, &dir, 1).unwrap()
    }

    fn run(&mut self, line: &str) {
        // A statement in quotes is one word, and nothing in it is for a shell.
        let (command, quoted) = match line.split_once(" '") {
            Some((command, statement)) => (command, statement.strip_suffix('\'')),
            None => (line, None),
        };
        assert!(!command.contains(['\'', '"', '|', '>', '<', ';', '$']), "no shell: {line}");
        let here = self.here(command);
        let mut words: Vec<_> = here.split_whitespace().chain(quoted).collect();
        let beside = words.last() == Some(&"&");
        words.truncate(words.len() - usize::from(beside));
        match (words[0], &words[1..]) {
            ("xlreg", ["serve", ..]) => {
                assert!(self.daemon.is_none(), "two registries");
                self.daemon = Some(self.serve(&words));
            }
            ("systemctl", rest) => self.systemctl(rest),
            ("docker", rest) => self.docker(rest),
            ("curl", [.., url]) => {
                let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
                let answer = http::get(address, &format!("/{path}"));
                assert!(answer.status.contains(" 200 "), "{line}: {}", answer.status);
            }
            ("sqlite3", words) => {
                let told = run_words(&self.at("/home"), "sqlite3", words);
                assert!(told.is_none_or(|told| !told.is_empty() || line.contains("NOT IN")));
            }
            (program, _) => {
                let known = program == "xlreg" || TOOLS.contains(&program);
                let ours = program.starts_with(self.root.path().to_str().unwrap());
                assert!(known || ours, "nobody runs `{line}`: see cli/tests/pages.rs");
                let child = self.program(&words).spawn().unwrap();
                self.beside.push((line.to_owned(), child));
                if !beside {
                    self.finish(1);
                }
            }
        }
    }

    /// Waits until the last so many programs have ended, which they must do well.
    fn finish(&mut self, last: usize) {
        for (line, child) in self.beside.split_off(self.beside.len() - last) {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{line}: {output:?}");
        }
    }

    fn systemctl(&mut self, words: &[&str]) {
        match words {
            ["enable", "--now", "xlreg"] | ["start", "xlreg"] => {
                let unit = fs::read_to_string(self.at("/etc/systemd/system/xlreg.service"));
                let unit = unit.unwrap();
                assert!(unit.lines().any(|line| line.starts_with("WatchdogSec=")));
                let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
                let start = self.here(start);
                let mut start: Vec<_> = start.split(' ').collect();
                assert!(Path::new(start[0]).exists(), "{start:?}");
                assert_eq!(start[1..3], ["serve", "--existing"], "it must make nothing");
                start[0] = "xlreg";
                let daemon = self.serve(&start);
                let told = daemon.credential();
                assert_eq!(told.end_points[0].as_str(), self.here("registry.example:56789"));
                self.daemon = Some(daemon);
            }
            ["stop", "xlreg"] => {
                let (status, ..) = self.daemon.take().expect("a registry").terminate();
                assert!(status.success());
            }
            ["restart", "xlreg"] => {
                self.systemctl(&["stop", "xlreg"]);
                self.systemctl(&["start", "xlreg"]);
            }
            other => panic!("an unknown step: {other:?}"),
        }
    }

    fn docker(&mut self, words: &[&str]) {
        let volume = self.at("/volume").to_str().unwrap().to_owned();
        if words[0] == "volume" {
            return fs::create_dir_all(volume).unwrap();
        }
        assert!(words.contains(&"xlreg:/var/lib/xlreg"), "{words:?}");
        // The image, whose entry point is the binary.
        let image = words.iter().position(|word| *word == "xlreg").unwrap();
        let dir = self.at("/var/lib/xlreg");
        let within = |word: &&str| Path::new(*word) == dir;
        let words: Vec<_> = words[image..]
            .iter()
            .map(|word| if within(word) { volume.as_str() } else { word })
            .collect();
        match words[1] {
            "init" => {
                let output = self.program(&words).output().unwrap();
                assert!(output.status.success(), "{output:?}");
            }
            "serve" => {
                assert_eq!(words[2], "--existing", "it must make nothing");
                self.container = Some(self.serve(&words));
            }
            other => panic!("an unknown step: {other}"),
        }
    }
}

/// Runs the blocks of a page. Says how many commands were run, here and by CI.
fn run(page: &str, number: usize) -> [usize; 2] {
    let text = file(page);
    let (blocks, _) = blocks(page, &text);
    let by_ci = run_by_ci();
    let mut machine = Machine::new(number);
    let mut ran = [0, 0];
    for block in blocks {
        let commands = block.commands();
        let rust = ["rust", "toml"].contains(&block.kind) && commands.is_empty();
        match block.kind {
            "console" => {}
            "console example" => continue,
            "text" => {
                assert!(commands.is_empty(), "{page}: commands in a text: {commands:?}");
                continue;
            }
            _ if rust => continue,
            other => panic!("{page}: a block of the kind '{other}'; {:?}", block.lines),
        }
        assert!(!commands.is_empty(), "{page}: no command in {:?}", block.lines);
        for command in commands {
            if by_ci.contains(&command) {
                ran[1] += 1;
            } else {
                println!("{page}: {command}");
                machine.run(&command);
                ran[0] += 1;
            }
        }
    }
    machine.finish(machine.beside.len());
    ran
}

#[test]
fn every_command_of_a_page_is_run_or_marked_as_an_example() {
    let mut ran = [0, 0];
    for (number, page) in pages().iter().enumerate() {
        let [here, by_ci] = run(page, number + 1);
        ran = [ran[0] + here, ran[1] + by_ci];
    }
    assert!(ran[0] > 10 && ran[1] > 3, "{ran:?}");
}

#[test]
fn what_ci_runs_for_a_page_is_on_a_page() {
    let mut shown = BTreeSet::from([".ci/run".to_owned()]);
    for page in pages() {
        let text = file(&page);
        shown.extend(blocks(&page, &text).0.iter().flat_map(Block::commands));
    }
    let missing: Vec<_> =
        run_by_ci().into_iter().filter(|command| !shown.contains(command)).collect();
    assert!(missing.is_empty(), "no page shows {missing:?}");
}

/// What is in backticks.
fn quoted<'a>(prose: &[&'a str]) -> Vec<&'a str> {
    prose.iter().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The subcommands that pages tell of.
const SUBCOMMANDS: [&str; 19] = [
    "demo",
    "serve",
    "init",
    "join",
    "register",
    "create",
    "members",
    "credential show",
    "credential fetch",
    "store verify",
    "store stats",
    "store backup",
    "store restore",
    "store export",
    "store import",
    "store compact",
    "bench",
    "completions",
    "man",
];

/// A subcommand's help, in which its flags are.
fn help(subcommand: &str) -> String {
    let words: Vec<_> = subcommand.split(' ').collect();
    let output = command(&words).arg("--help").output().unwrap();
    assert!(output.status.success(), "{subcommand}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_flag_that_is_named_is_there() {
    let helps = SUBCOMMANDS.map(|subcommand| (subcommand, help(subcommand)));
    let mut checked = 0;
    for page in ["README.md", "docs/operating.md"] {
        let text = file(page);
        let (_, prose) = blocks(page, &text);
        for span in quoted(&prose) {
            let words = span.strip_prefix("xlreg ").unwrap_or(span);
            let named = |name: &&(&str, String)| words.starts_with(name.0);
            let help: Vec<_> = match helps.iter().find(named) {
                Some((_, help)) if span.starts_with("xlreg ") => vec![help],
                // A flag by itself is one of any command.
                _ if span.starts_with("--") => helps.iter().map(|(_, help)| help).collect(),
                _ => {
                    assert!(!span.starts_with("xlreg ") || span == "xlreg --help", "{span}");
                    continue;
                }
            };
            for flag in words.split(' ').filter(|word| word.starts_with("--")) {
                let flag = flag.split(['=', '[']).next().unwrap();
                let is_there = help.iter().any(|help| help.contains(flag));
                assert!(is_there, "{page}: `{span}`: there is no {flag}");
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "{checked}");
}
