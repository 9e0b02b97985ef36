//! A node's own identity: what it keeps between runs.

use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::{CommsKeyPair, EndPoint, KeyPairError, MemberAttrs, Name, NodeId, SigKeyPair, Token};
use crate::crypto::SignError;

/// A node's name, its two key pairs and, once a registry has issued or accepted one, its ID.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What the node calls itself.
    pub name: Name,
    /// The ID it is known by, if it has one yet.
    pub id: Option<NodeId>,
    /// Opens what others seal to it.
    pub comms: CommsKeyPair,
    /// Signs its tokens.
    pub sig: SigKeyPair,
}

impl Identity {
    /// The size of the keys [`Identity::generate`] makes, in bits: what deployed nodes have.
    pub const KEY_BITS: usize = 2048;

    /// A new identity with fresh keys of [`Identity::KEY_BITS`] and no ID yet.
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

    /// The signed token that presents this identity with these flags and ends.
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
