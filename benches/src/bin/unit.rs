//! Prints the cost of one RSA-2048 private operation on this machine with the fastest provider, in
//! nanoseconds of processor time: the unit of `benches/compare`.

use std::hint::black_box;

use xlreg::crypto::{AwsLc, Provider};
use xlreg_benches::{Seeded, identity};

const OPERATIONS: u64 = 2000;

fn main() {
    let (keys, provider) = (identity(0), AwsLc::new().expect("it gives the known answers"));
    let opener = provider.opener(keys.comms.to_pkcs8_der().expect("DER").expose()).expect("2048");
    let mut rng = Seeded::new(1);
    let sealed = keys.comms.public_key().seal(&[7; 44], &mut rng).expect("it fits");
    let before = processor_time();
    for _ in 0..OPERATIONS {
        assert!(opener.open(black_box(&sealed), &mut rng).is_ok());
    }
    println!("{}", (processor_time() - before) / OPERATIONS);
}

/// The processor time of this thread, in nanoseconds.
fn processor_time() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}
