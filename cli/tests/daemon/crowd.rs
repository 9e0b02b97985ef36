//! Many at a time: 64 members of one cluster, and honest clients among idle and slow ones.

#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tempfile::tempdir;
use xlreg::adapter::blocking::{Clock, Driver};
use xlreg::enroll::{Enroll, Plan, Roster};
use xlreg::message::{ClusterRef, Create};
use xlreg_testkit::client::{Client, Way, token};
use xlreg_testkit::wait::{HANG, until};
use xlreg_testkit::{KEYS, Seeded, identity};

use crate::common::{Daemon, full, furnish};

#[test]
fn sixty_four_members_agree() {
    const MEMBERS: usize = 64;
    let temp = tempdir().unwrap();
    furnish(temp.path());
    let daemon = Daemon::start(temp.path(), &[]);
    let way = Way::new(daemon.address(), &daemon.credential());
    let started = Instant::now();
    let enroll = |n: usize| -> Roster {
        let rng = &mut Seeded(n as u64);
        let end = format!("member{n}.example:4000");
        let token = token(&identity(&format!("member{n}"), n), &end, rng);
        let create = Create {
            name: "large".parse().unwrap(),
            max_size: MEMBERS as u32,
            attrs: Default::default(),
            end_point_count: 1,
        };
        let plan = Plan { give_up_after: Some(2 * HANG), ..Plan::create_and_join(token, create) };
        let (clock, stream) = (Clock::start(), TcpStream::connect(way.address).unwrap());
        let enroll = Enroll::new(clock.now(), way.config.clone(), plan, rng.clone()).unwrap();
        let mut driver = Driver::new(enroll, stream, clock);
        while driver.next_event().unwrap().is_some() {}
        driver.into_machine().into_roster().unwrap()
    };
    let rosters: Vec<Roster> = thread::scope(|scope| {
        let members: Vec<_> = (0..MEMBERS).map(|n| scope.spawn(move || enroll(n))).collect();
        members.into_iter().map(|member| member.join().unwrap()).collect()
    });
    println!("{MEMBERS} members complete after {:?}", started.elapsed());
    let mut indexes = BTreeMap::new();
    for (n, roster) in rosters.iter().enumerate() {
        assert!(roster.is_complete());
        assert_eq!(roster.members.len(), MEMBERS);
        assert_eq!((&roster.cluster, &roster.members), (&rosters[0].cluster, &rosters[0].members));
        let index = roster.self_index().unwrap();
        let own = &roster.members[&index];
        assert_eq!(own.name.as_str(), format!("member{n}"));
        assert_eq!(own.end_points[0].as_str(), format!("member{n}.example:4000"));
        assert_eq!(own.sig_key, *KEYS.sig[n % KEYS.sig.len()].public_key());
        indexes.insert(index, n);
    }
    assert!(
        indexes.into_keys().map(u32::from).eq(0..MEMBERS as u32),
        "each has an index of its own"
    );
}

/// A connection from one of a hundred loopback addresses.
fn connect(n: usize, to: SocketAddr) -> TcpStream {
    let source = [127, 0, 1, 1 + (n % 100) as u8];
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect_timeout(&to.into(), HANG).unwrap();
    socket.into()
}

/// How many there are of each kind.
#[derive(Clone, Copy)]
struct Crowd {
    /// Half of them silent from the start, half of them after the handshake.
    idle: usize,
    /// A byte of a Hello every second.
    slow: usize,
}

/// One of the crowd, and when it sends its next byte if it is a slow one.
struct Nuisance {
    stream: TcpStream,
    next_byte: Option<Instant>,
}

impl Nuisance {
    fn new(stream: TcpStream, next_byte: Option<Instant>) -> Self {
        stream.set_nonblocking(true).unwrap();
        Self { stream, next_byte }
    }

    /// Sends what is due; `false` if the daemon has had enough of it.
    fn goes_on(&mut self) -> bool {
        if let Some(due) = self.next_byte.filter(|due| *due <= Instant::now()) {
            self.next_byte = Some(due + Duration::from_secs(1));
            if self.stream.write(&[0x55]).is_err() {
                return false;
            }
        }
        match self.stream.read(&mut [0; 64]) {
            Ok(n) => n > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

impl Crowd {
    /// Keeps up the crowd, all from this thread, until told to stop. Whoever is thrown out comes
    /// back. Tells how many are there, and how often somebody was thrown out.
    fn press(self, way: &Way, there: &AtomicUsize, stop: &AtomicBool) -> usize {
        let settled: Vec<Client> = (0..self.idle / 2)
            .map(|n| way.connect_over(connect(n, way.address), &mut Seeded(n as u64)).unwrap())
            .collect();
        let silent = (settled.len()..self.idle).map(|n| (n, false));
        let slow = (0..self.slow).map(|n| (n, true));
        let place = |(n, is_slow): (usize, bool)| {
            Nuisance::new(connect(n, way.address), is_slow.then(Instant::now))
        };
        let places: Vec<_> = silent.chain(slow).collect();
        let mut crowd: Vec<_> = places.iter().copied().map(place).collect();
        there.store(settled.len() + crowd.len(), Ordering::Release);
        let mut thrown_out = 0;
        while !stop.load(Ordering::Acquire) {
            for (nuisance, at) in crowd.iter_mut().zip(&places) {
                if !nuisance.goes_on() {
                    *nuisance = place(*at);
                    thrown_out += 1;
                }
            }
            // Only the pace of the poll loop; a slow one is late by no more than this.
            thread::sleep(Duration::from_millis(20));
        }
        drop(settled);
        thrown_out
    }
}

/// Honest enrollments, one after the other, by two at a time: all succeed. Gives their latencies,
/// sorted.
fn enrollments(count: usize, way: &Way, name: &str) -> Vec<Duration> {
    let enrollment = |n: usize| {
        let rng = &mut Seeded(n as u64);
        let started = Instant::now();
        let own = format!("{name}{n}");
        let presented = token(&identity(&own, n), &format!("{own}.example:1"), rng);
        let (mut client, id) = way.visit(&presented, rng).unwrap();
        client.create(&format!("{name}c{}", n / 8), 8).unwrap();
        let info = client.join(ClusterRef::CURRENT).unwrap();
        assert!(client.members(info.id).unwrap().iter().any(|(_, token)| token.id == Some(id)));
        client.bye().unwrap();
        started.elapsed()
    };
    let mut latencies: Vec<Duration> = thread::scope(|scope| {
        let half = |first| scope.spawn(move || (first..count).step_by(2).map(enrollment).collect());
        let halves: [thread::ScopedJoinHandle<Vec<_>>; 2] = [half(0), half(1)];
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    latencies.sort_unstable();
    latencies
}

fn told(latencies: &[Duration]) -> String {
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    format!("p50 {:?}, p95 {:?}, longest {:?}", at(0.5), at(0.95), at(1.0))
}

/// What the daemon may take, in KB. It takes 13 MB when it starts and was seen to take 29 MB at
/// most with the full crowd (12 KB for each of 1,200 connections, and the honest clients' nodes and
/// clusters), in a debug build. Twice that leaves room for another allocator, and none for a buffer
/// of 64 KB for each connection.
const MEMORY: u64 = 64 * 1024;

#[test]
fn honest_clients_are_served_in_a_crowd() {
    let crowd = match full() {
        true => Crowd { idle: 1000, slow: 200 },
        false => Crowd { idle: 300, slow: 50 },
    };
    let count = if full() { 600 } else { 120 };
    let temp = tempdir().unwrap();
    furnish(temp.path());
    // The honest clients share one address, and are faster than one is usually let.
    let daemon = Daemon::start(temp.path(), &["--hello-rate", "10000"]);
    let way = Way::new(daemon.address(), &daemon.credential());
    let [before, _] = daemon.memory();
    println!("alone:      {}", told(&enrollments(count, &way, "alone")));
    let [alone, _] = daemon.memory();

    let (there, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let pressing = scope.spawn(|| crowd.press(&way, &there, &stop));
        until("the crowd is there", || {
            assert!(!pressing.is_finished());
            there.load(Ordering::Acquire) == crowd.idle + crowd.slow
        });
        println!("in a crowd: {}", told(&enrollments(count, &way, "crowded")));
        if full() {
            // On past the time for a Hello, so that all are thrown out and come back.
            let since = Instant::now();
            let mut round = 0;
            while since.elapsed() < Duration::from_secs(25) {
                round += 1;
                println!(
                    "later:      {}",
                    told(&enrollments(count, &way, &format!("later{round}x")))
                );
            }
        }
        let [now, most] = daemon.memory();
        stop.store(true, Ordering::Release);
        let thrown_out = pressing.join().unwrap();
        println!(
            "{} idle, {} slow, thrown out {thrown_out} times; memory {before} KB at first, {alone} \
             KB alone, {now} KB in a crowd, {most} KB at most",
            crowd.idle, crowd.slow
        );
        assert!(most < MEMORY, "{most} KB");
    });
}

/// What the daemon may take for 50,000 idle connections, in KB, what it takes without any included.
const MEMORY_OF_IDLE: u64 = 250 * 1024;
const IDLE: u64 = 50_000;
/// Files of the test and of the daemon beside connections.
const OTHER_FILES: u64 = 1000;

/// With `XLREG_FULL` 50,000, if the system lets us have as many files; else fewer, and memory in
/// proportion.
#[test]
fn idle_connections_take_little_memory() {
    let wanted = if full() { IDLE } else { 2_000 };
    // Only root may have more than the hard limit; the daemon inherits what there is.
    let _ = rlimit::Resource::NOFILE.set(wanted + OTHER_FILES, wanted + OTHER_FILES);
    let files = rlimit::increase_nofile_limit(wanted + OTHER_FILES).unwrap();
    let idle = wanted.min(files - OTHER_FILES);
    if idle < wanted {
        println!("only {idle} connections instead of {wanted}: {files} files are allowed");
    }
    let temp = tempdir().unwrap();
    furnish(temp.path());
    let seats = (idle + 1).to_string();
    let daemon = Daemon::start(
        temp.path(),
        &["--memory", "--hello-rate", "1000000", "--max-connections", &seats],
    );
    let way = Way::new(daemon.address(), &daemon.credential());
    let [before, _] = daemon.memory();
    // Whoever sends a Hello need not do any RSA: the same one will do each time.
    let hello = way.hello(&mut Seeded(1));
    let started = Instant::now();
    let mut crowd = Vec::new();
    while crowd.len() < idle as usize {
        // Fewer at a time than may wait for RSA.
        let first = crowd.len();
        for n in first..(first + 500).min(idle as usize) {
            let mut stream = connect(n, way.address);
            stream.set_read_timeout(Some(HANG)).unwrap();
            stream.write_all(&hello).unwrap();
            crowd.push(stream);
        }
        for stream in &mut crowd[first..] {
            stream.read_exact(&mut [0; 64]).expect("a HelloReply");
        }
    }
    let [now, most] = daemon.memory();
    println!(
        "{idle} connections, handshakes done in {:?}: {before} KB before, {now} KB with them, \
         {most} KB at most, {} bytes each",
        started.elapsed(),
        (now - before) * 1024 / idle
    );
    // One more is served, and they are all there still.
    enrollments(1, &way, "last");
    for stream in &mut crowd {
        stream.set_nonblocking(true).unwrap();
        let error = stream.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
    // Where there are few, what is taken in larger pieces counts.
    let few = if idle <= 2_000 { 2 * 1024 } else { 0 };
    let allowed = before + (MEMORY_OF_IDLE - before) * idle / IDLE + few;
    assert!(most <= allowed, "{most} KB, {allowed} KB are allowed");
}
