//! The time that a quiet client waits for its replies while others send requests faster than they
//! are answered, on connections of another address and of its own. With `XLREG_BEFORE`, another
//! binary, the two take turns.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use xlreg::identity::{Name, Token};
use xlreg::message::{ClusterRef, Create, GetCluster};
use xlreg::session::ClientConfig;
use xlreg_benches::{Daemon, ask, identity, token};

const SPINNERS: [usize; 4] = [0, 1, 16, 64];
const OWN: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// The time of the quiet client's requests in each round, and their least number.
const TIME: Duration = Duration::from_secs(1);
const ROUND_TRIPS: usize = 50;
const ROUNDS: usize = 5;
/// The number of requests that a busy client sends with one call.
const BATCH: usize = 256;

fn main() {
    let before = std::env::var("XLREG_BEFORE").ok();
    let binaries = before.iter().map(|path| ("before", Some(path.as_str())));
    let binaries: Vec<_> = binaries.chain([("now", None)]).collect();
    println!("round trips (GetCluster, one member), microseconds; {ROUNDS} rounds of {TIME:?}");
    println!("{:>7} {:>9} {:>10} {:>9} {:>9}", "", "spinners", "from", "p50", "p99");
    for (number, address) in SPINNERS.into_iter().flat_map(|n| [(n, OTHER), (n, OWN)]) {
        if number == 0 && address == OWN {
            continue;
        }
        let mut times = vec![Vec::new(); binaries.len()];
        for _ in 0..ROUNDS {
            for ((_, path), times) in binaries.iter().zip(&mut times) {
                times.extend(measure(*path, number, address));
            }
        }
        for ((name, _), mut times) in binaries.iter().zip(times) {
            times.sort_unstable();
            let [p50, p99] =
                [50, 99].map(|percent| times[times.len() * percent / 100].as_secs_f64() * 1e6);
            println!("{name:>7} {number:9} {address:>10} {p50:9.0} {p99:9.0}");
        }
    }
}

/// The round trips of the quiet client beside a number of busy clients.
fn measure(binary: Option<&str>, spinners: usize, address: IpAddr) -> Vec<Duration> {
    let flags = ["--memory"];
    let daemon = binary.map_or_else(|| Daemon::start(&flags), |path| Daemon::of(path, &flags));
    let mut bystander = daemon.visit(token(&identity(1)));
    let name: Name = "spinners".parse().expect("a name");
    let create =
        Create { name: name.clone(), max_size: 2, attrs: Default::default(), end_point_count: 1 };
    ask(&mut bystander, |session, now| session.create(now, create));
    ask(&mut bystander, |session, now| session.join(now, Default::default()));
    let get = GetCluster { cluster: ClusterRef::from(name), which: None };

    let spinner_token = token(&identity(2));
    let mut config = ClientConfig::new(&daemon.credential());
    config.limits.in_flight = BATCH;
    let (stop, spinning) = (AtomicBool::new(false), Barrier::new(spinners + 1));
    thread::scope(|scope| {
        for _ in 0..spinners {
            scope.spawn(|| {
                let mut spinner = Spinner::new(&daemon, address, &config, &spinner_token, &get);
                spinning.wait();
                while !stop.load(Ordering::Relaxed) {
                    spinner.spin(&stop);
                    // A session has a limit of requests.
                    spinner = Spinner::new(&daemon, address, &config, &spinner_token, &get);
                }
            });
        }
        spinning.wait();
        let (started, mut times) = (Instant::now(), Vec::new());
        while times.len() < ROUND_TRIPS || started.elapsed() < TIME {
            let asked = Instant::now();
            ask(&mut bystander, |session, now| session.get_members(now, get.clone()));
            times.push(asked.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        times
    })
}

/// A client that sends requests without waiting for the replies, which are thrown away.
struct Spinner {
    stream: TcpStream,
    batch: Vec<u8>,
}

impl Spinner {
    fn new(
        daemon: &Daemon,
        address: IpAddr,
        config: &ClientConfig,
        token: &Token,
        get: &GetCluster,
    ) -> Self {
        let stream = daemon.stream_from(address);
        let own = stream.try_clone().expect("a descriptor");
        let mut session = daemon.visit_over(own, config.clone(), token.clone());
        let now = session.now();
        for _ in 0..BATCH {
            session.machine().get_members(now, get.clone()).expect("they may wait");
        }
        let mut batch = Vec::new();
        while !session.machine().output().is_empty() {
            let record = session.machine().output().to_vec();
            session.machine().consume_output(record.len());
            batch.extend(record);
        }
        Self { stream, batch }
    }

    /// Until the registry ends it, or it is told to stop.
    fn spin(mut self, stop: &AtomicBool) {
        let mut replies = self.stream.try_clone().expect("a descriptor");
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut sink = vec![0; 64 * 1024];
                while replies.read(&mut sink).is_ok_and(|n| n > 0) {}
                // Then writing is useless too. The connection may be closed already.
                let _ = replies.shutdown(Shutdown::Both);
            });
            // Each record has an IV of its own, so the same ones can be sent again.
            while !stop.load(Ordering::Relaxed) && self.stream.write_all(&self.batch).is_ok() {}
            let _ = self.stream.shutdown(Shutdown::Both);
        });
    }
}
