//! Private keys as PEM, as DER and as numbers: bytes that are none never panic or take long; and a key that is read
//! is written so that it reads the same, and does not sign what its public half does not verify. Thousands a second,
//! hundreds of those that are read.

use alloc::vec::Vec;

use super::input::Input;
use super::keys::{public, read};
use super::support::Seeded;
use crate::crypto::{RustCrypto, Sign, Verify};
use crate::identity::{KeyPairError, SigKeyPair};

/// A script: in what form the bytes are a key.
pub fn key_pairs(data: &[u8]) {
    let input = &mut Input::new(data);
    private(match input.byte() % 5 {
        0 => match str::from_utf8(input.rest()) {
            Ok(text) => SigKeyPair::from_pem(text),
            Err(_) => return,
        },
        1 => SigKeyPair::from_pkcs8_der(input.rest()),
        2 => SigKeyPair::from_pkcs1_der(input.rest()),
        3 => SigKeyPair::from_pkcs1_der(&pkcs1(input)),
        _ => SigKeyPair::from_pkcs8_der(&pkcs8(&pkcs1(input))),
    });
}

fn private(key: Result<SigKeyPair, KeyPairError>) {
    let Some(key) = read(key) else { return };
    public(key.public_key());
    let der = key.to_pkcs8_der().expect("a key that was read is written");
    let pem = key.to_pem().expect("a key that was read is written");
    let again = [
        SigKeyPair::from_pkcs8_der(der.expose()).expect("its DER"),
        SigKeyPair::from_pem(pem.expose()).expect("its PEM"),
    ];
    for again in again {
        assert_eq!(again.public_key(), key.public_key());
        let again = again.to_pkcs8_der().expect("a key that was read is written");
        assert!(again.expose() == der.expose(), "one key, two encodings");
    }
    // Whether its primes are some is not looked into; if they are not, it may fail to sign, but not sign wrongly.
    if let Ok(signature) = key.sign(b"message", &mut Seeded::new(1)) {
        let components = key.public_key().components();
        assert_eq!(RustCrypto.verify(components, b"message", &signature), Ok(()));
    }
}

/// RSAPrivateKey of RFC 8017, of any numbers: n, e, d, p, q, the two exponents and the coefficient.
fn pkcs1(input: &mut Input<'_>) -> Vec<u8> {
    let mut numbers = tlv(2, &[0]);
    for _ in 0..8 {
        let number = input.sized();
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let mut minimal = number[zeros..].to_vec();
        if minimal.first().is_none_or(|byte| byte & 0x80 != 0) {
            minimal.insert(0, 0);
        }
        numbers.extend(tlv(2, &minimal));
    }
    tlv(0x30, &numbers)
}

/// PrivateKeyInfo of RFC 5208.
fn pkcs8(pkcs1: &[u8]) -> Vec<u8> {
    let rsa = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    tlv(0x30, &[&tlv(2, &[0])[..], rsa, &tlv(4, pkcs1)].concat())
}

/// DER: tag, length, value.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let len = value.len().to_be_bytes();
    let len = &len[len.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = alloc::vec![tag];
    match len {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        _ => {
            out.push(0x80 | u8::try_from(len.len()).expect("at most 8"));
            out.extend_from_slice(len);
        }
    }
    out.extend_from_slice(value);
    out
}
