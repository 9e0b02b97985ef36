//! One world for the tests, fuzzers and measurements of every package.
//!
//! | Module | What it has |
//! |--------|-------------|
//! | [`rng`] | generators whose draws are known |
//! | [`no_rsa`] | RSA that does nothing, for what is not about RSA |
//! | [`keys`] | key pairs that need not be generated, identities, and the forms of key files |
//! | [`captures`] | what deployed clients and servers have said to each other |
//! | [`peer`] | the other side of a session, made without the library; it can be wrong |
//! | [`scenario`] | a session of either role in any state, with such a peer |
//! | [`pair`] | both roles and the bytes between them, in virtual time |
//! | [`model`] | the rules of a registry, as lists that are looked through |
//! | [`deployed`] | a deployed server, and what ends it |
//! | [`seeds`] | the scripts that fuzzers begin with |
//! | [`client`], [`facts`] | a client over TCP that goes step by step; whether what it was told stays true |
//! | [`http`], [`wait`] | what a daemon shows of itself; waiting for it |
//! | [`mutants`], [`spellings`] | other spellings of a message, and of a secret |
//!
//! Unit tests inside `src/` of the library can not use this: they would see two copies of each
//! type.
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
pub use tool::run_tool;
