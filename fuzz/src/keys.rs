//! Public keys as text, as DER and as numbers: a key that is read follows PROTOCOL 6.2, and each of
//! its forms reads as the same key.
use std::fmt::Display;

use xlreg::identity::PublicKey;

use crate::checks::one_line;
use crate::input::Input;

/// The longest text of an error.
const MAX_ERROR: usize = 120;

/// A script: the form of a key, and the bytes.
pub fn keys(data: &[u8]) {
    let input = &mut Input::new(data);
    match input.byte() % 3 {
        0 => openssh(input.rest()),
        1 => spki(input.rest()),
        _ => components(input),
    }
}

pub(crate) fn read<T>(key: Result<T, impl Display>) -> Option<T> {
    key.map_err(|error| one_line(&error, MAX_ERROR)).ok()
}

fn openssh(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Some(key) = read(PublicKey::from_openssh(text)) {
        // Each key has one spelling. A comment may follow.
        let words: Vec<_> = text.split_ascii_whitespace().take(2).collect();
        assert_eq!(key.to_openssh(), words.join(" "));
        public(&key);
    }
}

fn spki(der: &[u8]) {
    if let Some(key) = read(PublicKey::from_spki_der(der)) {
        assert_eq!(key.spki_der(), der, "signatures cover these bytes");
        public(&key);
    }
}

fn components(input: &mut Input<'_>) {
    let exponent = input.sized();
    let modulus = input.rest();
    if let Some(key) = read(PublicKey::from_components(modulus, exponent)) {
        let without_zeros =
            |bytes: &[u8]| bytes[bytes.iter().take_while(|byte| **byte == 0).count()..].to_vec();
        assert_eq!(key.components().modulus, without_zeros(modulus));
        assert_eq!(key.components().exponent, without_zeros(exponent));
        public(&key);
    }
}

/// Checks that the key follows PROTOCOL 6.2, and that each of its forms is the same key.
pub(crate) fn public(key: &PublicKey) {
    let (modulus, exponent) = (key.components().modulus, key.components().exponent);
    assert!((1024..=8192).contains(&key.bits()) && key.modulus_len() == key.bits().div_ceil(8));
    assert!(modulus[0] != 0 && modulus.last().is_some_and(|byte| byte & 1 == 1));
    let value = exponent.iter().fold(0u128, |value, byte| value << 8 | u128::from(*byte));
    assert!(value & 1 == 1 && (3..1 << 33).contains(&value));
    let again = [
        PublicKey::from_components(modulus, exponent).expect("its numbers"),
        PublicKey::from_spki_der(key.spki_der()).expect("its DER"),
        PublicKey::from_openssh(&key.to_openssh()).expect("its text"),
    ];
    for again in again {
        assert_eq!(again, *key);
        assert_eq!(again.fingerprint(), key.fingerprint());
    }
}
