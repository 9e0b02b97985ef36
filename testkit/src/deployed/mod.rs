//! A deployed server, as far as PROTOCOL section 6 tells what it does and what ends it: from the
//! bytes of one read to the bytes of one reply, without sockets.
//!
//! It reads records with the tests' own AES and protobuf, not with a session of the library, so
//! that it sees what the wire really carries.

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
