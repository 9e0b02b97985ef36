//! Reading of SubjectPublicKeyInfo: it checks that DER is a public key that this protocol accepts
//! (PROTOCOL 6.2), and finds the two integers in it.

use alloc::sync::Arc;
use core::iter;
use core::ops::Range;

use rsa::pkcs1::{self, RsaPublicKeyRef};
use rsa::pkcs8::der::Decode;
use rsa::pkcs8::der::asn1::AnyRef;
use rsa::pkcs8::spki::SubjectPublicKeyInfoRef;

use super::{KeyError, PublicKey};

/// The longest DER that is parsed, in bytes. A modulus of 8192 bits takes 1,024 of them.
const MAX_DER: usize = 1200;

/// The DER before and after the modulus of a key of 2048 bits with the exponent 65537. Nearly every
/// key has this form.
const USUAL_FRAME: ([u8; 33], [u8; 5]) = (
    [
        0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
        0x01, 0x01, 0x05, 0x00, 0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01, 0x0a, 0x02, 0x82,
        0x01, 0x01, 0x00,
    ],
    [0x02, 0x03, 0x01, 0x00, 0x01],
);

#[cfg(feature = "internals")]
std::thread_local! {
    /// The number of keys that this thread has parsed.
    pub(crate) static PARSED: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
}

/// A checked public key in DER. The bytes are not copied.
#[derive(Clone, Debug)]
pub(crate) struct Spki<'a> {
    der: &'a [u8],
    bits: usize,
    modulus: Range<usize>,
    exponent: Range<usize>,
}

impl<'a> Spki<'a> {
    pub(crate) fn new(der: &'a [u8]) -> Result<Self, KeyError> {
        #[cfg(feature = "internals")]
        PARSED.set(PARSED.get().wrapping_add(1));
        Self::usual(der).map_or_else(|| Self::any(der), Ok)
    }

    /// Reads a key of the usual form with two comparisons. To parse it takes as long as to decrypt
    /// a whole token.
    fn usual(der: &'a [u8]) -> Option<Self> {
        let (before, behind) = &USUAL_FRAME;
        let modulus = der.strip_prefix(before)?.strip_suffix(behind)?;
        let is_2048_bits = modulus.len() == 256 && modulus.first().is_some_and(|top| *top >= 0x80);
        let is_odd = modulus.last().is_some_and(|low| low & 1 == 1);
        (is_2048_bits && is_odd).then_some(Self {
            der,
            bits: 2048,
            modulus: 33..289,
            exponent: 291..294,
        })
    }

    /// Reads a key of any form.
    fn any(der: &'a [u8]) -> Result<Self, KeyError> {
        if der.len() > MAX_DER {
            return Err(KeyError::Malformed);
        }
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyError::Malformed)?;
        if spki.algorithm.oid != pkcs1::ALGORITHM_OID {
            return Err(KeyError::NotRsa);
        }
        if spki.algorithm.parameters != Some(AnyRef::NULL) {
            return Err(KeyError::Malformed);
        }
        let key = spki.subject_public_key.as_bytes().ok_or(KeyError::Malformed)?;
        let key = RsaPublicKeyRef::from_der(key).map_err(|_| KeyError::Malformed)?;
        let (modulus, exponent) = (key.modulus.as_bytes(), key.public_exponent.as_bytes());
        Ok(Self {
            der,
            bits: check(modulus, exponent)?,
            modulus: range_within(der, modulus).ok_or(KeyError::Malformed)?,
            exponent: range_within(der, exponent).ok_or(KeyError::Malformed)?,
        })
    }

    /// The size of the modulus, in bits.
    pub(crate) const fn bits(&self) -> usize {
        self.bits
    }

    /// Copies the key.
    pub(super) fn keep(self) -> PublicKey {
        PublicKey::at(0, &Arc::from(self.der), &self)
    }

    /// Copies two keys into one allocation.
    pub(crate) fn keep_both(first: &Self, second: &Self) -> [PublicKey; 2] {
        // Each has passed MAX_DER, so the sum does not saturate.
        let len = first.der.len().saturating_add(second.der.len());
        let mut bytes: Arc<[u8]> = iter::repeat_n(0, len).collect();
        let (head, tail) = Arc::make_mut(&mut bytes).split_at_mut(first.der.len());
        head.copy_from_slice(first.der);
        tail.copy_from_slice(second.der);
        [PublicKey::at(0, &bytes, first), PublicKey::at(first.der.len(), &bytes, second)]
    }
}

impl PublicKey {
    /// Makes a key whose DER is in these bytes, from `start` on.
    fn at(start: usize, bytes: &Arc<[u8]>, spki: &Spki<'_>) -> Self {
        debug_assert!(bytes.get(start..).is_some_and(|bytes| bytes.starts_with(spki.der)));
        // All of the DER is in the bytes, so no sum is above their length and none saturates.
        let shift = |range: &Range<usize>| {
            start.saturating_add(range.start)..start.saturating_add(range.end)
        };
        Self {
            bytes: Arc::clone(bytes),
            spki: shift(&(0..spki.der.len())),
            modulus: shift(&spki.modulus),
            exponent: shift(&spki.exponent),
        }
    }

    /// Makes the same key without memory of its own: `der` is a part of `bytes`, which are kept
    /// anyway. `None` if `der` is not the DER of this key.
    pub(crate) fn kept_in(&self, bytes: &Arc<[u8]>, der: &[u8]) -> Option<Self> {
        let start = range_within(bytes, der).filter(|_| self.spki_der() == der)?.start;
        let own = |range: &Range<usize>| {
            let from = |at: usize| at.checked_sub(self.spki.start);
            Some(from(range.start)?..from(range.end)?)
        };
        let (modulus, exponent) = (own(&self.modulus)?, own(&self.exponent)?);
        Some(Self::at(start, bytes, &Spki { der, bits: self.bits(), modulus, exponent }))
    }
}

/// Checks the two integers, and gives the size of the modulus in bits.
fn check(modulus: &[u8], exponent: &[u8]) -> Result<usize, KeyError> {
    let odd = |bytes: &[u8]| bytes.last().is_some_and(|b| b & 1 == 1);
    let size = bits(modulus);
    if !PublicKey::BITS.contains(&size) {
        return Err(KeyError::Bits(size));
    }
    if !odd(modulus) {
        return Err(KeyError::EvenModulus);
    }
    let value = match exponent.len() {
        1..=8 => exponent.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte)),
        _ => return Err(KeyError::Exponent),
    };
    if odd(exponent) && (3..=PublicKey::MAX_EXPONENT).contains(&value) {
        Ok(size)
    } else {
        Err(KeyError::Exponent)
    }
}

/// The size in bits of a big-endian integer without leading zero bytes.
pub(super) fn bits(bytes: &[u8]) -> usize {
    let top = bytes.first().map_or(0, |byte| (0..8).filter(|bit| byte >> bit != 0).count());
    // Saturates only for more bytes than memory can hold.
    bytes.len().saturating_sub(1).saturating_mul(8).saturating_add(top)
}

/// Finds the place of `part`, a sub-slice of `whole`, in it.
fn range_within(whole: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (whole.get(start..end)? == part).then_some(start..end)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "for tests: a panic here tells of a mistake in them")]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn parts(spki: Result<Spki<'_>, KeyError>) -> Result<(Range<usize>, Range<usize>), KeyError> {
        spki.map(|spki| (spki.modulus, spki.exponent))
    }

    /// Changes every byte of a usual key in every way. The short way accepts nothing that the long
    /// way refuses, and finds the same integers.
    #[test]
    fn the_usual_frame_changes_nothing_but_the_time() {
        let (before, behind) = USUAL_FRAME;
        let der: Vec<u8> = [&before[..], &[0xC5; 256], &behind].concat();
        let usual = Spki::usual(&der).map(|spki| (spki.modulus, spki.exponent));
        assert_eq!(usual.ok_or(KeyError::Malformed), parts(Spki::any(&der)));
        let mut refused = 0;
        for at in 0..der.len() {
            for change in 1..=255 {
                let mut other = der.clone();
                other[at] ^= change;
                let long = parts(Spki::any(&other));
                refused += usize::from(long.is_err());
                assert_eq!(parts(Spki::new(&other)), long, "{at} {change}");
            }
        }
        assert!(refused > 5_000, "{refused}");
        for len in 0..der.len() {
            assert!(Spki::new(&der[..len]).is_err() && Spki::new(&der[len + 1..]).is_err());
        }
    }
}
