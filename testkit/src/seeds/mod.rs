//! The seeds of the fuzzers, in the form of the scripts that each body reads.

mod captured;
mod scripts;

use std::collections::BTreeMap;

/// A target's seeds by name.
pub type Seeds = BTreeMap<String, Vec<u8>>;

/// Those of every target: made of the captures, or by hand.
pub fn all() -> Vec<(&'static str, Seeds)> {
    let mut all = captured::all();
    all.extend(scripts::all());
    all
}

/// Two bytes, the lower first.
fn short(n: usize) -> [u8; 2] {
    u16::try_from(n).unwrap().to_le_bytes()
}

/// Bytes behind their number.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&short(bytes.len())[..], bytes].concat()
}
