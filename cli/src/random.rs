//! The system's generator of random numbers.

use getrandom::SysRng;
use rand_core::UnwrapErr;

/// A generator for keys, IDs and sessions. Without the system's random numbers nothing can go on: a command ends, a
/// connection of the daemon too.
pub fn system() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}
