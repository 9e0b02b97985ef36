#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
//! stub
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;
pub mod credential;
pub mod crypto;
pub mod identity;
pub mod message;
pub mod registry;
pub mod session;
