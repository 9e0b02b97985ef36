//! The provider on the pure-Rust `rsa` crate: works everywhere, `no_std` included.
//!
//! Every private operation is blinded: with its default features off the crate's plain `decrypt` and
//! `sign` are not, so only `decrypt_blinded` and `sign_with_rng` are used here.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use rand_core::CryptoRng;
use rsa::Pkcs1v15Sign;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::der::pem::LineEnding;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, Oaep};
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::{
    KeyRefused, Open, OpenError, Provider, PublicComponents, Seal, SealError, Secret,
    SelfTestFailed, Sign, SignError, Verify, VerifyError, self_test,
};

/// The public-key half of the provider on the `rsa` crate. It has no state.
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

impl RustCrypto {
    /// The provider, after its self-test: some milliseconds. It has no state, so `RustCrypto` itself is the same
    /// untested, for where that is too long.
    ///
    /// # Errors
    ///
    /// [`SelfTestFailed`] if it gives wrong answers; it must not be used then.
    pub fn new() -> Result<Self, SelfTestFailed> {
        self_test(&Self)?;
        Ok(Self)
    }
}

impl Provider for RustCrypto {
    fn name(&self) -> &'static str {
        "rsa"
    }

    fn opener(&self, pkcs8: &[u8]) -> Result<Box<dyn Open + Send + Sync>, KeyRefused> {
        Ok(Box::new(private_key(pkcs8)?))
    }

    fn signer(&self, pkcs8: &[u8]) -> Result<Box<dyn Sign + Send + Sync>, KeyRefused> {
        Ok(Box::new(private_key(pkcs8)?))
    }

    fn generate(&self, bits: usize, rng: &mut dyn CryptoRng) -> Result<Secret, KeyRefused> {
        let failed = KeyRefused("no key of this size can be generated");
        let key = rsa::PrivateKey::new(rng, bits).map_err(|_| failed)?;
        let der = PrivateKey(key).to_der().map_err(|_| failed)?;
        Ok(Secret::new(der.to_vec()))
    }
}

fn private_key(pkcs8: &[u8]) -> Result<PrivateKey, KeyRefused> {
    let key = rsa::PrivateKey::from_pkcs8_der(pkcs8);
    key.map(PrivateKey)
        .map_err(|_| KeyRefused("not PKCS#8 with an RSA key whose parts fit together"))
}

impl Seal for RustCrypto {
    fn seal(
        &self,
        key: PublicComponents<'_>,
        plaintext: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        let key = public_key(key).ok_or(SealError)?;
        key.encrypt(rng, Oaep::<Sha1>::new(), plaintext).map_err(|_| SealError)
    }
}

impl Verify for RustCrypto {
    fn verify(
        &self,
        key: PublicComponents<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        let key = public_key(key).ok_or(VerifyError)?;
        let digest = Sha1::digest(message);
        key.verify(Pkcs1v15Sign::new::<Sha1>(), &digest, signature).map_err(|_| VerifyError)
    }
}

fn public_key(key: PublicComponents<'_>) -> Option<rsa::PublicKey> {
    rsa::PublicKey::new(integer(key.modulus)?, integer(key.exponent)?).ok()
}

fn integer(bytes: &[u8]) -> Option<BoxedUint> {
    let bits = u32::try_from(bytes.len()).ok()?.checked_mul(8)?;
    BoxedUint::from_be_slice(bytes, bits).ok()
}

/// The longest DER of a private key worth parsing: 8192 bits take 4.7 KB, and the work grows with the square of what is
/// claimed.
const MAX_DER: usize = 8 * 1024;

/// Why a private key was not made or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrivateKeyError {
    /// Not PKCS#8 that holds an RSA key whose parts fit together.
    Malformed,
    /// The modulus is outside the bits asked for.
    Bits(usize),
    /// The generator of keys failed.
    Generate,
}

/// An RSA private key of either use; `identity` gives it a purpose by type.
#[derive(Clone)]
pub(crate) struct PrivateKey(rsa::PrivateKey);

impl PrivateKey {
    pub(crate) fn generate(
        rng: &mut dyn CryptoRng,
        bits: usize,
        allowed: RangeInclusive<usize>,
    ) -> Result<Self, PrivateKeyError> {
        if !allowed.contains(&bits) {
            return Err(PrivateKeyError::Bits(bits));
        }
        rsa::PrivateKey::new(rng, bits).map(Self).map_err(|_| PrivateKeyError::Generate)
    }

    pub(crate) fn from_pem(
        pem: &str,
        allowed: RangeInclusive<usize>,
    ) -> Result<Self, PrivateKeyError> {
        // Base64 takes a third more, and line ends.
        if pem.len() > MAX_DER.saturating_mul(2) {
            return Err(PrivateKeyError::Malformed);
        }
        let key =
            rsa::PrivateKey::from_pkcs8_pem(pem.trim()).map_err(|_| PrivateKeyError::Malformed)?;
        Self(key).checked(allowed)
    }

    pub(crate) fn from_der(
        der: &[u8],
        allowed: RangeInclusive<usize>,
    ) -> Result<Self, PrivateKeyError> {
        Self::read(der, rsa::PrivateKey::from_pkcs8_der)?.checked(allowed)
    }

    pub(crate) fn from_pkcs1_der(
        der: &[u8],
        allowed: RangeInclusive<usize>,
    ) -> Result<Self, PrivateKeyError> {
        Self::read(der, rsa::PrivateKey::from_pkcs1_der)?.checked(allowed)
    }

    fn read<E>(
        der: &[u8],
        parse: impl FnOnce(&[u8]) -> Result<rsa::PrivateKey, E>,
    ) -> Result<Self, PrivateKeyError> {
        if der.len() > MAX_DER {
            return Err(PrivateKeyError::Malformed);
        }
        parse(der).map(Self).map_err(|_| PrivateKeyError::Malformed)
    }

    fn checked(self, allowed: RangeInclusive<usize>) -> Result<Self, PrivateKeyError> {
        let bits =
            usize::try_from(self.0.n().bit_width()).map_err(|_| PrivateKeyError::Malformed)?;
        if allowed.contains(&bits) { Ok(self) } else { Err(PrivateKeyError::Bits(bits)) }
    }

    pub(crate) fn to_pem(&self) -> Result<Zeroizing<alloc::string::String>, PrivateKeyError> {
        self.0.to_pkcs8_pem(LineEnding::LF).map_err(|_| PrivateKeyError::Malformed)
    }

    pub(crate) fn to_der(&self) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
        let document = self.0.to_pkcs8_der().map_err(|_| PrivateKeyError::Malformed)?;
        Ok(document.to_bytes())
    }

    /// The public modulus and exponent, big-endian.
    pub(crate) fn public_components(&self) -> (Vec<u8>, Vec<u8>) {
        (self.0.n_bytes().into_vec(), self.0.e_bytes().into_vec())
    }
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
