//! Providers of all RSA operations of the protocol, and their self-test.

use alloc::boxed::Box;
use core::convert::Infallible;
use core::iter::Cycle;
use core::slice::Iter;

use rand_core::{CryptoRng, TryCryptoRng, TryRng};

use super::{Open, PublicComponents, Seal, Secret, Sign, Verify};

/// A provider of all RSA operations that a program needs. It does those with public keys itself.
/// For a private key it makes an [`Open`] or a [`Sign`].
///
/// All providers give the same results: sealing uses the seed from `rng`, and signing and verifying
/// are deterministic. They differ in speed, in their platforms, and in how well they hide a private
/// key from other users of the machine.
///
/// A provider does not decide which keys are accepted. That is decided in one place, where a
/// [`PublicKey`](crate::identity::PublicKey) is parsed.
pub trait Provider: Seal + Verify + Send + Sync {
    /// The name of the provider.
    fn name(&self) -> &'static str;

    /// Takes a private key in PKCS#8 DER, for opening.
    ///
    /// # Errors
    ///
    /// [`KeyRefused`] if this provider cannot use the key. Another one may.
    fn opener(&self, pkcs8: &[u8]) -> Result<Box<dyn Open + Send + Sync>, KeyRefused>;

    /// Takes a private key in PKCS#8 DER, for signing.
    ///
    /// # Errors
    ///
    /// [`KeyRefused`] if this provider cannot use the key. Another one may.
    fn signer(&self, pkcs8: &[u8]) -> Result<Box<dyn Sign + Send + Sync>, KeyRefused>;

    /// Generates a private key of `bits` with the exponent 65537, in PKCS#8 DER.
    ///
    /// # Errors
    ///
    /// [`KeyRefused`] if this provider cannot generate such a key, or generating fails.
    fn generate(&self, bits: usize, rng: &mut dyn CryptoRng) -> Result<Secret, KeyRefused>;
}

/// A provider cannot use a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider cannot use this key: {0}")]
pub struct KeyRefused(pub &'static str);

/// A provider does not give the known answers. It must not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the RSA provider {provider} fails its self-test: {failed}")]
pub struct SelfTestFailed {
    /// The name of the provider.
    pub provider: &'static str,
    /// The operation that gave a wrong answer.
    pub failed: &'static str,
}

// A captured Hello (`testkit/vectors`), its OAEP seed and its key. The signature of the Hello's
// plaintext by that key was made with OpenSSL.
const KEY: &[u8] = include_bytes!("known_answer/key.der");
const PLAINTEXT: &[u8] = include_bytes!("known_answer/plaintext.bin");
const SEED: &[u8; 20] = include_bytes!("known_answer/seed.bin");
const CIPHERTEXT: &[u8] = include_bytes!("known_answer/ciphertext.bin");
const SIGNATURE: &[u8] = include_bytes!("known_answer/signature.bin");
/// The modulus inside the DER of the key. Splitting is checked when the crate is compiled.
const MODULUS: &[u8] = KEY.split_at(38).1.split_at(256).0;
/// The public exponent inside the DER of the key.
const EXPONENT: &[u8] = KEY.split_at(296).1.split_at(3).0;

/// Compares a provider with known answers, right ones and wrong ones. Takes three private
/// operations.
///
/// # Errors
///
/// [`SelfTestFailed`] names the first operation with a wrong answer.
pub fn self_test(provider: &dyn Provider) -> Result<(), SelfTestFailed> {
    let check = |right, failed| match right {
        true => Ok(()),
        false => Err(SelfTestFailed { provider: provider.name(), failed }),
    };
    let public = PublicComponents { modulus: MODULUS, exponent: EXPONENT };
    // This is for blinding only. The key is no secret, so known draws do no harm.
    let rng = &mut Repeat::new();

    let sealed = provider.seal(public, PLAINTEXT, &mut Repeat::new());
    check(sealed.is_ok_and(|sealed| sealed == CIPHERTEXT), "sealing")?;
    check(provider.verify(public, PLAINTEXT, SIGNATURE).is_ok(), "verifying")?;
    check(provider.verify(public, CIPHERTEXT, SIGNATURE).is_err(), "refusing a signature")?;

    let opener = provider.opener(KEY).ok();
    let open = |ciphertext: &[u8], rng: &mut Repeat| opener.as_ref()?.open(ciphertext, rng).ok();
    let opened = open(CIPHERTEXT, rng).is_some_and(|opened| opened.expose() == PLAINTEXT);
    check(opened, "opening")?;
    check(opener.is_some() && open(SIGNATURE, rng).is_none(), "refusing a ciphertext")?;

    let signer = provider.signer(KEY).ok();
    let signature = signer.and_then(|signer| signer.sign(PLAINTEXT, rng).ok());
    check(signature.is_some_and(|signature| signature == SIGNATURE), "signing")
}

/// A generator of known draws: the seed again and again.
struct Repeat(Cycle<Iter<'static, u8>>);

impl Repeat {
    fn new() -> Self {
        Self(SEED.iter().cycle())
    }
}

impl TryRng for Repeat {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for (byte, draw) in out.iter_mut().zip(&mut self.0) {
            *byte = *draw;
        }
        Ok(())
    }
}

impl TryCryptoRng for Repeat {}
