//! A cluster of 64 members that enroll at once from this machine with their keys ready: the time
//! until all know all, compared with the necessary private operations.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use xlreg::adapter::blocking::{Clock, Driver};
use xlreg::crypto::{AwsLc, Provider};
use xlreg::enroll::{Enroll, EnrollEvent, Plan};
use xlreg::identity::Identity;
use xlreg::message::Create;
use xlreg::session::ClientConfig;
use xlreg_benches::{Daemon, Seeded, identity, token};

const MEMBERS: u32 = 64;
const ROUNDS: u32 = 9;

fn main() {
    let keys: Vec<Identity> = (1..=8).map(identity).collect();
    let members: Vec<Identity> = (0..MEMBERS)
        .zip(keys.iter().cycle())
        .map(|(n, keys)| Identity {
            name: format!("m{n}").parse().expect("a name"),
            ..keys.clone()
        })
        .collect();
    let daemon = Daemon::start(&[]);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut ratios = Vec::new();
    println!(
        "{MEMBERS} members on {cores} cores; milliseconds; RSA: 64 tokens signed and 64 Hellos \
         opened, with nothing else to do"
    );
    println!(
        "{:>8} {:>8} {:>8} {:>8} {:>22}",
        "RSA", "joined", "wall", "pause", "(wall - pause) / RSA"
    );
    for round in 0..ROUNDS {
        let rsa = rsa_alone(&members, cores);
        let config = ClientConfig::new(&daemon.credential());
        let started = Instant::now();
        let enroll = |member: &Identity| {
            let create = Create {
                name: format!("enrol{round}").parse().expect("a name"),
                max_size: MEMBERS,
                attrs: Default::default(),
                end_point_count: 2,
            };
            let plan = Plan::create_and_join(token(member), create);
            let clock = Clock::start();
            let rng = Seeded::new(u64::from(round));
            let enroll = Enroll::new(clock.now(), config.clone(), plan, rng).expect("sealed");
            let mut driver = Driver::new(enroll, daemon.stream(), clock);
            let mut joined = Duration::ZERO;
            while let Some(event) = driver.next_event().expect("it goes well") {
                if matches!(event, EnrollEvent::Joined(_)) {
                    joined = started.elapsed();
                }
            }
            assert!(driver.into_machine().into_roster().expect("joined").is_complete());
            joined
        };
        let last = thread::scope(|scope| {
            let threads: Vec<_> =
                members.iter().map(|member| scope.spawn(|| enroll(member))).collect();
            threads.into_iter().map(|thread| thread.join().expect("it goes well")).max()
        });
        let (wall, last) = (started.elapsed(), last.unwrap_or_default());
        let pause = Plan::join(token(&members[0]), Default::default()).first_pause;
        let ratio = wall.saturating_sub(pause).as_secs_f64() / rsa.as_secs_f64();
        ratios.push(ratio);
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        println!(
            "{:8.1} {:8.1} {:8.1} {:8.1} {ratio:22.2}",
            ms(rsa),
            ms(last),
            ms(wall),
            ms(pause)
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("median {:.2}", ratios[ratios.len() / 2]);
}

/// The time of as many private operations on as many threads as there are cores, without other
/// work: each member's token is signed and each member's Hello is opened.
fn rsa_alone(members: &[Identity], cores: usize) -> Duration {
    let (keys, provider) = (identity(0), AwsLc::new().expect("it gives the known answers"));
    let opener = provider.opener(keys.comms.to_pkcs8_der().expect("DER").expose()).expect("2048");
    let sealed = keys.comms.public_key().seal(&[7; 44], &mut Seeded::new(1)).expect("it fits");
    let operations = |member: &Identity| {
        black_box(token(member));
        assert!(opener.open(black_box(&sealed), &mut Seeded::new(1)).is_ok());
    };
    let started = Instant::now();
    thread::scope(|scope| {
        for share in members.chunks(members.len().div_ceil(cores)) {
            scope.spawn(|| share.iter().for_each(operations));
        }
    });
    started.elapsed()
}
