//! A generator that counts.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand_core::{TryCryptoRng, TryRng};

use xlreg_testkit::Seeded;

/// A generator that counts its draws. Draws are visible in later output, and in the time that they
/// take.
#[derive(Clone)]
pub struct Counted(Seeded, Arc<AtomicUsize>);

impl Counted {
    pub fn new(seed: u64) -> Self {
        Self(Seeded::new(seed), Arc::default())
    }

    pub fn drawn(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

impl TryRng for Counted {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.1.fetch_add(4, Ordering::Relaxed);
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.1.fetch_add(8, Ordering::Relaxed);
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        self.1.fetch_add(out.len(), Ordering::Relaxed);
        self.0.try_fill_bytes(out)
    }
}

impl TryCryptoRng for Counted {}
