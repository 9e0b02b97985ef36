//! Bounds on what one message may hold.

use core::ops::RangeInclusive;

use super::MAX_CLUSTER_SIZE;
use crate::identity::{Name, PublicKey};

/// How much one message may hold. Counts are checked on the bytes before anything is allocated for
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageLimits {
    /// Tokens in one message. 64: `Which` has 64 bits (PROTOCOL 5).
    pub tokens: usize,
    /// Ends in one token. 8 (PROTOCOL 6.4): two are used, the rest is room for several networks.
    pub end_points: usize,
    /// Bytes in a name, at most [`Name::MAX_LEN`]. 255 (PROTOCOL 1).
    pub name_len: usize,
    /// Bytes in the text of an Error. 1024: the longest known text has 59, a foreign one may name
    /// a file or two.
    pub text_len: usize,
    /// Bits in the modulus of a key, within [`PublicKey::BITS`]. 1024 to 8192 (PROTOCOL 6.2).
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
