//! The random generator of the system, feature `getrandom`.

use core::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

/// The random generator of the system, for keys, IDs and sessions.
///
/// It has no state: all copies are equal, and each draw asks the system. On a system that the crate
/// `getrandom` does not know (bare metal, some WebAssembly) there are two ways. Give that crate a
/// backend, or turn the feature off and use a generator of your own: everything here takes any
/// `rand_core::CryptoRng`.
///
/// # Panics
///
/// Each draw panics if the system gives no random numbers. A system that gives some does not stop
/// later. But a sandbox may forbid the call, and then the first draw fails.
///
/// ```
/// use xlreg::crypto::SystemRng;
/// use xlreg::identity::{Identity, NodeId};
///
/// let id = NodeId::random(&mut SystemRng);
/// let node = Identity::generate("alice".parse()?, &mut SystemRng)?;
/// # assert_ne!(id, NodeId::random(&mut SystemRng));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRng;

impl TryRng for SystemRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(drawn(getrandom::u32()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(drawn(getrandom::u64()))
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        drawn(getrandom::fill(to));
        Ok(())
    }
}

impl TryCryptoRng for SystemRng {}

#[allow(clippy::panic, reason = "keys that can be guessed are worse than a stop")]
fn drawn<T>(value: Result<T, getrandom::Error>) -> T {
    match value {
        Ok(value) => value,
        Err(error) => panic!("the system gives no random numbers: {error}"),
    }
}
