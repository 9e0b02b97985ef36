//! RSA private keys of the `rsa` crate, and reading of their DER: PKCS#8 and PKCS#1.
//!
//! The crate computes the dependent numbers of a key and ignores those in the file. Here all
//! numbers are checked, and a file whose numbers do not fit together is refused.

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use rsa::pkcs1::{self, RsaPrivateKeyRef, RsaPublicKeyRef};
use rsa::pkcs8::der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetStringRef};
use rsa::pkcs8::der::pem::LineEnding;
use rsa::pkcs8::der::{Decode, Reader, SliceReader};
use rsa::pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use rsa::pkcs8::{EncodePrivateKey, PrivateKeyInfoRef};
use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use rsa::{BoxedUint, Oaep, Pkcs1v15Sign};
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::{Open, OpenError, Secret, Sign, SignError};

/// The longest DER of a private key that is parsed, in bytes. A key of 8192 bits takes 4.7 KB, and
/// the work grows with the square of the length.
pub(crate) const MAX_DER: usize = 8 * 1024;

/// The reason why a private key was not made, read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrivateKeyError {
    /// The bytes are not in the expected form.
    Encoding,
    /// The bytes are PKCS#8, encrypted with a passphrase.
    Encrypted,
    /// The bytes are the public half of a key.
    Public,
    /// The key is for another algorithm, or for one padding of RSA only.
    Algorithm(ObjectIdentifier),
    /// The key has more than two primes.
    MultiPrime,
    /// The numbers do not fit together.
    Inconsistent,
    /// The numbers fit together, but one prime has more than half of the bits of the modulus.
    Unbalanced,
    /// No key could be generated.
    Generate,
}

/// The numbers of a private key in a file. They are big-endian and not checked.
pub(crate) struct PrivateParts<'a> {
    pub(crate) modulus: &'a [u8],
    pub(crate) public_exponent: &'a [u8],
    pub(crate) private_exponent: &'a [u8],
    pub(crate) primes: [&'a [u8]; 2],
    /// The private exponent modulo each prime minus one, if the form has them.
    pub(crate) exponents: Option<[&'a [u8]; 2]>,
    /// The inverse of the second prime modulo the first.
    pub(crate) coefficient: &'a [u8],
}

impl<'a> PrivateParts<'a> {
    /// Reads PKCS#8.
    pub(crate) fn from_pkcs8_der(der: &'a [u8]) -> Result<Self, PrivateKeyError> {
        if der.len() > MAX_DER {
            return Err(PrivateKeyError::Encoding);
        }
        let info = PrivateKeyInfoRef::from_der(der).map_err(|_| not_pkcs8(der))?;
        if info.algorithm.oid != pkcs1::ALGORITHM_OID {
            return Err(PrivateKeyError::Algorithm(info.algorithm.oid));
        }
        if info.algorithm.parameters != Some(AnyRef::NULL) {
            return Err(PrivateKeyError::Encoding);
        }
        let parts = Self::from_pkcs1_der(info.private_key.as_bytes())?;
        match info.public_key {
            Some(public) if !parts.has_public(public)? => Err(PrivateKeyError::Inconsistent),
            _ => Ok(parts),
        }
    }

    /// Reads PKCS#1.
    pub(crate) fn from_pkcs1_der(der: &'a [u8]) -> Result<Self, PrivateKeyError> {
        if der.len() > MAX_DER {
            return Err(PrivateKeyError::Encoding);
        }
        let key = RsaPrivateKeyRef::from_der(der).map_err(|_| PrivateKeyError::Encoding)?;
        if key.other_prime_infos.is_some() {
            return Err(PrivateKeyError::MultiPrime);
        }
        Ok(Self {
            modulus: key.modulus.as_bytes(),
            public_exponent: key.public_exponent.as_bytes(),
            private_exponent: key.private_exponent.as_bytes(),
            primes: [key.prime1.as_bytes(), key.prime2.as_bytes()],
            exponents: Some([key.exponent1.as_bytes(), key.exponent2.as_bytes()]),
            coefficient: key.coefficient.as_bytes(),
        })
    }

    /// Whether the public key in a PKCS#8 file belongs to the private one.
    fn has_public(&self, public: BitStringRef<'_>) -> Result<bool, PrivateKeyError> {
        let public = public.as_bytes().and_then(|der| RsaPublicKeyRef::from_der(der).ok());
        let public = public.ok_or(PrivateKeyError::Encoding)?;
        Ok(public.modulus.as_bytes() == self.modulus
            && public.public_exponent.as_bytes() == self.public_exponent)
    }
}

/// Names DER that is not PKCS#8.
fn not_pkcs8(der: &[u8]) -> PrivateKeyError {
    let encrypted = |der| {
        let mut fields = SliceReader::new(AnyRef::from_der(der)?.value())?;
        AlgorithmIdentifierRef::decode(&mut fields)?;
        <&OctetStringRef>::decode(&mut fields)?;
        fields.finish()
    };
    if encrypted(der).is_ok() {
        PrivateKeyError::Encrypted
    } else if SubjectPublicKeyInfoRef::from_der(der).is_ok() {
        PrivateKeyError::Public
    } else {
        PrivateKeyError::Encoding
    }
}

/// An RSA private key. The types in `identity` give it a purpose.
#[derive(Clone)]
pub(crate) struct PrivateKey(rsa::PrivateKey);

impl PrivateKey {
    pub(crate) fn generate(rng: &mut dyn CryptoRng, bits: usize) -> Result<Self, PrivateKeyError> {
        rsa::PrivateKey::new(rng, bits).map(Self).map_err(|_| PrivateKeyError::Generate)
    }

    /// Makes a key of these numbers, if they fit together. It is not tested that the primes are
    /// prime: if they are not, the key fails to open and to sign.
    pub(crate) fn from_parts(parts: &PrivateParts<'_>) -> Result<Self, PrivateKeyError> {
        let uint = |bytes| integer(bytes).ok_or(PrivateKeyError::Encoding);
        let [modulus, exponent] = [uint(parts.modulus)?, uint(parts.public_exponent)?];
        let half = modulus.bit_width().div_ceil(2);
        let [first, second] = parts.primes;
        let primes = Vec::from([uint(first)?, uint(second)?]);
        let unbalanced = primes.iter().any(|prime| prime.bit_width() > half);
        let private = uint(parts.private_exponent)?;
        let key = rsa::PrivateKey::from_components(modulus, exponent, private, primes);
        let key = key.map_err(|error| match error {
            // The crate has found that the product of the primes is the modulus.
            rsa::Error::InvalidPrime if unbalanced => PrivateKeyError::Unbalanced,
            _ => PrivateKeyError::Inconsistent,
        })?;
        let [first, second] = parts.exponents.map_or([None; 2], |exponents| exponents.map(Some));
        let coefficient = key.qinv().map(|inverse| Zeroizing::new(inverse.retrieve()));
        let fits = is(key.dp(), first)
            & is(key.dq(), second)
            & is(coefficient.as_deref(), Some(parts.coefficient));
        if fits { Ok(Self(key)) } else { Err(PrivateKeyError::Inconsistent) }
    }

    pub(crate) fn to_pem(&self) -> Result<Zeroizing<alloc::string::String>, PrivateKeyError> {
        self.0.to_pkcs8_pem(LineEnding::LF).map_err(|_| PrivateKeyError::Encoding)
    }

    pub(crate) fn to_der(&self) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
        let document = self.0.to_pkcs8_der().map_err(|_| PrivateKeyError::Encoding)?;
        Ok(document.to_bytes())
    }

    /// The public modulus and exponent, big-endian.
    pub(crate) fn public_components(&self) -> (Box<[u8]>, Box<[u8]>) {
        (self.0.n_bytes(), self.0.e_bytes())
    }
}

/// Whether a number in a file is the computed one. A number that is absent is not wrong.
fn is(computed: Option<&BoxedUint>, said: Option<&[u8]>) -> bool {
    let Some(said) = said else { return true };
    let said = integer(said).map(Zeroizing::new);
    // Compares in constant time.
    said.is_some_and(|said| computed == Some(&*said))
}

/// Reads a big-endian integer.
pub(super) fn integer(bytes: &[u8]) -> Option<BoxedUint> {
    let bits = u32::try_from(bytes.len()).ok()?.checked_mul(8)?;
    BoxedUint::from_be_slice(bytes, bits).ok()
}

impl Open for PrivateKey {
    fn open(&self, ciphertext: &[u8], rng: &mut dyn CryptoRng) -> Result<Secret, OpenError> {
        self.0
            .decrypt_blinded(rng, Oaep::<Sha1>::new(), ciphertext)
            .map(Secret::new)
            .map_err(|_| OpenError)
    }
}

impl Sign for PrivateKey {
    fn sign(&self, message: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>, SignError> {
        let digest = Sha1::digest(message);
        self.0.sign_with_rng(rng, Pkcs1v15Sign::new::<Sha1>(), &digest).map_err(|_| SignError)
    }
}
