//! The record layer: the form of a message on the wire after the handshake (PROTOCOL 4).
//!
//! Each dialect has a file here, and implements [`RecordLayer`]. No other module asks which one it
//! is.

mod cbc;
pub(super) mod chained;
pub(super) mod prefixed;
#[cfg(test)]
pub(super) mod trial;
pub(super) mod walk;

use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::buffer::Buffer;

/// A record is not authentic, not protobuf, wrongly padded, or larger than the limit. It is one
/// error, so that a caller cannot find out which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadRecord;

/// The records of a connection, in both directions.
pub(super) trait RecordLayer: Send {
    /// The bytes of input that one message may take, or that show it to be too large.
    fn room(&self) -> usize;

    /// Whether the input ends between two messages.
    fn at_boundary(&self, input: &Buffer) -> bool;

    /// Takes the next message from the input, if it is all there, and hands it to `deliver` once.
    /// Returns whether there was one.
    fn read(
        &mut self,
        input: &mut Buffer,
        deliver: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, BadRecord>;

    /// Appends one message to `out`. `encode` appends its bytes; `room` is about their number.
    fn write(
        &mut self,
        rng: &mut dyn CryptoRng,
        out: &mut Vec<u8>,
        room: usize,
        encode: &mut dyn FnMut(&mut Vec<u8>),
    );
}

impl dyn RecordLayer {
    /// Decodes the next message; `None` if it is not all there.
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

/// Makes room for one more record. For a large message room is made at once, so that it is neither
/// copied nor takes double. For small ones the storage doubles, so that many of them are not copied
/// each time.
fn reserve(out: &mut Vec<u8>, bytes: usize) {
    match bytes {
        small @ ..=4096 => out.reserve(small),
        large => out.reserve_exact(large),
    }
}
