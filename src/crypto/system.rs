//! The system's generator, feature `getrandom`.

use core::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

/// The system's generator of random numbers: for keys, IDs and sessions.
///
/// It has no state, so every copy is as good as another, and each use asks the system. Where the
/// system is none that the crate `getrandom` knows (bare metal, some WebAssembly), either give that
/// crate a backend, or leave the feature off and hand in a generator of your own: everything here
/// takes any `rand_core::CryptoRng`.
///
/// # Panics
///
/// Each draw panics if the system gives no random numbers. Systems do not stop in the middle; what
/// happens is that a sandbox forbids the call, and then the first draw fails.
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

#[allow(clippy::panic, reason = "to go on with keys that can be guessed is worse than to stop")]
fn drawn<T>(value: Result<T, getrandom::Error>) -> T {
    match value {
        Ok(value) => value,
        Err(error) => panic!("the system gives no random numbers: {error}"),
    }
}
