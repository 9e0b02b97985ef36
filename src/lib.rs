#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]
//! stub
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod adapter;
pub mod credential;
pub mod crypto;
pub mod enroll;
pub mod identity;
pub mod message;
pub mod registry;
pub mod session;
