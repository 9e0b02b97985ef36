//! The entry of a member in its cluster. It is encoded once, when the member joins, and all lists
//! of members share it.

use alloc::sync::Arc;
use core::fmt;
use core::ops::Deref;

use sha2::{Digest, Sha256};

use super::codec::{encode_listed, encode_token};
use super::schema::{message, token as token_field};
use super::view::all;
use crate::identity::Token;

/// A member's token without its signature, and its bytes in a list of members. Cloning is cheap.
#[derive(Clone)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(into = "Token", from = "Token")
)]
pub struct MemberEntry(Arc<Entry>);

struct Entry {
    /// The token. Its keys are kept inside `field`, if there is one.
    token: Token,
    /// The whole field of a ClusterMembers, if the entry is for serving.
    field: Option<Arc<[u8]>>,
    /// The hash of the token, if the entry is for serving.
    hash: Option<[u8; 32]>,
}

impl MemberEntry {
    /// Makes the entry of a member to be served, and encodes it. The signature is dropped, because
    /// deployed clients expect none (PROTOCOL 6.7).
    pub fn new(token: Token) -> Self {
        let mut token = Token { signature: None, ..token };
        let field: Arc<[u8]> = encode_listed(&token).into();
        for (key, number) in [
            (&mut token.comms_key, token_field::COMMS_KEY),
            (&mut token.sig_key, token_field::SIG_KEY),
        ] {
            let mut found = all(&field, message::TOKENS).flat_map(|token| all(token, number));
            let kept = found.next().and_then(|der| key.kept_in(&field, der));
            if let Some(kept) = kept {
                *key = kept;
            }
        }
        let hash = Some(hash(&token));
        Self(Arc::new(Entry { token, field: Some(field), hash }))
    }

    /// Makes the entry of a member that a registry has served. It is encoded only if it is sent on.
    pub(super) fn received(token: Token) -> Self {
        Self(Arc::new(Entry { token: Token { signature: None, ..token }, field: None, hash: None }))
    }

    /// The field of a ClusterMembers, if the entry is encoded.
    pub(super) fn field(&self) -> Option<&[u8]> {
        self.0.field.as_deref()
    }

    /// The number of bytes that it takes in a list of members.
    pub fn listed_len(&self) -> u64 {
        let len = self.field().map_or_else(|| encode_listed(self).len(), <[u8]>::len);
        // No machine has a length that does not fit.
        u64::try_from(len).unwrap_or(u64::MAX)
    }

    /// The SHA-256 of the token, as it is on the wire without its signature. Equal tokens have the
    /// same.
    pub fn hash(&self) -> [u8; 32] {
        self.0.hash.unwrap_or_else(|| hash(&self.0.token))
    }

    /// Gives the token without the entry.
    pub fn into_token(self) -> Token {
        Arc::try_unwrap(self.0).map_or_else(|shared| shared.token.clone(), |entry| entry.token)
    }
}

fn hash(token: &Token) -> [u8; 32] {
    Sha256::digest(encode_token(token)).into()
}

impl From<Token> for MemberEntry {
    fn from(token: Token) -> Self {
        Self::new(token)
    }
}

impl From<MemberEntry> for Token {
    fn from(member: MemberEntry) -> Self {
        member.into_token()
    }
}

impl Deref for MemberEntry {
    type Target = Token;

    fn deref(&self) -> &Token {
        &self.0.token
    }
}

impl PartialEq for MemberEntry {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

impl Eq for MemberEntry {}

impl PartialEq<Token> for MemberEntry {
    fn eq(&self, other: &Token) -> bool {
        **self == *other
    }
}

impl fmt::Debug for MemberEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
