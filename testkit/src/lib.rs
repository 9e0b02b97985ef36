//! One world for the tests, fuzzers and measurements of every package.
//!
//! | Module | Content |
//! |--------|---------|
//! | [`rng`] | generators with known draws |
//! | [`no_rsa`] | RSA that does nothing, for tests that are not about RSA |
//! | [`keys`] | key pairs, identities, and the forms of key files |
//! | [`captures`] | the conversations of deployed clients and servers |
//! | [`peer`] | the other side of a session, made without the library; it can be wrong |
//! | [`scenario`] | a session of either role in any state, with such a peer |
//! | [`pair`] | both roles and the bytes between them, in virtual time |
//! | [`model`] | the rules of a registry, on plain lists |
//! | [`deployed`] | a deployed server, and the causes of its death |
//! | [`seeds`] | the scripts that fuzzers begin with |
//! | [`client`], [`facts`] | a client over TCP, step by step; the facts that it was told |
//! | [`http`], [`wait`] | the pages of a daemon; waiting for them |
//! | [`largest`] | the largest keys and end points |
//! | [`mutants`], [`spellings`] | other spellings of a message, and of a secret |
//!
//! Unit tests inside `src/` of the library cannot use this, because they would see two copies of
//! each type.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "std")]
pub mod captures;
#[cfg(feature = "std")]
pub mod client;
#[cfg(feature = "std")]
pub mod deployed;
#[cfg(feature = "std")]
mod drive;
#[cfg(feature = "std")]
pub mod facts;
#[cfg(feature = "std")]
pub mod http;
#[cfg(feature = "std")]
pub mod keys;
#[cfg(feature = "std")]
pub mod largest;
#[cfg(feature = "std")]
pub mod model;
#[cfg(feature = "std")]
pub mod mutants;
#[cfg(feature = "std")]
pub mod no_rsa;
#[cfg(feature = "std")]
pub mod pair;
#[cfg(feature = "std")]
pub mod peer;
pub mod rng;
#[cfg(feature = "std")]
pub mod scenario;
#[cfg(feature = "std")]
pub mod seeds;
#[cfg(feature = "std")]
pub mod spellings;
#[cfg(feature = "std")]
mod tool;
#[cfg(feature = "std")]
pub mod wait;

#[cfg(feature = "std")]
pub use drive::to_the_end;
#[cfg(feature = "std")]
pub use keys::{KEYS, identity, providers};
#[cfg(feature = "std")]
pub use no_rsa::NoRsa;
pub use rng::Seeded;
#[cfg(feature = "std")]
pub use rng::{Script, SequentialRng};
#[cfg(feature = "std")]
pub use tool::{run_tool, run_words};
