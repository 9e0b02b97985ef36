//! The records of the dialect `prefixed`: a fresh IV before each one (PROTOCOL 4).

use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::cbc::{self, CbcReader};
use super::{BadRecord, RecordLayer, reserve};
use crate::session::buffer::Buffer;
use crate::session::cipher::{BLOCK, Block, Key};

/// The records of both directions.
pub(in crate::session) struct Prefixed {
    reader: CbcReader,
    place: Place,
    key: Key,
}

/// The place at which the input starts.
enum Place {
    /// Before the IV of a record.
    Iv,
    /// Within a record. The next block of ciphertext chains to this one.
    Record(Block),
}

impl Prefixed {
    /// Records under the session key, with messages of up to `limit` bytes.
    pub(in crate::session) fn new(key: Key, limit: usize) -> Self {
        Self { reader: CbcReader::new(limit), place: Place::Iv, key }
    }
}

impl RecordLayer for Prefixed {
    fn room(&self) -> usize {
        self.reader.room()
    }

    fn at_boundary(&self, input: &Buffer) -> bool {
        self.reader.at_boundary(input) && matches!(self.place, Place::Iv)
    }

    fn read(
        &mut self,
        input: &mut Buffer,
        deliver: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, BadRecord> {
        let mut chain = match self.place {
            Place::Record(chain) => chain,
            Place::Iv => {
                let Some(iv) = input.as_slice().first_chunk::<BLOCK>() else { return Ok(false) };
                let iv = *iv;
                input.consume(BLOCK);
                iv
            }
        };
        let delivered = self.reader.read(&self.key, input, &mut chain, deliver)?;
        self.place = if delivered { Place::Iv } else { Place::Record(chain) };
        Ok(delivered)
    }

    fn write(
        &mut self,
        rng: &mut dyn CryptoRng,
        out: &mut Vec<u8>,
        room: usize,
        encode: &mut dyn FnMut(&mut Vec<u8>),
    ) {
        // This is a hint. A larger message grows the storage by itself.
        reserve(out, room.saturating_add(2 * BLOCK));
        // PROTOCOL 3.3: one IV for each message, drawn when it is sent.
        let mut iv = [0; BLOCK];
        rng.fill_bytes(&mut iv);
        out.extend_from_slice(&iv);
        let start = out.len();
        encode(out);
        cbc::seal(&self.key, &iv, out, start);
    }
}
