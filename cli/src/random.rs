//! The random generator of the system.

use xlreg::crypto::SystemRng;

/// The generator for keys, IDs and sessions. Without random numbers of the system a command ends,
/// and so does a connection of the daemon.
pub fn system() -> SystemRng {
    SystemRng
}
