//! What programs read: every command's JSON as `docs/json-schema.json` says, progress as one object
//! a line, and waiting for members without being one.

mod schema;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use schema::Schema;
use serde_json::Value;
use xlreg_testkit::wait::HANG;

use crate::common::place::{Place, code, json, stderr};

const JOIN: &str = "join alpha --registry regCred.dat";

fn joins(name: &str, more: &str) -> String {
    format!("{JOIN} --node {name} --name {name} --end-point 10.0.0.1:4000 {more}")
}

#[test]
fn every_command_prints_what_the_schema_says() {
    let place = Place::new();
    let text = fs::read_to_string(place.path("regCred.dat")).unwrap();
    fs::write(place.path("moved.dat"), text.replace("127.0.0.1", "localhost")).unwrap();
    let commands = [
        ("create", "create alpha --size 2 --registry regCred.dat".to_owned(), 0),
        ("join", joins("a", "--timeout 3"), 3),
        ("join", joins("a", "--no-wait"), 0),
        ("members", "members alpha --registry regCred.dat".into(), 0),
        ("members", "members alpha --registry regCred.dat --wait=1".into(), 0),
        ("join", joins("b", "--end-point [::1]:0 --timeout 120"), 0),
        ("register", "register --registry regCred.dat --node n --name n --end-point h:1".into(), 0),
        ("credential_show", "credential show regCred.dat".into(), 0),
        ("credential_fetch", "credential fetch --registry regCred.dat".into(), 0),
        ("credential_fetch", "credential fetch --registry moved.dat".into(), 1),
        ("init", "init --dir other".into(), 0),
        ("demo", "demo".into(), 0),
        ("bench", "bench --registry regCred.dat --sessions 8 --concurrency 1".into(), 0),
        ("store_verify", "store verify --dir registry".into(), 0),
        ("store_stats", "store stats --dir registry".into(), 0),
        ("store_export", "store export --dir registry export.jsonl".into(), 0),
        ("store_backup", "store backup --dir registry backup".into(), 0),
        ("store_restore", "store restore --dir restored backup".into(), 0),
        ("store_compact", "store compact --dir other".into(), 0),
        ("error", "members beta --registry regCred.dat".into(), 4),
        ("error", "members beta --registry none.dat".into(), 1),
    ];
    let mut schema = Schema::read();
    let mut shown = BTreeSet::new();
    for (definition, line, exit) in commands {
        let output = place.run(&format!("{line} --json"));
        assert_eq!(code(&output), exit, "{line}: {}", stderr(&output));
        let value = match definition {
            "error" => serde_json::from_slice(&output.stderr).unwrap(),
            _ => json(&output),
        };
        schema.check(definition, &value);
        shown.insert(definition);
    }
    // A directory with the registry's keys, and without its store.
    for file in ["comms_key.pem", "sig_key.pem", "name", "id"] {
        fs::create_dir_all(place.path("again")).unwrap();
        fs::copy(place.path("registry").join(file), place.path("again").join(file)).unwrap();
    }
    let output = place.run("store import --dir again export.jsonl --json");
    schema.check("store_import", &json(&output));
    shown.insert("store_import");
    schema.confirm();
    // Each command that has JSON was tried: the schema has no others.
    let parts = ["address", "cluster", "dialect", "event", "fingerprint", "id", "id_or_null"];
    let parts: BTreeSet<_> = parts.into_iter().chain(["key", "member", "name"]).collect();
    for definition in schema.definitions().map(String::as_str) {
        let elsewhere = parts.contains(definition) || definition.starts_with("event_");
        assert_ne!(shown.contains(definition), elsewhere, "{definition}");
    }
}

#[test]
fn the_same_thing_has_the_same_keys_everywhere() {
    let place = Place::new();
    let joined = json(&place.run(&format!(
        "{JOIN} --node a --name a --end-point 10.0.0.1:4000 --end-point [fe80::1]:0 --create 1 \
         --json"
    )));
    let member = &joined["members"][0];
    assert_eq!(
        member["addresses"],
        serde_json::json!([{ "host": "10.0.0.1", "port": 4000 }, { "host": "fe80::1", "port": 0 }])
    );
    assert_eq!(member["end_points"], serde_json::json!(["10.0.0.1:4000", "[fe80::1]:0"]));
    let shown = json(&place.run("credential show regCred.dat --json"));
    let init = json(&place.run("init --dir registry2 --json"));
    let registered = json(&place.run("register --registry regCred.dat --node a --name a --json"));
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    // `init` has who it is; the others where it listens too.
    for value in [member, &shown, &registered] {
        let more: Vec<_> = keys(&init).difference(&keys(value)).cloned().collect();
        assert_eq!(more, Vec::<String>::new());
        assert!(keys(value).contains("addresses"));
    }
    for key in keys(&init) {
        assert_eq!(member[&key], registered[&key], "{key}");
    }
    let seen = json(&place.run("members alpha --registry regCred.dat --json"));
    assert_eq!(seen["members"], joined["members"]);
    assert_eq!(keys(&seen), keys(&joined));
}

/// Each line as an event.
fn events(schema: &mut Schema, output: &Output) -> Vec<Value> {
    let events: Vec<Value> =
        stderr(output).lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for event in &events {
        schema.check("event", event);
    }
    events
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

#[test]
fn progress_is_told_as_one_object_a_line() {
    let place = Place::new();
    let mut schema = Schema::read();
    let output = place.run(&joins("a", "--create 1 --progress json"));
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let told = events(&mut schema, &output);
    assert_eq!(names(&told), ["connected", "identified", "created", "joined", "member", "done"]);
    assert_eq!(told[3]["cluster"]["name"], "alpha");
    assert_eq!(told[4]["member"]["name"], "a");
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("INDEX"), "still for people");

    let output = place.run("members alpha --registry regCred.dat --progress json --json");
    let told = events(&mut schema, &output);
    assert_eq!(names(&told), ["connected", "identified", "found", "member", "done"]);
    assert_eq!(told[3]["member"], json(&output)["members"][0]);

    // What else is said on stderr is an object too.
    let refused = place.run(&joins("b", "--progress json"));
    let told = events(&mut schema, &refused);
    assert_eq!((code(&refused), names(&told).pop()), (4, Some("error")));
    let mut homeless = place.command(&["members", "alpha", "--registry", "regCred.dat"]);
    homeless.args(["--progress", "json"]).env("XDG_STATE_HOME", place.path("regCred.dat"));
    let output = homeless.output().unwrap();
    let told = events(&mut schema, &output);
    assert_eq!(names(&told)[0], "note");
    assert!(
        told[0]["message"].as_str().unwrap().starts_with("this user's identity cannot be kept")
    );
    let silent = place.run("members alpha --registry regCred.dat --progress none");
    assert_eq!(stderr(&silent), "");
    schema.confirm();
}

/// A command that tells what happens.
struct Watched {
    process: Child,
    told: Receiver<String>,
}

impl Watched {
    fn start(place: &Place, line: &str) -> Self {
        let args: Vec<_> = line.split(' ').chain(["--json", "--progress", "json"]).collect();
        let mut process = place.command(&args).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let (tell, told) = channel();
        thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|it| tell.send(it))
        });
        Self { process, told }
    }

    /// The next of its events with this name.
    fn next(&mut self, name: &str) -> Value {
        loop {
            let Ok(line) = self.told.recv_timeout(HANG) else {
                let _ = self.process.kill();
                panic!("no {name}");
            };
            let event: Value = serde_json::from_str(&line).expect(&line);
            if event["event"] == name {
                return event;
            }
        }
    }
}

#[test]
fn members_waits_for_those_who_are_missing() {
    let place = Place::new();
    let created = json(&place.run("create alpha --size 2 --registry regCred.dat --json"));
    let id = created["cluster"]["id"].as_str().unwrap();
    place.run(&joins("a", "--no-wait"));
    let mut all = Watched::start(&place, "members alpha --registry regCred.dat --wait");
    let mut two = Watched::start(
        &place,
        &format!("members --id {id} --registry regCred.dat --node w --wait=2"),
    );
    assert_eq!(all.next("found")["cluster"], created["cluster"]);
    assert_eq!(two.next("found")["cluster"]["max_size"], Value::Null);
    for watched in [&mut all, &mut two] {
        assert_eq!(watched.next("member")["member"]["name"], "a");
    }
    // One comes back with another end point, another one comes.
    place.run(&joins("a", "--no-wait").replace(":4000", ":5000"));
    for watched in [&mut all, &mut two] {
        assert_eq!(watched.next("changed")["member"]["end_points"][0], "10.0.0.1:5000");
    }
    assert_eq!(code(&place.run(&joins("b", "--timeout 120"))), 0);
    for (mut watched, complete) in [(all, true.into()), (two, Value::Null)] {
        assert_eq!(watched.next("member")["member"]["name"], "b");
        watched.next("done");
        let output = watched.process.wait_with_output().unwrap();
        assert_eq!(code(&output), 0);
        assert_eq!(
            (&json(&output)["complete"], &json(&output)["members"][1]["name"]),
            (&complete, &"b".into())
        );
    }
}

/// A registry that is gone for a while is waited for; what is known when the time is over is
/// printed.
#[test]
fn a_wait_outlives_the_registry_and_ends_in_time() {
    let mut place = Place::new();
    place.run("create alpha --size 2 --registry regCred.dat");
    place.run(&joins("a", "--no-wait"));
    let members = "members alpha --registry regCred.dat --wait";
    let mut watched = Watched::start(&place, members);
    assert_eq!(watched.next("member")["member"]["name"], "a");
    place.stop_registry();
    watched.next("waiting");
    place.start_registry();
    watched.next("connected");
    assert_eq!(code(&place.run(&joins("b", "--timeout 120"))), 0);
    // Who was told already is not told again.
    assert_eq!(watched.next("member")["member"]["name"], "b");
    watched.next("done");
    assert_eq!(code(&watched.process.wait_with_output().unwrap()), 0);

    place.run("create beta --size 2 --registry regCred.dat");
    place.run(&joins("a", "--no-wait").replace("alpha", "beta"));
    let output = place.run("members beta --registry regCred.dat --wait --timeout 3 --json");
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    let known = json(&output);
    assert_eq!((&known["complete"], &known["members"][0]["name"]), (&false.into(), &"a".into()));
    assert!(known["members"][1].is_null());
    let mut schema = Schema::read();
    schema.check("members", &known);
    schema.check("error", &serde_json::from_slice(&output.stderr).unwrap());
}

#[test]
fn a_wait_that_can_not_end_is_refused() {
    let place = Place::new();
    let created = json(&place.run("create alpha --size 2 --registry regCred.dat --json"));
    let id = created["cluster"]["id"].as_str().unwrap();
    let run = |line: &str| {
        let output = place.run(&format!("members {line} --registry regCred.dat"));
        (code(&output), stderr(&output))
    };
    let (exit, told) = run("alpha --wait=3");
    assert_eq!(exit, 1, "{told}");
    assert!(told.contains("alpha has room for 2 members, 3 will never be there"), "{told}");
    let (exit, told) = run(&format!("--id {id} --wait"));
    assert_eq!(exit, 2, "{told}");
    assert!(told.contains("--wait=3"), "{told}");
    for wrong in ["alpha --wait=0", "alpha --wait=65", "alpha --wait=some"] {
        assert_eq!(run(wrong).0, 2, "{wrong}");
    }
    // One that is not there is not waited for, and not made by it either.
    assert_eq!(run("beta --wait").0, 4);
    assert_eq!(run("beta").0, 4);
}
