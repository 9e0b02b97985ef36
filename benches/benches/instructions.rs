//! Instructions under callgrind: the same in every run, so they show what times cannot. Needs
//! valgrind, and `cargo install --locked gungraun-runner` of the version in Cargo.lock.

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group, main};
use xlreg::session::RequestId;
use xlreg_benches::{Sessions, Shake};

#[library_benchmark(setup = Shake::new)]
fn handshake_without_rsa(shake: Shake) {
    black_box(shake.hands());
}

fn asked() -> Sessions {
    let mut sessions = Sessions::new();
    sessions.ask_and_write();
    sessions
}

#[library_benchmark(setup = asked)]
fn decode_42_kb(mut sessions: Sessions) -> Sessions {
    black_box(sessions.decode());
    sessions
}

fn requested() -> (Sessions, RequestId) {
    let mut sessions = Sessions::new();
    let id = sessions.receive_request();
    (sessions, id)
}

#[library_benchmark(setup = requested)]
fn encode_42_kb((mut sessions, id): (Sessions, RequestId)) -> Sessions {
    sessions.encode(id);
    sessions
}

#[library_benchmark(setup = Sessions::new)]
fn decode_request(mut sessions: Sessions) -> Sessions {
    black_box(sessions.receive_request());
    sessions
}

library_benchmark_group!(
    name = session;
    benchmarks = handshake_without_rsa, decode_42_kb, encode_42_kb, decode_request
);

main!(library_benchmark_groups = session);
