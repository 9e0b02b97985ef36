//! What the tests share: the captures, generators with known draws, keys that need not be generated.

#![allow(dead_code, reason = "each test crate uses its own part of this")]

pub mod pair;
pub mod vectors;
pub mod wire;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::LazyLock;

use rand_core::{TryCryptoRng, TryRng};
use xlreg::identity::{CommsKeyPair, Identity, SigKeyPair};

/// Hands out given bytes and nothing else: a test that draws more, or in another order, fails.
pub struct Script(VecDeque<u8>);

impl Script {
    pub fn new(bytes: impl IntoIterator<Item = u8>) -> Self {
        Self(bytes.into_iter().collect())
    }
}

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            *byte = self.0.pop_front().expect("a draw beyond the captured ones");
        }
        Ok(())
    }
}

impl TryCryptoRng for Script {}

/// A seeded generator (SplitMix64): the same seed, the same test.
#[derive(Clone)]
pub struct Seeded(u64);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|value| (value >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ (z >> 31))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(8) {
            let bytes = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

/// Every 2048-bit key pair of the captures, so that tests need not generate any.
pub struct Keys {
    pub comms: Vec<CommsKeyPair>,
    pub sig: Vec<SigKeyPair>,
}

pub static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let mut keys = Keys { comms: Vec::new(), sig: Vec::new() };
    for capture in vectors::all() {
        for identity in capture.identities.into_values().chain([capture.server]) {
            keys.comms.push(identity.comms);
            keys.sig.push(identity.sig);
        }
    }
    keys
});

/// An identity with the `n`-th key pairs of the captures, without an ID.
pub fn identity(name: &str, n: usize) -> Identity {
    Identity {
        name: name.parse().unwrap(),
        id: None,
        comms: KEYS.comms[n % KEYS.comms.len()].clone(),
        sig: KEYS.sig[n % KEYS.sig.len()].clone(),
    }
}
