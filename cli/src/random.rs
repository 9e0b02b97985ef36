//! The system's generator of random numbers.

use getrandom::SysRng;
use rand_core::UnwrapErr;

/// A generator for keys, IDs and sessions. A system that cannot give random numbers cannot run this program:
/// it stops.
pub fn system() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}
