//! Waiting for what must come, without sleeps that a test depends on.

use std::thread;
use std::time::{Duration, Instant};

/// Whatever takes longer hangs: generous, because the machine may be busy.
pub const HANG: Duration = Duration::from_secs(60);

/// Asks again and again until it is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + HANG;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_micros(100));
    }
}
