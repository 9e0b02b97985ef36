#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
//! stub
extern crate alloc;
pub mod crypto;
pub mod identity;
