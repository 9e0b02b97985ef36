//! RSA public keys, and their fingerprints.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::{Range, RangeInclusive};
use core::str::FromStr;

use base64ct::{Base64Unpadded, Encoding};
use rand_core::CryptoRng;
use rsa::pkcs1::{self, RsaPublicKeyRef, UintRef};
use rsa::pkcs8::der::Encode;
use rsa::pkcs8::der::asn1::{AnyRef, BitStringRef};
use rsa::pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use sha2::{Digest, Sha256};

use super::openssh::{self, OpenSshError};
use super::spki::{self, Spki};
use crate::crypto::{PublicComponents, RustCrypto, Seal, SealError};

/// An RSA public key that this protocol accepts: 1024 to 8192 bits, odd modulus, odd exponent of at
/// least 3.
///
/// A key keeps the SubjectPublicKeyInfo DER that it was read from, because signatures cover those
/// bytes and a registry serves them unchanged. Two keys are equal if their modulus and exponent are
/// equal. Cloning is cheap.
#[derive(Clone)]
pub struct PublicKey {
    /// Bytes that have the DER in them.
    pub(super) bytes: Arc<[u8]>,
    pub(super) spki: Range<usize>,
    pub(super) modulus: Range<usize>,
    pub(super) exponent: Range<usize>,
}

impl PublicKey {
    /// The accepted sizes of the modulus, in bits (PROTOCOL 6.2).
    pub const BITS: RangeInclusive<usize> = 1024..=8192;
    /// The largest accepted public exponent, 2^33 - 1. A larger one would make verifying slow.
    pub const MAX_EXPONENT: u64 = (1 << 33) - 1;

    /// Reads and checks a DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    ///
    /// [`KeyError`] says what is wrong with the key.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        Spki::new(der).map(Spki::keep)
    }

    /// Makes the key with this modulus and exponent, both big-endian. Leading zeros are ignored.
    ///
    /// # Errors
    ///
    /// [`KeyError`] says what is wrong with the key.
    pub fn from_components(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let uint = |bytes| UintRef::new(bytes).map_err(|_| KeyError::Malformed);
        let key = RsaPublicKeyRef { modulus: uint(modulus)?, public_exponent: uint(exponent)? };
        let key = key.to_der().map_err(|_| KeyError::Malformed)?;
        let spki = SubjectPublicKeyInfoRef {
            algorithm: AlgorithmIdentifierRef {
                oid: pkcs1::ALGORITHM_OID,
                parameters: Some(AnyRef::NULL),
            },
            subject_public_key: BitStringRef::from_bytes(&key).map_err(|_| KeyError::Malformed)?,
        };
        Self::from_spki_der(&spki.to_der().map_err(|_| KeyError::Malformed)?)
    }

    /// Reads the text of an OpenSSH public key, `ssh-rsa AAAA...`. A comment after it is ignored.
    ///
    /// # Errors
    ///
    /// [`OpenSshError`] says what is wrong with the text or the key.
    pub fn from_openssh(text: &str) -> Result<Self, OpenSshError> {
        openssh::from_text(text)
    }

    /// Writes the text of an OpenSSH public key without a comment, exactly as `ssh-keygen` does.
    pub fn to_openssh(&self) -> String {
        openssh::to_text(self)
    }

    /// The DER SubjectPublicKeyInfo, as it was read.
    pub fn spki_der(&self) -> &[u8] {
        self.part(&self.spki)
    }

    /// A part of the bytes. The ranges were found inside them when the key was made.
    fn part(&self, range: &Range<usize>) -> &[u8] {
        debug_assert!(range.end <= self.bytes.len());
        // A key with an empty part seals and verifies nothing, so a broken range ends in an error.
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    /// The modulus and the exponent, both big-endian and without leading zeros.
    pub fn components(&self) -> PublicComponents<'_> {
        PublicComponents { modulus: self.part(&self.modulus), exponent: self.part(&self.exponent) }
    }

    /// The size of the modulus, in bits.
    pub fn bits(&self) -> usize {
        spki::bits(self.components().modulus)
    }

    /// The length of the modulus, in bytes. A Hello that is sealed to this key has the same length
    /// (PROTOCOL 3).
    pub fn modulus_len(&self) -> usize {
        self.modulus.len()
    }

    /// SHA-256 over the OpenSSH form of the key. Two fingerprints are equal if and only if the keys
    /// are.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::digest(openssh::blob(self)).into())
    }

    /// Seals a small secret to this key with the default provider. See [`Seal`].
    ///
    /// # Errors
    ///
    /// [`SealError`] if the plaintext is too long for the key.
    pub fn seal(&self, plaintext: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>, SealError> {
        RustCrypto.seal(self.components(), plaintext, rng)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.components() == other.components()
    }
}

impl Eq for PublicKey {}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.components().modulus.hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} bits, {})", self.bits(), self.fingerprint())
    }
}

impl fmt::Display for PublicKey {
    /// Writes the same text as [`PublicKey::to_openssh`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_openssh())
    }
}

impl FromStr for PublicKey {
    type Err = OpenSshError;

    /// Reads the same texts as [`PublicKey::from_openssh`].
    fn from_str(text: &str) -> Result<Self, OpenSshError> {
        Self::from_openssh(text)
    }
}

/// The SHA-256 fingerprint of a key. The text form is `SHA256:` and base64, as `ssh-keygen -l`
/// prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The 32 bytes of the digest.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Makes a fingerprint of its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; 43];
        let text = Base64Unpadded::encode(&self.0, &mut buffer).map_err(|_| fmt::Error)?;
        write!(f, "SHA256:{text}")
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<Fingerprint> for [u8; 32] {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.0
    }
}

/// A text is not a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a fingerprint: 'SHA256:' and 43 characters of base64 expected, as ssh-keygen -l prints \
     them"
)]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let encoded = text.strip_prefix("SHA256:").ok_or(FingerprintError)?;
        let mut bytes = [0; 32];
        match Base64Unpadded::decode(encoded, &mut bytes) {
            Ok(decoded) if decoded.len() == 32 => Ok(Self(bytes)),
            _ => Err(FingerprintError),
        }
    }
}

/// The reason why a public key is not accepted (PROTOCOL 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes are not a DER SubjectPublicKeyInfo with a well-formed RSA key.
    #[error("not a DER SubjectPublicKeyInfo that holds an RSA key")]
    Malformed,
    /// The key has another algorithm.
    #[error("the key is not an RSA key")]
    NotRsa,
    /// The modulus is too small or too large.
    #[error("the key has {0} bits; 1024 to 8192 are accepted")]
    Bits(usize),
    /// The modulus is even, so it is not a product of two odd primes.
    #[error("the modulus of the key is even")]
    EvenModulus,
    /// The exponent is even, below 3 or above 2^33 - 1.
    #[error("the public exponent of the key is not an odd number from 3 to 2^33 - 1")]
    Exponent,
}
