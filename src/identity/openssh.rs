//! OpenSSH public-key text for RSA keys, `ssh-rsa AAAA... comment`, both ways (RFC 4253 section
//! 6.6).
//!
//! Strict on purpose: one spelling per key, so that text compares as keys do.

use alloc::string::String;
use alloc::vec::Vec;

use base64ct::{Base64, Encoding};

use super::public_key::{KeyError, PublicKey};

const ALGORITHM: &str = "ssh-rsa";

/// A text is not an OpenSSH RSA public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenSshError {
    /// It does not start with `ssh-rsa` and a space.
    #[error("not an OpenSSH RSA key: 'ssh-rsa AAAA...' expected")]
    Algorithm,
    /// What follows is not base64 without breaks.
    #[error("the key after 'ssh-rsa' is not base64")]
    Base64,
    /// The bytes are not the name and the two integers, minimally written.
    #[error("the base64 of the key does not hold an RSA public key")]
    Encoding,
    /// A key, but not one this protocol accepts.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The binary form: three length-prefixed strings, `ssh-rsa`, e, n.
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

fn string(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let len = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
    // A key of at most 8192 bits: the length fits with ease.
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// A positive integer: a zero byte goes in front where the top bit would make it negative.
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
