//! The digest of a row. The pages of SQLite have no checksums, so rows have.

use sha2::{Digest as _, Sha256};

/// A digest under way. Each value goes in with its length, so that no two rows have the same input.
pub(super) struct Digest(Sha256);

impl Digest {
    /// Starts the digest of a row of this table.
    pub(super) fn of(table: &str) -> Self {
        Self(Sha256::new()).blob(table.as_bytes())
    }

    /// Adds bytes, or text.
    pub(super) fn blob(mut self, bytes: &[u8]) -> Self {
        let len = bytes.len() as u64;
        self.0.update(len.to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a number.
    pub(super) fn number(mut self, number: u64) -> Self {
        self.0.update(number.to_le_bytes());
        self
    }

    /// Adds a number that may be absent.
    pub(super) fn maybe(self, number: Option<u64>) -> Self {
        match number {
            None => self.number(0),
            Some(number) => self.number(1).number(number),
        }
    }

    /// The digest. Eight bytes find any accident; nobody who writes to the file is kept out by it.
    pub(super) fn end(self) -> [u8; 8] {
        let full: [u8; 32] = self.0.finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = full;
        [a, b, c, d, e, f, g, h]
    }
}
