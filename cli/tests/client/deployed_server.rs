//! No command ends a deployed server by itself, however it ends and whenever the server is
//! restarted: the real binary against the tests' model of one.

mod front;
use std::fs;
use std::process::{Command, Output};

use front::Front;
use xlreg::identity::{EndPoint, MemberAttrs, NodeId, Version};
use xlreg_testkit::deployed::{Cause, Fault, Member, Ways};
use xlreg_testkit::{KEYS, Seeded, identity};

use crate::common::command as xlreg;
use crate::common::place::{Place, code, json, stderr, stdout};

const VERSIONS: [Version; 2] = [Version::new(1, 9, 24, 0), Version::new(1, 8, 4, 0)];

/// The Ops of the log: Member, Create, Join, GetCluster, Bye.
const JOINED: [u64; 5] = [3, 5, 7, 9, 11];
const CREATED: [u64; 3] = [3, 5, 11];
const REGISTERED: [u64; 2] = [3, 11];
/// The question that tells deployed servers from others.
const ASKED: [u64; 2] = [3, 9];

/// A deployed server with Bob, who joins whatever others have joined; a directory with its regCred
/// and the node Alice.
struct Scene {
    front: Front,
    place: Place,
}

impl Scene {
    fn new(version: Version) -> Self {
        Self::with(Front::start(Ways::of(version), registry()).with_company(bob()))
    }

    fn with(front: Front) -> Self {
        let place = Place::bare();
        fs::write(place.path("regCred.dat"), front.credential().to_string()).unwrap();
        identity("alice", 0).save(&place.path("alice")).unwrap();
        Self { front, place }
    }

    /// With a cluster for two that Bob is in.
    fn with_duo(version: Version) -> Self {
        let scene = Self::new(version);
        scene.front.server(|server| {
            server.create(b"duo", 2, 1);
            server.clusters[0].members.push(bob());
        });
        scene
    }

    fn with_fault(self, fault: Fault) -> Self {
        self.front.server(|server| server.ways.fault = Some(fault));
        self
    }

    /// Runs a command line with the server's regCred.
    fn run(&self, line: &str) -> Output {
        let line = format!("{line} --registry regCred.dat");
        let args: Vec<_> = line.split(' ').collect();
        self.command(&args).output().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = xlreg(args);
        command.current_dir(self.place.temp.path());
        // Whatever it keeps of the user stays here.
        command.env("XDG_STATE_HOME", self.place.path("state")).env("HOME", self.place.temp.path());
        command
    }

    /// Runs a command line that must end like this, having sent these; the server lives.
    #[track_caller]
    fn check_exit(&self, line: &str, exit: i32, ops: &[u64]) -> Output {
        let before = self.ops().len();
        let output = self.run(line);
        assert_eq!(self.deaths(), [], "{line}: {}", told(&output));
        assert_eq!(code(&output), exit, "{line}: {}", told(&output));
        assert_eq!(&self.ops()[before..], ops, "{line}: {}", told(&output));
        output
    }

    fn ops(&self) -> Vec<u64> {
        self.front.server(|server| server.ops())
    }

    fn deaths(&self) -> Vec<Cause> {
        self.front.server(|server| server.deaths.clone())
    }
}

/// A restart with each of the first so many replies.
fn faults(replies: usize) -> Vec<Fault> {
    (1..=replies).flat_map(|n| [Fault::RestartAfter(n), Fault::RestartBefore(n)]).collect()
}

fn told(output: &Output) -> String {
    format!("{}{}", stdout(output), stderr(output))
}

fn registry() -> xlreg::identity::Identity {
    identity("xlReg", KEYS.comms.len() - 1)
}

fn bob() -> Member {
    let end: EndPoint = "10.0.0.2:4000".parse().unwrap();
    let token = identity("bob", 1).token(MemberAttrs::NONE, vec![end], &mut Seeded::new(1));
    Member::new(&token.unwrap(), &[0xb0; 20])
}

const ALICE: &str = "--node alice --name alice";

fn join(cluster: &str) -> String {
    format!("join {cluster} {ALICE} --end-point 10.0.0.1:4000 --timeout 30")
}

/// Which cluster to join or to look at: by name and by ID, one that is there and one that is not.
fn clusters(scene: &Scene) -> [String; 4] {
    let id = scene.front.server(|server| server.clusters[0].id.clone());
    let id = NodeId::from_bytes(&id).unwrap();
    ["duo".into(), "nope".into(), format!("--id {id}"), format!("--id {}", "08".repeat(20))]
}

/// What works with a deployed server, and what it then sends.
fn served() -> [(String, &'static [u64]); 3] {
    [
        (format!("{} --create 2", join("duo")), &JOINED),
        ("create duo --size 2 --node alice".into(), &CREATED),
        (format!("register {ALICE} --end-point 10.0.0.1:4000"), &REGISTERED),
    ]
}

/// What does not, and the advice.
fn refused(scene: &Scene) -> Vec<(String, &'static str)> {
    let mut all = Vec::new();
    for cluster in clusters(scene) {
        all.push((join(&cluster), "--create SIZE is safe there"));
        let members = format!("members {cluster} --node alice");
        all.push((members, "'xlreg join CLUSTER --create SIZE ...' takes a place in it"));
    }
    all.push(("credential fetch".into(), "get its regCred.dat from its operator"));
    all.push(("bench --sessions 5 --concurrency 1".into(), "measure a server of your own"));
    all
}

#[test]
fn what_is_safe_is_done() {
    for version in VERSIONS {
        let scene = Scene::new(version);
        let outputs = served().map(|(line, ops)| scene.check_exit(&line, 0, ops));
        let [joined, created, registered] = outputs.map(|output| stdout(&output));
        assert!(joined.contains("alice") && joined.contains("bob"), "{joined}");
        assert!(created.contains("duo"), "{created}");
        assert!(registered.contains("10.0.0.1:4000"), "{registered}");
        let id = fs::read_to_string(scene.place.path("alice/id")).unwrap();
        assert!(registered.contains(id.trim()), "it keeps the ID that it was given");
    }
}

#[test]
fn what_is_not_is_refused_with_advice() {
    for version in VERSIONS {
        let scene = Scene::with_duo(version);
        for (line, advice) in refused(&scene) {
            let output = scene.check_exit(&line, 4, &ASKED);
            let said = stderr(&output);
            assert!(said.contains("the registry is a deployed server"), "{line}: {said}");
            assert!(said.contains(advice), "{line}: {said}");
            assert_eq!(stdout(&output), "", "{line}");
        }
        let output = scene.check_exit("members duo --node alice --json", 4, &ASKED);
        let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!((&error["kind"], &error["exit_code"]), (&"refused".into(), &4.into()));
        assert!(error["advice"].as_str().unwrap().contains("--create SIZE"));
        // Nothing was joined by it.
        assert_eq!(scene.front.server(|server| server.clusters[0].members.len()), 1);
    }
}

#[test]
fn restarted_at_every_step_what_is_safe_is_done_in_the_end() {
    for version in VERSIONS {
        for (line, ops) in served() {
            // A reply for each, and the HelloReply.
            for fault in faults(ops.len() + 1) {
                let scene = Scene::new(version).with_fault(fault);
                let output = scene.run(&line);
                let case = format!("{line}, {fault:?}: {}", told(&output));
                assert_eq!((scene.deaths(), code(&output)), (vec![], 0), "{case}");
                assert!(scene.front.server(|server| server.ways.fault.is_none()), "{case}");
            }
        }
    }
}

#[test]
fn restarted_at_every_step_what_is_not_is_still_refused() {
    for version in VERSIONS {
        for nth in 0..10 {
            for fault in faults(3) {
                let scene = Scene::with_duo(version).with_fault(fault);
                let (line, advice) = refused(&scene).swap_remove(nth);
                let mut output = scene.run(&line);
                if line.starts_with("bench") && code(&output) != 4 {
                    // The only one that does not try again by itself.
                    output = scene.run(&line);
                }
                let case = format!("{line}, {fault:?}: {}", told(&output));
                assert_eq!((scene.deaths(), code(&output)), (vec![], 4), "{case}");
                assert!(stderr(&output).contains(advice), "{case}");
                // Not a Join, no RegCredRequest.
                assert!(scene.ops().iter().all(|op| ASKED.contains(op)), "{case}");
            }
        }
    }
}

#[test]
fn where_a_reply_is_lost_the_place_is_kept_and_that_is_said() {
    for version in VERSIONS {
        let (line, ops) = &served()[0];
        for n in 1..=ops.len() + 1 {
            let scene = Scene::new(version).with_fault(Fault::Loss(n));
            let output = scene.run(line);
            let case = format!("{n}: {}", told(&output));
            // The JoinReply, or what comes after it but the Ack.
            let exit = if matches!(n, 4 | 5) { 4 } else { 0 };
            assert_eq!((scene.deaths(), code(&output)), (vec![], exit), "{case}");
            let says = stderr(&output).contains("if this node has joined before, it has its place");
            assert_eq!(says, exit == 4, "{case}");
            assert_eq!(scene.front.server(|server| server.clusters[0].members.len()), 2);
        }
    }
}

#[test]
fn who_means_it_ends_it() {
    let lines = |scene: &Scene| {
        let [_, by_name, _, by_id] = clusters(scene);
        [
            (join(&by_name), Cause::JoinOfUnknownName("nope".into())),
            (join(&by_id), Cause::JoinOfUnknownId(vec![8; 20])),
            ("credential fetch".into(), Cause::BadOp(1)),
        ]
    };
    for version in VERSIONS {
        for nth in 0..3 {
            let scene = Scene::with_duo(version);
            let (line, cause) = lines(&scene)[nth].clone();
            let line = line.replace(" --timeout 30", "");
            let output = scene.run(&format!("{line} --timeout 1 --may-end-server"));
            assert_eq!(scene.deaths(), [cause], "{}", told(&output));
            // It is not tried again, and not advised to.
            assert_eq!(code(&output), 5, "{}", told(&output));
            assert!(stderr(&output).contains("may have ended it"), "{}", told(&output));
        }
        // What does no harm is done, and nothing else: the cluster is there.
        let scene = Scene::with_duo(version);
        scene.check_exit(&format!("{} --may-end-server", join("duo")), 0, &[3, 7, 9, 11]);
        scene.check_exit("members duo --node alice --may-end-server", 4, &ASKED);
    }
    // Started again at once, it is there for others.
    let front = Front::start(Ways::of(VERSIONS[0]), registry()).that_restarts();
    let scene = Scene::with(front);
    scene.run("credential fetch --timeout 30 --may-end-server");
    assert_eq!(scene.deaths(), [Cause::BadOp(1)], "once");
    assert_eq!(code(&scene.run(&served()[1].0)), 0);
    let scene = Scene::new(VERSIONS[0]);
    scene.front.server(|server| server.ways.descriptors = 10);
    scene.run("bench --sessions 20 --concurrency 1 --step hello --may-end-server");
    assert_eq!(scene.deaths(), [Cause::TooManyConnections]);
    let scene = Scene::new(VERSIONS[1]);
    scene.run(&format!("register {ALICE} --dialect prefixed --timeout 1 --may-end-server"));
    assert_eq!(scene.deaths(), [Cause::ShortHello { bytes: 44 }]);
}

#[test]
fn a_hello_of_a_newer_generation_is_not_sent_to_an_older_server() {
    let scene = Scene::with_duo(VERSIONS[1]);
    let lines = refused(&scene).into_iter().map(|(line, _)| line);
    for line in lines.chain(served().map(|(line, _)| line)) {
        let said = stderr(&scene.check_exit(&format!("{line} --dialect prefixed"), 4, &[]));
        assert!(said.contains("by a Hello of a newer generation; nothing was sent"), "{said}");
        assert!(said.contains("leave out --dialect"), "{line}: {said}");
    }
    assert_eq!(scene.front.server(|server| server.accepted()), 0);
    // The other way round it does no harm, and does not work.
    let scene = Scene::new(VERSIONS[0]);
    let line = format!("register {ALICE} --dialect chained --timeout 5");
    assert_ne!(code(&scene.run(&line)), 0);
    assert_eq!(scene.deaths(), []);
}

#[test]
fn what_a_network_may_cut_is_not_sent() {
    let long = |n| format!("{}example:{n}", format!("{}.", "h".repeat(60)).repeat(3));
    let end_points =
        |count| (1..=count).map(|n| format!(" --end-point {}", long(n))).collect::<String>();
    let lines = [
        format!("register {ALICE}{} --timeout 30", end_points(8)),
        format!("join duo --create 2 {ALICE}{} --timeout 30", end_points(2)),
    ];
    let says = |output: &Output| stderr(output).contains("fewer or shorter end points");
    for (version, line) in
        VERSIONS.iter().flat_map(|version| lines.iter().map(move |l| (*version, l)))
    {
        // Asked is by somebody who has less to say.
        let output = Scene::new(version).check_exit(line, 4, &ASKED);
        assert!(says(&output), "{}", told(&output));
        // One session finds that it has too much to say, the next asks.
        for fault in faults(4) {
            let scene = Scene::new(version).with_fault(fault);
            let output = scene.run(line);
            let case = format!("{line}, {fault:?}: {}", told(&output));
            assert_eq!((scene.deaths(), code(&output)), (vec![], 4), "{case}");
            assert!(says(&output) && scene.ops().iter().all(|op| ASKED.contains(op)), "{case}");
        }
    }
}

#[test]
fn a_size_is_what_the_server_makes_of_it() {
    for version in VERSIONS {
        let scene = Scene::new(version);
        for line in [
            "create solo --size 1 --node alice".into(),
            // And a cluster that exists keeps its own.
            "create solo --size 7 --node alice".into(),
        ] {
            let line: String = line;
            let output = scene.check_exit(&line, 0, &CREATED);
            assert!(stderr(&output).contains("size 2 instead of"), "{line}: {}", stderr(&output));
        }
        let output = scene.check_exit(&format!("{} --create 1 --json", join("solo")), 0, &JOINED);
        assert_eq!(json(&output)["cluster"]["max_size"], 2, "{}", told(&output));
        assert!(stderr(&output).contains("size 2 instead of 1"), "{}", told(&output));
        assert_eq!(json(&output)["members"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn one_of_many_creates_at_once_is_asked_for_again() {
    for version in VERSIONS {
        for (line, ops) in served() {
            let Some(after) = ops.strip_prefix(&[3, 5]) else { continue };
            let scene = Scene::new(version);
            scene.front.server(|server| server.ways.busy_at_create = Some(2));
            scene.check_exit("create other --size 2 --node alice", 0, &CREATED);
            let again = [&[3, 5, 3, 5], after].concat();
            let output = scene.check_exit(&line, 0, &again);
            assert!(stderr(&output).contains("trying again"), "{line}: {}", stderr(&output));
        }
    }
}

#[test]
fn a_node_that_comes_back_is_told_what_became_of_it() {
    for version in VERSIONS {
        let scene = Scene::new(version);
        let line = format!("{} --create 2", join("duo"));
        scene.check_exit(&line, 0, &JOINED);
        // Refused by name. Who refuses is asked, since one of this project refuses for another
        // reason.
        let again = [&[3, 5, 7], &ASKED[..]].concat();
        let moved = line.replace("10.0.0.1:4000", "10.0.0.9:9");
        let output = scene.check_exit(&moved, 4, &again);
        let (kept, said) = (stdout(&output), stderr(&output));
        assert!(kept.contains("bob") && kept.contains("10.0.0.1:4000"), "{kept}");
        assert!(
            said.contains("its place there is kept") && said.contains("10.0.0.1:4000"),
            "{said}"
        );
        assert!(said.contains("another --name would take a second place"), "{said}");
        assert!(!said.contains("another node has"), "{said}");
        let output = scene.check_exit(&format!("{moved} --json"), 4, &again);
        assert_eq!(json(&output)["kept"], true);
        // With nothing kept it is still said.
        for file in fs::read_dir(scene.place.path("alice")).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                fs::remove_file(path).unwrap();
            }
        }
        let output = scene.check_exit(&line, 4, &again);
        assert_eq!(stdout(&output), "");
        let said = stderr(&output);
        assert!(
            said.contains("it has its place") && !said.contains("run the same command"),
            "{said}"
        );
    }
}

#[test]
fn another_name_takes_a_second_place_and_that_is_said() {
    for version in VERSIONS {
        let scene = Scene::new(version);
        let line = format!("{} --create 3", join("trio"));
        scene.check_exit(&format!("{line} --no-wait"), 0, &JOINED);
        let output = scene.check_exit(&line.replace("--name alice", "--name alice-2"), 0, &JOINED);
        assert!(stderr(&output).contains("two places"), "{}", told(&output));
        for name in ["alice-2", "bob"] {
            assert!(stdout(&output).contains(name), "{}", told(&output));
        }
    }
}

#[test]
fn a_cluster_that_is_not_complete_in_time_ends_nothing() {
    for version in VERSIONS {
        let scene = Scene::new(version);
        let line = format!("{} --create 3", join("trio").replace("--timeout 30", "--timeout 1"));
        let output = scene.run(&line);
        assert_eq!((scene.deaths(), code(&output)), (vec![], 3), "{}", told(&output));
        let said = stderr(&output);
        assert!(said.contains("a deployed server accepts no node again under its name"), "{said}");
    }
}

#[test]
fn servers_before_1_5_0_are_refused_by_version() {
    for (known, speaks) in [("1.4.0", "1.4.0"), ("1.8.4", "1.4.0")] {
        let scene = Scene::new(speaks.parse().unwrap());
        let credential = xlreg::credential::Credential {
            version: known.parse().unwrap(),
            ..scene.front.credential()
        };
        fs::write(scene.place.path("regCred.dat"), credential.to_string()).unwrap();
        let refused = refused(&Scene::with_duo(VERSIONS[1]));
        let lines = refused.into_iter().map(|(line, _)| line).chain(served().map(|(line, _)| line));
        for line in lines {
            let output = scene.check_exit(&line, 4, &[]);
            assert!(
                stderr(&output).contains("the registry has version 1.4; "),
                "{line}: {}",
                stderr(&output)
            );
        }
    }
}

/// Who went back from a registry of this project to a deployed server with the same keys may still
/// have its regCred.
#[test]
fn what_the_server_says_of_itself_counts_and_not_what_a_file_says() {
    let scene = Scene::with_duo(VERSIONS[0]);
    let version = "2.0".parse().unwrap();
    let credential = xlreg::credential::Credential { version, ..scene.front.credential() };
    fs::write(scene.place.path("regCred.dat"), credential.to_string()).unwrap();
    for (line, advice) in refused(&scene) {
        let output = scene.check_exit(&line, 4, &ASKED);
        assert!(stderr(&output).contains(advice), "{line}: {}", stderr(&output));
    }
}

/// Ends it by a signal while it waits for members.
#[cfg(unix)]
#[test]
fn a_signal_ends_a_command_and_not_the_server() {
    for version in VERSIONS {
        let scene = Scene::new(version);
        let line = format!("{} --create 3 --registry regCred.dat", join("trio"));
        let args: Vec<_> = line.split(' ').collect();
        let child = scene.command(&args).spawn().unwrap();
        xlreg_testkit::wait::until("it waits", || scene.ops().len() > 6);
        let kill = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
        assert!(kill.unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!((scene.deaths(), code(&output)), (vec![], 143), "{}", told(&output));
        // It lives, and serves.
        scene.check_exit("create other --size 2 --node alice", 0, &CREATED);
    }
}
