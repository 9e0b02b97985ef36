//! Records and messages made of nothing but AES, blocks and protobuf fields, so that tests can send
//! and see what the library itself never would.

pub mod cbc;
mod msg;
mod record;

pub use msg::{Msg, Value, varint};
pub use record::{Peer, Secrets, hello, pad, unpad};
