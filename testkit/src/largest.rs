//! The largest keys and end points that there can be.

use xlreg::identity::{EndPoint, PublicKey};

/// A key of 8192 bits with the longest exponent. Only its size is of use.
pub fn largest_key(n: u8) -> PublicKey {
    let mut modulus = vec![0xa5; 1024];
    (modulus[1], modulus[1023]) = (n, 0xff);
    PublicKey::from_components(&modulus, &PublicKey::MAX_EXPONENT.to_be_bytes()).unwrap()
}

/// One of the longest end points.
pub fn longest_end(n: usize) -> EndPoint {
    let host = [63, 63, 63, 61].map(|len| "h".repeat(len)).join(".");
    let end: EndPoint = format!("{host}:{}", 60_000 + n).parse().unwrap();
    assert_eq!(end.as_str().len(), EndPoint::MAX_LEN);
    end
}
