//! Other spellings of a protobuf message: an encoder does not write them, but a decoder accepts
//! them.

use crate::peer::varint;

/// A field as it is written.
#[derive(Clone)]
struct Field {
    number: u64,
    wire_type: u8,
    key: Vec<u8>,
    len: Vec<u8>,
    body: Vec<u8>,
}

impl Field {
    fn new(number: u64, wire_type: u8, body: &[u8]) -> Self {
        let len = if wire_type == 2 { varint(body.len() as u64) } else { vec![] };
        let key = varint(number << 3 | u64::from(wire_type));
        Self { number, wire_type, key, len, body: body.into() }
    }

    /// Takes the first field off these bytes.
    fn read(bytes: &mut &[u8]) -> Self {
        let (key, key_len) = value(bytes);
        let rest = &bytes[key_len..];
        let (head, body) = match key & 7 {
            0 => (0, value(rest).1),
            2 => (value(rest).1, value(rest).0 as usize),
            other => panic!("wire type {other} in a legal message"),
        };
        let field = Self {
            number: key >> 3,
            wire_type: (key & 7) as u8,
            key: bytes[..key_len].into(),
            len: rest[..head].into(),
            body: rest[head..head + body].into(),
        };
        *bytes = &rest[head + body..];
        field
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.key[..], &self.len, &self.body].concat()
    }
}

fn value(bytes: &[u8]) -> (u64, usize) {
    let len = 1 + bytes.iter().position(|byte| *byte < 0x80).unwrap();
    let bits = bytes[..len].iter().rev();
    (bits.fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f)), len)
}

/// Makes a varint with `more` bytes that add nothing.
fn longer(least: &[u8], more: usize) -> Vec<u8> {
    let mut out = least.to_vec();
    *out.last_mut().unwrap() |= 0x80;
    out.resize(least.len() + more, 0x80);
    *out.last_mut().unwrap() = 0;
    out
}

fn fields(mut message: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        fields.push(Field::read(&mut message));
    }
    fields
}

fn joined(fields: &[Field]) -> Vec<u8> {
    fields.iter().flat_map(Field::bytes).collect()
}

/// The kind of a message: its fields that repeat, hold tokens, have 32 bits; and fields outside the
/// schema.
struct Kind {
    repeated: u64,
    tokens: &'static [u64],
    short: &'static [u64],
    unknown: &'static [u64],
}

const MESSAGE: Kind = Kind {
    repeated: 21,
    tokens: &[11, 21],
    short: &[1, 6, 15, 17],
    unknown: &[2, 7, 12, 18, 19, 24, 31, 32, 1000, 0x1fff_ffff],
};
const TOKEN: Kind =
    Kind { repeated: 6, tokens: &[], short: &[], unknown: &[8, 9, 15, 21, 32, 0x1fff_ffff] };

/// All such spellings with one change, and the change. To protobuf all of them mean the same
/// message.
pub fn respelt(message: &[u8]) -> Vec<(String, Vec<u8>)> {
    of_kind(message, &MESSAGE)
}

/// Adds a field outside the schema, of every wire type, in every place.
fn with_an_unknown_field(fields: &[Field], kind: &Kind) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    for at in 0..=fields.len() {
        for number in kind.unknown {
            for (wire_type, body) in [(0, &[9][..]), (1, &[9; 8]), (2, &[9; 30]), (5, &[9; 4])] {
                let mut with = fields.to_vec();
                with.insert(at, Field::new(*number, wire_type, body));
                let what = format!("unknown field {number} of type {wire_type}, before field {at}");
                out.push((what, joined(&with)));
            }
        }
    }
    out
}

/// Swaps two neighbours.
fn with_two_swapped(fields: &[Field]) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    for at in 1..fields.len() {
        if fields[at - 1].number != fields[at].number {
            let mut other = fields.to_vec();
            other.swap(at - 1, at);
            out.push((
                format!("field {} before {}", fields[at].number, fields[at - 1].number),
                joined(&other),
            ));
        }
    }
    out
}

fn of_kind(message: &[u8], kind: &Kind) -> Vec<(String, Vec<u8>)> {
    let fields = fields(message);
    let mut out = with_an_unknown_field(&fields, kind);
    for (at, field) in fields.iter().enumerate() {
        let number = field.number;
        let mut add = |what: &str, put: &[Field]| {
            let mut other = fields.clone();
            other.splice(at..=at, put.iter().cloned());
            out.push((format!("field {number}: {what}"), joined(&other)));
        };
        for more in [1, 2, 4] {
            let key = longer(&field.key, more);
            if key.len() <= 5 {
                add("long key", &[Field { key, ..field.clone() }]);
            }
            match field.wire_type {
                2 => {
                    let len = longer(&field.len, more);
                    add("long length", &[Field { len, ..field.clone() }]);
                }
                _ => {
                    let body = longer(&field.body, more);
                    add("long value", &[Field { body, ..field.clone() }]);
                }
            }
        }
        if kind.short.contains(&number) {
            for bit in [32, 40, 63] {
                let body = varint(value(&field.body).0 | 1 << bit);
                add("more than 32 bits", &[Field { body, ..field.clone() }]);
            }
        }
        if number != kind.repeated && !kind.tokens.contains(&number) {
            add("twice", &[field.clone(), field.clone()]);
            let hidden = match field.wire_type {
                2 => Field::new(number, 2, &[b'x'; 21]),
                _ => Field::new(number, 0, &[0x55]),
            };
            add("replaced", &[hidden, field.clone()]);
        }
        if kind.tokens.contains(&number) {
            for (what, body) in of_kind(&field.body, &TOKEN) {
                add(&format!("in it {what}"), &[Field::new(number, 2, &body)]);
            }
        }
        if number == 11 {
            add("an empty one before it", &[Field::new(11, 2, &[]), field.clone()]);
            let (first, second) =
                field.body.split_at(Field::read(&mut &field.body[..]).bytes().len());
            add("in two", &[Field::new(11, 2, first), Field::new(11, 2, second)]);
        }
    }
    out.extend(with_two_swapped(&fields));
    out
}

/// Adds one field of the schema that does not belong to the message: in its place and at the end,
/// in every token too. `own` are the fields of the operation.
pub fn overdressed(message: &[u8], own: &[u64]) -> Vec<(String, Vec<u8>)> {
    let all = [3, 4, 5, 6, 8, 9, 10, 11, 13, 14, 15, 16, 17, 20, 21, 22, 23];
    let fields = fields(message);
    let mut out = Vec::new();
    for number in all.into_iter().filter(|number| !own.contains(number)) {
        let extra = match number {
            6 | 10 | 15..=17 | 20 => Field::new(number, 0, &[1]),
            11 | 21 => Field::new(number, 2, &[]),
            _ => Field::new(number, 2, &[b'x'; 20]),
        };
        let place = fields.iter().position(|field| field.number > number).unwrap_or(fields.len());
        for at in [place, fields.len()] {
            let mut with = fields.clone();
            with.insert(at, extra.clone());
            out.push((format!("field {number} at {at}"), joined(&with)));
        }
    }
    for (at, field) in
        fields.iter().enumerate().filter(|(_, field)| [11, 21].contains(&field.number))
    {
        let body = [&field.body[..], &Field::new(7, 2, &[9; 256]).bytes()].concat();
        let mut with = fields.clone();
        with[at] = Field::new(field.number, 2, &body);
        out.push((format!("a signature in field {}", field.number), joined(&with)));
    }
    out
}
