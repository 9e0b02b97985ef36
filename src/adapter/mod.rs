//! Adapters: they read, write and wait, and do nothing else.
//!
//! Each drives any [`Machine`](crate::session::Machine): a session of either role, or an
//! [`Enroll`](crate::enroll::Enroll). There is no protocol in here, so there is one protocol; and what a
//! machine needs next is decided in one place for all of them.

#[cfg(feature = "std")]
pub mod blocking;
#[cfg(feature = "std")]
mod error;
#[cfg(feature = "std")]
mod need;
#[cfg(feature = "tokio")]
pub mod tokio;

#[cfg(feature = "std")]
pub use error::DriveError;
