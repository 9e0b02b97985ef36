//! Records: how a message lies on the wire after the handshake (PROTOCOL 4).
//!
//! 1. A record is PKCS#7-padded plaintext under AES-256-CBC. `Prefixed` puts a fresh IV before
//!    each; `Chained` continues from the last block of the record before.
//! 2. Nothing on the wire says how long a record is. [`RecordReader`] decrypts just as far as the
//!    record is known to go, walks the plaintext as protobuf fields, and finds the padding at the
//!    first field boundary where it is ([`Walk`], PROTOCOL 4.1).
//! 3. It never decrypts past the end of a record: what follows may be under another IV.

use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::buffer::Buffer;
use super::cipher::{self, BLOCK, Block, Decryptor, Key};
use super::handshake::Dialect;
use crate::message::wire::FieldShape;

/// A record that does not walk: not protobuf, not padded where it must be, or larger than the
/// limit. One error, so that no caller can be made to tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadRecord;

/// Where the walk through a record's plaintext stands (PROTOCOL 4.1).
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The next field boundary; may lie beyond what has been decrypted.
    boundary: usize,
}

/// What the walk found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The record ends: the message has this many bytes, its padding reaches to the end of the
    /// block.
    End {
        /// Bytes of the message.
        message: usize,
        /// Bytes of the record.
        record: usize,
    },
    /// The record is at least this long; ask again with so much plaintext.
    Need(usize),
}

impl Walk {
    /// Walks on. `plain` is all plaintext of this record so far, in whole blocks.
    pub(super) fn advance(&mut self, plain: &[u8], limit: usize) -> Result<Found, BadRecord> {
        loop {
            let message = self.boundary;
            // At a boundary p the padding would be n = 16 - p mod 16 bytes of value n, up to the
            // end of the block.
            let padding = BLOCK.saturating_sub(message % BLOCK);
            let record = message.saturating_add(padding);
            let Some(tail) = plain.get(message..record) else { return Ok(Found::Need(record)) };
            if tail.iter().all(|byte| usize::from(*byte) == padding) {
                return Ok(Found::End { message, record });
            }
            let rest = plain.get(message..).unwrap_or_default();
            match FieldShape::read(rest).map_err(|_| BadRecord)? {
                Some(field) => {
                    // The declared length is checked before its bytes are waited for. There is
                    // padding behind it.
                    self.boundary = message.saturating_add(field.len());
                    if self.boundary > limit.min(usize::MAX.saturating_sub(BLOCK)) {
                        return Err(BadRecord);
                    }
                }
                None => return Ok(Found::Need(plain.len().saturating_add(1))),
            }
        }
    }
}

/// Cuts records out of a byte stream and decrypts them in place.
pub(super) struct RecordReader {
    dialect: Dialect,
    key: Key,
    /// What the next block of ciphertext chains to; `None` while a prefixed record's IV has not
    /// arrived.
    chain: Option<Block>,
    walk: Walk,
    /// Bytes at the front of the input that are plaintext already.
    plain: usize,
    limit: usize,
}

impl RecordReader {
    pub(super) fn new(dialect: Dialect, key: Key, iv2: Block, limit: usize) -> Self {
        let chain = match dialect {
            Dialect::Prefixed => None,
            Dialect::Chained => Some(iv2),
        };
        Self { dialect, key, chain, walk: Walk::default(), plain: 0, limit }
    }

    /// Bytes of input that may be needed to complete one record, or to see that it is too large:
    /// its IV, a message of the limit, and a field header or padding beyond it, to the end of
    /// the block.
    pub(super) const fn room(&self) -> usize {
        self.limit.saturating_add(4 * BLOCK)
    }

    /// Whether the input ends between two records.
    pub(super) fn at_boundary(&self, input: &Buffer) -> bool {
        input.is_empty()
            && self.plain == 0
            && (self.dialect == Dialect::Chained || self.chain.is_none())
    }

    /// Hands the next message to `decode` and takes its record from the input; `None` if it is not
    /// all there.
    pub(super) fn poll<T>(
        &mut self,
        input: &mut Buffer,
        decode: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, BadRecord> {
        let Some(chain) = self.chain.or_else(|| take_block(input)) else { return Ok(None) };
        self.chain = Some(chain);
        let mut decryptor = None;
        loop {
            let plain = input.as_slice().get(..self.plain).unwrap_or_default();
            match self.walk.advance(plain, self.limit)? {
                Found::End { message, record } => {
                    let decoded = decode(plain.get(..message).unwrap_or_default());
                    input.consume(record);
                    self.walk = Walk::default();
                    self.plain = 0;
                    if self.dialect == Dialect::Prefixed {
                        self.chain = None;
                    }
                    return Ok(Some(decoded));
                }
                Found::Need(bytes) => {
                    let needed = bytes.checked_next_multiple_of(BLOCK).ok_or(BadRecord)?;
                    let whole = input.len().saturating_sub(input.len() % BLOCK);
                    let upto = needed.min(whole);
                    if upto <= self.plain {
                        return Ok(None);
                    }
                    let cipher = decryptor.get_or_insert_with(|| Decryptor::new(&self.key, &chain));
                    let fresh = input.as_mut_slice().get_mut(self.plain..upto);
                    cipher.decrypt(fresh.unwrap_or_default());
                    self.chain = Some(cipher.chain());
                    self.plain = upto;
                }
            }
        }
    }
}

fn take_block(input: &mut Buffer) -> Option<Block> {
    let block = *input.as_slice().first_chunk::<BLOCK>()?;
    input.consume(BLOCK);
    Some(block)
}

/// Pads, encrypts and appends records.
pub(super) struct RecordWriter {
    dialect: Dialect,
    key: Key,
    chain: Block,
}

impl RecordWriter {
    pub(super) fn new(dialect: Dialect, key: Key, iv2: Block) -> Self {
        Self { dialect, key, chain: iv2 }
    }

    /// Appends one record whose message, some `room` bytes, `encode` appends.
    pub(super) fn write(
        &mut self,
        rng: &mut dyn CryptoRng,
        out: &mut Vec<u8>,
        room: usize,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        // With its IV and padding: making room for those later would double what a large message
        // takes. What is small grows by doubling, so that many of them are not copied each
        // time.
        match room.saturating_add(2 * BLOCK) {
            small @ ..=4096 => out.reserve(small),
            large => out.reserve_exact(large),
        }
        if self.dialect == Dialect::Prefixed {
            // PROTOCOL 3.3: one IV per message, drawn when it is sent.
            rng.fill_bytes(&mut self.chain);
            out.extend_from_slice(&self.chain);
        }
        let start = out.len();
        encode(out);
        let message = out.len().saturating_sub(start);
        let padding = BLOCK.saturating_sub(message % BLOCK);
        out.resize(out.len().saturating_add(padding), u8::try_from(padding).unwrap_or_default());
        let record = out.get_mut(start..).unwrap_or_default();
        self.chain = cipher::encrypt(&self.key, &self.chain, record);
    }
}
