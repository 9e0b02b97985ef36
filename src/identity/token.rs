//! Tokens: the signed descriptions of members (PROTOCOL 6.2).

use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::{EndPoint, MemberAttrs, Name, NodeId, PublicKey};
use crate::crypto::{Sign, SignError, Verify};

/// The description of a member: its name, flags, keys and end points. The member signs it for the
/// registry. The registry serves it to other members without the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Token {
    /// The member's name.
    pub name: Name,
    /// The member's flags.
    pub attrs: MemberAttrs,
    /// The member's ID. A new member has none, and the registry issues one. The signature does not
    /// cover it.
    pub id: Option<NodeId>,
    /// The key that others encrypt to.
    pub comms_key: PublicKey,
    /// The key that the signature is checked with.
    pub sig_key: PublicKey,
    /// The addresses where the member listens: first for other members, then for the cluster's
    /// clients.
    pub end_points: Vec<EndPoint>,
    /// The signature under the sig key, if the token carries one.
    pub signature: Option<Vec<u8>>,
}

impl Token {
    /// The bytes that the signature covers: Name | Attrs (8 bytes, little-endian) | CommsKey |
    /// SigKey
    /// | each end point in order, without separators (PROTOCOL 6.2).
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

    /// Signs the token. A signature that it has is replaced. `rng` is for blinding and does not
    /// change the signature.
    ///
    /// # Errors
    ///
    /// [`SignError`] if the key cannot sign. The token is unchanged then.
    pub fn sign(&mut self, key: &dyn Sign, rng: &mut dyn CryptoRng) -> Result<(), SignError> {
        self.signature = Some(key.sign(&self.signed_bytes(), rng)?);
        Ok(())
    }

    /// Checks the signature against the token's own sig key.
    ///
    /// # Errors
    ///
    /// [`BadSignature`] if the token has none, or one that does not verify.
    pub fn verify(self, provider: &dyn Verify) -> Result<VerifiedToken, BadSignature> {
        let signature = self.signature.as_deref().ok_or(BadSignature)?;
        provider
            .verify(self.sig_key.components(), &self.signed_bytes(), signature)
            .map_err(|_| BadSignature)?;
        Ok(VerifiedToken(self))
    }
}

/// A token with a checked signature. Only [`Token::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedToken(Token);

impl VerifiedToken {
    /// Gives the token without the proof.
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

/// A token has no signature, or one that was not made with its own sig key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token's signature is missing or not by its own sig key")]
pub struct BadSignature;
