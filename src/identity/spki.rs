//! SubjectPublicKeyInfo: which DER is a public key that this protocol accepts (PROTOCOL 6.2), and
//! where its two integers are in it.

use alloc::sync::Arc;
use core::ops::Range;

use rsa::pkcs1::{self, RsaPublicKeyRef};
use rsa::pkcs8::der::Decode;
use rsa::pkcs8::der::asn1::AnyRef;
use rsa::pkcs8::spki::SubjectPublicKeyInfoRef;

use super::{KeyError, PublicKey};

/// The longest DER worth parsing: 8192 bits of modulus, the exponent and their frame fit with ease.
const MAX_DER: usize = 1200;

/// The frame around the modulus of a key of 2048 bits with the exponent 65537: nearly every key
/// there is.
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
    /// How often this thread has parsed a key.
    pub(crate) static PARSED: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
}

/// A public key in DER, checked and not copied.
#[derive(Clone, Debug)]
pub(crate) struct Spki<'a> {
    der: &'a [u8],
    modulus: Range<usize>,
    exponent: Range<usize>,
}

impl<'a> Spki<'a> {
    pub(crate) fn new(der: &'a [u8]) -> Result<Self, KeyError> {
        #[cfg(feature = "internals")]
        PARSED.set(PARSED.get().saturating_add(1));
        Self::usual(der).map_or_else(|| Self::any(der), Ok)
    }

    /// A key whose frame is the usual one: two comparisons, where parsing takes as long as
    /// decrypting all of a token.
    fn usual(der: &'a [u8]) -> Option<Self> {
        let (before, behind) = &USUAL_FRAME;
        let modulus = der.strip_prefix(before)?.strip_suffix(behind)?;
        let is_2048_bits = modulus.len() == 256 && modulus.first().is_some_and(|top| *top >= 0x80);
        let is_odd = modulus.last().is_some_and(|low| low & 1 == 1);
        (is_2048_bits && is_odd).then_some(Self { der, modulus: 33..289, exponent: 291..294 })
    }

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
        check(modulus, exponent)?;
        Ok(Self {
            der,
            modulus: range_within(der, modulus).ok_or(KeyError::Malformed)?,
            exponent: range_within(der, exponent).ok_or(KeyError::Malformed)?,
        })
    }

    /// The size of the modulus, in bits.
    pub(crate) fn bits(&self) -> usize {
        bits(self.der.get(self.modulus.clone()).unwrap_or_default())
    }

    /// The key, for keeps.
    pub(super) fn keep(self) -> PublicKey {
        PublicKey::at(0, &Arc::from(self.der), &self)
    }

    /// Two keys, for keeps, in one piece of memory.
    pub(crate) fn keep_both(first: &Self, second: &Self) -> [PublicKey; 2] {
        // Put together without another allocation.
        let mut both = [0; 2 * MAX_DER];
        let (len, all) = (first.der.len(), first.der.len().saturating_add(second.der.len()));
        for (part, der) in [(0..len, first.der), (len..all, second.der)] {
            // There is always room: what is longer was refused.
            if let Some(room) = both.get_mut(part) {
                room.copy_from_slice(der);
            }
        }
        let bytes = Arc::from(both.get(..all).unwrap_or_default());
        [PublicKey::at(0, &bytes, first), PublicKey::at(first.der.len(), &bytes, second)]
    }
}

impl PublicKey {
    /// A key whose DER is in these bytes, from `start` on.
    fn at(start: usize, bytes: &Arc<[u8]>, spki: &Spki<'_>) -> Self {
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

    /// The same key, kept in bytes that are kept anyway; `None` if `der`, a part of them, is not
    /// its DER.
    pub(crate) fn kept_in(&self, bytes: &Arc<[u8]>, der: &[u8]) -> Option<Self> {
        let start = range_within(bytes, der).filter(|_| self.spki_der() == der)?.start;
        let own = |range: &Range<usize>| {
            range.start.saturating_sub(self.spki.start)..range.end.saturating_sub(self.spki.start)
        };
        let spki = Spki { der, modulus: own(&self.modulus), exponent: own(&self.exponent) };
        Some(Self::at(start, bytes, &spki))
    }
}

fn check(modulus: &[u8], exponent: &[u8]) -> Result<(), KeyError> {
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
        Ok(())
    } else {
        Err(KeyError::Exponent)
    }
}

/// Bits of a big-endian integer without leading zero bytes.
pub(super) fn bits(bytes: &[u8]) -> usize {
    let top = bytes.first().map_or(8, |b| b.leading_zeros());
    bytes.len().saturating_mul(8).saturating_sub(usize::try_from(top).unwrap_or(8))
}

/// Where `part`, a sub-slice of `whole`, lies in it.
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

    /// Any byte of a usual key, changed in any way: the short way accepts nothing that the long one
    /// does not, and finds the same in it.
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
