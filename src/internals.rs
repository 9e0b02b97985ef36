//! The one door to the inside of the library, for its own tests and fuzzers, behind the feature
//! `internals`. **Outside semver**: anything here may change or go in any release.
//!
//! It shows what can not be seen from outside, and lets nothing be changed.

use alloc::vec::Vec;

use crate::message::{DecodeError, Op, Reply, Request};
use crate::message::{Decoded, MessageLimits, prost_diff};
use crate::session::{Error, Role, Session, raw};

/// A message that a client sends: its operation, and what it asks.
///
/// # Errors
///
/// If the bytes are no such message, or it is beyond the limits.
pub fn decode_request(bytes: &[u8], limits: &MessageLimits) -> Result<(Op, Request), DecodeError> {
    let decoded = Decoded::new(bytes, limits)?;
    Ok((decoded.op(), decoded.into_request(limits)?))
}

/// A message that a registry sends: its operation, and what it answers.
///
/// # Errors
///
/// If the bytes are no such message, or it is beyond the limits.
pub fn decode_reply(bytes: &[u8], limits: &MessageLimits) -> Result<(Op, Reply), DecodeError> {
    let decoded = Decoded::new(bytes, limits)?;
    Ok((decoded.op(), decoded.into_reply(limits)?))
}

/// The message of a request.
pub fn encode_request(request: &Request) -> Vec<u8> {
    let mut message = Vec::new();
    crate::message::encode_request(request, &mut message);
    message
}

/// The message of a reply.
pub fn encode_reply(reply: &Reply) -> Vec<u8> {
    let mut message = Vec::new();
    crate::message::encode_reply(reply, &mut message);
    message
}

/// Panics if prost sees another message in these bytes than the codec does.
pub fn compare_with_prost(bytes: &[u8]) {
    prost_diff::compare(bytes);
}

/// What the record rule says of this plaintext: the lengths of message and record; `None` if more
/// is needed. It asks for so many blocks in all, and `step` says how many it gets; there is always
/// one more, as long as there are any.
///
/// # Errors
///
/// If this can not be a record.
pub fn record_end(
    plain: &[u8],
    limit: usize,
    step: impl FnMut(usize) -> usize,
) -> Result<Option<(usize, usize)>, Error> {
    raw::walk(plain, limit, step).map_err(|()| Error::BadRecord)
}

/// All output there is, however it divides into records.
pub fn all_output<R: Role>(session: &Session<R>) -> &[u8] {
    session.all_output()
}

/// How often this thread has parsed a public key.
pub fn keys_parsed() -> usize {
    crate::identity::PARSED.get()
}
