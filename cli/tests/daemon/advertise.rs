//! What regCred.dat tells clients: where they get, and what has become of where they were told to
//! come.

#![cfg(target_os = "linux")]

use std::path::Path;

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::common::{Daemon, Failed, furnish, serve};

fn directory() -> TempDir {
    let temp = tempdir().unwrap();
    furnish(temp.path());
    temp
}

/// Starts with these flags and stops again: what regCred.dat says, and what was told at the
/// strictest filter, which stands beside "listening" too.
fn start(dir: &Path, flags: &[&str]) -> Result<(Vec<String>, String), Failed> {
    let mut command = serve(dir, flags);
    command.env("RUST_LOG", "error");
    let mut daemon = Daemon::launch(command, dir, 1)?;
    let output = daemon.output.take().unwrap();
    let told = daemon.credential().end_points.iter().map(|end| end.as_str().into()).collect();
    let (status, _, log) = daemon.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    let beside: Vec<_> = output.iter().collect();
    assert_eq!(beside.len(), log.lines().count(), "{beside:?}");
    for (notice, line) in beside.iter().zip(log.lines()) {
        assert!(line.contains(notice.as_str()), "{notice} in {line}");
    }
    Ok((told, log))
}

#[test]
fn every_address_that_is_given_is_written_once() {
    let temp = directory();
    let given = ["one.example:1", "[2001:db8::1]:2", "one.example:1", "10.0.0.1:3"];
    let flags: Vec<_> = given.iter().flat_map(|given| ["--advertise", given]).collect();
    let flags = [&["--listen", "127.0.0.1:0"], &flags[..]].concat();
    let (told, log) = start(temp.path(), &flags).unwrap();
    assert_eq!(told, ["one.example:1", "[2001:db8::1]:2", "10.0.0.1:3"]);
    assert_eq!(log, "", "nothing is wrong with that");
}

#[test]
fn as_many_as_clients_take_are_written_and_no_more() {
    let temp = directory();
    let given: Vec<_> = (1..=9).map(|n| format!("host{n}.example:1")).collect();
    let flags = |n: usize| {
        let given = given[..n].iter().flat_map(|given| ["--advertise", given]);
        ["--listen", "127.0.0.1:0"].into_iter().chain(given).collect::<Vec<_>>()
    };
    assert_eq!(start(temp.path(), &flags(8)).unwrap().0, given[..8]);
    let failed = start(temp.path(), &flags(9)).unwrap_err();
    assert_eq!(failed.code, Some(2), "{failed:?}");
    // Nor where it listens.
    let listen: Vec<_> = (0..9).flat_map(|_| ["--listen", "127.0.0.1:0"]).collect();
    let failed = start(temp.path(), &listen).unwrap_err();
    assert_eq!(failed.code, Some(2), "{failed:?}");
    assert!(failed.stderr.contains("--advertise 8"), "{failed:?}");
}

#[test]
fn what_nobody_can_connect_to_is_not_advertised() {
    for vain in ["0.0.0.0:1", "[::]:1", "[::ffff:0.0.0.0]:1", "registry.example:0"] {
        let temp = tempdir().unwrap();
        let dir = temp.path().join("registry");
        let flags = ["--listen", "127.0.0.1:0", "--advertise", "ok.example:1", "--advertise", vain];
        let failed = start(&dir, &flags).unwrap_err();
        assert_eq!(failed.code, Some(2), "{failed:?}");
        assert!(failed.stderr.contains(vain), "{failed:?}");
        assert!(!dir.exists(), "nothing is made");
    }
}

#[test]
fn a_credential_for_this_machine_only_is_told_as_such() {
    for (listen, told) in [("0.0.0.0:0", "127.0.0.1:"), ("[::]:0", "[::1]:")] {
        if let Err(error) = std::net::TcpListener::bind(listen) {
            println!("SKIPPED: nobody can listen on {listen} here: {error}");
            continue;
        }
        let temp = directory();
        let (end_points, log) = start(temp.path(), &["--listen", listen]).unwrap();
        assert!(end_points[0].starts_with(told), "{end_points:?}");
        assert!(log.contains("this machine only: --advertise"), "{log}");
        let elsewhere = directory();
        let flags = ["--listen", listen, "--advertise", "registry.example:1"];
        assert_eq!(start(elsewhere.path(), &flags).unwrap().1, "");
        // Programs that read the log get it in their own way.
        let flags = ["--listen", listen, "--log-format", "json"];
        let (_, log) = start(temp.path(), &flags).unwrap();
        let line = log.lines().find(|line| line.contains("--advertise")).expect(&log);
        assert!(serde_json::from_str::<Value>(line).unwrap().is_object());
    }
}

#[test]
fn another_address_than_before_is_told_with_both() {
    let temp = directory();
    let (first, log) = start(temp.path(), &["--listen", "127.0.0.1:0"]).unwrap();
    assert_eq!(log, "", "nobody was told anything before");
    // The same address, then any port there is, then others.
    assert_eq!(start(temp.path(), &["--listen", &first[0]]).unwrap(), (first.clone(), log));
    let occupied = std::net::TcpListener::bind(&first[0]).unwrap();
    let (second, log) = start(temp.path(), &["--listen", "127.0.0.1:0"]).unwrap();
    drop(occupied);
    let told = format!("regCred.dat said {} and says {} now", first[0], second[0]);
    assert!(log.contains(&told) && log.contains("port other than 0"), "{log}");
    let flags =
        ["--listen", "127.0.0.1:0", "--advertise", "a.example:1", "--advertise", "b.example:2"];
    let (_, log) = start(temp.path(), &flags).unwrap();
    let told = format!("regCred.dat said {} and says a.example:1, b.example:2 now", second[0]);
    assert!(log.contains(&told) && !log.contains("port other than 0"), "{log}");
    assert_eq!(start(temp.path(), &flags).unwrap().1, "", "as before, wherever it listens");
}
