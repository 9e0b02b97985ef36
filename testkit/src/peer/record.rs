//! The records of one connection, made of AES and blocks.

use rand_core::Rng;
use xlreg::identity::Version;
use xlreg::session::Dialect;

use super::cbc::{decrypt, encrypt};
use crate::Seeded;

/// Adds the right padding to a message.
pub fn pad(message: &[u8]) -> Vec<u8> {
    let n = 16 - message.len() % 16;
    [message, &vec![n as u8; n]].concat()
}

/// Removes the padding; `None` if there is none.
pub fn unpad(blocks: &[u8]) -> Option<&[u8]> {
    let n = usize::from(*blocks.last()?);
    let at = blocks.len().checked_sub(n)?;
    ((1..=16).contains(&n) && blocks[at..].iter().all(|byte| usize::from(*byte) == n))
        .then(|| &blocks[..at])
}

/// The plaintext of a Hello. It is also its ciphertext for a registry with a key that does nothing.
pub fn hello(dialect: Dialect) -> &'static [u8] {
    match dialect {
        Dialect::Prefixed => &[0x33; 44],
        Dialect::Chained => &[0x33; 60],
    }
}

/// The first bytes.
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    *bytes.first_chunk().expect("as many bytes")
}

/// The draws of a registry for a session.
#[derive(Clone, Debug)]
pub struct Secrets {
    pub key2: [u8; 32],
    pub iv2: [u8; 16],
    pub salt2: [u8; 8],
}

impl Default for Secrets {
    fn default() -> Self {
        Self { key2: [0x4b; 32], iv2: [0x17; 16], salt2: [0x52; 8] }
    }
}

/// The records of one connection, from the peer's side.
pub struct Peer {
    dialect: Dialect,
    pub key2: [u8; 32],
    sending: [u8; 16],
    receiving: [u8; 16],
    ivs: Seeded,
}

impl Peer {
    fn new(dialect: Dialect, key2: [u8; 32], iv2: [u8; 16]) -> Self {
        Self { dialect, key2, sending: iv2, receiving: iv2, ivs: Seeded::new(77) }
    }

    /// Makes a client that sent `hello` (the plaintext) and got `reply` (the wire).
    pub fn of_reply(dialect: Dialect, hello: &[u8], reply: &[u8]) -> Self {
        match dialect {
            Dialect::Prefixed => {
                let (iv, sealed) = reply.split_first_chunk().expect("an IV");
                let plain = opened(&first(hello), iv, sealed);
                Self::new(dialect, first(&plain), [0; 16])
            }
            Dialect::Chained => {
                let plain = opened(&first(&hello[16..]), &first(hello), reply);
                assert_eq!(plain[56..64], hello[48..56], "salt1 is echoed");
                Self::new(dialect, first(&plain[16..]), first(&plain))
            }
        }
    }

    /// Makes a registry that answers `hello` (the plaintext). Also gives the HelloReply (the wire).
    pub fn answering(dialect: Dialect, hello: &[u8], version: Version) -> (Self, Vec<u8>) {
        Self::answering_with(dialect, hello, version, &Secrets::default())
    }

    /// The same, with these draws.
    pub fn answering_with(
        dialect: Dialect,
        hello: &[u8],
        version: Version,
        secrets: &Secrets,
    ) -> (Self, Vec<u8>) {
        let Secrets { key2, iv2, salt2 } = *secrets;
        let version = version.to_bytes();
        let reply = match dialect {
            Dialect::Prefixed => {
                let plain = [&key2[..], &salt2, &version].concat();
                [&iv2[..], &encrypt(&first(hello), &iv2, &pad(&plain))].concat()
            }
            Dialect::Chained => {
                let plain = [&iv2[..], &key2, &salt2, &hello[48..56], &version].concat();
                encrypt(&first(&hello[16..]), &first(hello), &pad(&plain))
            }
        };
        (Self::new(dialect, key2, iv2), reply)
    }

    /// Makes a record of these blocks, padded or not. The last block is filled up with zeros.
    pub fn seal_blocks(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut blocks = bytes.to_vec();
        blocks.resize(bytes.len().next_multiple_of(16), 0);
        if self.dialect == Dialect::Prefixed {
            self.ivs.fill_bytes(&mut self.sending);
        }
        let sealed = encrypt(&self.key2, &self.sending, &blocks);
        let record = match self.dialect {
            Dialect::Prefixed => [&self.sending[..], &sealed].concat(),
            Dialect::Chained => sealed,
        };
        self.sending = *record.last_chunk().unwrap_or(&self.sending);
        record
    }

    /// Makes a record of this message, with the right padding.
    pub fn seal(&mut self, message: &[u8]) -> Vec<u8> {
        self.seal_blocks(&pad(message))
    }

    /// Reads the message of exactly one record.
    pub fn open(&mut self, record: &[u8]) -> Vec<u8> {
        unpad(&self.open_blocks(record)).expect("a padded record").into()
    }

    /// Decrypts whole blocks, at least one, with any padding.
    pub fn open_blocks(&mut self, record: &[u8]) -> Vec<u8> {
        let (iv, sealed) = match self.dialect {
            Dialect::Prefixed => record.split_first_chunk().expect("an IV"),
            Dialect::Chained => (&self.receiving, record),
        };
        assert!(!sealed.is_empty() && sealed.len().is_multiple_of(16), "whole blocks");
        let blocks = decrypt(&self.key2, iv, sealed);
        self.receiving = *record.last_chunk().expect("a block");
        blocks
    }
}

/// Decrypts, and removes the padding. Panics without one.
fn opened(key: &[u8; 32], iv: &[u8; 16], sealed: &[u8]) -> Vec<u8> {
    unpad(&decrypt(key, iv, sealed)).expect("a padded message").into()
}
