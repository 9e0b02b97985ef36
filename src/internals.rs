//! The inside of the library for its own tests and fuzzers, behind the feature `internals`.
//! **Outside semver**: any release may change or remove anything here.
//!
//! It is the only door to the inside. It shows what is not public, and changes nothing.

use alloc::vec::Vec;

use crate::message::{DecodeError, Op, Reply, Request};
use crate::message::{Decoded, MessageLimits, prost_diff};
use crate::session::{Error, Role, Session, raw};

/// Decodes a client's message: its operation, and the request.
///
/// # Errors
///
/// The bytes are not such a message within the limits.
pub fn decode_request(bytes: &[u8], limits: &MessageLimits) -> Result<(Op, Request), DecodeError> {
    let decoded = Decoded::new(bytes, limits)?;
    Ok((decoded.op(), decoded.into_request(limits)?))
}

/// Decodes a registry's message: its operation, and the reply.
///
/// # Errors
///
/// The bytes are not such a message within the limits.
pub fn decode_reply(bytes: &[u8], limits: &MessageLimits) -> Result<(Op, Reply), DecodeError> {
    let decoded = Decoded::new(bytes, limits)?;
    Ok((decoded.op(), decoded.into_reply(limits)?))
}

/// Encodes a request as a message.
pub fn encode_request(request: &Request) -> Vec<u8> {
    let mut message = Vec::new();
    crate::message::encode_request(request, &mut message);
    message
}

/// Encodes a reply as a message.
pub fn encode_reply(reply: &Reply) -> Vec<u8> {
    let mut message = Vec::new();
    crate::message::encode_reply(reply, &mut message);
    message
}

/// Panics if prost decodes another message from these bytes than the codec.
pub fn compare_with_prost(bytes: &[u8]) {
    prost_diff::compare(bytes);
}

/// Applies the record rule to a plaintext: the lengths of message and record; `None` if more bytes
/// are needed. The rule asks for a number of blocks, and `step` says how many it gets. It gets at
/// least one more, as long as there are any.
///
/// # Errors
///
/// The plaintext is not the start of a record.
pub fn record_end(
    plain: &[u8],
    limit: usize,
    step: impl FnMut(usize) -> usize,
) -> Result<Option<(usize, usize)>, Error> {
    raw::walk(plain, limit, step).map_err(|()| Error::BadRecord)
}

/// All output, including records that are not due yet.
pub fn all_output<R: Role>(session: &Session<R>) -> &[u8] {
    session.all_output()
}

/// The number of public keys that this thread has parsed.
pub fn keys_parsed() -> usize {
    crate::identity::PARSED.get()
}
