//! Times, as medians of many. Benches that belong together are in one group, so that ratios are
//! from one run: `cargo bench --manifest-path benches/Cargo.toml --bench time`.

use std::cell::RefCell;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use xlreg::crypto::{AwsLc, Provider, RustCrypto};
use xlreg_benches::{Raw, Registries, Seeded, Sessions, Shake, identity, token};

fn main() {
    divan::main();
}

fn provider(name: &str) -> Box<dyn Provider> {
    match name {
        "rsa" => Box::new(RustCrypto),
        _ => Box::new(AwsLc::new().expect("it gives the known answers")),
    }
}

const PROVIDERS: [&str; 2] = ["rsa", "aws-lc-rs"];

/// The private operation, which is the unit of `benches/compare`.
#[divan::bench(args = PROVIDERS)]
fn open_hello(bencher: Bencher, name: &str) {
    let (keys, provider) = (identity(0), provider(name));
    let opener = provider.opener(keys.comms.to_pkcs8_der().expect("DER").expose()).expect("2048");
    let mut rng = Seeded::new(1);
    let sealed = keys.comms.public_key().seal(&[7; 44], &mut rng).expect("it fits");
    bencher.bench_local(|| opener.open(black_box(&sealed), &mut rng).is_ok());
}

#[divan::bench(args = PROVIDERS)]
fn verify_token(bencher: Bencher, name: &str) {
    let (provider, token) = (provider(name), token(&identity(1)));
    bencher
        .with_inputs(|| token.clone())
        .bench_local_values(|token| token.verify(&*provider).is_ok());
}

#[divan::bench]
fn seal_hello(bencher: Bencher) {
    let (keys, mut rng) = (identity(0), Seeded::new(1));
    bencher.bench_local(|| keys.comms.public_key().seal(black_box(&[7; 44]), &mut rng));
}

/// Both sides of a handshake, without RSA.
#[divan::bench]
fn handshake_without_rsa(bencher: Bencher) {
    let shake = Shake::new();
    bencher.bench_local(|| shake.hands());
}

/// ClusterMembers with 64 members: the work of a client, and that of the crates below.
mod decode_42_kb {
    use super::*;

    #[divan::bench]
    fn session(bencher: Bencher) {
        let sessions = Sessions::new();
        let bytes = BytesCount::new(sessions.reply_len());
        let sessions = RefCell::new(sessions);
        let bencher = bencher.counter(bytes).with_inputs(|| sessions.borrow_mut().ask_and_write());
        bencher.bench_local_values(|()| sessions.borrow_mut().decode());
    }

    #[divan::bench]
    fn raw(bencher: Bencher) {
        let raw = Raw::new(Sessions::new().message());
        bencher.counter(BytesCount::new(raw.record_len())).bench_local(|| raw.decode());
    }
}

/// ClusterMembers with 64 members: the work of a registry from the reply to the bytes, and that of
/// the crates below.
mod encode_42_kb {
    use super::*;

    #[divan::bench]
    fn session(bencher: Bencher) {
        let sessions = Sessions::new();
        let bytes = BytesCount::new(sessions.reply_len());
        let sessions = RefCell::new(sessions);
        // Each is read before the next request.
        let bencher = bencher.counter(bytes).with_inputs(|| {
            sessions.borrow_mut().written();
            sessions.borrow_mut().receive_request()
        });
        bencher.bench_local_values(|id| sessions.borrow_mut().encode(id));
    }

    #[divan::bench]
    fn raw(bencher: Bencher) {
        let raw = Raw::new(Sessions::new().message());
        bencher.counter(BytesCount::new(raw.record_len())).bench_local(|| raw.encode());
    }
}

/// The registry's rules, by the number of clusters of eight.
mod registry {
    use super::*;

    const SIZES: [u64; 4] = [10, 1_000, 100_000, 1_000_000];

    #[divan::bench(args = SIZES, sample_count = 1000)]
    fn create(bencher: Bencher, clusters: u64) {
        let mut registries = Registries::new(clusters);
        bencher.bench_local(|| registries.create());
    }

    #[divan::bench(args = SIZES, sample_count = 1000, sample_size = 1)]
    fn join(bencher: Bencher, clusters: u64) {
        let registries = RefCell::new(Registries::new(clusters));
        let bencher = bencher.with_inputs(|| registries.borrow_mut().create());
        bencher.bench_local_values(|()| registries.borrow_mut().join_newest());
    }

    #[divan::bench(args = SIZES, sample_count = 1000)]
    fn join_again(bencher: Bencher, clusters: u64) {
        let (mut registries, mut n) = (Registries::new(clusters), 0u64);
        bencher.bench_local(|| {
            n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
            registries.join_again(n);
        });
    }

    #[divan::bench(args = SIZES, sample_count = 1000)]
    fn get(bencher: Bencher, clusters: u64) {
        let (mut registries, mut n) = (Registries::new(clusters), 0u64);
        bencher.bench_local(|| {
            n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
            registries.get(n)
        });
    }
}
