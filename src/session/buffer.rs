//! Byte queues: filled at one end, taken from the other, without moving what stays.

use alloc::vec::Vec;

/// Storage of an empty queue that is kept for the next message; more is given back.
const KEPT: usize = 2048;

/// A queue of bytes.
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..).unwrap_or_default()
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

    /// The storage, for appending in place; what is already in it must stay as it is.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        // Moving what is left to the front keeps the storage as large as what is queued, not as
        // what has passed.
        if self.start > 0 {
            self.bytes.drain(..self.start.min(self.bytes.len()));
            self.start = 0;
        }
        &mut self.bytes
    }

    /// Takes `n` bytes, or what there is, from the front.
    pub(super) fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.bytes.len());
        if self.is_empty() {
            self.clear();
        }
    }

    /// Drops all but the first `n` bytes.
    pub(super) fn truncate(&mut self, n: usize) {
        match n {
            0 => self.clear(),
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
}
