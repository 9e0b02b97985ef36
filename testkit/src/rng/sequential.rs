//! A generator with draws that are known in advance.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use xlreg::identity::NodeId;

/// Draws the same byte again and again, and the next byte at the next draw. So its IDs are known in
/// advance, and come again.
#[derive(Clone)]
pub struct SequentialRng(pub u8);

impl SequentialRng {
    /// The ID of this byte.
    pub fn id(byte: u8) -> NodeId {
        NodeId::from_bytes(&[byte; 32]).expect("32 bytes")
    }
}

impl TryRng for SequentialRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|value| u32::try_from(value >> 32).unwrap_or_default())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.fill(self.0);
        self.0 = self.0.wrapping_add(1);
        Ok(())
    }
}

impl TryCryptoRng for SequentialRng {}
