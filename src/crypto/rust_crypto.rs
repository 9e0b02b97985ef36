//! The provider on the `rsa` crate, which is pure Rust. It works everywhere, also without `std`.
//!
//! Every private operation is blinded. Without its default features the crate's `decrypt` and
//! `sign` are not, so only `decrypt_blinded` and `sign_with_rng` are used here.

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use rsa::{Oaep, Pkcs1v15Sign};
use sha1::{Digest, Sha1};

use super::private_key::integer;
use super::{
    KeyRefused, Open, PrivateKey, PrivateParts, Provider, PublicComponents, Seal, SealError,
    Secret, SelfTestFailed, Sign, Verify, VerifyError, self_test,
};

/// The provider on the `rsa` crate. It has no state.
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

impl RustCrypto {
    /// Makes the provider, after a self-test of some milliseconds. Where that is too long, use
    /// `RustCrypto` itself: it is the same without the test.
    ///
    /// # Errors
    ///
    /// [`SelfTestFailed`] if it gives wrong answers. It must not be used then.
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
        let key = PrivateKey::generate(rng, bits).map_err(|_| failed)?;
        let der = key.to_der().map_err(|_| failed)?;
        Ok(Secret::new(der.to_vec()))
    }
}

fn private_key(pkcs8: &[u8]) -> Result<PrivateKey, KeyRefused> {
    PrivateParts::from_pkcs8_der(pkcs8)
        .and_then(|parts| PrivateKey::from_parts(&parts))
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
