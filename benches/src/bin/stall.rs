//! The time that a quiet client waits for its replies while other clients' Hellos keep the
//! registry's RSA busy: alone, beside as much RSA in another process (the effect of the machine),
//! and beside the Hellos (the effect of the registry).

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use xlreg::crypto::{AwsLc, Provider};
use xlreg::message::{Create, GetCluster};
use xlreg::session::{Client, ClientConfig, Instant as SessionTime, Session};
use xlreg_benches::{Connection, Daemon, Seeded, ask, identity, token};

/// The number of Hellos per second.
const RATE: u32 = 200;
/// The number of requests of the quiet client, in each of the three. They come without a pause,
/// because an idle core of a virtual machine is slow to wake.
const ROUND_TRIPS: usize = 25_000;
const ROUNDS: usize = 7;

fn main() {
    let daemon = Daemon::start(&["--memory"]);
    let config = ClientConfig::new(&daemon.credential());
    let session = Session::<Client>::new(SessionTime::EPOCH, config, Seeded::new(2));
    // A Hello can be sent again without RSA.
    let hello = session.expect("sealed").output().to_vec();
    let send_hello = || {
        let mut stream = daemon.stream();
        stream.write_all(&hello).expect("it reads");
        stream.read_exact(&mut [0; 64]).expect("a HelloReply");
    };
    let (keys, provider) = (identity(0), AwsLc::new().expect("it gives the known answers"));
    let opener = provider.opener(keys.comms.to_pkcs8_der().expect("DER").expose()).expect("2048");
    let sealed = keys.comms.public_key().seal(&[7; 44], &mut Seeded::new(1)).expect("it fits");
    let open = || assert!(opener.open(&sealed, &mut Seeded::new(1)).is_ok());

    println!("{RATE} a second; {ROUND_TRIPS} round trips (GetCluster, one member); microseconds");
    println!(
        "{:>10} {:>10} {:>16} {:>16} {:>22}",
        "p50 alone", "p99 alone", "p99 beside RSA", "p99 with Hellos", "p99 with Hellos / p50"
    );
    let token = token(&identity(1));
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        // A session has a limit of requests.
        let mut bystander = daemon.visit(token.clone());
        let create = Create {
            name: format!("stall{round}").parse().expect("a name"),
            max_size: 2,
            attrs: Default::default(),
            end_point_count: 1,
        };
        ask(&mut bystander, |session, now| session.create(now, create));
        ask(&mut bystander, |session, now| session.join(now, Default::default()));
        let [p50, alone] = round_trips(&mut bystander);
        let [_, beside] = during(open, || round_trips(&mut bystander));
        let [_, loaded] = during(send_hello, || round_trips(&mut bystander));
        ratios.push(loaded / p50);
        println!("{p50:10.0} {alone:10.0} {beside:16.0} {loaded:16.0} {:22.2}", loaded / p50);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median {:.2}", ratios[ratios.len() / 2]);
}

/// Their median and 99th percentile.
fn round_trips(bystander: &mut Connection) -> [f64; 2] {
    let mut times: Vec<Duration> = (0..ROUND_TRIPS)
        .map(|_| {
            let started = Instant::now();
            ask(bystander, |session, now| session.get_members(now, GetCluster::default()));
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    [50, 99].map(|percent| times[ROUND_TRIPS * percent / 100].as_secs_f64() * 1e6)
}

/// Does something `RATE` times per second on another thread at the same time.
fn during<T>(something: impl Fn() + Sync, measured: impl FnOnce() -> T) -> T {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut due = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                something();
                done.fetch_add(1, Ordering::Relaxed);
                due += Duration::from_secs(1) / RATE;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        let started = Instant::now();
        let result = measured();
        let rate = done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        assert!(rate > 0.9 * f64::from(RATE), "only {rate:.0} a second instead of {RATE}");
        result
    })
}
