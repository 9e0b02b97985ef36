//! The members of a deployed server, and the specs that end it.

use xlreg::crypto::{RustCrypto, Verify};
use xlreg::identity::{PublicKey, Token};
use xlreg::message::Refusal;

use super::Cause;
use super::connection::End;
use crate::peer::{Msg, Value};

/// A member as it is stored: bytes with hardly any check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: Vec<u8>,
    pub attrs: u64,
    pub id: Vec<u8>,
    pub comms_key: Vec<u8>,
    pub sig_key: Vec<u8>,
    pub end_points: Vec<Vec<u8>>,
}

/// Reads a field of bytes. The last one counts.
pub(super) fn bytes(msg: &Msg, number: u32) -> Option<&[u8]> {
    msg.0.iter().rev().find_map(|(n, value)| match value {
        Value::Bytes(bytes) if *n == number => Some(&bytes[..]),
        _ => None,
    })
}

/// Reads a number. The last one counts.
pub(super) fn number(msg: &Msg, number: u32) -> Option<u64> {
    msg.0.iter().rev().find_map(|(n, value)| match value {
        Value::Varint(value) if *n == number => Some(*value),
        _ => None,
    })
}

impl Member {
    /// Makes a member of a token that was checked.
    pub fn new(token: &Token, id: &[u8]) -> Self {
        Self {
            name: token.name.as_str().into(),
            attrs: token.attrs.bits(),
            id: id.into(),
            comms_key: token.comms_key.spki_der().into(),
            sig_key: token.sig_key.spki_der().into(),
            end_points: token.end_points.iter().map(|end| end.as_str().into()).collect(),
        }
    }

    /// Reads the specs of a Member message. `new_id` is for a member without an ID.
    pub(super) fn of_specs(specs: &Msg, new_id: Vec<u8>) -> Result<Self, End> {
        let owned = |field| bytes(specs, field).unwrap_or_default().to_vec();
        let end_points = specs.0.iter().filter_map(|(n, value)| match value {
            Value::Bytes(end) if *n == 6 => Some(end.clone()),
            _ => None,
        });
        let member = Self {
            name: owned(1),
            attrs: number(specs, 2).unwrap_or_default(),
            id: bytes(specs, 3).map_or(new_id, Into::into),
            comms_key: owned(4),
            sig_key: owned(5),
            end_points: end_points.collect(),
        };
        for (key, cause) in
            [(&member.comms_key, Cause::CommsKeyNotRsa), (&member.sig_key, Cause::SigKeyNotRsa)]
        {
            match algorithm(key) {
                Some(RSA) => {}
                Some(_) => return Err(cause.into()),
                None => return Err(End::Refused("asn1: structure error".into())),
            }
        }
        if !matches!(member.id.len(), 20 | 32) {
            return Err(End::Refused(Refusal::IdLength.as_str().into()));
        }
        match member.has_signed(&owned(7)) {
            true => Ok(member),
            false => Err(End::Refused("crypto/rsa: verification error".into())),
        }
    }

    /// Whether the member has made this signature. It does not cover the ID.
    fn has_signed(&self, signature: &[u8]) -> bool {
        let Ok(key) = PublicKey::from_spki_der(&self.sig_key) else { return false };
        let attrs = self.attrs.to_le_bytes();
        let before = [&self.name[..], &attrs, &self.comms_key, &self.sig_key].concat();
        let signed = [before, self.end_points.concat()].concat();
        RustCrypto.verify(key.components(), &signed, signature).is_ok()
    }

    /// The token for other members.
    pub(super) fn token(&self) -> Msg {
        let token = Msg::new().bytes(1, &self.name).varint(2, self.attrs).bytes(3, &self.id);
        let token = token.bytes(4, &self.comms_key).bytes(5, &self.sig_key);
        self.end_points.iter().fold(token, |token, end| token.bytes(6, end))
    }
}

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];

/// The OID in a SubjectPublicKeyInfo.
fn algorithm(spki: &[u8]) -> Option<&[u8]> {
    inside(0x06, inside(0x30, inside(0x30, spki)?)?)
}

/// The content of the first DER value, if it has this tag.
fn inside(tag: u8, der: &[u8]) -> Option<&[u8]> {
    let rest = der.strip_prefix(&[tag])?;
    let (len, body) = match *rest.first()? {
        short @ 0..=0x7f => (usize::from(short), rest.get(1..)?),
        0x81 => (usize::from(*rest.get(1)?), rest.get(2..)?),
        0x82 => (usize::from(*rest.get(1)?) << 8 | usize::from(*rest.get(2)?), rest.get(3..)?),
        _ => return None,
    };
    body.get(..len)
}
