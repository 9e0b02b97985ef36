//! How long a bystander waits for its replies while other clients' Hellos keep the registry's RSA busy.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use xlreg::message::{Create, GetCluster};
use xlreg::session::{Client, ClientConfig, Instant as SessionTime, Session};
use xlreg_benches::{Daemon, Seeded, ask, identity, token};

/// Hellos a second.
const RATE: u32 = 200;
const ROUND_TRIPS: usize = 20_000;
const ROUNDS: usize = 5;

fn main() {
    let daemon = Daemon::start(&["--memory"]);
    let credential = daemon.credential();
    let config = ClientConfig::new(&credential);
    let session = Session::<Client>::new(SessionTime::EPOCH, config, Seeded::new(2));
    // Whoever sends a Hello need not do any RSA: the same one will do each time.
    let hello = session.expect("sealed").output().to_vec();
    let token = token(&identity(1));
    println!(
        "{RATE} Hellos a second; {ROUND_TRIPS} round trips (GetCluster, one member); microseconds"
    );
    println!(
        "{:>12} {:>12} {:>12} {:>12} {:>8}",
        "p50 alone", "p99 alone", "p50 loaded", "p99 loaded", "ratio"
    );
    for round in 0..ROUNDS {
        let mut bystander = daemon.visit(token.clone());
        let create = Create {
            name: format!("stall{round}").parse().expect("a name"),
            max_size: 2,
            attrs: Default::default(),
            end_point_count: 1,
        };
        ask(&mut bystander, |session, now| session.create(now, create));
        ask(&mut bystander, |session, now| session.join(now, Default::default()));
        let mut round_trips = || {
            let mut times: Vec<Duration> = (0..ROUND_TRIPS)
                .map(|_| {
                    let started = Instant::now();
                    ask(&mut bystander, |session, now| {
                        session.get_members(now, GetCluster::default())
                    });
                    started.elapsed()
                })
                .collect();
            times.sort_unstable();
            [50, 99].map(|percent| times[ROUND_TRIPS * percent / 100].as_secs_f64() * 1e6)
        };
        let alone = round_trips();
        let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        let loaded = thread::scope(|scope| {
            scope.spawn(|| {
                let mut due = Instant::now();
                while !stop.load(Ordering::Relaxed) {
                    let mut stream = daemon.stream();
                    stream.write_all(&hello).expect("it reads");
                    stream.read_exact(&mut [0; 64]).expect("a HelloReply");
                    sent.fetch_add(1, Ordering::Relaxed);
                    due += Duration::from_secs(1) / RATE;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
            });
            let started = Instant::now();
            let loaded = round_trips();
            let rate = sent.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
            stop.store(true, Ordering::Relaxed);
            assert!(rate > 0.9 * f64::from(RATE), "only {rate:.0} Hellos a second were sent");
            loaded
        });
        let ratio = loaded[1] / alone[0];
        println!(
            "{:12.0} {:12.0} {:12.0} {:12.0} {ratio:8.2}",
            alone[0], alone[1], loaded[0], loaded[1]
        );
    }
}
