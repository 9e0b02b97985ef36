//! The seeds of the fuzzers, in the form of each target's scripts.

mod captured;
mod scripts;

use std::collections::BTreeMap;

/// A target's seeds by name.
pub type Seeds = BTreeMap<String, Vec<u8>>;

/// The seeds of all targets: made of the captures, or by hand.
pub fn all() -> Vec<(&'static str, Seeds)> {
    let mut all = captured::all();
    all.extend(scripts::all());
    all
}

/// Two bytes, little-endian.
fn short(n: usize) -> [u8; 2] {
    u16::try_from(n).unwrap().to_le_bytes()
}

/// Puts the number of bytes in front.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&short(bytes.len())[..], bytes].concat()
}
