//! The end of a record (PROTOCOL 4.1). No length is on the wire.
//!
//! The walk reads the plaintext as protobuf fields. The record ends at the first field boundary
//! with a valid padding. Nothing is decrypted past the end of a record, because the next record may
//! have another IV.

use super::BadRecord;
use crate::message::wire::FieldShape;
use crate::session::cipher::BLOCK;

/// The state of a walk through a record's plaintext.
#[derive(Debug, Default)]
pub(in crate::session) struct Walk {
    /// The next field boundary. It may lie beyond what has been decrypted.
    boundary: usize,
}

/// The result of a walk.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::session) enum Found {
    /// The record ends here. Its padding reaches to the end of the block.
    End {
        /// Bytes of the message.
        message: usize,
        /// Bytes of the record.
        record: usize,
    },
    /// The record has at least this many bytes. Walk again with that much plaintext.
    Need(usize),
}

impl Walk {
    /// Walks on. `plain` is the plaintext of this record so far, in whole blocks.
    pub(in crate::session) fn advance(
        &mut self,
        plain: &[u8],
        limit: usize,
    ) -> Result<Found, BadRecord> {
        debug_assert_eq!(plain.len() % BLOCK, 0, "plaintext comes in whole blocks");
        loop {
            let message = self.boundary;
            // If a record ended at boundary p, its padding would be n = 16 - p mod 16 bytes of
            // value n, up to the end of the block.
            let padding = padding_of(message);
            let record = message.checked_add(padding.into()).ok_or(BadRecord)?;
            let Some(tail) = plain.get(message..record) else { return Ok(Found::Need(record)) };
            if tail.iter().all(|byte| *byte == padding) {
                return Ok(Found::End { message, record });
            }
            let rest = plain.get(message..).ok_or(BadRecord)?;
            match FieldShape::read(rest).map_err(|_| BadRecord)? {
                Some(field) => {
                    // The declared length is checked before the session waits for its bytes.
                    let boundary = message.checked_add(field.len()).ok_or(BadRecord)?;
                    if boundary > limit {
                        return Err(BadRecord);
                    }
                    debug_assert!(boundary > message, "a field has two bytes at least");
                    self.boundary = boundary;
                }
                // The header of the field goes on in the next block.
                None => return Ok(Found::Need(plain.len().checked_add(1).ok_or(BadRecord)?)),
            }
        }
    }
}

/// The number of bytes of padding after a message of this length, 1 to 16. Each byte has this
/// number as its value (PKCS#7).
pub(super) fn padding_of(message: usize) -> u8 {
    let [low, ..] = message.to_le_bytes();
    16_u8.abs_diff(low % 16)
}
