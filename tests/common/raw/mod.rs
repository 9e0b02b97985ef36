//! Records and messages made of nothing but AES, blocks and protobuf fields, so that tests can send
//! and see what the library itself never would. The tests of `cli` include this folder too; beside
//! it they need a `Seeded`.

#![allow(dead_code, unused_imports, reason = "each test crate uses its own part of this")]

mod msg;
mod record;

pub use msg::{Msg, Value, varint};
pub use record::{Peer, Secrets, pad, unpad};
