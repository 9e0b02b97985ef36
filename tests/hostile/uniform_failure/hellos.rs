//! Illegal Hellos: RSA-OAEP made by hand, so that each of its parts can be wrong alone.

use rand_core::Rng;
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, Oaep, Pkcs1v15Encrypt, PublicKey};
use sha1::{Digest, Sha1};
use xlreg::identity::CommsKeyPair;

use xlreg_testkit::{KEYS, Seeded};

/// The registry's key in these tests, of 2048 bits.
pub fn registry_key() -> &'static CommsKeyPair {
    &KEYS.comms[0]
}

fn rsa_key(key: &CommsKeyPair) -> PublicKey {
    let integer = |bytes: &[u8]| BoxedUint::from_be_slice(bytes, 8 * bytes.len() as u32).unwrap();
    let parts = key.public_key().components();
    PublicKey::new(integer(parts.modulus), integer(parts.exponent)).unwrap()
}

/// RSA without padding: the encoded message to the power of e.
fn raw_rsa(encoded: &[u8]) -> Vec<u8> {
    let key = rsa_key(registry_key());
    let message = BoxedUint::from_be_slice(encoded, 2048).unwrap();
    let exponent = registry_key().public_key().components().exponent;
    let bits = exponent.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let mut power = BoxedUint::one_with_precision(2048);
    for bit in bits {
        power = power.mul_mod(&power, key.n());
        if bit == 1 {
            power = power.mul_mod(&message, key.n());
        }
    }
    power.to_be_bytes().into_vec()
}

fn mask(bytes: &mut [u8], seed: &[u8]) {
    for (counter, chunk) in (0u32..).zip(bytes.chunks_mut(20)) {
        let digest = Sha1::new().chain_update(seed).chain_update(counter.to_be_bytes()).finalize();
        chunk.iter_mut().zip(digest).for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// An OAEP encoding of `plaintext`, with changes before the masking (seed and data block) and after
/// it.
pub fn oaep(plaintext: &[u8], data: impl Fn(&mut [u8]), whole: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut seed = [0x77; 20];
    let mut block = vec![0; 256 - 21];
    block[..20].copy_from_slice(&Sha1::digest([]));
    let start = block.len() - plaintext.len();
    block[start - 1] = 1;
    block[start..].copy_from_slice(plaintext);
    data(&mut block);
    mask(&mut block, &seed);
    mask(&mut seed, &block);
    let mut encoded = [&[0][..], &seed, &block].concat();
    whole(&mut encoded);
    raw_rsa(&encoded)
}

/// All ways in which the bytes of a Hello do not open, or do not open to a Hello.
pub fn bad_hellos() -> Vec<(String, Vec<u8>)> {
    let rng = &mut Seeded::new(11);
    let plain = [0x33; 44];
    let key = rsa_key(registry_key());
    let good = registry_key().public_key().seal(&plain, rng).unwrap();
    let modulus = registry_key().public_key().components().modulus.to_vec();
    let mut kinds: Vec<(String, Vec<u8>)> = vec![
        ("zero".into(), vec![0; 256]),
        ("one".into(), [vec![0; 255], vec![1]].concat()),
        ("the modulus".into(), modulus.clone()),
        ("more than the modulus".into(), vec![0xff; 256]),
        ("sealed to another key".into(), KEYS.comms[1].public_key().seal(&plain, rng).unwrap()),
        ("not sealed".into(), [&plain[..], &[0; 212]].concat()),
        ("blocks swapped".into(), [&good[128..], &good[..128]].concat()),
        (
            "OAEP with SHA-256".into(),
            key.encrypt(rng, Oaep::<sha2::Sha256>::new(), &plain).unwrap(),
        ),
        (
            "OAEP with SHA-256 in the mask alone".into(),
            key.encrypt(rng, Oaep::<Sha1, sha2::Sha256>::new_with_mgf_hash(), &plain).unwrap(),
        ),
        (
            "OAEP with a label".into(),
            key.encrypt(rng, Oaep::<Sha1>::new_with_label("xlReg".as_bytes()), &plain).unwrap(),
        ),
        ("PKCS#1 v1.5".into(), key.encrypt(rng, Pkcs1v15Encrypt, &plain).unwrap()),
        ("OAEP with another label hash".into(), oaep(&plain, |data| data[0] ^= 1, |_| ())),
        ("the last byte of the label hash".into(), oaep(&plain, |data| data[19] ^= 0x80, |_| ())),
        ("OAEP with 2 before the plaintext".into(), oaep(&plain, |data| data[190] = 2, |_| ())),
        ("OAEP with 0 before the plaintext".into(), oaep(&[0; 44], |data| data[190] = 0, |_| ())),
        ("OAEP with an early 3".into(), oaep(&plain, |data| data[100] = 3, |_| ())),
        ("OAEP with a byte of the seed off".into(), oaep(&plain, |_| (), |all| all[5] ^= 1)),
    ];
    let noise = |n| {
        let mut bytes = vec![0; 256];
        Seeded::new(n).fill_bytes(&mut bytes);
        bytes[0] &= 0x7f;
        (format!("noise {n}"), bytes)
    };
    kinds.extend((0..16).map(noise));
    kinds.extend((0..256).step_by(17).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        (format!("byte {at} off"), bytes)
    }));
    // 214 bytes are the most that fit.
    let lengths = (0..=86).chain([128, 213, 214]).filter(|len| ![44, 60].contains(len));
    kinds.extend(lengths.map(|len| {
        let sealed = registry_key().public_key().seal(&vec![0x33; len], rng).unwrap();
        (format!("{len} bytes sealed"), sealed)
    }));
    kinds
}
