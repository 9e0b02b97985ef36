//! Byte queues: bytes are added at the end and taken from the front, without moving the rest.

use alloc::vec::Vec;

/// The storage that an empty queue keeps for the next message, in bytes. More is given back.
const KEPT: usize = 2048;

/// A queue of bytes. `start` is never beyond the end of `bytes`.
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, start: 0 }
    }
}

impl Buffer {
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.split_at(self.taken()).1
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        let taken = self.taken();
        self.bytes.split_at_mut(taken).1
    }

    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Appends bytes at the end.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.tail().extend_from_slice(bytes);
    }

    /// The storage, for appending in place. Its contents must stay as they are.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        // With the rest moved to the front, the storage grows with what is queued and not with what
        // has passed.
        let taken = self.taken();
        if taken > 0 {
            self.bytes.drain(..taken);
            self.start = 0;
        }
        &mut self.bytes
    }

    /// Takes `n` bytes, or all that there are, from the front.
    pub(super) fn consume(&mut self, n: usize) {
        // A caller may say "all of it" by any large number.
        self.start = self.start.saturating_add(n).min(self.bytes.len());
        if self.is_empty() {
            self.clear();
        }
    }

    /// Drops all but the first `n` bytes.
    pub(super) fn truncate(&mut self, n: usize) {
        match n {
            0 => self.clear(),
            // A number beyond the end drops nothing.
            _ => self.bytes.truncate(self.start.saturating_add(n)),
        }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.start = 0;
        self.bytes.clear();
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
    }

    /// How many bytes of the storage have been taken.
    fn taken(&self) -> usize {
        debug_assert!(self.start <= self.bytes.len(), "more was taken than there was");
        self.start.min(self.bytes.len())
    }
}
