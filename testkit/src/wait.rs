//! Waiting for events without sleeps.

use std::thread;
use std::time::{Duration, Instant};

/// A wait that is longer than this hangs. It is generous, because the machine may be busy.
pub const HANG: Duration = Duration::from_secs(60);

/// Asks again and again until the answer is true.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + HANG;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_micros(100));
    }
}
