//! What the fuzzers run: one body for each target of `fuzz/`, compiled and changed together with
//! the crate.
//!
//! A body takes any bytes and panics where a promise is broken. `fuzz/fuzz_targets` are stubs that
//! call them; the unit tests of [`corpus`] run every file of the corpora through every body, so
//! that neither can rot. Compiled for fuzzers and tests only.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a body reports what it finds by panicking, and an overflow in one is a mistake to be \
              told"
)]

mod arbitrary;
mod cbc;
mod checks;
mod chunking;
mod client_session;
mod codec;
#[cfg(test)]
mod corpus;
mod hello;
mod hello_rsa;
mod input;
#[path = "../../testkit/src/keys/forms.rs"]
mod key_forms;
mod key_pairs;
mod keys;
mod pair;
mod record_end;
mod regcred;
mod registry;
#[path = "../../testkit/src/rng/seeded.rs"]
mod seeded;
mod server_session;
pub(crate) mod support;
mod token;
mod token_rsa;

pub use chunking::chunking;
pub use client_session::client_session;
pub use codec::codec;
pub use hello::hello;
pub use hello_rsa::hello_rsa;
pub use key_pairs::key_pairs;
pub use keys::keys;
pub use pair::pair;
pub use record_end::record_end;
pub use regcred::regcred;
pub use registry::registry;
pub use server_session::server_session;
pub use token::token;
pub use token_rsa::token_rsa;

/// A body.
pub type Body = fn(&[u8]);

/// Every target by name: as the file in `fuzz/fuzz_targets` and the folder in `fuzz/seeds` are
/// called.
pub const TARGETS: &[(&str, Body)] = &[
    ("chunking", chunking),
    ("client_session", client_session),
    ("codec", codec),
    ("hello", hello),
    ("hello_rsa", hello_rsa),
    ("key_pairs", key_pairs),
    ("keys", keys),
    ("pair", pair),
    ("record_end", record_end),
    ("regcred", regcred),
    ("registry", registry),
    ("server_session", server_session),
    ("token", token),
    ("token_rsa", token_rsa),
];
