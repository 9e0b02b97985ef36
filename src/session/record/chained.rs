//! The records of the dialect `chained`: each one chains to the last block of the record before
//! (PROTOCOL 4).

use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::cbc::{self, CbcReader};
use super::{BadRecord, RecordLayer, reserve};
use crate::session::buffer::Buffer;
use crate::session::cipher::{BLOCK, Block, Key};

/// The records of both directions.
pub(in crate::session) struct Chained {
    reader: CbcReader,
    /// The block to which the next input chains.
    receiving: Block,
    key: Key,
    /// The block to which the next output chains.
    sending: Block,
}

impl Chained {
    /// Records under the session key, with messages of up to `limit` bytes. The first record of
    /// each direction chains to `iv2`.
    pub(in crate::session) fn new(key: Key, iv2: Block, limit: usize) -> Self {
        Self { reader: CbcReader::new(limit), receiving: iv2, key, sending: iv2 }
    }
}

impl RecordLayer for Chained {
    fn room(&self) -> usize {
        self.reader.room()
    }

    fn at_boundary(&self, input: &Buffer) -> bool {
        self.reader.at_boundary(input)
    }

    fn read(
        &mut self,
        input: &mut Buffer,
        deliver: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, BadRecord> {
        self.reader.read(&self.key, input, &mut self.receiving, deliver)
    }

    fn write(
        &mut self,
        _: &mut dyn CryptoRng,
        out: &mut Vec<u8>,
        room: usize,
        encode: &mut dyn FnMut(&mut Vec<u8>),
    ) {
        // This is a hint. A larger message grows the storage by itself.
        reserve(out, room.saturating_add(2 * BLOCK));
        let start = out.len();
        encode(out);
        self.sending = cbc::seal(&self.key, &self.sending, out, start);
    }
}
