//! Reading of private keys in the form of OpenSSH (`PROTOCOL.key` in its sources): a public part,
//! and a private part that may be encrypted.
//!
//! Reading is strict: there is exactly one RSA key, it is the same in both parts, it is not
//! encrypted, and only the defined padding follows.

use super::openssh::{next_mpint, next_string};
use super::{KeyAlgorithm, KeyForm, KeyPairError};
use crate::crypto::PrivateParts;

const MAGIC: &[u8] = b"openssh-key-v1\0";

/// The private part is padded to a multiple of this, if it is not encrypted.
const BLOCK: usize = 8;

const DAMAGED: KeyPairError = KeyPairError::Encoding(KeyForm::OpenSsh);

/// Reads the numbers of the one key.
pub(super) fn parts(bytes: &[u8]) -> Result<PrivateParts<'_>, KeyPairError> {
    let mut rest = bytes.strip_prefix(MAGIC).ok_or(DAMAGED)?;
    let mut next = || next_string(&mut rest).ok_or(DAMAGED);
    let [cipher, derivation, options] = [next()?, next()?, next()?];
    match next_number(&mut rest).ok_or(DAMAGED)? {
        0 => return Err(DAMAGED),
        1 => {}
        _ => return Err(KeyPairError::Several),
    }
    let mut next = || next_string(&mut rest).ok_or(DAMAGED);
    let [public, private] = [next()?, next()?];
    // The algorithm is checked first: a passphrase would not make this key usable.
    let (exponent, modulus) = public_half(public)?;
    if cipher != b"none" {
        return Err(KeyPairError::Encrypted);
    }
    if derivation != b"none" || !options.is_empty() || !rest.is_empty() {
        return Err(DAMAGED);
    }
    let key = private_half(private).ok_or(DAMAGED)?;
    match key.modulus == modulus && key.public_exponent == exponent {
        true => Ok(key),
        false => Err(KeyPairError::Inconsistent),
    }
}

/// Reads the exponent and the modulus.
fn public_half(mut blob: &[u8]) -> Result<(&[u8], &[u8]), KeyPairError> {
    match next_string(&mut blob).ok_or(DAMAGED)? {
        b"ssh-rsa" => {}
        other => return Err(KeyPairError::NotRsa(algorithm(other))),
    }
    let mut next = || next_mpint(&mut blob).ok_or(DAMAGED);
    let halves = (next()?, next()?);
    if blob.is_empty() { Ok(halves) } else { Err(DAMAGED) }
}

fn private_half(bytes: &[u8]) -> Option<PrivateParts<'_>> {
    let mut rest = bytes;
    // Two copies of a number. After decryption they differ if the passphrase was wrong.
    let checks = (next_number(&mut rest)?, next_number(&mut rest)?);
    let name = next_string(&mut rest)?;
    let mut next = || next_mpint(&mut rest);
    let [modulus, public_exponent, private_exponent] = [next()?, next()?, next()?];
    let [coefficient, first, second] = [next()?, next()?, next()?];
    let _comment = next_string(&mut rest)?;
    let whole = bytes.len().is_multiple_of(BLOCK)
        && rest.len() < BLOCK
        && rest.iter().zip(1..).all(|(byte, place)| *byte == place);
    (checks.0 == checks.1 && name == b"ssh-rsa" && whole).then_some(PrivateParts {
        modulus,
        public_exponent,
        private_exponent,
        primes: [first, second],
        exponents: None,
        coefficient,
    })
}

fn algorithm(name: &[u8]) -> KeyAlgorithm {
    // Keys on a hardware token have another start and end.
    let name = name.strip_prefix(b"sk-").unwrap_or(name);
    match name {
        _ if name.starts_with(b"ecdsa-sha2-") => KeyAlgorithm::Ec,
        _ if name.starts_with(b"ssh-ed25519") => KeyAlgorithm::Ed25519,
        b"ssh-dss" => KeyAlgorithm::Dsa,
        _ => KeyAlgorithm::Other,
    }
}

fn next_number(rest: &mut &[u8]) -> Option<u32> {
    let (number, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(u32::from_be_bytes(*number))
}
