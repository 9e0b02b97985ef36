//! Signatures of tokens with real RSA. Another token with the same run of signed bytes has the same
//! signature, and no other token has it. There is no other signature (PROTOCOL 6.2). It runs
//! thousands of times a second.
use std::sync::LazyLock;

use xlreg::crypto::RustCrypto;
use xlreg::identity::{MemberAttrs, NodeId, SigKeyPair, Token};
use xlreg::message::{MessageLimits, encode_token};
use xlreg_testkit::Seeded;
use xlreg_testkit::captures::{self, token as captured};

use crate::input::Input;
use crate::token::{decoded, signed};

/// A script: a good token, and changes of its bytes, its fields or its signature.
pub fn token_rsa(data: &[u8]) {
    let input = &mut Input::new(data);
    match input.byte() % 3 {
        0 => changed_bytes(input),
        1 => changed_fields(input),
        _ => changed_signature(input),
    }
}

/// A token with a good signature: a captured one, or one with its end points divided at other
/// places.
fn good(input: &mut Input<'_>) -> &'static Token {
    static GOOD: LazyLock<[Token; 2]> = LazyLock::new(|| {
        let key = captures::registry_key().to_pkcs8_der().expect("a captured key");
        let key = SigKeyPair::from_pkcs8_der(key.expose()).expect("a captured key");
        let sig_key = key.public_key().clone();
        let end_points = ["a:4000", "b:1"].map(|end| end.parse().expect("an end"));
        let mut own = Token { sig_key, end_points: end_points.into(), ..captured() };
        own.sign(&key, &mut Seeded::new(1)).expect("the key signs");
        [captured(), own]
    });
    &GOOD[usize::from(input.byte() & 1)]
}

/// Checks with real RSA: the token is accepted if and only if it has the good signature over the
/// good bytes.
fn verified(token: Token, good: &Token) {
    let same = token.signature == good.signature && signed(&token) == signed(good);
    assert_eq!(token.verify(&RustCrypto).is_ok(), same);
}

/// Changes some bytes, removes some and inserts others.
fn changed_bytes(input: &mut Input<'_>) {
    let good = good(input);
    let mut bytes = encode_token(good);
    let at = input.short() % bytes.len();
    let until = (at + usize::from(input.byte())).min(bytes.len());
    match input.byte() % 2 {
        0 => drop(bytes.splice(at..until, input.rest().iter().copied())),
        _ => bytes[at..].iter_mut().zip(input.rest()).for_each(|(byte, change)| *byte ^= change),
    }
    if let Some(token) = decoded(&bytes, &MessageLimits::default()) {
        verified(token, good);
    }
}

/// Leaves or changes each field.
fn changed_fields(input: &mut Input<'_>) {
    let good = good(input);
    let mut token = good.clone();
    let changes = input.byte();
    if changes & 1 != 0 {
        token.attrs = MemberAttrs::from_bits(token.attrs.bits() ^ u64::from(input.byte()));
    }
    if changes & 2 != 0 {
        token.id = NodeId::from_bytes(&[input.byte(); 32]).ok();
    }
    if changes & 4 != 0 {
        std::mem::swap(&mut token.comms_key, &mut token.sig_key);
    }
    if changes & 8 != 0 {
        token.comms_key = token.sig_key.clone();
    }
    let mut texts = input.rest().split(|byte| *byte == b' ').map(str::from_utf8);
    if changes & 16 != 0
        && let Some(Ok(name)) = texts.next()
        && let Ok(name) = name.parse()
    {
        token.name = name;
    }
    if changes & 32 != 0 {
        token.end_points.clear();
        token.end_points.extend(texts.filter_map(|end| end.ok()?.parse().ok()).take(8));
    }
    verified(token, good);
}

/// Another number instead, or the same with another length.
fn changed_signature(input: &mut Input<'_>) {
    let good = good(input);
    let mut token = good.clone();
    let signature = token.signature.as_mut().expect("a captured token is signed");
    signature.truncate(signature.len() - input.short() % (signature.len() + 1));
    let change = input.take(signature.len());
    signature.iter_mut().zip(change).for_each(|(byte, change)| *byte ^= change);
    match input.byte() % 2 {
        0 => signature.extend_from_slice(input.rest()),
        _ => drop(signature.splice(0..0, input.rest().iter().copied())),
    }
    verified(token, good);
}
