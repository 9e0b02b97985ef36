//! Private keys in the forms of files, made part by part, so that each part can be wrong alone.

use std::vec::Vec;

use base64ct::{Base64, Encoding};

/// The parts of one key in the form of OpenSSH.
pub struct OpenSshFile<'a> {
    pub cipher: &'a [u8],
    pub kdf: &'a [u8],
    pub options: &'a [u8],
    pub keys: u32,
    pub public: Vec<u8>,
    pub checks: [u32; 2],
    pub private: Vec<u8>,
    pub padding: Vec<u8>,
    pub behind: &'a [u8],
}

impl OpenSshFile<'_> {
    /// Makes a correct file of these numbers: the modulus, the public exponent, the private one,
    /// the coefficient and the two primes, all big-endian and without a sign.
    pub fn new(numbers: [&[u8]; 6], comment: &[u8]) -> Self {
        let [n, e, ..] = numbers;
        let name = string(b"ssh-rsa");
        let public = [name.clone(), number(e), number(n)].concat();
        let mut private = name;
        numbers.iter().for_each(|n| private.extend(number(n)));
        private.extend(string(comment));
        let padding = (1..).take((8 - private.len() % 8) % 8).collect();
        let [cipher, kdf, options, behind] = [&b"none"[..], b"none", b"", b""];
        Self { cipher, kdf, options, keys: 1, public, checks: [7; 2], private, padding, behind }
    }

    /// The file, without PEM around it.
    pub fn bytes(&self) -> Vec<u8> {
        let checks = self.checks.map(u32::to_be_bytes).concat();
        let section = [&checks[..], &self.private, &self.padding].concat();
        let head = [string(self.cipher), string(self.kdf), string(self.options)].concat();
        let keys = [&self.keys.to_be_bytes()[..], &string(&self.public), &string(&section)];
        [b"openssh-key-v1\0", &head[..], &keys.concat(), self.behind].concat()
    }
}

/// Puts the length in front.
pub fn string(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).expect("short");
    [&len.to_be_bytes()[..], bytes].concat()
}

fn number(magnitude: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if magnitude.first().is_some_and(|top| *top >= 0x80) { &[0] } else { &[] };
    string(&[sign, magnitude].concat())
}

/// Makes a PEM block, with its base64 on one line.
pub fn pem(label: &str, bytes: &[u8]) -> std::string::String {
    let body = Base64::encode_string(bytes);
    std::format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// `rsaEncryption`: RSA for any padding.
pub const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
/// The parameters that belong to it.
pub const NULL: &[u8] = &[5, 0];

/// PrivateKeyInfo of RFC 5208, or OneAsymmetricKey of RFC 5958.
pub fn pkcs8(version: u8, oid: &[u8], parameters: &[u8], key: &[u8], behind: &[u8]) -> Vec<u8> {
    let algorithm = tlv(0x30, &[&tlv(6, oid)[..], parameters].concat());
    tlv(0x30, &[&tlv(2, &[version])[..], &algorithm, &tlv(4, key), behind].concat())
}

/// DER of a sequence of positive integers, without leading zeros.
pub fn der_numbers<'a>(numbers: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let number = |magnitude: &[u8]| {
        let sign: &[u8] = if magnitude.first().is_none_or(|top| *top >= 0x80) { &[0] } else { &[] };
        tlv(2, &[sign, magnitude].concat())
    };
    tlv(0x30, &numbers.into_iter().flat_map(number).collect::<Vec<_>>())
}

/// DER: tag, length, value.
pub fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let len = value.len().to_be_bytes();
    let len = &len[len.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = Vec::from([tag]);
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
