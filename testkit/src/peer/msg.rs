//! Messages as lists of fields, right or wrong.

use xlreg::identity::Token;
use xlreg::message::{Op, Refusal};

/// One protobuf value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(Vec<u8>),
}

/// A protobuf message as a list of fields, right or wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Msg(pub Vec<(u32, Value)>);

impl Msg {
    /// Makes a message without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a message with this operation.
    pub fn op(op: Op) -> Self {
        Self::new().varint(1, op.tag() as u64)
    }

    /// Makes an Error with the text of this refusal.
    pub fn error(refusal: Refusal) -> Self {
        Self::op(Op::Error).bytes(23, refusal.as_str())
    }

    /// Makes the fields of a token, with its signature if it has one.
    pub fn token(token: &Token) -> Self {
        let mut msg = Self::new().bytes(1, token.name.as_str()).varint(2, token.attrs.bits());
        if let Some(id) = token.id {
            msg = msg.bytes(3, id.as_bytes());
        }
        msg = msg.bytes(4, token.comms_key.spki_der()).bytes(5, token.sig_key.spki_der());
        for end in &token.end_points {
            msg = msg.bytes(6, end.as_str());
        }
        match &token.signature {
            Some(signature) => msg.bytes(7, signature),
            None => msg,
        }
    }

    /// Adds a field.
    pub fn field(mut self, number: u32, value: Value) -> Self {
        self.0.push((number, value));
        self
    }

    /// Adds a number.
    pub fn varint(self, number: u32, value: u64) -> Self {
        self.field(number, Value::Varint(value))
    }

    /// Adds bytes or a text.
    pub fn bytes(self, number: u32, value: impl AsRef<[u8]>) -> Self {
        self.field(number, Value::Bytes(value.as_ref().into()))
    }

    /// Adds a message.
    pub fn msg(self, number: u32, value: &Self) -> Self {
        self.bytes(number, value.encode())
    }

    /// Removes this field.
    pub fn without(mut self, number: u32) -> Self {
        let before = self.0.len();
        self.0.retain(|(n, _)| *n != number);
        assert!(self.0.len() < before, "field {number} was there");
        self
    }

    /// Replaces the first field with this number.
    pub fn set(mut self, number: u32, value: impl AsRef<[u8]>) -> Self {
        let found = self.0.iter_mut().find(|(n, _)| *n == number);
        found.expect("the field was there").1 = Value::Bytes(value.as_ref().into());
        self
    }

    /// Changes field 11 or 21, which is a token.
    pub fn with_token(self, number: u32, change: impl Fn(Self) -> Self) -> Self {
        let token = self.get(number).clone();
        let Value::Bytes(bytes) = token else { panic!("no token") };
        self.set(number, change(Self::decode(&bytes)).encode())
    }

    /// The first field with this number. Panics without one.
    pub fn get(&self, number: u32) -> &Value {
        &self.0.iter().find(|(n, _)| *n == number).expect("the field is there").1
    }

    /// Encodes the message in the order of its fields.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, value) in &self.0 {
            let key = |wire_type: u64| varint(u64::from(*number) << 3 | wire_type);
            out.extend(match value {
                Value::Varint(value) => [key(0), varint(*value)].concat(),
                Value::Fixed64(value) => [key(1), value.to_le_bytes().into()].concat(),
                Value::Bytes(value) => [key(2), varint(value.len() as u64), value.clone()].concat(),
                Value::Fixed32(value) => [key(5), value.to_le_bytes().into()].concat(),
            });
        }
        out
    }

    /// Decodes well-formed bytes. Panics for others.
    pub fn decode(bytes: &[u8]) -> Self {
        Self::try_decode(bytes).expect("a message")
    }

    /// Decodes well-formed bytes; `None` for others.
    pub fn try_decode(mut bytes: &[u8]) -> Option<Self> {
        let mut msg = Self::new();
        while !bytes.is_empty() {
            let (number, value) = next_field(&mut bytes)?;
            msg = msg.field(number, value);
        }
        Some(msg)
    }
}

/// Takes the first field off; `None` for a group, field 0 and cut fields.
fn next_field(bytes: &mut &[u8]) -> Option<(u32, Value)> {
    let key = next_varint(bytes)?;
    let value = match key & 7 {
        0 => Value::Varint(next_varint(bytes)?),
        1 => Value::Fixed64(u64::from_le_bytes(next(bytes, 8)?.try_into().ok()?)),
        2 => {
            let len = next_varint(bytes)?;
            Value::Bytes(next(bytes, usize::try_from(len).ok()?)?.into())
        }
        5 => Value::Fixed32(u32::from_le_bytes(next(bytes, 4)?.try_into().ok()?)),
        _ => return None,
    };
    let number = u32::try_from(key >> 3).ok()?;
    (number > 0).then_some((number, value))
}

fn next<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(head)
}

fn next_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let byte = next(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The shortest varint of a number.
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
