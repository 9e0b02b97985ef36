//! RSA that does nothing, for tests, fuzzers and benches that are not about RSA.

use rand_core::CryptoRng;
use xlreg::crypto::{
    Open, OpenError, PublicComponents, Seal, SealError, Secret, Verify, VerifyError,
};

/// A handshake without RSA: a Hello is its own ciphertext. Every signature is valid except an empty
/// one.
pub struct NoRsa;

impl Seal for NoRsa {
    fn seal(
        &self,
        _: PublicComponents<'_>,
        plaintext: &[u8],
        _: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        Ok(plaintext.into())
    }
}

impl Open for NoRsa {
    fn open(&self, ciphertext: &[u8], _: &mut dyn CryptoRng) -> Result<Secret, OpenError> {
        Ok(Secret::new(ciphertext.into()))
    }
}

impl Verify for NoRsa {
    fn verify(
        &self,
        _: PublicComponents<'_>,
        _: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        if signature.is_empty() { Err(VerifyError) } else { Ok(()) }
    }
}
