//! The part that the records of both deployed dialects share: padded plaintext under AES-256-CBC
//! (PROTOCOL 4). The dialects differ in the IV of a record.

use alloc::vec::Vec;
use core::iter;

use super::BadRecord;
use super::walk::{Found, Walk, padding_of};
use crate::session::buffer::Buffer;
use crate::session::cipher::{self, BLOCK, Block, Decryptor, Key};

/// Decrypts records in place, in the input.
pub(super) struct CbcReader {
    walk: Walk,
    /// How many bytes at the front of the input are plaintext already.
    plain: usize,
    limit: usize,
}

impl CbcReader {
    /// A reader that takes messages of up to `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { walk: Walk::default(), plain: 0, limit }
    }

    /// The bytes of input that one record may take, or that show it to be too large: an IV, a
    /// message of the limit, and a field header or padding beyond it, to the end of the block.
    pub(super) const fn room(&self) -> usize {
        // A limit near the end of the address space means "no limit".
        self.limit.saturating_add(4 * BLOCK)
    }

    /// Whether the input ends between two records. An IV before the next record does not count.
    pub(super) fn at_boundary(&self, input: &Buffer) -> bool {
        // What is decrypted of a record stays in the input until the record ends.
        debug_assert!(self.plain <= input.len());
        input.is_empty()
    }

    /// Takes the next record from the input and hands its message to `deliver`. Returns whether
    /// there was one. The first block chains to `chain`, which is then what the next record chains
    /// to.
    pub(super) fn read(
        &mut self,
        key: &Key,
        input: &mut Buffer,
        chain: &mut Block,
        deliver: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, BadRecord> {
        let mut decryptor = None;
        loop {
            let plain = input.as_slice().get(..self.plain).ok_or(BadRecord)?;
            match self.walk.advance(plain, self.limit)? {
                Found::End { message, record } => {
                    debug_assert_eq!(record, self.plain, "nothing past the record is decrypted");
                    deliver(plain.get(..message).ok_or(BadRecord)?);
                    input.consume(record);
                    self.walk = Walk::default();
                    self.plain = 0;
                    return Ok(true);
                }
                Found::Need(bytes) => {
                    let needed = bytes.checked_next_multiple_of(BLOCK).ok_or(BadRecord)?;
                    let whole = input.len().abs_diff(input.len() % BLOCK);
                    let upto = needed.min(whole);
                    if upto <= self.plain {
                        return Ok(false);
                    }
                    let cipher = decryptor.get_or_insert_with(|| Decryptor::new(key, chain));
                    let fresh = input.as_mut_slice().get_mut(self.plain..upto).ok_or(BadRecord)?;
                    cipher.decrypt(fresh);
                    *chain = cipher.chain();
                    self.plain = upto;
                }
            }
        }
    }
}

/// Pads and encrypts the message at the end of `out`, from `start` on. Returns its last block.
pub(super) fn seal(key: &Key, iv: &Block, out: &mut Vec<u8>, start: usize) -> Block {
    debug_assert!(start <= out.len(), "a message is appended");
    let start = start.min(out.len());
    let padding = padding_of(out.len().abs_diff(start));
    out.extend(iter::repeat_n(padding, padding.into()));
    cipher::encrypt(key, iv, out.split_at_mut(start).1)
}
