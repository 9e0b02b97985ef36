//! Records and messages made of AES, blocks and protobuf fields, so that tests can send and read
//! bytes that the library would never make.

pub mod cbc;
mod msg;
mod record;

pub use msg::{Msg, Value, varint};
pub use record::{Peer, Secrets, hello, pad, unpad};
