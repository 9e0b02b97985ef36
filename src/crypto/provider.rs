//! A whole provider: every RSA operation of the protocol from one hand, and how it shows that it
//! works.

use alloc::boxed::Box;
use core::convert::Infallible;
use core::iter::Cycle;
use core::slice::Iter;

use rand_core::{CryptoRng, TryCryptoRng, TryRng};

use super::{Open, PublicComponents, Seal, Secret, Sign, Verify};

/// All the RSA that a program needs: with public keys itself, with private keys through what it
/// makes of them.
///
/// Providers are interchangeable: one that seals does it with the seed it is lent, and one that
/// signs or verifies follows a deterministic scheme. They differ in speed, in what they need of a
/// platform, and in how well they hide a private key from those who share the machine.
///
/// Which keys are acceptable is not theirs to say: that is decided in one place for all, where
/// [`PublicKey`](crate::identity::PublicKey) is parsed.
pub trait Provider: Seal + Verify + Send + Sync {
    /// What it is called.
    fn name(&self) -> &'static str;

    /// Takes a private key, PKCS#8 DER, to open what is sealed to it.
    ///
    /// # Errors
    ///
    /// [`KeyRefused`] if this provider cannot use the key; another one may.
    fn opener(&self, pkcs8: &[u8]) -> Result<Box<dyn Open + Send + Sync>, KeyRefused>;

    /// Takes a private key, PKCS#8 DER, to sign with it.
    ///
    /// # Errors
    ///
    /// [`KeyRefused`] if this provider cannot use the key; another one may.
    fn signer(&self, pkcs8: &[u8]) -> Result<Box<dyn Sign + Send + Sync>, KeyRefused>;

    /// Generates a private key of so many bits, with the exponent 65537, as PKCS#8 DER.
    ///
    /// # Errors
    ///
    /// [`KeyRefused`] if this provider makes no such keys, or the generator fails.
    fn generate(&self, bits: usize, rng: &mut dyn CryptoRng) -> Result<Secret, KeyRefused>;
}

/// A private key that a provider cannot use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider cannot use this key: {0}")]
pub struct KeyRefused(pub &'static str);

/// A provider does not give the known answers: it must not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the RSA provider {provider} fails its self-test: {failed}")]
pub struct SelfTestFailed {
    /// Its name.
    pub provider: &'static str,
    /// What it got wrong.
    pub failed: &'static str,
}

// A captured Hello (`testkit/vectors`), its OAEP seed, the key it is sealed to, and a signature of
// the Hello's plaintext by that key, made with OpenSSL.
const KEY: &[u8] = include_bytes!("known_answer/key.der");
const PLAINTEXT: &[u8] = include_bytes!("known_answer/plaintext.bin");
const SEED: &[u8; 20] = include_bytes!("known_answer/seed.bin");
const CIPHERTEXT: &[u8] = include_bytes!("known_answer/ciphertext.bin");
const SIGNATURE: &[u8] = include_bytes!("known_answer/signature.bin");
/// Where the modulus of the key is in its DER, and its exponent.
const MODULUS: core::ops::Range<usize> = 38..294;
const EXPONENT: core::ops::Range<usize> = 296..299;

/// Checks a provider against known answers, right ones and wrong ones. Takes three private
/// operations.
///
/// # Errors
///
/// [`SelfTestFailed`] says what it gets wrong.
pub fn self_test(provider: &dyn Provider) -> Result<(), SelfTestFailed> {
    let check = |right, failed| match right {
        true => Ok(()),
        false => Err(SelfTestFailed { provider: provider.name(), failed }),
    };
    let [modulus, exponent] = [MODULUS, EXPONENT].map(|at| KEY.get(at).unwrap_or_default());
    let public = PublicComponents { modulus, exponent };
    // It blinds only: nothing secret depends on it.
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

/// Known draws: the seed over and over.
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
