//! What surrounds the daemon and is out of luck: a log that nobody reads, full disks, signals, a
//! service manager.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{Read, Write, pipe};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use tempfile::{TempDir, tempdir};
use xlreg_testkit::client::{Way, token};
use xlreg_testkit::http::Samples;
use xlreg_testkit::wait::{HANG, until};
use xlreg_testkit::{Seeded, identity};

use crate::common::{Daemon, furnish, serve, signal};

/// A furnished directory.
fn directory() -> TempDir {
    let temp = tempdir().unwrap();
    furnish(temp.path());
    temp
}

/// An address of this process and test alone, for what is not told where it is.
fn own_address(test: u8) -> String {
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{low}.{test}:9977", high | 1)
}

/// A member comes, and is served.
fn visit(way: &Way, name: &str) {
    let rng = &mut Seeded(3);
    let (mut client, _) = way.visit(&token(&identity(name, 1), "n:1", rng), rng).unwrap();
    client.create(name, 2).unwrap();
    client.bye().unwrap();
}

/// Connections that say nothing, each of which is worth a line at the most verbose, until the log
/// has lost some.
fn until_lines_are_lost(address: &str, metrics: &str) {
    until("lines of the log are lost", || {
        for _ in 0..500 {
            drop(TcpStream::connect(address).unwrap());
        }
        Samples::of(metrics).value("xlreg_log_lines_lost_total", &[]) > 0.0
    });
}

/// A daemon as verbose as can be, with its log in a pipe, and where its metrics are.
fn verbose(temp: &Path, test: u8) -> (Daemon, std::io::PipeReader, String) {
    let (unread, stderr) = pipe().unwrap();
    let metrics = own_address(test);
    let mut command = serve(temp, &["--listen", "127.0.0.1:0", "--metrics", &metrics]);
    command.env("RUST_LOG", "trace").stderr(stderr);
    let daemon = Daemon::launch(command, temp, 1).unwrap();
    (daemon, unread, metrics)
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let temp = directory();
    let (daemon, _unread, metrics) = verbose(temp.path(), 1);
    until_lines_are_lost(daemon.address(), &metrics);
    visit(&Way::new(daemon.address(), &daemon.credential()), "served");
    let (status, ..) = daemon.terminate();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_log_that_is_read_again_tells_what_was_lost() {
    let temp = directory();
    let (daemon, mut unread, metrics) = verbose(temp.path(), 2);
    until_lines_are_lost(daemon.address(), &metrics);
    let (told, tells) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let (mut log, mut some) = (Vec::new(), [0; 4096]);
        while let Ok(n) = unread.read(&mut some)
            && n > 0
        {
            log.extend_from_slice(&some[..n]);
            let _ = told.send(String::from_utf8_lossy(&log).contains("lines of the log were lost"));
        }
    });
    while !tells.recv_timeout(HANG).expect("it tells") {}
    let (status, ..) = daemon.terminate();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_full_disk_behind_the_log_and_the_output_keeps_nothing_from_starting() {
    let temp = directory();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let (address, metrics) = (own_address(3), own_address(4));
    let mut command = serve(temp.path(), &["--listen", &address, "--metrics", &metrics]);
    command.stdout(full()).stderr(full());
    let daemon = Daemon::launch(command, temp.path(), 0).unwrap();
    until("it has started", || temp.path().join("regCred.dat").exists());
    visit(&Way::new(&address, &daemon.credential()), "served");
    assert!(Samples::of(&metrics).value("xlreg_log_lines_lost_total", &[]) > 0.0);
    // How it ends is told by the exit code alone, then.
    let mut second = serve(temp.path(), &["--listen", "127.0.0.1:0"]);
    assert_eq!(second.stdout(full()).stderr(full()).status().unwrap().code(), Some(1));
    assert_eq!(daemon.terminate().0.code(), Some(0));
}

#[test]
fn an_output_that_nobody_reads_keeps_nothing_from_starting() {
    let temp = directory();
    let (_unread, mut full) = pipe().unwrap();
    // As much as a pipe holds.
    full.write_all(&[b'x'; 64 * 1024]).unwrap();
    let address = own_address(5);
    let mut command = serve(temp.path(), &["--listen", &address]);
    command.stdout(full.try_clone().unwrap()).stderr(full);
    let daemon = Daemon::launch(command, temp.path(), 0).unwrap();
    until("it has started", || temp.path().join("regCred.dat").exists());
    visit(&Way::new(&address, &daemon.credential()), "served");
    assert_eq!(daemon.terminate().0.code(), Some(0));
}

#[test]
fn signals_that_ask_for_nothing_end_nothing() {
    let temp = directory();
    let mut command = serve(temp.path(), &["--listen", "127.0.0.1:0"]);
    // What the operator has asked for is told whatever the filter is.
    command.env("RUST_LOG", "off");
    let daemon = Daemon::launch(command, temp.path(), 1).unwrap();
    for name in ["HUP", "USR1", "USR2", "XFSZ", "PIPE"] {
        daemon.signal(name);
        visit(&Way::new(daemon.address(), &daemon.credential()), "served");
    }
    let told = ["reload: nothing", "SIGUSR1 means", "SIGUSR2 means", "SIGXFSZ means"];
    until("all are noted", || told.iter().all(|told| daemon.log().contains(told)));
    assert_eq!(daemon.terminate().0.code(), Some(0));
}

#[test]
fn the_filter_of_the_log_is_read_anew() {
    let temp = directory();
    let filter = temp.path().join("filter");
    let flags = ["--listen", "127.0.0.1:0", "--log-filter-file", filter.to_str().unwrap()];
    let mut command = serve(temp.path(), &flags);
    command.env("RUST_LOG", "error");
    let daemon = Daemon::launch(command, temp.path(), 1).unwrap();
    let way = Way::new(daemon.address(), &daemon.credential());
    let reload = |text: &str, told: &str| {
        fs::write(&filter, text).unwrap();
        let before = daemon.log().matches(told).count();
        daemon.signal("HUP");
        until(told, || daemon.log().matches(told).count() > before);
    };
    visit(&way, "quiet");
    assert!(!daemon.log().contains("connected"), "{}", daemon.log());
    reload("xlreg=debug\n", "filter is ");
    visit(&way, "told");
    until("it tells more", || daemon.log().contains("connected"));
    reload("xlreg=louder", "stays as it was: ");
    fs::remove_file(&filter).unwrap();
    daemon.signal("HUP");
    until("back to RUST_LOG", || daemon.log().contains("filter is xlreg::notice=warn,error"));
    let told = daemon.log().matches("connected").count();
    visit(&way, "quiet-again");
    let (status, _, log) = daemon.terminate();
    assert_eq!(status.code(), Some(0));
    assert_eq!(log.matches("connected").count(), told, "{log}");
}

#[test]
fn a_filter_that_is_none_is_told_at_the_start() {
    let temp = directory();
    let filter = temp.path().join("filter");
    fs::write(&filter, "xlreg=louder").unwrap();
    let flags = ["--listen", "127.0.0.1:0", "--log-filter-file", filter.to_str().unwrap()];
    let failed = Daemon::launch(serve(temp.path(), &flags), temp.path(), 1).unwrap_err();
    assert_eq!(failed.code, Some(1));
    assert!(failed.stderr.contains("louder") && failed.stderr.contains("info"), "{failed:?}");
}

/// Both signals arrive at once, while a client that stays keeps the orderly stop from being over.
#[test]
fn a_second_signal_stops_at_once() {
    let temp = directory();
    let mut daemon = Daemon::start(temp.path(), &[]);
    let way = Way::new(daemon.address(), &daemon.credential());
    let _stays = way.connect(&mut Seeded(1)).unwrap();
    for name in ["STOP", "TERM", "INT", "CONT"] {
        daemon.signal(name);
    }
    assert_eq!(daemon.wait().code(), Some(1));
    assert!(daemon.log().contains("again: requests in flight are cut off"), "{}", daemon.log());
}

/// The import waits for what comes through a pipe, which nobody writes to.
#[test]
fn a_daemon_that_starts_is_stopped_at_once() {
    let temp = tempdir().unwrap();
    let import = temp.path().join("import");
    assert!(Command::new("mkfifo").arg(&import).status().unwrap().success());
    let dir = temp.path().join("registry");
    let flags = ["--import-config", import.to_str().unwrap()];
    let mut daemon = Daemon::launch(serve(&dir, &flags), &dir, 0).unwrap();
    // Bit 14: SIGTERM is caught.
    let status = format!("/proc/{}/status", daemon.pid());
    until("it listens to signals", || {
        let text = fs::read_to_string(&status).unwrap();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << 14) != 0
    });
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
}

/// As in a container, where signals that are not asked for do nothing.
#[test]
fn process_one_stops_in_order() {
    let unshare = ["--pid", "--fork", "--kill-child"];
    if !Command::new("unshare").args(unshare).arg("true").status().is_ok_and(|s| s.success()) {
        assert!(std::env::var_os("CI").is_none(), "unshare --pid must work here");
        println!("SKIPPED: unshare --pid does not work here");
        return;
    }
    let temp = directory();
    let inner = serve(temp.path(), &["--listen", "127.0.0.1:0"]);
    let mut command = Command::new("unshare");
    command.args(unshare).arg(inner.get_program()).args(inner.get_args());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut daemon = Daemon::launch(command, temp.path(), 1).unwrap();
    let pid = daemon.pid();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let process_one: u32 = children.trim().parse().unwrap();
    let status = fs::read_to_string(format!("/proc/{process_one}/status")).unwrap();
    let inside = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
    assert!(inside.ends_with("\t1"), "{inside}");
    visit(&Way::new(daemon.address(), &daemon.credential()), "served");
    signal(process_one, "HUP");
    signal(process_one, "TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(daemon.log().contains("finishing the requests in flight"), "{}", daemon.log());
}

/// `serve` under a service manager with a watchdog, and the socket at which that listens.
fn managed(temp: &Path, watchdog: &str) -> (Daemon, UnixDatagram) {
    let path = temp.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(HANG)).unwrap();
    let inner = serve(temp, &["--listen", "127.0.0.1:0"]);
    let mut command = Command::new("sh");
    command.args(["-c", "WATCHDOG_PID=$$ exec \"$0\" \"$@\""]);
    command.arg(inner.get_program()).args(inner.get_args());
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", watchdog).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    (Daemon::launch(command, temp, 1).unwrap(), socket)
}

#[test]
fn the_service_manager_is_told_and_its_watchdog_is_fed() {
    let temp = directory();
    let (mut daemon, socket) = managed(temp.path(), "100000");
    let next = || {
        let mut message = [0; 256];
        let n = socket.recv(&mut message).expect("a message");
        String::from_utf8(message[..n].into()).unwrap()
    };
    let next_but_food = || loop {
        let message = next();
        if message != "WATCHDOG=1\n" {
            return message;
        }
    };
    assert_eq!(next(), "READY=1\n");
    for _ in 0..5 {
        assert_eq!(next(), "WATCHDOG=1\n");
    }
    daemon.signal("HUP");
    let reloading = next_but_food();
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading);
    assert!(time.trim_end().parse::<u64>().is_ok(), "{time}");
    assert_eq!(next_but_food(), "READY=1\n");
    daemon.signal("TERM");
    assert_eq!(next_but_food(), "STOPPING=1\n");
    assert_eq!(daemon.wait().code(), Some(0));
}

/// Its socket is full soon: a thousand times a second it is told that the daemon lives.
#[test]
fn a_service_manager_that_does_not_listen_holds_nothing_up() {
    let temp = directory();
    let (daemon, _socket) = managed(temp.path(), "2000");
    let way = Way::new(daemon.address(), &daemon.credential());
    let notify = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
        let tasks = tasks.map(|task| task.unwrap().path());
        let is_it = |task: &std::path::PathBuf| {
            fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "notify")
        };
        tasks.into_iter().find(is_it).expect("a thread")
    };
    let waits = || fs::read_to_string(notify().join("wchan")).is_ok_and(|at| at.contains("unix"));
    until("nothing more fits", waits);
    visit(&way, "served");
    assert_eq!(daemon.terminate().0.code(), Some(0));
}
