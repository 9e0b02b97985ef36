//! The few RSA operations the protocol needs, as small traits, and who provides them:
//! [`RustCrypto`] everywhere, `AwsLc` (feature `aws-lc-rs`) on servers.
//!
//! Nothing here knows a message, a session or a token: keys go in as big-endian integers or stay
//! behind a trait, bytes come out. All padding is what the deployed wire fixes: OAEP with SHA-1 for
//! the hash and for MGF1 and an empty label (PROTOCOL 3), PKCS#1 v1.5 signatures with SHA-1
//! (PROTOCOL 6.2).
//!
//! | Trait      | Who uses it                          | Implemented by                              |
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

/// Decrypts what was sealed to a comms key: the one private-key operation of a registry.
pub trait Open {
    /// RSAES-OAEP decryption (SHA-1, MGF1-SHA-1, empty label) of exactly one modulus length of
    /// bytes.
    ///
    /// `rng` blinds the operation, so that its timing says nothing about the key. It must not be
    /// the session's own generator, whose draws are fixed by PROTOCOL 3.3.
    ///
    /// # Errors
    ///
    /// [`OpenError`] for whatever reason: there is one, so that it cannot be told which.
    fn open(&self, ciphertext: &[u8], rng: &mut dyn CryptoRng) -> Result<Secret, OpenError>;
}

/// Encrypts a small secret to a comms key.
pub trait Seal {
    /// RSAES-OAEP encryption (SHA-1, MGF1-SHA-1, empty label). Draws exactly 20 bytes from `rng`,
    /// the OAEP seed.
    ///
    /// # Errors
    ///
    /// [`SealError`] if the key is unusable or the plaintext is too long for it (86 bytes is the
    /// most for 1024 bits).
    fn seal(
        &self,
        key: PublicComponents<'_>,
        plaintext: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError>;
}

/// Signs with a sig key.
pub trait Sign {
    /// RSASSA-PKCS1-v1_5 with SHA-1 over `message`. The signature is deterministic; `rng` only
    /// blinds.
    ///
    /// # Errors
    ///
    /// [`SignError`] if the key cannot sign.
    fn sign(&self, message: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>, SignError>;
}

/// Verifies what a sig key signed.
pub trait Verify {
    /// Checks an RSASSA-PKCS1-v1_5 SHA-1 `signature` over `message`.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] if it is not one by this key.
    fn verify(
        &self,
        key: PublicComponents<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError>;
}

/// Bytes that are wiped when dropped, with no `Debug` to leak them.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over; they are wiped when the secret is dropped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes themselves, to be filled in.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Keeps so many bytes from the front.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }
}

/// A ciphertext could not be opened. Deliberately says no more.
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

/// A signature is not the key's over the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct VerifyError;
