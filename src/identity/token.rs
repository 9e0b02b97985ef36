//! Tokens: what a member says of itself, signed (PROTOCOL 6.2).

use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::{EndPoint, MemberAttrs, Name, NodeId, PublicKey};
use crate::crypto::{Sign, SignError, Verify};

/// What a member says of itself: towards the registry signed, towards other members as the registry
/// serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The member's name.
    pub name: Name,
    /// The member's flags.
    pub attrs: MemberAttrs,
    /// The member's ID; a new member has none and is issued one. Not covered by the signature.
    pub id: Option<NodeId>,
    /// The key that others encrypt to.
    pub comms_key: PublicKey,
    /// The key that the signature is checked with.
    pub sig_key: PublicKey,
    /// Where the member listens: first for other members, then for the cluster's clients.
    pub end_points: Vec<EndPoint>,
    /// The signature under the sig key, if the token carries one.
    pub signature: Option<Vec<u8>>,
}

impl Token {
    /// The bytes the signature is over: Name | Attrs (8 bytes, little-endian) | CommsKey | SigKey |
    /// each end in order, without separators (PROTOCOL 6.2).
    fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(self.name.as_str().as_bytes());
        bytes.extend_from_slice(&self.attrs.bits().to_le_bytes());
        bytes.extend_from_slice(self.comms_key.spki_der());
        bytes.extend_from_slice(self.sig_key.spki_der());
        for end in &self.end_points {
            bytes.extend_from_slice(end.as_str().as_bytes());
        }
        bytes
    }

    /// Signs the token, replacing any signature it has. `rng` blinds; the signature is the same
    /// whatever it draws.
    ///
    /// # Errors
    ///
    /// [`SignError`] if the key cannot sign; the token is then unchanged.
    pub fn sign(&mut self, key: &dyn Sign, rng: &mut dyn CryptoRng) -> Result<(), SignError> {
        self.signature = Some(key.sign(&self.signed_bytes(), rng)?);
        Ok(())
    }

    /// Checks the signature against the token's own sig key.
    ///
    /// # Errors
    ///
    /// [`BadSignature`] if there is none or it does not verify.
    pub fn verify(self, provider: &dyn Verify) -> Result<VerifiedToken, BadSignature> {
        let signature = self.signature.as_deref().ok_or(BadSignature)?;
        provider
            .verify(self.sig_key.components(), &self.signed_bytes(), signature)
            .map_err(|_| BadSignature)?;
        Ok(VerifiedToken(self))
    }
}

/// A token whose signature has been checked; only [`Token::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedToken(Token);

impl VerifiedToken {
    /// The token, without the proof.
    pub fn into_inner(self) -> Token {
        self.0
    }
}

impl core::ops::Deref for VerifiedToken {
    type Target = Token;

    fn deref(&self) -> &Token {
        &self.0
    }
}

/// A token is unsigned or its signature is not by its own sig key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token's signature is missing or not by its own sig key")]
pub struct BadSignature;
