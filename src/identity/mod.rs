//! The identity of a node: its ID, name, addresses and keys, and the signed token with all of them.
//!
//! Every value here was checked when it was made, so it is legal on the wire:
//!
//! | Type | What it is | Bound |
//! |------|------------|-------|
//! | [`NodeId`] | 20 or 32 opaque bytes | exactly those lengths |
//! | [`Name`] | the name of a member, cluster or registry | 255 bytes |
//! | [`EndPoint`] | `host:port` | host 253 bytes |
//! | [`Version`] | four bytes `a.b.c.d` | |
//! | [`MemberAttrs`], [`ClusterAttrs`] | 64 flags | |
//! | [`PublicKey`], [`Fingerprint`] | an RSA public key | 1024 to 8192 bits |
//! | [`CommsKeyPair`], [`SigKeyPair`] | key pairs, by their purpose | 1024 to 8192 bits |
//! | [`Token`] | all of these, signed | |
//! | [`Identity`] | a node's own name, ID and both key pairs | |
//!
//! All of them but the key pairs, the token and the identity have a text form: `FromStr` reads the
//! text that `Display` writes, and gives the same value.
//!
//! With the feature `std` an [`Identity`] can be kept in a [`directory`].

mod attrs;
#[cfg(feature = "std")]
pub mod directory;
mod end_point;
mod key_error;
mod key_file;
mod key_pair;
mod name;
mod node;
mod node_id;
mod openssh;
mod openssh_private;
mod public_key;
#[cfg(feature = "serde")]
mod serde_text;
mod spki;
mod token;
mod version;

pub(crate) use attrs::hex_bits;
pub use attrs::{AttrsError, ClusterAttrs, MemberAttrs};
pub use end_point::{EndPoint, EndPointError};
pub use key_error::{KeyAlgorithm, KeyForm, KeyPairError};
pub use key_pair::{CommsKeyPair, Pem, SigKeyPair};
pub use name::{Name, NameError};
pub use node::Identity;
pub use node_id::{NodeId, NodeIdError};
pub use openssh::OpenSshError;
pub use public_key::{Fingerprint, FingerprintError, KeyError, PublicKey};
#[cfg(feature = "serde")]
pub(crate) use serde_text::serde_as_text;
#[cfg(feature = "internals")]
pub(crate) use spki::PARSED;
pub(crate) use spki::Spki;
pub use token::{BadSignature, Token, VerifiedToken};
pub use version::{Version, VersionError};
