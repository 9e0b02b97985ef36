//! A node's own identity, which it keeps between runs.

use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::{CommsKeyPair, EndPoint, KeyPairError, MemberAttrs, Name, NodeId, SigKeyPair, Token};
use crate::crypto::SignError;

/// A node's name, its two key pairs and, once a registry has issued or accepted one, its ID.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The node's name.
    pub name: Name,
    /// The node's ID, once it has one.
    pub id: Option<NodeId>,
    /// The key pair that opens secrets from others.
    pub comms: CommsKeyPair,
    /// The key pair that signs the node's tokens.
    pub sig: SigKeyPair,
}

impl Identity {
    /// The size of the keys that [`Identity::generate`] makes, in bits. Deployed nodes have the
    /// same.
    pub const KEY_BITS: usize = 2048;

    /// Makes an identity with new keys of [`Identity::KEY_BITS`] and without an ID.
    ///
    /// # Errors
    ///
    /// [`KeyPairError::Generate`] if no key could be generated.
    pub fn generate(name: Name, rng: &mut dyn CryptoRng) -> Result<Self, KeyPairError> {
        Ok(Self {
            name,
            id: None,
            comms: CommsKeyPair::generate(Self::KEY_BITS, rng)?,
            sig: SigKeyPair::generate(Self::KEY_BITS, rng)?,
        })
    }

    /// Makes the signed token of this identity, with these flags and end points.
    ///
    /// # Errors
    ///
    /// [`SignError`] if the sig key cannot sign.
    pub fn token(
        &self,
        attrs: MemberAttrs,
        end_points: Vec<EndPoint>,
        rng: &mut dyn CryptoRng,
    ) -> Result<Token, SignError> {
        let mut token = Token {
            name: self.name.clone(),
            attrs,
            id: self.id,
            comms_key: self.comms.public_key().clone(),
            sig_key: self.sig.public_key().clone(),
            end_points,
            signature: None,
        };
        token.sign(&self.sig, rng)?;
        Ok(token)
    }
}
