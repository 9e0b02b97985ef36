//! Group commit: the number of joins per second by 64 members at once, in a registry that keeps
//! them on disk and in one that does not. No member enrolls in this time, so there is no RSA.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use xlreg::identity::{Identity, Name};
use xlreg::message::{ClusterRef, Create};
use xlreg_benches::{Connection, Daemon, ask, identity, token};

const WRITERS: u32 = 64;
/// The number of clusters that each writer joins.
const CLUSTERS: u32 = 200;
const ROUNDS: u32 = 5;

fn main() {
    let keys = identity(1);
    println!("{WRITERS} writers, {CLUSTERS} joins each; joins a second");
    println!("{:>10} {:>10} {:>8}", "durable", "--memory", "ratio");
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let [durable, memory] = [&[][..], &["--memory"]].map(|flags| rate(flags, &keys));
        ratios.push(durable / memory);
        println!("{durable:10.0} {memory:10.0} {:8.2}", durable / memory);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median {:.2}", ratios[ratios.len() / 2]);
}

fn cluster(n: u32) -> Name {
    format!("cluster{n}").parse().expect("a name")
}

fn rate(flags: &[&str], keys: &Identity) -> f64 {
    let daemon = Daemon::start(flags);
    let mut writers: Vec<Connection> = (0..WRITERS)
        .map(|n| {
            let name = format!("writer{n}").parse().expect("a name");
            daemon.visit(token(&Identity { name, ..keys.clone() }))
        })
        .collect();
    for n in 0..CLUSTERS {
        let create = Create {
            name: cluster(n),
            max_size: WRITERS,
            attrs: Default::default(),
            end_point_count: 1,
        };
        ask(&mut writers[0], |session, now| session.create(now, create));
    }
    let (ready, joins) = (Barrier::new(writers.len()), f64::from(WRITERS * CLUSTERS));
    let join_all = |writer: &mut Connection| {
        ready.wait();
        let started = Instant::now();
        for n in 0..CLUSTERS {
            ask(writer, |session, now| session.join(now, ClusterRef::from(cluster(n))));
        }
        started.elapsed()
    };
    let join_all = &join_all;
    let times: Vec<Duration> = thread::scope(|scope| {
        let threads: Vec<_> =
            writers.iter_mut().map(|writer| scope.spawn(move || join_all(writer))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it goes well")).collect()
    });
    joins / times.into_iter().max().unwrap_or_default().as_secs_f64()
}
