//! The records of the dialect for a test: frames with a tag, and messages over several frames.
//!
//! ```text
//! frame:    length[2] | ciphertext[length - 16] | tag[16]
//! message:  length[4] | bytes                     cut into chunks of 64 bytes, one a frame
//! ```

use alloc::vec::Vec;

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};

use super::{BadRecord, RecordLayer};
use crate::session::buffer::Buffer;

/// The plaintext bytes of a whole frame.
const CHUNK: usize = 64;
const TAG: usize = 16;
/// Bytes of a frame before its ciphertext.
const HEADER: usize = 2;

/// The records of both directions.
pub(in crate::session) struct Trial {
    sending: Direction,
    receiving: Direction,
    /// The part of a message that has arrived. It begins with the length.
    message: Vec<u8>,
    limit: usize,
}

struct Direction {
    key: [u8; 32],
    count: u64,
}

impl Direction {
    fn digest(&self, label: &[u8], bytes: &[u8]) -> [u8; 32] {
        let keyed = Sha256::new().chain_update(self.key).chain_update(self.count.to_le_bytes());
        keyed.chain_update(label).chain_update(bytes).finalize().into()
    }

    /// Encrypts or decrypts, which are the same.
    fn mask(&self, bytes: &mut [u8]) {
        for (n, block) in (0_u8..).zip(bytes.chunks_mut(32)) {
            let mask = self.digest(b"mask", &[n]);
            block.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        }
    }

    fn tag(&self, ciphertext: &[u8]) -> [u8; 32] {
        self.digest(b"tag", ciphertext)
    }
}

impl Trial {
    pub(in crate::session) fn new(ours: [u8; 32], theirs: [u8; 32], limit: usize) -> Self {
        let [sending, receiving] = [ours, theirs].map(|key| Direction { key, count: 0 });
        Self { sending, receiving, message: Vec::new(), limit }
    }

    /// The length of the message in bytes, once it has arrived.
    fn declared(&self) -> Result<Option<usize>, BadRecord> {
        let Some(declared) = self.message.first_chunk() else { return Ok(None) };
        let declared = usize::try_from(u32::from_be_bytes(*declared)).map_err(|_| BadRecord)?;
        // The declared length is checked before more is kept.
        if declared > self.limit { Err(BadRecord) } else { Ok(Some(declared)) }
    }

    /// Takes one frame from the input, if it is all there.
    fn take_frame(&mut self, input: &mut Buffer) -> Result<bool, BadRecord> {
        let bytes = input.as_slice();
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return Ok(false) };
        let len = usize::from(u16::from_be_bytes(*header));
        if !(TAG + 1..=TAG + CHUNK).contains(&len) {
            return Err(BadRecord);
        }
        let Some(frame) = rest.get(..len) else { return Ok(false) };
        let (ciphertext, tag) = frame.split_last_chunk::<TAG>().ok_or(BadRecord)?;
        if !self.receiving.tag(ciphertext).starts_with(tag) {
            return Err(BadRecord);
        }
        let mut chunk = ciphertext.to_vec();
        self.receiving.mask(&mut chunk);
        self.receiving.count = self.receiving.count.checked_add(1).ok_or(BadRecord)?;
        self.message.append(&mut chunk);
        input.consume(HEADER.checked_add(len).ok_or(BadRecord)?);
        Ok(true)
    }
}

impl RecordLayer for Trial {
    fn room(&self) -> usize {
        HEADER + CHUNK + TAG
    }

    fn at_boundary(&self, input: &Buffer) -> bool {
        input.is_empty() && self.message.is_empty()
    }

    fn read(
        &mut self,
        input: &mut Buffer,
        deliver: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, BadRecord> {
        while self.take_frame(input)? {
            let Some(declared) = self.declared()? else { continue };
            let (_, body) = self.message.split_first_chunk::<4>().ok_or(BadRecord)?;
            if body.len() > declared {
                return Err(BadRecord);
            }
            if body.len() == declared {
                deliver(body);
                self.message.clear();
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn write(
        &mut self,
        _: &mut dyn CryptoRng,
        out: &mut Vec<u8>,
        _: usize,
        encode: &mut dyn FnMut(&mut Vec<u8>),
    ) {
        let mut message = Vec::from([0; 4]);
        encode(&mut message);
        let len = u32::try_from(message.len().abs_diff(4)).unwrap_or(u32::MAX);
        message.splice(..4, len.to_be_bytes());
        for chunk in message.chunks_mut(CHUNK) {
            self.sending.mask(chunk);
            let tag = self.sending.tag(chunk);
            let len = u16::try_from(chunk.len().saturating_add(TAG)).unwrap_or(u16::MAX);
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(chunk);
            out.extend(tag.iter().take(TAG));
            self.sending.count = self.sending.count.saturating_add(1);
        }
    }
}
