//! What the fuzzers run: one body for each target of `fuzz/`, compiled and changed together with the crate.
//!
//! A body takes any bytes and panics where a promise is broken. `fuzz/fuzz_targets` are stubs that call them;
//! the unit tests of [`corpus`] run every file of the corpora through every body, so that neither can rot.
//! Compiled for fuzzers and tests only.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a body reports what it finds by panicking, and an overflow in one is a mistake to be told"
)]

#[cfg(test)]
mod corpus;
mod input;
#[path = "../../tests/common/seeded.rs"]
mod seeded;
mod server_session;
mod support;

pub use server_session::server_session;

/// A body.
pub type Body = fn(&[u8]);

/// Every target by name: as the file in `fuzz/fuzz_targets` and the folder in `fuzz/seeds` are called.
pub const TARGETS: &[(&str, Body)] = &[("server_session", server_session)];
