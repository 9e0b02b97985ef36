//! A model of a deployed server, as PROTOCOL section 6 describes it: from the bytes of one read to
//! the bytes of one reply, without sockets.
//!
//! It uses the tests' own AES and protobuf instead of the library's session, so it sees the real
//! bytes of the wire.

mod answer;
mod cause;
mod connection;
mod member;
mod server;
mod visit;

pub use cause::Cause;
pub use connection::{Connection, Outcome, READ};
pub use member::Member;
pub use server::{DeployedServer, Fault, Scripted, Ways};
pub use visit::{Told, Visit};

use crate::Seeded;
