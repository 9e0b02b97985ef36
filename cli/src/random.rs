//! The system's generator of random numbers.

use xlreg::crypto::SystemRng;

/// A generator for keys, IDs and sessions. Without the system's random numbers nothing can go on: a
/// command ends, a connection of the daemon too.
pub fn system() -> SystemRng {
    SystemRng
}
