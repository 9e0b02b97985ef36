//! Who a node is: its ID, name, addresses and keys, and the signed token that says all of it.
//!
//! Every type here is checked when it is made, so that holding one means it is legal on the wire:
//!
//! | Type | What it is | Bound |
//! |------|------------|-------|
//! | [`NodeId`] | 20 or 32 opaque bytes | exactly those lengths |
//! | [`Name`] | of a member, cluster or registry | 255 bytes |
//! | [`EndPoint`] | `host:port` | host 253 bytes |
//! | [`Version`] | four bytes `a.b.c.d` | |
//! | [`MemberAttrs`], [`ClusterAttrs`] | 64 flags | |
//! | [`PublicKey`], [`Fingerprint`] | an RSA public key | 1024 to 8192 bits |
//! | [`CommsKeyPair`], [`SigKeyPair`] | the private halves, by what they are for | 1024 to 8192 bits |
//! | [`Token`] | all of it, signed | |
//! | [`Identity`] | a node's own name, ID and both key pairs | |
//!
//! Those that have a text (all but the pairs, the token and the identity) have `Display` and
//! `FromStr`, and what one writes the other reads as the same value.
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
#[cfg(feature = "internals")]
pub(crate) use spki::PARSED;
pub(crate) use spki::Spki;
pub use token::{BadSignature, Token, VerifiedToken};
pub use version::{Version, VersionError};
