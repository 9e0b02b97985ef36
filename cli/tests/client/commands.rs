//! Every command as people and scripts see it: the real binary against a real registry, its output
//! pinned by snapshots.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::common::command as xlreg;
use crate::common::made_up::{Manners, serve_as_deployed, short_registry};
use crate::common::place::{Place, code, json, skipped, stderr, stdout};

#[test]
fn register_gives_a_node_an_id_and_the_same_one_again() {
    let place = Place::new();
    let outputs = place.pin(
        "register",
        &[
            "register --registry regCred.dat --node host1 --name host1 --end-point 10.0.0.1:4000 \
             --end-point h:0",
            "register --registry regCred.dat --node host1 --name host1",
            "register --registry regCred.dat --node host1 --name host1 --dialect chained --json",
            "register --registry none.dat --node host1 --name host1",
            "register --registry regCred.dat --node host1 --name host1 --end-point nowhere",
        ],
    );
    let kept = fs::read_to_string(place.path("host1/id")).unwrap();
    let kept = kept.trim_end();
    assert!(stdout(&outputs[0]).contains(kept) && stdout(&outputs[1]).contains(kept));
    assert_eq!(json(&outputs[2])["id"], kept);
    assert_eq!(json(&outputs[2])["attrs"], 4, "a solo node");

    // An ID under other keys is not this node.
    fs::create_dir(place.path("thief")).unwrap();
    place.run("register --registry regCred.dat --node thief --name thief");
    fs::copy(place.path("host1/id"), place.path("thief/id")).unwrap();
    // Without it the node itself knows better.
    fs::remove_file(place.path("thief/manifest")).unwrap();
    place.pin("register_refused", &["register --registry regCred.dat --node thief --name thief"]);
}

#[test]
fn create_makes_a_cluster_or_finds_it_and_members_tells_who_is_there() {
    let place = Place::new();
    let outputs = place.pin(
        "create",
        &[
            "create alpha --size 2 --registry regCred.dat",
            "create alpha --size 2 --registry regCred.dat --node admin --json",
            "create alpha --size 3 --end-points 2 --registry regCred.dat --node admin \
             --dialect chained",
            "create alpha --size 0 --registry regCred.dat",
            "create alpha --size 2 --end-points 3 --registry regCred.dat",
            "create alpha --size 2 --registry none.dat",
        ],
    );
    let id = json(&outputs[1])["cluster"]["id"].as_str().unwrap().to_owned();
    assert!(stdout(&outputs[0]).contains(&id) && stdout(&outputs[2]).contains(&id));
    assert!(place.path("admin/id").exists(), "--node keeps the administrator");

    place.pin(
        "members",
        &[
            "members alpha --registry regCred.dat",
            "join alpha --registry regCred.dat --node host1 --name host1 --end-point 10.0.0.1:4000 \
             --no-wait",
            "members alpha --registry regCred.dat",
            "members alpha --registry regCred.dat --node watcher --dialect chained --json",
            "members beta --registry regCred.dat",
            "members a.b/c --registry regCred.dat",
        ],
    );
    let by_id = place.run(&format!("members --id {id} --registry regCred.dat --json"));
    assert_eq!(code(&by_id), 0, "{}", stderr(&by_id));
    assert_eq!(json(&by_id)["cluster"]["id"], id);
    assert_eq!(json(&by_id)["members"][0]["name"], "host1");
}

#[test]
fn join_no_wait_prints_what_is_known() {
    let place = Place::new();
    let join = "join alpha --registry regCred.dat --end-point 10.0.0.1:4000";
    place.pin(
        "join_no_wait",
        &[
            &format!("{join} --node host1 --name host1 --create 2 --no-wait --json"),
            &format!("{join} --node host2 --name host2 --dialect chained --no-wait"),
            &format!("{join} --node host1 --name host1 --json --timeout 120"),
            &format!("{join} --node host3 --name host3 --no-wait"),
        ],
    );
    let waited = place.run(&format!("{join} --node host1 --name host1 --timeout 0"));
    assert_eq!(code(&waited), 3, "{}", stderr(&waited));
}

#[test]
fn a_credential_is_shown_fetched_and_compared() {
    let place = Place::new();
    let text = fs::read_to_string(place.path("regCred.dat")).unwrap();
    fs::write(
        place.path("moved.dat"),
        text.replace("127.0.0.1", "localhost").replace("1.9.24", "1.9.25"),
    )
    .unwrap();
    fs::write(place.path("torn.dat"), text.split_at(100).0).unwrap();
    let outputs = place.pin(
        "credential",
        &[
            "credential show regCred.dat",
            "credential show regCred.dat --json",
            "credential show torn.dat",
            "credential show",
            "credential fetch --registry regCred.dat",
            "credential fetch --registry regCred.dat --dialect chained --json",
            "credential fetch --registry moved.dat",
            "credential fetch --registry moved.dat --json",
            "credential fetch",
        ],
    );
    assert_eq!(stdout(&outputs[4]), text, "fetched, it is the file");
    compare_with_ssh_keygen(&place, &stdout(&outputs[0]), &text);
}

/// Fingerprints are those of `ssh-keygen -lf`, where there is one.
fn compare_with_ssh_keygen(place: &Place, shown: &str, text: &str) {
    for field in ["CommsPubKey: ", "SigPubKey: "] {
        let key = text.split_once(field).unwrap().1.lines().next().unwrap();
        fs::write(place.path("key.pub"), key).unwrap();
        match Command::new("ssh-keygen").arg("-lf").arg(place.path("key.pub")).output() {
            Ok(told) => assert!(shown.contains(stdout(&told).trim_end()), "{shown}\n{told:?}"),
            Err(_) => skipped("fingerprints against ssh-keygen, which is not there"),
        }
    }
}

#[test]
fn short_keys_are_warned_of() {
    let place = Place::bare();
    let (_, credential) = short_registry("127.0.0.1:4000");
    fs::write(place.path("short.dat"), credential.to_string()).unwrap();
    place.pin("short_keys", &["credential show short.dat"]);
}

#[test]
fn members_says_that_deployed_servers_tell_members_only() {
    let place = Place::bare();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (comms, credential) = short_registry(&address);
    fs::write(place.path("regCred.dat"), credential.to_string()).unwrap();
    let line = "members alpha --registry regCred.dat";
    // On its own, so that a command that never comes is a failure and no hang.
    thread::spawn(move || {
        for manners in [Manners::Refuse, Manners::HangUp] {
            serve_as_deployed(&listener, &comms, manners);
        }
    });
    place.pin("members_of_deployed", &[line, line]);
}

#[test]
fn a_registry_that_is_gone_or_another_is_explained() {
    let place = Place::new();
    let other = Place::new();
    let text = fs::read_to_string(place.path("regCred.dat")).unwrap();
    let end = |text: &str| -> String {
        text.split_once("TcpEndPoint: ").unwrap().1.lines().next().unwrap().into()
    };
    let elsewhere = end(&fs::read_to_string(other.path("regCred.dat")).unwrap());
    fs::write(place.path("wrong.dat"), text.replace(&end(&text), &elsewhere)).unwrap();
    let commands = [
        "register --node host1 --name host1",
        "create alpha --size 2",
        "members alpha",
        "credential fetch",
    ];
    // All at once, since each goes on for its ten seconds.
    let running = commands.map(|command| {
        let line = format!("{command} --registry wrong.dat");
        let args: Vec<_> = line.split(' ').collect();
        xlreg(&args).current_dir(place.temp.path()).spawn().unwrap()
    });
    for (command, child) in commands.into_iter().zip(running) {
        let output = child.wait_with_output().unwrap();
        assert_eq!(code(&output), 1, "{command}");
        let message = stderr(&output);
        assert!(message.contains("the handshake failed"), "{command}: {message}");
        assert!(message.contains("does not hold the key in wrong.dat"), "{command}: {message}");
    }
    fs::write(place.path("gone.dat"), text.replace(&end(&text), "127.0.0.1:1")).unwrap();
    let output = place.run("members alpha --registry gone.dat");
    assert_eq!(code(&output), 5);
    assert!(stderr(&output).contains("cannot reach the registry xlReg (127.0.0.1:1: "));
    // For programs the same, as lines of JSON: that it is tried again, and the error.
    let output = place.run("members alpha --registry gone.dat --json");
    assert_eq!(code(&output), 5);
    let said = stderr(&output);
    let lines: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [waiting, error] = &lines[..] else { panic!("{said}") };
    assert_eq!(waiting["kind"], "waiting");
    assert!(waiting["message"].as_str().unwrap().ends_with("trying again for up to 10 seconds"));
    assert_eq!((&error["kind"], &error["exit_code"]), (&"unreachable".into(), &5.into()));
    let text = |key: &str| error[key].as_str().unwrap().to_owned();
    assert!(text("message").starts_with("cannot reach the registry xlReg (127.0.0.1:1: "));
    assert!(text("advice").starts_with("is the registry running"));
    assert!(output.stdout.is_empty());
}

#[test]
fn completions_and_the_manual_know_every_command() {
    let place = Place::bare();
    for shell in ["bash", "zsh", "fish"] {
        let output = place.run(&format!("completions {shell}"));
        assert_eq!((code(&output), stderr(&output)), (0, String::new()));
        for command in commands() {
            assert!(stdout(&output).contains(&command), "{shell}: {command}");
        }
    }
    let manual = stdout(&place.run("man"));
    assert!(manual.contains(".TH xlreg 1"));
    for command in
        commands().iter().map(String::as_str).chain(["credential-show", "credential-fetch"])
    {
        assert!(manual.contains(&format!(".TH xlreg-{command} 1")), "{command}");
    }
    assert_eq!(code(&place.run("completions cmd.exe")), 2);
    assert_eq!(code(&place.run("man page")), 2);
}

/// Each is good in itself. That they do not go together is told before any file is read, as text
/// also to programs.
#[test]
fn arguments_that_do_not_go_together_are_a_usage_error() {
    let place = Place::bare();
    let id = "105f1a9aab6ed41d1de4bfefa074c824bd05e3d4";
    let join = "--registry none.dat --node n --name n --end-point h:1";
    for (line, why) in [
        (
            format!("join alpha {join} --end-point h:2 --end-point h:3 --json"),
            "--end-point may be given once or twice, not more",
        ),
        (
            format!("join --id {id} {join} --create 3 --progress json"),
            "--create needs the cluster's name, not an ID",
        ),
        (
            format!("members --id {id} --registry none.dat --wait --json"),
            "--wait needs a number with --id, as --wait=3: a registry tells a cluster's size to \
             those who know its name",
        ),
    ] {
        let output = place.run(&line);
        assert_eq!((code(&output), stderr(&output)), (2, format!("xlreg: {why}\n")), "{line}");
        assert!(output.stdout.is_empty(), "{line}");
    }
    assert_eq!(code(&place.run(&format!("members alpha --id {id} --registry none.dat"))), 2);
    assert_eq!(code(&place.run("members --registry none.dat")), 2);
}

/// The subcommands, as `xlreg help` lists them.
fn commands() -> Vec<String> {
    let help = stdout(&xlreg(&["--help"]).output().unwrap());
    let list = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let first = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    let commands: Vec<_> = list.lines().map(first).filter(|command| command != "help").collect();
    assert!(commands.len() >= 9, "{commands:?}");
    commands
}

#[test]
fn every_help_tells_exit_codes_and_examples() {
    let mut pages = commands();
    pages.extend(["credential show", "credential fetch"].map(String::from));
    for page in pages {
        let args: Vec<_> = page.split(' ').chain(["--help"]).collect();
        let output = xlreg(&args).output().unwrap();
        assert_eq!(code(&output), 0);
        let help = stdout(&output);
        assert!(help.contains(&format!("\n  xlreg {page}")), "an example in {page} --help");
        assert!(help.contains("Exit codes:\n  0  "), "exit codes in {page} --help");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_cannot_be_written_is_a_failure_and_a_closed_pipe_is_not() {
    for args in [&["man"][..], &["completions", "bash"], &["completions", "fish"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = xlreg(args).stdout(full).output().unwrap();
        assert_eq!(code(&output), 1, "{args:?}");
        assert!(stderr(&output).contains("cannot write the output"), "{}", stderr(&output));
        let mut piped = xlreg(args).spawn().unwrap();
        drop(piped.stdout.take());
        assert!(piped.wait().unwrap().success(), "{args:?}");
    }
}

/// Runs a command line under `script`, which gives it a terminal; `None` if there is no `script`.
fn on_a_terminal(dir: &Path, line: &str, no_color: &str) -> Option<Child> {
    let known = Command::new("script").arg("--version").output();
    if !known.is_ok_and(|told| stdout(&told).contains("util-linux")) {
        skipped("what a terminal shows, for want of the `script` of util-linux");
        return None;
    }
    let mut command = Command::new("script");
    let line = format!("{} {line}", env!("CARGO_BIN_EXE_xlreg"));
    command.args(["-qec", &line, "/dev/null"]).current_dir(dir);
    command.env("TERM", "xterm").env("NO_COLOR", no_color);
    Some(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap())
}

#[test]
fn colours_are_for_terminals_whose_user_wants_them() {
    let place = Place::bare();
    for (no_color, coloured) in [("", true), ("1", false)] {
        let Some(terminal) = on_a_terminal(place.temp.path(), "join", no_color) else { return };
        let output = terminal.wait_with_output().unwrap();
        assert_eq!(code(&output), 2);
        assert_eq!(stdout(&output).contains("\x1b["), coloured, "{output:?}");
    }
    assert!(!stderr(&place.run("join")).contains('\x1b'));
}

#[test]
fn a_terminal_shows_members_as_they_arrive() {
    let place = Place::new();
    let join = |name: &str, more: &str| {
        format!(
            "join alpha --registry regCred.dat --node {name} --name {name} --end-point a:1 {more}"
        )
    };
    let alice = join("alice", "--create 2 --timeout 120");
    let Some(mut terminal) = on_a_terminal(place.temp.path(), &alice, "") else { return };
    // Alice is shown while she waits; only then does Bob come.
    let mut screen = terminal.stdout.take().unwrap();
    let mut shown = Vec::new();
    let read_on = |shown: &mut Vec<u8>, screen: &mut dyn Read| {
        let mut chunk = [0; 1024];
        let n = screen.read(&mut chunk).unwrap();
        shown.extend_from_slice(&chunk[..n]);
        n > 0
    };
    let holds = |shown: &[u8], text: &str| String::from_utf8_lossy(shown).contains(text);
    while !holds(&shown, "1 of 2 members") {
        assert!(read_on(&mut shown, &mut screen), "{}", String::from_utf8_lossy(&shown));
    }
    let bob = place.run(&join("bob", "--timeout 120"));
    assert_eq!(
        (code(&bob), stderr(&bob)),
        (0, String::new()),
        "nothing is drawn without a terminal"
    );
    while read_on(&mut shown, &mut screen) {}
    assert!(terminal.wait().unwrap().success());

    let shown = String::from_utf8_lossy(&shown);
    for text in ["alpha [", "alice is there", "bob is there", "2 of 2 members"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    // The bar has cleared itself away before the members are printed.
    let (before, table) = shown.split_once("INDEX").expect(&shown);
    assert!(before.ends_with("\x1b[2K") || before.ends_with('\r'), "{before:?}");
    assert!(!table.contains("of 2 members"), "{table:?}");
    assert!(!shown.contains("\x1b[3"), "no colour was asked for: {shown:?}");
}
