//! The record layer: how a message lies on the wire after the handshake (PROTOCOL 4).
//!
//! A dialect has a file here, and implements [`RecordLayer`]. Nobody else asks which one it is.

mod cbc;
pub(super) mod chained;
pub(super) mod prefixed;
#[cfg(test)]
pub(super) mod trial;
pub(super) mod walk;

use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::buffer::Buffer;

/// A record that is none: not authentic, not protobuf, not padded where it must be, or larger than
/// the limit. One error, so that no caller can be made to tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadRecord;

/// Both directions of a connection after its handshake.
pub(super) trait RecordLayer: Send {
    /// Bytes of input that may be needed to complete one message, or to see that it is too large.
    fn room(&self) -> usize;

    /// Whether the input ends between two messages.
    fn at_boundary(&self, input: &Buffer) -> bool;

    /// Hands the next message to `deliver`, once and whole, and takes it from the input. Says
    /// whether there was one.
    fn read(
        &mut self,
        input: &mut Buffer,
        deliver: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, BadRecord>;

    /// Appends one message to `out`: `encode` appends its bytes, some `room`.
    fn write(
        &mut self,
        rng: &mut dyn CryptoRng,
        out: &mut Vec<u8>,
        room: usize,
        encode: &mut dyn FnMut(&mut Vec<u8>),
    );
}

impl dyn RecordLayer {
    /// What `decode` makes of the next message; `None` if it is not all there.
    pub(super) fn poll<T>(
        &mut self,
        input: &mut Buffer,
        decode: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, BadRecord> {
        let (mut decode, mut decoded) = (Some(decode), None);
        let delivered = self.read(input, &mut |message| {
            debug_assert!(decode.is_some(), "a message is delivered once");
            decoded = decode.take().map(|decode| decode(message));
        })?;
        debug_assert_eq!(delivered, decoded.is_some(), "what is said to be delivered is");
        Ok(decoded)
    }
}

/// Makes room for one more record. Making room for a large message at once keeps it from being
/// copied and from taking double. What is small grows by doubling, so that many of them are not
/// copied each time.
fn reserve(out: &mut Vec<u8>, bytes: usize) {
    match bytes {
        small @ ..=4096 => out.reserve(small),
        large => out.reserve_exact(large),
    }
}
