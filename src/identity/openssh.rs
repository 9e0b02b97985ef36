//! The text form of OpenSSH for RSA public keys, `ssh-rsa AAAA... comment` (RFC 4253 section 6.6):
//! reading and writing.
//!
//! Reading is strict: a key has one text, so that two texts are equal when the keys are.

use alloc::string::String;
use alloc::vec::Vec;

use base64ct::{Base64, Encoding};

use super::public_key::{KeyError, PublicKey};

const ALGORITHM: &str = "ssh-rsa";

/// A text is not an OpenSSH RSA public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenSshError {
    /// The text does not start with `ssh-rsa` and a space.
    #[error("not an OpenSSH RSA key: 'ssh-rsa AAAA...' expected")]
    Algorithm,
    /// The word after `ssh-rsa` is not base64.
    #[error("the key after 'ssh-rsa' is not base64")]
    Base64,
    /// The decoded bytes are not the name and the two integers in their shortest forms.
    #[error("the base64 of the key does not hold an RSA public key")]
    Encoding,
    /// The key is not one that this protocol accepts.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Encodes a key in binary: three strings with their lengths in front, `ssh-rsa`, *e* and *n*.
pub(super) fn blob(key: &PublicKey) -> Vec<u8> {
    let components = key.components();
    let mut out = Vec::new();
    string(&mut out, &[ALGORITHM.as_bytes()]);
    mpint(&mut out, components.exponent);
    mpint(&mut out, components.modulus);
    out
}

pub(super) fn to_text(key: &PublicKey) -> String {
    let mut text = String::from(ALGORITHM);
    text.push(' ');
    text.push_str(&Base64::encode_string(&blob(key)));
    text
}

pub(super) fn from_text(text: &str) -> Result<PublicKey, OpenSshError> {
    let mut words = text.split_ascii_whitespace();
    if words.next() != Some(ALGORITHM) {
        return Err(OpenSshError::Algorithm);
    }
    let encoded = words.next().ok_or(OpenSshError::Algorithm)?;
    let blob = Base64::decode_vec(encoded).map_err(|_| OpenSshError::Base64)?;
    let mut rest = blob.as_slice();
    let parts = [next_string(&mut rest), next_mpint(&mut rest), next_mpint(&mut rest)];
    match parts {
        [Some(name), Some(exponent), Some(modulus)]
            if name == ALGORITHM.as_bytes() && rest.is_empty() =>
        {
            Ok(PublicKey::from_components(modulus, exponent)?)
        }
        _ => Err(OpenSshError::Encoding),
    }
}

/// Appends a string with its length in four bytes.
fn string(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let text = parts.concat();
    let [.., a, b, c, d] = text.len().to_be_bytes();
    // The longest string is a modulus of 8192 bits, so the higher bytes of the length are zero.
    debug_assert!(text.len() <= 1 + 8192 / 8);
    out.extend_from_slice(&[a, b, c, d]);
    out.extend_from_slice(&text);
}

/// Appends a positive integer. If its top bit is set, a zero byte goes in front, because otherwise
/// it would be negative.
fn mpint(out: &mut Vec<u8>, magnitude: &[u8]) {
    let sign: &[u8] = if magnitude.first().is_some_and(|b| b & 0x80 != 0) { &[0] } else { &[] };
    string(out, &[sign, magnitude]);
}

pub(super) fn next_string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, tail) = rest.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
    let (string, tail) = tail.split_at_checked(len)?;
    *rest = tail;
    Some(string)
}

pub(super) fn next_mpint<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    match next_string(rest)? {
        [0, magnitude @ ..] if magnitude.first().is_some_and(|b| b & 0x80 != 0) => Some(magnitude),
        magnitude @ [first, ..] if *first != 0 && first & 0x80 == 0 => Some(magnitude),
        _ => None,
    }
}
