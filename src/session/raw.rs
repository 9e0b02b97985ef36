//! The peer of a session, for the fuzzers: it has the session keys and seals whatever it is given,
//! so that a fuzzer's bytes reach the parser instead of being decrypted to noise. And the record
//! rule, to be compared with a model of it.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "for tests: a panic here tells of a mistake in them"
)]

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::cipher::{self, BLOCK, Block, Decryptor, Key};
use super::handshake::{ClientHello, Dialect, Established, OpenedHello};
use super::record::{Found, Walk};
use crate::identity::{PublicKey, Version};

#[path = "../../testkit/src/no_rsa.rs"]
mod no_rsa;

pub(crate) use no_rsa::NoRsa;

/// A client that has sent its Hello.
pub(crate) struct RawHello(ClientHello);

impl RawHello {
    /// Its Hello, for a registry that opens with [`NoRsa`].
    pub(crate) fn seal(
        dialect: Dialect,
        registry: &PublicKey,
        rng: &mut dyn CryptoRng,
    ) -> (Self, Vec<u8>) {
        let mut out = Vec::new();
        let hello = ClientHello::seal(dialect, Version::ZERO, registry, &NoRsa, rng, &mut out).ok();
        (Self(hello.expect("NoRsa seals anything")), out)
    }

    /// The peer of the registry's session that answered so.
    pub(crate) fn accept(&self, reply: &[u8]) -> Option<RawPeer> {
        self.0.accept(reply).map(RawPeer::new)
    }
}

/// One end of a connection that seals what it likes.
pub(crate) struct RawPeer {
    dialect: Dialect,
    key: Key,
    sending: Block,
    receiving: Block,
    prefixes: u8,
}

impl RawPeer {
    fn new(established: Established) -> Self {
        let Established { dialect, key2, iv2, .. } = established;
        Self { dialect, key: key2, sending: iv2, receiving: iv2, prefixes: 0 }
    }

    /// A registry that answers this Hello of a client that seals with [`NoRsa`]; and its
    /// HelloReply.
    pub(crate) fn answering(hello: &[u8], rng: &mut dyn CryptoRng) -> (Self, Vec<u8>) {
        let mut out = Vec::new();
        let opened = OpenedHello::from_plaintext(Some(hello)).into_answerable();
        let established = opened.expect("a Hello").answer(Version::REFERENCE, rng, &mut out);
        (Self::new(established), out)
    }

    /// A record of these bytes, padded up to whole blocks with zeros if they are not: no padding,
    /// no end.
    pub(crate) fn seal_blocks(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut record = Vec::new();
        if self.dialect == Dialect::Prefixed {
            self.prefixes = self.prefixes.wrapping_add(1);
            self.sending = [self.prefixes; BLOCK];
            record.extend_from_slice(&self.sending);
        }
        let start = record.len();
        record.extend_from_slice(bytes);
        record.resize(start + bytes.len().next_multiple_of(BLOCK), 0);
        self.sending = cipher::encrypt(&self.key, &self.sending, &mut record[start..]);
        record
    }

    /// A record of this message, padded as it should be.
    pub(crate) fn seal(&mut self, message: &[u8]) -> Vec<u8> {
        self.seal_blocks(&pad(message))
    }

    /// The padded plaintext of whole records; `None` if these cannot be any.
    pub(crate) fn open(&mut self, record: &[u8]) -> Option<Box<[u8]>> {
        let (iv, sealed) = match self.dialect {
            Dialect::Prefixed => record.split_first_chunk::<BLOCK>()?,
            Dialect::Chained => (&self.receiving, record),
        };
        if sealed.is_empty() || sealed.len() % BLOCK != 0 {
            return None;
        }
        let mut plain = sealed.to_vec();
        Decryptor::new(&self.key, iv).decrypt(&mut plain);
        self.receiving = *sealed.last_chunk()?;
        Some(plain.into())
    }
}

/// A message with the padding it should have.
pub(crate) fn pad(message: &[u8]) -> Vec<u8> {
    let padding = BLOCK - message.len() % BLOCK;
    let mut padded = message.to_vec();
    padded.resize(message.len() + padding, u8::try_from(padding).unwrap_or_default());
    padded
}

/// What the record rule says of this plaintext: the lengths of message and record; `None` if more
/// is needed. It asks for so many blocks in all, and `step` says how many it gets; there is always
/// one more, as long as there are any.
pub(crate) fn walk(
    plain: &[u8],
    limit: usize,
    mut step: impl FnMut(usize) -> usize,
) -> Result<Option<(usize, usize)>, ()> {
    let (mut walk, mut have) = (Walk::default(), 0);
    let whole = plain.len() / BLOCK;
    loop {
        match walk.advance(&plain[..have * BLOCK], limit).map_err(|_| ())? {
            Found::End { message, record } => return Ok(Some((message, record))),
            Found::Need(bytes) => {
                let needed = bytes.div_ceil(BLOCK);
                assert!(needed > have, "it asks for more than it has");
                let given = step(needed).max(have + 1);
                if have == whole {
                    return Ok(None);
                }
                have = given.min(whole);
            }
        }
    }
}
