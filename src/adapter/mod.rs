//! Adapters. They read, write and wait, and do nothing else.
//!
//! Each drives any [`Machine`](crate::session::Machine): a session of either role, or an
//! [`Enroll`](crate::enroll::Enroll). There is no protocol in here. The next action of a machine is
//! decided in one place for all adapters.
//!
//! | I/O | Adapter | Feature |
//! |-----|---------|---------|
//! | blocking, std's | [`blocking`] | `std` |
//! | blocking, `embedded-io` | `embedded_io` | `embedded-io` |
//! | blocking, your own | [`Driver`] over your [`Transport`] and [`Timer`] | |
//! | async, tokio's | `tokio` | `tokio` |
//! | async, `embedded-io-async` | `embedded_io_async` | `embedded-io-async` |
//! | an event loop, your own | none: see [`Session`](crate::session::Session) and `examples/registry_mio.rs` | |

#[cfg(feature = "std")]
pub mod blocking;
mod driver;
#[cfg(feature = "embedded-io")]
pub mod embedded_io;
#[cfg(feature = "embedded-io-async")]
pub mod embedded_io_async;
mod error;
mod step;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use driver::{Driver, Timer, Transport};
pub use error::DriveError;
pub use step::Transfer;
#[cfg(feature = "tokio")]
pub(crate) use step::deadline;
