//! Generators with known draws, so that a test is the same every time.

#[cfg(feature = "std")]
mod script;
mod seeded;
#[cfg(feature = "std")]
mod sequential;

#[cfg(feature = "std")]
pub use script::Script;
pub use seeded::Seeded;
#[cfg(feature = "std")]
pub use sequential::SequentialRng;

/// A number in the environment.
#[cfg(feature = "std")]
pub fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[cfg(feature = "std")]
impl Seeded {
    /// Makes a generator with the seed in `XLREG_SEED`, or this one. The seed is printed, so that a
    /// failure can be repeated.
    pub fn announced(default: u64) -> Self {
        let seed = number("XLREG_SEED").unwrap_or(default);
        println!("seed {seed} (XLREG_SEED)");
        Self(seed)
    }

    /// A number below this.
    pub fn below(&mut self, limit: usize) -> usize {
        (rand_core::Rng::next_u64(self) % limit as u64) as usize
    }
}
