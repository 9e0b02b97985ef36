//! What waits for a network tries again, until its time is over or the user wants it to end.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use xlreg::credential::Credential;
use xlreg::identity::ClusterAttrs;
use xlreg::message::{ClusterInfo, Refusal, Reply, Request};

use xlreg_testkit::wait::until;

use crate::common::command as xlreg;
use crate::common::made_up::{member_ok, serve_one, short_registry};
use crate::common::place::{Place, code, json, stderr, stdout};

fn spawn(place: &Place, line: &str) -> Child {
    let args: Vec<_> = line.split(' ').collect();
    place.command(&args).spawn().unwrap()
}

/// A registry that is known but does not run.
fn stopped() -> Place {
    let mut place = Place::new();
    place.stop_registry();
    place
}

#[test]
fn a_registry_that_comes_up_later_is_waited_for_by_every_command() {
    for (line, expected) in [
        ("register --node host1 --name host1", "host1"),
        ("create alpha --size 2", "alpha"),
        ("credential fetch", "regCred {"),
        ("join alpha --node host1 --name host1 --end-point h:1 --create 2 --no-wait", "host1"),
    ] {
        let mut place = stopped();
        let line = format!("{line} --registry regCred.dat --timeout 60");
        let mut child = spawn(&place, &line);
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = said.next().unwrap().unwrap();
        assert!(first.starts_with("xlreg: cannot reach the registry xlReg (127.0.0.1:"), "{first}");
        assert!(first.contains("; trying again for up to "), "{first}");
        place.start_registry();
        let output = child.wait_with_output().unwrap();
        assert_eq!(code(&output), 0, "{line}");
        assert!(stdout(&output).contains(expected), "{line}: {}", stdout(&output));
        assert_eq!(said.count(), 0, "quiet after the first line");
    }
}

#[test]
fn without_a_time_it_is_said_at_once_how_long_it_goes_on() {
    let mut place = stopped();
    let mut child = spawn(&place, "members alpha --registry regCred.dat");
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = said.next().unwrap().unwrap();
    assert!(first.ends_with("trying again for up to 10 seconds"), "{first}");
    place.start_registry();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 4, "there is no such cluster");
    let help = stdout(&xlreg(&["members", "--help"]).output().unwrap());
    assert!(help.contains("Without --timeout the registry is tried for 10 seconds"), "{help}");
}

#[test]
fn a_registry_that_is_restarted_in_the_middle_is_joined_again() {
    let mut place = Place::new();
    let join = |name: &str| {
        format!(
            "join alpha --registry regCred.dat --node {name} --name {name} --end-point h:1 \
             --create 2 --json"
        )
    };
    let first = spawn(&place, &join("host1"));
    until("host1 has joined", || {
        stdout(&place.run("members alpha --registry regCred.dat --node watcher")).contains("host1")
    });
    place.stop_registry();
    place.start_registry();
    let second = place.run(&join("host2"));
    assert_eq!(code(&second), 0, "{}", stderr(&second));
    let first = first.wait_with_output().unwrap();
    assert_eq!(code(&first), 0, "{}", stderr(&first));
    assert_eq!(json(&first)["members"], json(&second)["members"]);
}

/// The same registry, at these addresses.
fn at(place: &Place, file: &str, addresses: &[&str]) {
    let credential = fs::read_to_string(place.path("regCred.dat")).unwrap();
    let credential: Credential = credential.parse().unwrap();
    let others = addresses.iter().map(|address| match *address {
        "its own" => credential.end_points[0].clone(),
        address => address.parse().unwrap(),
    });
    let moved = Credential { end_points: others.collect(), ..credential.clone() };
    fs::write(place.path(file), moved.to_string()).unwrap();
}

/// Addresses before the registry's own: one that refuses, and one that says nothing.
#[test]
fn all_addresses_are_tried_and_not_one_after_the_other() {
    let place = Place::new();
    // Its queue is full, so that nobody else gets an answer.
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = hole.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        queued.push(stream);
    }
    at(&place, "moved.dat", &["127.0.0.1:1", &address.to_string(), "its own"]);
    // The keys are there already: the time is for the network.
    let line = "register --node host1 --name host1 --registry";
    assert_eq!(code(&place.run(&format!("{line} regCred.dat"))), 0);
    // One address alone may be tried for 10 seconds.
    let output = place.run(&format!("{line} moved.dat --timeout 9"));
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
}

/// A forwarder takes connections for a registry that is not there, and closes them.
#[test]
fn an_address_without_a_registry_behind_it_does_not_hide_the_others() {
    let place = Place::new();
    let forwarder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = forwarder.local_addr().unwrap().to_string();
    thread::spawn(move || forwarder.incoming().for_each(drop));
    at(&place, "moved.dat", &[&address, "its own"]);
    for line in [
        "register --node host1 --name host1 --registry moved.dat",
        "join solo --node host1 --name host1 --end-point h:1 --create 1 --registry moved.dat",
    ] {
        let output = place.run(line);
        assert_eq!((code(&output), stderr(&output)), (0, String::new()), "{line}");
    }
}

/// As an overloaded registry does, or the forwarder of one that starts.
#[test]
fn a_registry_that_hangs_up_again_and_again_is_tried_until_the_time_is_over() {
    let place = Place::bare();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (comms, credential) = short_registry(&listener.local_addr().unwrap().to_string());
    fs::write(place.path("regCred.dat"), credential.to_string()).unwrap();
    thread::spawn(move || {
        for _ in 0..5 {
            drop(listener.accept().unwrap());
        }
        serve_one(&listener, &comms, |request| match request {
            Request::Member(token) => Some(member_ok(token)),
            _ => Some(Reply::Ack),
        });
    });
    let line = "register --node host1 --name host1 --registry regCred.dat --timeout 60";
    let output = place.run(line);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let said = stderr(&output);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("does not hold the key"), "told at once, not only at the end: {said}");
}

#[test]
fn who_is_silent_is_told_and_no_place_is_promised() {
    let place = Place::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    at(&place, "silent.dat", &[&silent.local_addr().unwrap().to_string()]);
    let line = "register --node host1 --name host1 --registry silent.dat --timeout 1";
    let output = place.run(line);
    assert_eq!(code(&output), 3);
    let said = stderr(&output);
    assert!(said.contains("the registry in silent.dat has not answered"), "{said}");
    let line = "join alpha --node host1 --name host1 --end-point h:1 --create 2 \
                --registry silent.dat --timeout 1";
    let output = place.run(line);
    assert_eq!(code(&output), 3);
    let said = stderr(&output);
    assert!(said.contains("timed out before alpha was joined"), "{said}");
    assert!(!said.contains("keeps its place"), "{said}");
}

#[test]
fn the_time_is_over_also_where_another_command_has_the_node() {
    let place = stopped();
    let line = |seconds: u32| {
        format!("register --node n --name n --registry regCred.dat --timeout {seconds}")
    };
    let mut first = spawn(&place, &line(60));
    let mut said = BufReader::new(first.stderr.take().unwrap()).lines();
    said.next().unwrap().unwrap();
    let second = place.run(&line(1));
    assert_eq!(code(&second), 3);
    let told = stderr(&second);
    assert!(told.contains("waiting for the node in n: another command"), "{told}");
    assert!(first.try_wait().unwrap().is_none(), "the first goes on");
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn a_name_that_does_not_resolve_is_tried_again_within_the_time() {
    let place = Place::new();
    at(&place, "unknown.dat", &["registry.invalid:56789"]);
    // Making the keys of who asks may take as long as is given below.
    assert_eq!(code(&place.run("create beta --size 2 --registry regCred.dat")), 0);
    let output = place.run("create alpha --size 2 --registry unknown.dat --timeout 1");
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    let said = stderr(&output);
    let (first, last) = said.split_once('\n').unwrap();
    assert!(first.contains("registry.invalid:56789: ") && first.contains("trying again"), "{said}");
    assert!(last.starts_with("xlreg: timed out: cannot reach the registry"), "{said}");
}

#[test]
fn a_refusal_for_now_is_tried_again_and_another_is_not() {
    let place = Place::bare();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (comms, credential) = short_registry(&listener.local_addr().unwrap().to_string());
    fs::write(place.path("regCred.dat"), credential.to_string()).unwrap();
    let line = "create alpha --size 3 --registry regCred.dat";
    for refusal in [Refusal::RegistryFull, Refusal::Unavailable, Refusal::NameInUse] {
        let (listener, comms) = (listener.try_clone().unwrap(), comms.clone());
        // On its own, so that a command that never comes is a failure and no hang.
        thread::spawn(move || {
            for refuses in [true, false] {
                serve_one(&listener, &comms, |request| match request {
                    Request::Member(token) => Some(member_ok(token)),
                    Request::Create(_) if refuses => Some(Reply::Error(refusal.into())),
                    Request::Create(create) => Some(Reply::Create(ClusterInfo {
                        id: "11".repeat(20).parse().unwrap(),
                        max_size: create.max_size,
                        attrs: ClusterAttrs::NONE,
                        end_point_count: create.end_point_count,
                    })),
                    _ => Some(Reply::Ack),
                });
            }
        });
        let output = place.run(line);
        assert_eq!(code(&output), 0, "{refusal}: {}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains(refusal.as_str()) && said.contains("trying again"), "{said}");
    }
    let waiting = listener.try_clone().unwrap();
    let served = thread::spawn(move || {
        serve_one(&waiting, &comms, |_| Some(Reply::Error(Refusal::IdInUse.into())));
    });
    let output = place.run(line);
    assert_eq!(code(&output), 4, "{}", stderr(&output));
    served.join().unwrap();
    listener.set_nonblocking(true).unwrap();
    let again = listener.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(again, Err(ErrorKind::WouldBlock), "it came once");
}

#[cfg(unix)]
#[test]
fn a_signal_ends_what_waits_with_the_code_that_shells_know() {
    let place = Place::new();
    for (signal, expected) in [("INT", 130), ("TERM", 143)] {
        let name = format!("host-{signal}");
        let line = format!(
            "join {name} --registry regCred.dat --node {name} --name {name} --end-point h:1 \
             --create 2"
        );
        let child = spawn(&place, &line);
        until("it has joined", || {
            let line = format!("members {name} --registry regCred.dat --node watcher");
            stdout(&place.run(&line)).contains("h:1")
        });
        let mut kill = Command::new("kill");
        kill.arg(format!("-{signal}")).arg(child.id().to_string());
        assert!(kill.status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(code(&output), expected);
        assert_eq!(stderr(&output), "xlreg: interrupted\n");
    }
    // While it is tried to reach a registry, too.
    let place = stopped();
    let mut child = spawn(&place, "register --registry regCred.dat --node n --name n --timeout 60");
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    said.next().unwrap().unwrap();
    let kill = Command::new("kill").arg("-INT").arg(child.id().to_string()).status();
    assert!(kill.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
