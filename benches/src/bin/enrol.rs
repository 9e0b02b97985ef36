//! A cluster of 64, whose members enroll at once from this machine with their keys ready: how long it takes until all
//! know all, against the RSA that must be done for it.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use xlreg::adapter::blocking::{Clock, Driver};
use xlreg::crypto::{AwsLc, Provider};
use xlreg::enroll::{Enroll, Plan};
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
        "{MEMBERS} members on {cores} cores; milliseconds; RSA is (64 Hellos opened + 64 tokens signed) / cores"
    );
    println!("{:>8} {:>8} {:>8} {:>22}", "RSA", "wall", "pause", "(wall - pause) / RSA");
    for round in 0..ROUNDS {
        let bound =
            (opening() + signing(&members[0])) * MEMBERS / u32::try_from(cores).unwrap_or(1);
        let config = ClientConfig::new(&daemon.credential());
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
            while driver.next_event().expect("it goes well").is_some() {}
            assert!(driver.into_machine().into_roster().expect("joined").is_complete());
        };
        let started = Instant::now();
        thread::scope(|scope| {
            members.iter().for_each(|member| drop(scope.spawn(|| enroll(member))))
        });
        let wall = started.elapsed();
        let pause = Plan::join(token(&members[0]), Default::default()).first_pause;
        let ratio = wall.saturating_sub(pause).as_secs_f64() / bound.as_secs_f64();
        ratios.push(ratio);
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        println!("{:8.1} {:8.1} {:8.1} {ratio:22.2}", ms(bound), ms(wall), ms(pause));
    }
    ratios.sort_by(f64::total_cmp);
    println!("median {:.2}", ratios[ratios.len() / 2]);
}

/// The least time of many: what the operation takes when nothing comes between.
fn least(mut operation: impl FnMut()) -> Duration {
    let time = |_| {
        let started = Instant::now();
        operation();
        started.elapsed()
    };
    (0..50).map(time).min().unwrap_or_default()
}

fn opening() -> Duration {
    let (keys, provider) = (identity(0), AwsLc::new().expect("it gives the known answers"));
    let opener = provider.opener(keys.comms.to_pkcs8_der().expect("DER").expose()).expect("2048");
    let mut rng = Seeded::new(1);
    let sealed = keys.comms.public_key().seal(&[7; 44], &mut rng).expect("it fits");
    least(|| assert!(opener.open(black_box(&sealed), &mut rng).is_ok()))
}

fn signing(member: &Identity) -> Duration {
    least(|| drop(black_box(token(member))))
}
