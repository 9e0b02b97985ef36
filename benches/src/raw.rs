//! The cost of a ClusterMembers in the crates below: the cipher and prost, without the
//! end-of-record rule, checks of fields and limits.

use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use prost::Message;

/// The fields of `proto/xlreg.proto` in such a message.
#[derive(Clone, PartialEq, Message)]
pub struct Members {
    #[prost(int32, optional, tag = "1")]
    op: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "13")]
    cluster: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "20")]
    which: Option<u64>,
    #[prost(message, repeated, tag = "21")]
    tokens: Vec<Token>,
}

#[derive(Clone, PartialEq, Message)]
struct Token {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    attrs: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "3")]
    id: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "4")]
    comms_key: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "5")]
    sig_key: Option<Vec<u8>>,
    #[prost(string, repeated, tag = "6")]
    my_ends: Vec<String>,
}

/// A record of the prefixed dialect under a key of its own.
pub struct Raw {
    record: Vec<u8>,
    message: Members,
}

const KEY: [u8; 32] = [7; 32];

impl Raw {
    /// The same message as in a session's record of this length with its IV.
    pub fn new(message: &[u8]) -> Self {
        let message = Members::decode(message).expect("a ClusterMembers");
        let mut raw = Self { record: Vec::new(), message };
        raw.record = raw.encode();
        raw
    }

    /// Bytes in the record.
    pub fn record_len(&self) -> usize {
        self.record.len()
    }

    /// Copies the record, as a read from a socket does, decrypts it in place, and decodes it.
    pub fn decode(&self) -> Members {
        let mut record = self.record.clone();
        let (iv, body) = record.split_at_mut(16);
        let cipher = cbc::Decryptor::<aes::Aes256>::new_from_slices(&KEY, iv).expect("lengths");
        let plain = cipher.decrypt_padded::<Pkcs7>(body).expect("padding");
        Members::decode(plain).expect("a ClusterMembers")
    }

    /// Encodes the message and encrypts it in place.
    pub fn encode(&self) -> Vec<u8> {
        let len = self.message.encoded_len();
        let mut record = Vec::with_capacity(16 + len + 16);
        record.extend_from_slice(&[9; 16]);
        self.message.encode(&mut record).expect("room");
        record.resize(16 + len + 16 - len % 16, 0);
        let (iv, body) = record.split_at_mut(16);
        let cipher = cbc::Encryptor::<aes::Aes256>::new_from_slices(&KEY, iv).expect("lengths");
        cipher.encrypt_padded::<Pkcs7>(body, len).expect("room");
        record
    }
}
