//! The real binary over real TCP: a registry, members that join, and what they are told when they
//! may not.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

fn xlreg(args: &[&str]) -> Command {
    let mut command = crate::common::binary();
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running registry; stopped when dropped.
struct Registry {
    process: Child,
    address: String,
    dir: PathBuf,
}

impl Registry {
    /// Starts one in a directory and waits for the line that says where it listens.
    fn start(dir: &Path) -> Self {
        let path = dir.to_str().unwrap();
        let mut process =
            xlreg(&["serve", "--dir", path, "--listen", "127.0.0.1:0"]).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on ").expect(&line).trim_end().to_string();
        Self { process, address, dir: dir.into() }
    }

    fn credential(&self) -> PathBuf {
        self.dir.join("regCred.dat")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A node's `join` command.
fn join(registry: &Path, node: &Path, cluster: &str, end: &str, more: &[&str]) -> Command {
    let name = node.file_name().unwrap().to_str().unwrap();
    let mut command = xlreg(&["join", cluster, "--name", name, "--end-point", end, "--json"]);
    command.arg("--registry").arg(registry).arg("--node").arg(node).args(more);
    // A hang is a failure, in good time.
    command.args(if more.contains(&"--timeout") { &[][..] } else { &["--timeout", "120"] });
    command
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {output:?}"))
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The index a node has in what a join printed.
fn self_index(output: &Output) -> u64 {
    json(output)["self_index"].as_u64().unwrap()
}

#[test]
fn three_members_agree_a_fourth_is_refused_and_one_comes_back() {
    let temp = tempfile::tempdir().unwrap();
    let registry = Registry::start(&temp.path().join("registry"));
    let credential = registry.credential();
    let node = |name: &str| temp.path().join(name);

    let names = ["alice", "bob", "carol"];
    let running = names.map(|name| {
        let end = format!("{name}.example:4000");
        join(&credential, &node(name), "alpha", &end, &["--create", "3"]).spawn().unwrap()
    });
    let outputs = running.map(|process| process.wait_with_output().unwrap());
    for output in &outputs {
        assert_eq!(code(output), 0, "{}", stderr(output));
        assert_eq!(stderr(output), "", "quiet when piped");
        let told = json(output);
        assert_eq!(told["cluster"], json(&outputs[0])["cluster"]);
        assert_eq!(told["members"], json(&outputs[0])["members"]);
        assert_eq!(told["complete"], true);
    }
    let told = json(&outputs[0]);
    assert_eq!(told["cluster"]["name"], "alpha");
    assert_eq!(told["cluster"]["max_size"], 3);
    assert_eq!(told["cluster"]["end_point_count"], 1);
    assert_eq!(told["cluster"]["attrs"], 0);
    assert_eq!(told["cluster"]["id"].as_str().unwrap().len(), 64);
    let mut indexes = outputs.each_ref().map(self_index);
    for (output, name) in outputs.iter().zip(names) {
        let told = json(output);
        let member = &told["members"][self_index(output) as usize];
        assert_eq!(member["name"], name);
        assert_eq!(member["end_points"][0], format!("{name}.example:4000"));
        assert!(member["comms_key"].as_str().unwrap().starts_with("ssh-rsa "));
        let kept = std::fs::read_to_string(node(name).join("id")).unwrap();
        assert_eq!(member["id"], kept.trim_end());
    }
    indexes.sort_unstable();
    assert_eq!(indexes, [0, 1, 2]);

    let late =
        join(&credential, &node("dave"), "alpha", "dave.example:4000", &[]).output().unwrap();
    assert_eq!(code(&late), 4);
    assert!(stderr(&late).contains("cluster is full"), "{}", stderr(&late));
    assert!(late.stdout.is_empty());

    // bob comes back from the same directory, listening elsewhere; alice comes back and sees it.
    let back =
        join(&credential, &node("bob"), "alpha", "[2001:db8::b]:5000", &[]).output().unwrap();
    assert_eq!(code(&back), 0, "{}", stderr(&back));
    assert_eq!(self_index(&back), self_index(&outputs[1]));
    let id = told["cluster"]["id"].as_str().unwrap();
    let by_id = format!("--id={id}");
    let seen = join(&credential, &node("alice"), &by_id, "alice.example:4000", &[]);
    let seen = { seen }.output().unwrap();
    assert_eq!(code(&seen), 0, "{}", stderr(&seen));
    let seen = json(&seen);
    assert_eq!(seen["cluster"]["name"], Value::Null, "joined by ID, the name is not known");
    let bob = &seen["members"][self_index(&back) as usize];
    assert_eq!(
        (&bob["name"], &bob["end_points"][0]),
        (&"bob".into(), &"[2001:db8::b]:5000".into())
    );
}

#[test]
fn two_first_runs_of_one_node_are_one_member() {
    let temp = tempfile::tempdir().unwrap();
    let registry = Registry::start(&temp.path().join("registry"));
    let node = temp.path().join("twice");
    let run = || join(&registry.credential(), &node, "solo", "a:1", &["--create", "1"]);
    let running = [run(), run()].map(|mut command| command.spawn().unwrap());
    let outputs = running.map(|process| process.wait_with_output().unwrap());
    let kept = std::fs::read_to_string(node.join("id")).unwrap();
    for output in &outputs {
        assert_eq!(code(output), 0, "{}", stderr(output));
        assert_eq!(json(output)["members"][0]["id"], kept.trim_end());
    }
}

#[test]
fn a_directory_has_one_registry() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("registry");
    let _registry = Registry::start(&dir);
    let second = xlreg(&["serve", "--listen", "127.0.0.1:0", "--dir", dir.to_str().unwrap()]);
    let output = { second }.output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("another registry runs on"), "{}", stderr(&output));
}

#[test]
fn a_wrong_registry_key_fails_at_the_handshake_and_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let here = Registry::start(&temp.path().join("here"));
    let elsewhere = Registry::start(&temp.path().join("elsewhere"));
    let text = std::fs::read_to_string(elsewhere.credential()).unwrap();
    let wrong = temp.path().join("wrong.dat");
    std::fs::write(&wrong, text.replace(&elsewhere.address, &here.address)).unwrap();

    // A registry that hangs up may be overloaded: it is tried until the time is over.
    let eve = temp.path().join("eve");
    let output = join(&wrong, &eve, "alpha", "a:1", &["--timeout", "10"]).output().unwrap();
    assert_eq!(code(&output), 1);
    let message = stderr(&output);
    assert!(message.contains("the handshake failed"), "{message}");
    assert!(message.contains("does not hold the key in"), "{message}");
    assert!(message.contains("wrong.dat"), "{message}");
}

#[test]
fn waiting_in_vain_times_out_with_what_is_known() {
    let temp = tempfile::tempdir().unwrap();
    let registry = Registry::start(&temp.path().join("registry"));
    // Long enough to make keys and join even on a busy machine; the cluster never fills.
    let wait = ["--create", "2", "--timeout", "5"];
    let node = temp.path().join("alone");
    let output = join(&registry.credential(), &node, "pair", "a:1", &wait).output().unwrap();
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains("1 of 2 members"), "{}", stderr(&output));
    let told = json(&output);
    assert_eq!(told["complete"], false);
    assert_eq!(told["self_index"], 0);
    assert_eq!(told["members"][0]["name"], "alone");
}

#[test]
fn refusals_and_misuse_say_what_to_do() {
    let temp = tempfile::tempdir().unwrap();
    let registry = Registry::start(&temp.path().join("registry"));
    let credential = registry.credential();
    let node = temp.path().join("node");
    let run = |cluster: &str, more: &[&str]| {
        join(&credential, &node, cluster, "a:1", more).output().unwrap()
    };

    let mistyped = run("aplha", &[]);
    assert_eq!(code(&mistyped), 4);
    let message = stderr(&mistyped);
    assert!(message.contains("cannot find cluster with this name"), "{message}");
    assert!(message.contains("--create"), "{message}");

    let id = "ab".repeat(32);
    let id_with_create = run(&format!("--id={id}"), &["--create", "2"]);
    assert_eq!(code(&id_with_create), 2);
    assert_eq!(code(&run("alpha", &["--id", &id])), 2, "by name or by ID, not both");
    let unknown = run(&format!("--id={id}"), &[]);
    assert!(stderr(&unknown).contains("cannot find cluster with this ID"), "{}", stderr(&unknown));

    // A name may look like an ID, and is a name.
    let named = run(&id, &["--create", "1"]);
    assert_eq!(code(&named), 0, "{}", stderr(&named));
    assert_eq!(json(&named)["cluster"]["name"], id);
    let by_id = json(&named)["cluster"]["id"].as_str().unwrap().to_owned();
    let again = run(&format!("--id={by_id}"), &[]);
    assert_eq!(code(&again), 0, "{}", stderr(&again));
    assert_eq!(json(&again)["members"], json(&named)["members"]);
    assert_eq!(code(&run("not a name", &[])), 2);
    assert_eq!(code(&run("alpha", &["--create", "65"])), 2);
    assert_eq!(code(&run("alpha", &["--end-point", "b:2", "--end-point", "c:3"])), 2);
    assert_eq!(code(&xlreg(&["join", "alpha"]).output().unwrap()), 2);

    let nowhere = join(&temp.path().join("none"), &node, "alpha", "a:1", &[]).output().unwrap();
    assert_eq!(code(&nowhere), 1);
    assert!(stderr(&nowhere).contains("regCred.dat"), "{}", stderr(&nowhere));
}

#[test]
fn a_registry_that_is_gone_is_told_from_one_that_refuses() {
    let temp = tempfile::tempdir().unwrap();
    let registry = Registry::start(&temp.path().join("registry"));
    let credential = temp.path().join("regCred.dat");
    std::fs::copy(registry.credential(), &credential).unwrap();
    drop(registry);
    let node = temp.path().join("node");
    let wait = ["--timeout", "1"];
    let output = join(&credential, &node, "alpha", "a:1", &wait).output().unwrap();
    assert_eq!(code(&output), 3, "in the time that was given");
    assert!(stderr(&output).contains("cannot reach the registry"), "{}", stderr(&output));
}

#[test]
fn a_registry_keeps_its_keys_and_its_name() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("registry");
    let key_lines = |registry: &Registry| -> Vec<String> {
        let text = std::fs::read_to_string(registry.credential()).unwrap();
        text.lines().filter(|line| !line.contains("TcpEndPoint")).map(String::from).collect()
    };
    let first = Registry::start(&dir);
    let before = key_lines(&first);
    drop(first);
    assert_eq!(key_lines(&Registry::start(&dir)), before);
}

#[test]
fn the_demo_forms_its_cluster() {
    let output = xlreg(&["demo"]).output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    for name in ["alice", "bob", "carol"] {
        let line = text.lines().find(|line| line.contains(name)).expect(name);
        assert_eq!(line.matches("SHA256:").count(), 2, "{line}");
    }
    assert!(text.contains("all 3 members agree"), "{text}");

    let output = xlreg(&["demo", "--json"]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let told = json(&output);
    assert_eq!((&told["complete"], told["members"].as_array().unwrap().len()), (&true.into(), 3));
}
