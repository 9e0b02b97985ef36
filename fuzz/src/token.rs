//! Tokens as bytes. The signature covers name, attrs, both keys and the end points as one run of
//! bytes without separators, but not the ID (PROTOCOL 6.2).
use std::cell::Cell;

use xlreg::crypto::{PublicComponents, Verify, VerifyError};
use xlreg::identity::Token;
use xlreg::message::{MessageLimits, decode_token, encode_token};

use crate::checks::{message_limits, refused, token_within};
use crate::input::Input;

/// A script: the limits, and the token. Decoded and encoded it stays the same, and the verified
/// bytes are those of PROTOCOL 6.2.
pub fn token(data: &[u8]) {
    let input = &mut Input::new(data);
    let limits = message_limits(input);
    let Some(token) = decoded(input.rest(), &limits) else { return };
    token_within(&token, &limits);
    let encoded = encode_token(&token);
    let again = decoded(&encoded, &limits).expect("what was encoded decodes");
    assert_eq!(again, token);
    assert_eq!(encode_token(&again), encoded, "one token, two encodings");
    let seen = Seen(Cell::new(false), &token);
    assert_eq!(token.clone().verify(&seen).is_ok(), token.signature.is_some());
    assert_eq!(seen.0.get(), token.signature.is_some(), "no signature, no verifying");
}

pub(crate) fn decoded(bytes: &[u8], limits: &MessageLimits) -> Option<Token> {
    decode_token(bytes, limits).map_err(|error| refused(&error)).ok()
}

/// Accepts any signature of this token, if it is asked about the token's own bytes.
struct Seen<'a>(Cell<bool>, &'a Token);

impl Verify for Seen<'_> {
    fn verify(
        &self,
        key: PublicComponents<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        assert_eq!(key, self.1.sig_key.components());
        assert_eq!(message, signed(self.1));
        assert_eq!(Some(signature), self.1.signature.as_deref());
        assert!(!self.0.replace(true), "verified twice");
        Ok(())
    }
}

/// PROTOCOL 6.2.
pub(crate) fn signed(token: &Token) -> Vec<u8> {
    let end_points: Vec<_> = token.end_points.iter().map(|end| end.as_str()).collect();
    [
        token.name.as_str().as_bytes(),
        &token.attrs.bits().to_le_bytes(),
        token.comms_key.spki_der(),
        token.sig_key.spki_der(),
        end_points.concat().as_bytes(),
    ]
    .concat()
}
