//! The limits of one message.

use core::ops::RangeInclusive;

use super::MAX_CLUSTER_SIZE;
use crate::identity::{Name, PublicKey};

/// The limits of one message. Counts are checked on the encoded message, before any memory is
/// allocated for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageLimits {
    /// The number of tokens in a message. 64: `Which` has 64 bits (PROTOCOL 5).
    pub tokens: usize,
    /// The number of end points in a token. 8 (PROTOCOL 6.4): two are used, and the others leave
    /// room for several networks.
    pub end_points: usize,
    /// The length of a name in bytes, at most [`Name::MAX_LEN`]. 255 (PROTOCOL 1).
    pub name_len: usize,
    /// The length of the text of an Error, in bytes. 1024: the longest known text has 59, and an
    /// unknown one may name a file or two.
    pub text_len: usize,
    /// The size of a key's modulus in bits, within [`PublicKey::BITS`]. 1024 to 8192 (PROTOCOL
    /// 6.2).
    pub rsa_bits: RangeInclusive<usize>,
}

impl Default for MessageLimits {
    fn default() -> Self {
        Self {
            tokens: MAX_CLUSTER_SIZE.into(),
            end_points: 8,
            name_len: Name::MAX_LEN,
            text_len: 1024,
            rsa_bits: PublicKey::BITS,
        }
    }
}
