//! The checks of values and errors that the bodies share.
use std::fmt::Display;

use xlreg::identity::{Name, Token};
use xlreg::message::{DecodeError, MessageLimits};
use xlreg::session::Error;

use crate::input::Input;

/// The longest text of an error.
const MAX_ERROR: usize = 200;

/// The usual limits, or one of them so small that captured messages exceed it.
pub(crate) fn message_limits(input: &mut Input<'_>) -> MessageLimits {
    let small = input.byte();
    let mut limits = MessageLimits::default();
    if small & 1 != 0 {
        limits.tokens = 2;
    }
    if small & 2 != 0 {
        limits.end_points = 1;
    }
    if small & 4 != 0 {
        limits.name_len = 7;
    }
    if small & 8 != 0 {
        limits.text_len = 20;
    }
    if small & 16 != 0 {
        limits.rsa_bits = 1024..=2047;
    }
    limits
}

pub(crate) fn name_within(name: &Name, limits: &MessageLimits) {
    assert!(name.as_str().len() <= limits.name_len);
}

pub(crate) fn token_within(token: &Token, limits: &MessageLimits) {
    name_within(&token.name, limits);
    assert!(token.end_points.len() <= limits.end_points);
    for key in [&token.comms_key, &token.sig_key] {
        assert!(limits.rsa_bits.contains(&key.bits()));
    }
}

/// Checks that an error is short and fits one line, whatever the peer has sent; and that the answer
/// to the peer is too.
pub(crate) fn refused(error: &DecodeError) {
    one_line(error, MAX_ERROR);
    one_line(&Error::from(error.clone()), MAX_ERROR);
    if let DecodeError::Message(error) = error {
        one_line(&error.refusal(), MAX_ERROR);
    }
}

pub(crate) fn one_line(text: &impl Display, most: usize) {
    let text = text.to_string();
    assert!(text.len() <= most, "{} bytes: {text}", text.len());
    assert!(!text.contains(char::is_control), "{text:?}");
}
