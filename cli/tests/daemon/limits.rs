//! The daemon from outside: whom it lets in, where it listens, what it shows and writes of itself.

#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use rand_core::Rng;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tempfile::{TempDir, tempdir};
use xlreg::message::{ClusterRef, Refusal};
use xlreg::session::Dialect;
use xlreg_testkit::client::{Client, Failure, Way, token};
use xlreg_testkit::http::Samples;
use xlreg_testkit::wait::{HANG, until};
use xlreg_testkit::{KEYS, Seeded, identity};

use crate::common::{Daemon, furnish, serve};

/// A daemon in a directory of its own, and the way to it.
fn start(flags: &[&str]) -> (TempDir, Daemon, Way) {
    let temp = tempdir().unwrap();
    furnish(temp.path());
    let daemon = Daemon::start(temp.path(), flags);
    let way = Way::new(daemon.address(), &daemon.credential());
    (temp, daemon, way)
}

/// A daemon that shows its metrics, and where: its log tells.
pub fn start_observed(flags: &[&str]) -> (TempDir, Daemon, Way, String) {
    let flags: Vec<_> = flags.iter().copied().chain(["--metrics", "127.0.0.1:0"]).collect();
    let (temp, daemon, way) = start(&flags);
    let metrics = daemon.metrics();
    (temp, daemon, way, metrics)
}

/// A whole enrollment: member, create, join, members, bye.
fn enrollment(way: &Way, name: &str, cluster: &str, rng: &mut Seeded) -> Result<(), Failure> {
    enroll_over(way.connect(rng)?, name, cluster, rng)
}

/// The same, from a handshake on.
fn enroll_over(
    mut client: Client,
    name: &str,
    cluster: &str,
    rng: &mut Seeded,
) -> Result<(), Failure> {
    let end = format!("{name}.example:1");
    let id = client.member(&token(&identity(name, rng.below(KEYS.sig.len())), &end, rng))?;
    client.create(cluster, 64)?;
    let info = client.join(ClusterRef::CURRENT)?;
    let members = client.members(info.id)?;
    assert!(members.iter().any(|(_, member)| member.id == Some(id)));
    client.bye()
}

/// A connection from another loopback address.
pub fn from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect_timeout(&to.into(), HANG).unwrap();
    socket.into()
}

/// Whether the peer closes without a word.
fn is_closed(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(HANG)).unwrap();
    match stream.read(&mut [0; 64]) {
        Ok(n) => n == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// Connects and is let in: the handshake is done and stays so.
fn settle(way: &Way, source: [u8; 4], rng: &mut Seeded) -> Client {
    way.connect_over(from(source, way.address), rng).unwrap()
}

#[test]
fn connections_beyond_the_limit_are_closed_and_others_served() {
    let rng = &mut Seeded(1);
    let (_temp, _daemon, way, metrics) = start_observed(&["--max-connections", "3"]);
    let mut settled: Vec<_> = (1..=3).map(|host| settle(&way, [127, 0, 0, host], rng)).collect();
    for host in 1..=5 {
        assert!(is_closed(from([127, 0, 0, host], way.address)), "beyond three in all");
    }
    let node = token(&identity("inside", 0), "inside:1", rng);
    for client in &mut settled {
        client.member(&node).unwrap();
        client.create("served", 4).unwrap();
    }
    let samples = Samples::of(&metrics);
    assert_eq!(samples.value("xlreg_connections", &[]), 3.0);
    assert_eq!(samples.value("xlreg_refused_total", &[("reason", "connections")]), 5.0);
    // A place that is left is free again.
    settled.pop().unwrap().bye().unwrap();
    until("a place is free", || way.connect(rng).is_ok());
}

#[test]
fn connections_beyond_the_limit_of_an_address_are_closed_and_others_served() {
    let rng = &mut Seeded(2);
    let (_temp, _daemon, way) = start(&["--max-connections-per-address", "2"]);
    let _settled = [(); 2].map(|()| settle(&way, [127, 0, 0, 2], rng));
    for n in 0..5 {
        assert!(is_closed(from([127, 0, 0, 2], way.address)), "beyond two of one address");
        enrollment(&way, &format!("other{n}"), "served", rng).unwrap();
    }
}

#[test]
fn hellos_beyond_the_burst_are_met_with_silence() {
    let rng = &mut Seeded(4);
    // So slow that nothing is earned while the test runs; the burst is one.
    let (_temp, _daemon, way, metrics) = start_observed(&["--hello-rate", "0.0001"]);
    let first = from([127, 0, 0, 2], way.address);
    way.connect_over(first, rng).unwrap().bye().unwrap();
    for _ in 0..3 {
        let stream = from([127, 0, 0, 2], way.address);
        match way.connect_over(stream, rng).err() {
            Some(Failure::Lost(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    // Another address has its own burst.
    enrollment(&way, "other", "served", rng).unwrap();
    let samples = Samples::of(&metrics);
    assert_eq!(samples.value("xlreg_refused_total", &[("reason", "hello_rate")]), 3.0);
}

#[test]
fn silence_is_all_a_refused_hello_hears() {
    let (_temp, _daemon, way) = start(&["--hello-rate", "0.0001"]);
    let hello = |bytes: u8| {
        let mut stream = TcpStream::connect_timeout(&way.address, HANG).unwrap();
        stream.write_all(&[bytes; 256]).unwrap();
        is_closed(stream)
    };
    assert!(hello(1), "a Hello that cannot be opened");
    assert!(hello(2), "a Hello that is not opened");
}

#[test]
fn both_dialects_are_served() {
    let rng = &mut Seeded(5);
    let (_temp, _daemon, way, metrics) = start_observed(&[]);
    for (name, dialect) in [("old", Dialect::Chained), ("new", Dialect::Prefixed)] {
        enrollment(&way.clone().in_dialect(dialect), name, "mixed", rng).unwrap();
    }
    let samples = Samples::of(&metrics);
    for dialect in ["chained", "prefixed"] {
        let labels = [("outcome", "ok"), ("dialect", dialect)];
        assert_eq!(samples.value("xlreg_handshakes_total", &labels), 1.0, "{dialect}");
    }
    assert_eq!(samples.value("xlreg_memberships", &[]), 2.0, "in one cluster");
    assert_eq!(samples.value("xlreg_clusters", &[]), 1.0);
}

#[test]
fn two_listeners_serve() {
    if let Err(error) = TcpListener::bind("[::1]:0") {
        println!("SKIPPED: there is no IPv6 loopback here: {error}");
        return;
    }
    let temp = tempdir().unwrap();
    furnish(temp.path());
    let flags = ["--listen", "127.0.0.1:0", "--listen", "[::1]:0"];
    let daemon = Daemon::launch(serve(temp.path(), &flags), temp.path(), 2).unwrap();
    assert!(daemon.addresses[0].starts_with("127.0.0.1:"), "{:?}", daemon.addresses);
    assert!(daemon.addresses[1].starts_with("[::1]:"), "{:?}", daemon.addresses);
    let credential = daemon.credential();
    let told: Vec<_> = credential.end_points.iter().map(|end| end.as_str()).collect();
    assert_eq!(told, daemon.addresses, "clients are told both");
    for (n, address) in daemon.addresses.iter().enumerate() {
        enrollment(&Way::new(address, &credential), &format!("n{n}"), "both", &mut Seeded(6))
            .unwrap();
    }
}

#[test]
fn metrics_tell_what_happened() {
    let rng = &mut Seeded(7);
    let (_temp, _daemon, way, metrics) = start_observed(&[]);
    for n in 0..3 {
        enrollment(&way, &format!("n{n}"), "alpha", rng).unwrap();
    }
    // One is refused, one sends noise for a Hello, one hangs up in the middle, and one stays.
    let node = token(&identity("n9", 1), "n9:1", rng);
    let refused =
        way.visit(&node, rng).unwrap().0.join("beta".parse::<xlreg::identity::Name>().unwrap());
    assert!(refused.unwrap_err().is(Refusal::NoClusterWithName));
    let mut noise = TcpStream::connect(way.address).unwrap();
    noise.write_all(&[7; 256]).unwrap();
    assert!(is_closed(noise));
    drop(TcpStream::connect(way.address).unwrap());
    let _stays = way.connect(rng).unwrap();

    let mut samples = Samples::of(&metrics);
    until("the connections that ended are counted", || {
        samples = Samples::of(&metrics);
        let closed = [("outcome", "closed")];
        samples.value("xlreg_connections", &[]) == 1.0
            && samples.value("xlreg_handshakes_total", &closed) == 1.0
    });
    let families = [
        ("connections", "gauge"),
        ("connections_accepted", "counter"),
        ("handshakes", "counter"),
        ("requests", "counter"),
        ("commit_seconds", "histogram"),
        ("changes_committed", "counter"),
        ("nodes", "gauge"),
        ("clusters", "gauge"),
        ("memberships", "gauge"),
    ];
    for (family, kind) in families {
        assert!(samples.has_family(&format!("xlreg_{family}"), kind), "{family}: {}", samples.0);
    }
    let is = |name: &str, labels: &[(&str, &str)], value: f64| {
        let found = samples.value(&format!("xlreg_{name}"), labels);
        assert_eq!(found, value, "{name} {labels:?} in\n{}", samples.0);
    };
    is("connections_accepted_total", &[], 7.0);
    is("handshakes_total", &[("outcome", "ok"), ("dialect", "prefixed")], 5.0);
    is("handshakes_total", &[("outcome", "bad_hello")], 1.0);
    is("nodes", &[], 4.0);
    is("clusters", &[], 1.0);
    is("memberships", &[], 3.0);
    // Four nodes, a cluster, three members.
    is("changes_committed_total", &[], 8.0);
    let requests = |op: &str, outcome: &str| {
        let labels = [("op", op), ("outcome", outcome)];
        samples.value("xlreg_requests_total", &labels)
    };
    let told = ["Member", "Create", "Join", "GetCluster", "Bye"].map(|op| requests(op, "ok"));
    assert_eq!(told, [4.0, 3.0, 3.0, 3.0, 3.0], "{}", samples.0);
    assert_eq!(requests("Join", "refused"), 1.0, "{}", samples.0);
    let commits = samples.value("xlreg_commit_seconds_count", &[]);
    assert!((1.0..=8.0).contains(&commits), "{commits} commits for 8 changes");
    assert!(samples.value("xlreg_commit_seconds_sum", &[]) > 0.0);
    assert!(samples.0.ends_with("# EOF\n"), "complete");
}

/// Pieces of bytes as somebody might write them: in hex, and as a list of numbers.
fn written(bytes: &[u8]) -> Vec<String> {
    let pieces = bytes.chunks_exact(8);
    let hex = |piece: &[u8]| piece.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = |piece: &[u8]| format!("{piece:?}").replace(['[', ']'], "");
    pieces.flat_map(|piece| [hex(piece), list(piece)]).collect()
}

/// Everything secret of a key pair: lines of its PEM, and pieces of its DER.
fn secrets(pem: &str, der: &[u8]) -> Vec<String> {
    // Modulus and public exponent come first.
    let lines = pem.lines().filter(|line| !line.starts_with("-----")).skip(7).map(String::from);
    lines.chain(written(&der[320..])).collect()
}

/// The session key that a client of this seed draws (PROTOCOL 3.3).
fn session_key(dialect: Dialect, seed: u64) -> Vec<String> {
    let mut draws = [0; 48];
    Seeded(Seeded(seed).next_u64()).fill_bytes(&mut draws);
    written(match dialect {
        Dialect::Prefixed => &draws[..32],
        Dialect::Chained => &draws[16..],
    })
}

#[test]
fn the_log_is_json_and_tells_no_secrets() {
    let mut told = 0;
    let secret: Vec<_> = KEYS
        .comms
        .iter()
        .map(|key| (key.to_pem().unwrap(), key.to_pkcs8_der().unwrap()))
        .chain(KEYS.sig.iter().map(|key| (key.to_pem().unwrap(), key.to_pkcs8_der().unwrap())))
        .flat_map(|(pem, der)| secrets(pem.expose(), der.expose()))
        .collect();
    for level in ["info", "debug", "trace"] {
        let temp = tempdir().unwrap();
        furnish(temp.path());
        let mut command = serve(temp.path(), &["--listen", "127.0.0.1:0", "--log-format", "json"]);
        command.env("RUST_LOG", level);
        let daemon = Daemon::launch(command, temp.path(), 1).unwrap();
        let way = Way::new(daemon.address(), &daemon.credential());
        let rng = &mut Seeded(9);
        let mut draws = Vec::new();
        for seed in 0..20 {
            let dialect = [Dialect::Prefixed, Dialect::Chained][seed as usize % 2];
            draws.extend(session_key(dialect, seed));
            let client = way.clone().in_dialect(dialect).connect(&mut Seeded(seed)).unwrap();
            enroll_over(client, &format!("n{seed}"), "alpha", rng).unwrap();
        }
        let mut noise = TcpStream::connect(way.address).unwrap();
        noise.write_all(&[7; 256]).unwrap();
        assert!(is_closed(noise));
        let (status, _, log) = daemon.terminate();
        assert_eq!(status.code(), Some(0));
        for line in log.lines() {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            assert!(value.is_object() && value["level"].is_string(), "{line}");
            told += 1;
        }
        assert!(!log.contains("PRIVATE KEY"), "{level}");
        for secret in secret.iter().chain(&draws) {
            assert!(!log.contains(secret.as_str()), "{level}: {secret}");
        }
    }
    println!("{told} lines, none with one of {} pieces of secrets", secret.len());
    assert!(told > 40);
}
