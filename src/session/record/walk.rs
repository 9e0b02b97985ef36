//! Where a record ends (PROTOCOL 4.1): nothing on the wire says how long one is.
//!
//! The plaintext is walked as protobuf fields, and the padding found at the first field boundary
//! where it is. Nothing is decrypted past the end of a record: what follows may be under another IV.

use super::BadRecord;
use crate::message::wire::FieldShape;
use crate::session::cipher::BLOCK;

/// Where the walk through a record's plaintext stands.
#[derive(Debug, Default)]
pub(in crate::session) struct Walk {
    /// The next field boundary; may lie beyond what has been decrypted.
    boundary: usize,
}

/// What the walk found.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::session) enum Found {
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
    pub(in crate::session) fn advance(
        &mut self,
        plain: &[u8],
        limit: usize,
    ) -> Result<Found, BadRecord> {
        debug_assert_eq!(plain.len() % BLOCK, 0, "plaintext comes in whole blocks");
        loop {
            let message = self.boundary;
            // At a boundary p the padding would be n = 16 - p mod 16 bytes of value n, up to the
            // end of the block.
            let padding = padding_of(message);
            let record = message.checked_add(padding.into()).ok_or(BadRecord)?;
            let Some(tail) = plain.get(message..record) else { return Ok(Found::Need(record)) };
            if tail.iter().all(|byte| *byte == padding) {
                return Ok(Found::End { message, record });
            }
            let rest = plain.get(message..).ok_or(BadRecord)?;
            match FieldShape::read(rest).map_err(|_| BadRecord)? {
                Some(field) => {
                    // The declared length is checked before its bytes are waited for.
                    let boundary = message.checked_add(field.len()).ok_or(BadRecord)?;
                    if boundary > limit {
                        return Err(BadRecord);
                    }
                    debug_assert!(boundary > message, "a field has two bytes at least");
                    self.boundary = boundary;
                }
                // The field's header goes on in the next block.
                None => return Ok(Found::Need(plain.len().checked_add(1).ok_or(BadRecord)?)),
            }
        }
    }
}

/// How many bytes of padding follow a message of this length, which is also the value of each: 1 to
/// 16 (PKCS#7).
pub(super) fn padding_of(message: usize) -> u8 {
    let [low, ..] = message.to_le_bytes();
    16_u8.abs_diff(low % 16)
}
