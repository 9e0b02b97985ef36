//! The few RSA operations of the protocol as small traits, and their providers: [`RustCrypto`]
//! everywhere, `AwsLc` (feature `aws-lc-rs`) on servers.
//!
//! Nothing here knows messages, sessions or tokens. Keys are big-endian integers or stay behind a
//! trait, and all else is bytes. The deployed wire fixes the padding: OAEP with SHA-1 as hash and
//! in MGF1, and with an empty label (PROTOCOL 3); PKCS#1 v1.5 signatures with SHA-1 (PROTOCOL 6.2).
//!
//! | Trait      | User                                 | Implemented by                              |
//! |------------|--------------------------------------|---------------------------------------------|
//! | [`Open`]   | a registry, on every Hello           | [`CommsKeyPair`](crate::identity::CommsKeyPair), or your key vault |
//! | [`Seal`]   | a client, once per session           | [`RustCrypto`]                              |
//! | [`Sign`]   | a member, once per token             | [`SigKeyPair`](crate::identity::SigKeyPair), or your key vault |
//! | [`Verify`] | a registry, on every Member          | [`RustCrypto`]                              |

#[cfg(feature = "aws-lc-rs")]
mod aws_lc;
mod private_key;
mod provider;
mod rust_crypto;
#[cfg(feature = "getrandom")]
mod system;

use alloc::vec::Vec;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

#[cfg(feature = "aws-lc-rs")]
pub use aws_lc::AwsLc;
pub(crate) use private_key::{MAX_DER, PrivateKey, PrivateKeyError, PrivateParts};
pub use provider::{KeyRefused, Provider, SelfTestFailed, self_test};
pub use rust_crypto::RustCrypto;
#[cfg(feature = "getrandom")]
pub use system::SystemRng;

/// The two integers of an RSA public key, big-endian, without leading zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicComponents<'a> {
    /// The modulus *n*.
    pub modulus: &'a [u8],
    /// The public exponent *e*.
    pub exponent: &'a [u8],
}

/// Opens a ciphertext that was sealed to a comms key: the one private-key operation of a registry.
pub trait Open {
    /// Decrypts with RSAES-OAEP (SHA-1, MGF1-SHA-1, empty label). The ciphertext has exactly the
    /// length of the modulus.
    ///
    /// `rng` blinds the operation, so that its timing does not depend on the key. It must not be
    /// the session's own generator, because PROTOCOL 3.3 fixes the draws of that.
    ///
    /// # Errors
    ///
    /// [`OpenError`] for any reason. There is only one error, so that nobody learns the reason.
    fn open(&self, ciphertext: &[u8], rng: &mut dyn CryptoRng) -> Result<Secret, OpenError>;
}

/// Encrypts a small secret to a comms key.
pub trait Seal {
    /// Encrypts with RSAES-OAEP (SHA-1, MGF1-SHA-1, empty label). Draws exactly 20 bytes from
    /// `rng`, the OAEP seed.
    ///
    /// # Errors
    ///
    /// [`SealError`] if the key cannot be used, or the plaintext is too long for it. A key of 1024
    /// bits seals at most 86 bytes.
    fn seal(
        &self,
        key: PublicComponents<'_>,
        plaintext: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError>;
}

/// Signs with a sig key.
pub trait Sign {
    /// Signs `message` with RSASSA-PKCS1-v1_5 and SHA-1. `rng` is for blinding and does not change
    /// the signature.
    ///
    /// # Errors
    ///
    /// [`SignError`] if the key cannot sign.
    fn sign(&self, message: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>, SignError>;
}

/// Verifies a signature by a sig key.
pub trait Verify {
    /// Checks that `signature` is one over `message` by this key, with RSASSA-PKCS1-v1_5 and SHA-1.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] if it is not.
    fn verify(
        &self,
        key: PublicComponents<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError>;
}

/// Secret bytes. They are wiped when dropped, and have no `Debug`.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Makes a secret of these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes themselves, for writing.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Keeps the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }
}

/// A ciphertext could not be opened. The error does not say why, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ciphertext does not open with this key")]
pub struct OpenError;

/// A plaintext could not be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key cannot seal a plaintext of this length")]
pub struct SealError;

/// A message could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key cannot sign")]
pub struct SignError;

/// A signature is not one by this key over the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct VerifyError;
