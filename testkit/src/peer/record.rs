//! The records of one connection, made of nothing but AES and blocks.

use cbc::cipher::block_padding::{NoPadding, Pkcs7};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use rand_core::Rng;
use xlreg::identity::Version;
use xlreg::session::Dialect;

use crate::Seeded;

fn encrypt(key: &[u8], iv: &[u8], blocks: &[u8]) -> Vec<u8> {
    let cipher = cbc::Encryptor::<aes::Aes256>::new_from_slices(key, iv).unwrap();
    cipher.encrypt_padded_vec::<NoPadding>(blocks)
}

/// Decrypts and takes the padding off; panics where there is none.
fn decrypt(key: &[u8], iv: &[u8], sealed: &[u8]) -> Vec<u8> {
    let cipher = cbc::Decryptor::<aes::Aes256>::new_from_slices(key, iv).unwrap();
    cipher.decrypt_padded_vec::<Pkcs7>(sealed).unwrap()
}

pub fn pad(message: &[u8]) -> Vec<u8> {
    let n = 16 - message.len() % 16;
    [message, &vec![n as u8; n]].concat()
}

/// What is before the padding, if it is one.
pub fn unpad(blocks: &[u8]) -> Option<&[u8]> {
    let n = usize::from(*blocks.last()?);
    let at = blocks.len().checked_sub(n)?;
    ((1..=16).contains(&n) && blocks[at..].iter().all(|byte| usize::from(*byte) == n))
        .then(|| &blocks[..at])
}

fn block(bytes: &[u8]) -> [u8; 16] {
    bytes.try_into().unwrap()
}

/// What a registry draws for a session.
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

/// The records of one connection, seen from the raw side.
pub struct Peer {
    dialect: Dialect,
    pub key2: Vec<u8>,
    sending: [u8; 16],
    receiving: [u8; 16],
    ivs: Seeded,
}

impl Peer {
    fn new(dialect: Dialect, key2: &[u8], iv2: [u8; 16]) -> Self {
        Self { dialect, key2: key2.into(), sending: iv2, receiving: iv2, ivs: Seeded::new(77) }
    }

    /// A raw client that sent `hello` (the plaintext) and got `reply` (the wire).
    pub fn of_reply(dialect: Dialect, hello: &[u8], reply: &[u8]) -> Self {
        match dialect {
            Dialect::Prefixed => {
                let plain = decrypt(&hello[..32], &reply[..16], &reply[16..]);
                Self::new(dialect, &plain[..32], [0; 16])
            }
            Dialect::Chained => {
                let plain = decrypt(&hello[16..48], &hello[..16], reply);
                assert_eq!(plain[56..64], hello[48..56], "salt1 is echoed");
                Self::new(dialect, &plain[16..48], block(&plain[..16]))
            }
        }
    }

    /// A raw registry that answers `hello` (the plaintext), and the wire of its HelloReply.
    pub fn answering(dialect: Dialect, hello: &[u8], version: Version) -> (Self, Vec<u8>) {
        Self::answering_with(dialect, hello, version, &Secrets::default())
    }

    /// The same with these draws.
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
                [&iv2[..], &encrypt(&hello[..32], &iv2, &pad(&plain))].concat()
            }
            Dialect::Chained => {
                let plain = [&iv2[..], &key2, &salt2, &hello[48..56], &version].concat();
                encrypt(&hello[16..48], &hello[..16], &pad(&plain))
            }
        };
        (Self::new(dialect, &key2, iv2), reply)
    }

    /// A record of whole blocks as they are, padded or not.
    pub fn seal_blocks(&mut self, blocks: &[u8]) -> Vec<u8> {
        if self.dialect == Dialect::Prefixed {
            self.ivs.fill_bytes(&mut self.sending);
        }
        let sealed = encrypt(&self.key2, &self.sending, blocks);
        let record = match self.dialect {
            Dialect::Prefixed => [&self.sending[..], &sealed].concat(),
            Dialect::Chained => sealed,
        };
        self.sending = block(&record[record.len() - 16..]);
        record
    }

    pub fn seal(&mut self, message: &[u8]) -> Vec<u8> {
        self.seal_blocks(&pad(message))
    }

    /// The message of exactly one record.
    pub fn open(&mut self, record: &[u8]) -> Vec<u8> {
        unpad(&self.open_blocks(record)).expect("a padded record").into()
    }

    /// Whole blocks, one at least, as they decrypt, with the padding if there is any.
    pub fn open_blocks(&mut self, record: &[u8]) -> Vec<u8> {
        let (iv, sealed) = match self.dialect {
            Dialect::Prefixed => record.split_at(16),
            Dialect::Chained => (&self.receiving[..], record),
        };
        let cipher = cbc::Decryptor::<aes::Aes256>::new_from_slices(&self.key2, iv).unwrap();
        let blocks = cipher.decrypt_padded_vec::<NoPadding>(sealed).unwrap();
        self.receiving = block(&record[record.len() - 16..]);
        blocks
    }
}
