//! The output of a session, and how it divides into records.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::buffer::Buffer;

/// The output of one side. A server's output is one run of bytes. A client's output is handed out
/// one record at a time, because a deployed server takes the bytes of one read for one record
/// (PROTOCOL 6).
pub(super) struct Outbox {
    bytes: Buffer,
    division: Division,
}

/// How the output divides.
enum Division {
    /// Anywhere.
    None,
    /// Into these records. A handshake message counts as one.
    Records(Records),
}

/// The lengths of the records that are not written yet, in bytes.
#[derive(Default)]
struct Records {
    /// What is left of the record that is written next; 0 if there is none.
    front: usize,
    /// Whether a part of it has been written.
    begun: bool,
    /// The lengths of the records after it.
    later: VecDeque<usize>,
}

impl Records {
    fn push(&mut self, len: usize) {
        match self.front {
            0 => self.front = len,
            _ => self.later.push_back(len),
        }
    }

    fn consume(&mut self, mut written: usize) {
        while written > 0 && self.front > 0 {
            match self.front.checked_sub(written) {
                None | Some(0) => {
                    written = written.abs_diff(self.front);
                    self.begun = false;
                    // An empty record is never queued, so 0 means that there is none.
                    self.front = self.later.pop_front().unwrap_or(0);
                }
                Some(left) => {
                    (self.front, self.begun) = (left, true);
                    return;
                }
            }
        }
        debug_assert!(written == 0, "more was written than was queued");
    }

    /// Drops all records, except the rest of one that has been begun.
    fn keep_begun(&mut self) {
        self.later = VecDeque::new();
        if !self.begun {
            self.front = 0;
        }
    }

    fn len(&self) -> usize {
        core::iter::once(&self.front).chain(&self.later).sum()
    }
}

impl Outbox {
    /// An outbox whose output may be cut anywhere.
    pub(super) fn undivided() -> Self {
        Self { bytes: Buffer::default(), division: Division::None }
    }

    /// An outbox that hands out one record at a time, with the first one.
    pub(super) fn by_record(first: Vec<u8>) -> Self {
        let records = Records { front: first.len(), ..Records::default() };
        Self { bytes: Buffer::from(first), division: Division::Records(records) }
    }

    /// Queues what `write` appends as one record. It may append nothing.
    pub(super) fn append<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let tail = self.bytes.tail();
        let before = tail.len();
        let written = write(tail);
        debug_assert!(tail.len() >= before, "what is queued stays");
        if let (Division::Records(records), Some(added @ 1..)) =
            (&mut self.division, tail.len().checked_sub(before))
        {
            records.push(added);
            debug_assert_eq!(records.len(), self.bytes.len(), "each byte is of one record");
        }
        written
    }

    /// The bytes to write next.
    pub(super) fn next(&self) -> &[u8] {
        let all = self.bytes.as_slice();
        match &self.division {
            Division::None => all,
            Division::Records(records) => all.split_at(records.front.min(all.len())).0,
        }
    }

    /// All bytes, however they divide.
    #[cfg(feature = "internals")]
    pub(super) fn all(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// Drops the first `n` bytes, or all that there are: they have been written.
    pub(super) fn consume(&mut self, n: usize) {
        let written = n.min(self.bytes.len());
        if let Division::Records(records) = &mut self.division {
            records.consume(written);
            debug_assert_eq!(records.len(), self.bytes.len().abs_diff(written), "of one record");
        }
        self.bytes.consume(written);
    }

    /// Drops everything, except the rest of a record that has been begun: a record that is cut
    /// short ends a deployed server (PROTOCOL 6).
    pub(super) fn drop_unbegun(&mut self) {
        match &mut self.division {
            Division::None => self.bytes.clear(),
            Division::Records(records) => {
                records.keep_begun();
                self.bytes.truncate(records.front);
            }
        }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        if let Division::Records(records) = &mut self.division {
            *records = Records::default();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}
