//! RSA private keys of the `rsa` crate, and the DER they are read from: PKCS#8 and PKCS#1.
//!
//! The crate computes what follows from a key's main numbers and passes over what the file says of
//! it. Here nothing is passed over: a file whose numbers do not fit together is refused, whichever
//! of them it is.

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

/// The longest DER of a private key worth parsing: 8192 bits take 4.7 KB, and the work grows with
/// the square of what is claimed.
pub(crate) const MAX_DER: usize = 8 * 1024;

/// Why a private key was not made, read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrivateKeyError {
    /// The bytes are not of the form asked for.
    Encoding,
    /// PKCS#8 under a passphrase.
    Encrypted,
    /// The public half.
    Public,
    /// A key for another algorithm, or for one padding of RSA alone.
    Algorithm(ObjectIdentifier),
    /// More than two primes.
    MultiPrime,
    /// The numbers do not fit together.
    Inconsistent,
    /// They do, but one prime has more than half of the modulus's bits.
    Unbalanced,
    /// The generator of keys failed.
    Generate,
}

/// The numbers of a private key as a file has them: big-endian, nothing checked.
pub(crate) struct PrivateParts<'a> {
    pub(crate) modulus: &'a [u8],
    pub(crate) public_exponent: &'a [u8],
    pub(crate) private_exponent: &'a [u8],
    pub(crate) primes: [&'a [u8]; 2],
    /// The private exponent modulo each prime less one, where the form has them.
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

    /// Whether a public key that PKCS#8 has beside the private one is its other half.
    fn has_public(&self, public: BitStringRef<'_>) -> Result<bool, PrivateKeyError> {
        let public = public.as_bytes().and_then(|der| RsaPublicKeyRef::from_der(der).ok());
        let public = public.ok_or(PrivateKeyError::Encoding)?;
        Ok(public.modulus.as_bytes() == self.modulus
            && public.public_exponent.as_bytes() == self.public_exponent)
    }
}

/// What DER is that is not PKCS#8.
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

/// An RSA private key of either use; `identity` gives it a purpose by type.
#[derive(Clone)]
pub(crate) struct PrivateKey(rsa::PrivateKey);

impl PrivateKey {
    pub(crate) fn generate(rng: &mut dyn CryptoRng, bits: usize) -> Result<Self, PrivateKeyError> {
        rsa::PrivateKey::new(rng, bits).map(Self).map_err(|_| PrivateKeyError::Generate)
    }

    /// The key of these numbers, all of which must fit together. Whether the primes are some is not
    /// looked into: with others it fails to open and to sign.
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
            // The product of the primes has been found to be the modulus.
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

/// Whether a file says the same as was computed; what it does not say can't be wrong.
fn is(computed: Option<&BoxedUint>, said: Option<&[u8]>) -> bool {
    let Some(said) = said else { return true };
    let said = integer(said).map(Zeroizing::new);
    // Compares in constant time.
    said.is_some_and(|said| computed == Some(&*said))
}

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
