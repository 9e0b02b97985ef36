//! Private keys as PEM, as DER, in the form of OpenSSH and as numbers: other bytes never panic or
//! take long. A key that is read is written so that it reads the same, and its signatures are
//! verified by its public half. It runs thousands of times a second, or hundreds with keys that are
//! read.
use xlreg::crypto::{RustCrypto, Sign, Verify};
use xlreg::identity::{KeyPairError, SigKeyPair};
use xlreg_testkit::Seeded;
use xlreg_testkit::keys::forms::{NULL, OpenSshFile, RSA, der_numbers, pem, pkcs8};

use crate::input::Input;
use crate::keys::{public, read};

/// A script: the form of a key, and the bytes.
pub fn key_pairs(data: &[u8]) {
    let input = &mut Input::new(data);
    private(match input.byte() % 7 {
        0 => SigKeyPair::from_pem(input.rest()),
        1 => SigKeyPair::from_pkcs8_der(input.rest()),
        2 => SigKeyPair::from_pkcs1_der(input.rest()),
        3 => SigKeyPair::from_pkcs1_der(&pkcs1(input)),
        4 => SigKeyPair::from_pkcs8_der(&pkcs8(0, RSA, NULL, &pkcs1(input), b"")),
        5 => SigKeyPair::from_pem(pem("OPENSSH PRIVATE KEY", input.rest())),
        _ => SigKeyPair::from_pem(pem("OPENSSH PRIVATE KEY", &openssh(input))),
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
    // It is not tested that the primes are prime. If they are not, the key may fail to sign, but
    // never signs wrongly.
    if let Ok(signature) = key.sign(b"message", &mut Seeded::new(1)) {
        let components = key.public_key().components();
        assert_eq!(RustCrypto.verify(components, b"message", &signature), Ok(()));
    }
}

/// Any numbers, without leading zeros: n, e, d, p, q, the two exponents and the coefficient.
fn numbers<'a>(input: &mut Input<'a>) -> [&'a [u8]; 8] {
    [(); 8].map(|()| {
        let number = input.sized();
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        &number[zeros..]
    })
}

/// The form of OpenSSH.
fn openssh(input: &mut Input<'_>) -> Vec<u8> {
    let [n, e, d, p, q, _, _, coefficient] = numbers(input);
    OpenSshFile::new([n, e, d, coefficient, p, q], input.rest()).bytes()
}

/// RSAPrivateKey of RFC 8017.
fn pkcs1(input: &mut Input<'_>) -> Vec<u8> {
    der_numbers([&[][..]].into_iter().chain(numbers(input)))
}
