//! The surface of protobuf: where each field starts and ends. The meaning of a field is not known
//! here.
//!
//! Two callers need no more: the end-of-record rule (PROTOCOL 4.1), which walks a message before it
//! is complete, and the view of a message, which finds the fields without copying them.

use core::iter;

/// Bytes are not a protobuf field: they have field number 0, a group, or a varint over ten bytes
/// (PROTOCOL 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The shape of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldShape {
    /// The field number, never 0.
    pub(crate) number: u32,
    /// The number of bytes of the key and, in a length-delimited field, of the length.
    pub(crate) header: usize,
    /// The number of bytes after the header.
    pub(crate) body: usize,
    /// The kind of the body.
    pub(crate) wire_type: WireType,
}

/// The kind of a field's body. The schema has no groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireType {
    Varint,
    Fixed64,
    Delimited,
    Fixed32,
}

impl FieldShape {
    /// Reads the shape of the field at the start of `bytes`; `None` if more bytes are needed. The
    /// body need not be there yet.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some((key, key_len)) = varint(bytes)? else { return Ok(None) };
        // A key is 32 bits: 29 of field number and 3 of wire type.
        let key = u32::try_from(key).map_err(|_| Malformed)?;
        let number = key >> 3;
        if number == 0 {
            return Err(Malformed);
        }
        let rest = bytes.get(key_len..).ok_or(Malformed)?;
        let (extra, body, wire_type) = match key & 7 {
            0 => match varint(rest)? {
                Some((_, len)) => (0, len, WireType::Varint),
                None => return Ok(None),
            },
            1 => (0, 8, WireType::Fixed64),
            2 => match varint(rest)? {
                Some((len, extra)) => {
                    (extra, usize::try_from(len).map_err(|_| Malformed)?, WireType::Delimited)
                }
                None => return Ok(None),
            },
            5 => (0, 4, WireType::Fixed32),
            // 3 and 4 are groups, 6 and 7 do not exist.
            _ => return Err(Malformed),
        };
        let header = key_len.checked_add(extra).ok_or(Malformed)?;
        debug_assert!(header <= 2 * MAX_VARINT);
        Ok(Some(Self { number, header, body, wire_type }))
    }

    /// The number of bytes of the whole field. A sum over `usize::MAX` saturates: no input is as
    /// long as that, so the field never ends.
    pub(crate) const fn len(&self) -> usize {
        self.header.saturating_add(self.body)
    }

    /// Whether an encoder writes key, length and value like this: each varint in its shortest
    /// form. `body` is the body of this field.
    pub(crate) fn is_least(&self, body: &[u8]) -> bool {
        let key = varint_len(u64::from(self.number) << 3);
        match self.wire_type {
            // The last byte of a varint holds its highest bits.
            WireType::Varint => self.header == key && (body.len() == 1 || body.last() != Some(&0)),
            WireType::Delimited => {
                let len = u64::try_from(self.body).map_or(usize::MAX, varint_len);
                self.header.checked_sub(key) == Some(len)
            }
            WireType::Fixed64 | WireType::Fixed32 => self.header == key,
        }
    }
}

/// The number of bytes of a value's shortest varint.
fn varint_len(value: u64) -> usize {
    match value {
        ..0x80 => 1,
        0x80..0x4000 => 2,
        _ => iter::successors(Some(value), |more| Some(more >> 7).filter(|more| *more > 0)).count(),
    }
}

/// Reads the body of a varint field.
pub(crate) fn value(body: &[u8]) -> Result<u64, Malformed> {
    varint(body)?.map(|(value, _)| value).ok_or(Malformed)
}

/// The longest varint, in bytes: ten of seven bits hold 64.
const MAX_VARINT: usize = 10;

/// Reads a varint and its length; `None` if its end is not there yet.
fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
    // Most varints have one byte, and most others have two.
    match *bytes {
        [a @ ..0x80, ..] => return Ok(Some((u64::from(a), 1))),
        [a, b @ ..0x80, ..] => return Ok(Some((u64::from(a & 0x7f) | u64::from(b) << 7, 2))),
        _ => {}
    }
    let mut value = 0u64;
    for ((len, shift), byte) in (1..=MAX_VARINT).zip((0u32..).step_by(7)).zip(bytes) {
        // The tenth byte has room for one bit.
        if len == MAX_VARINT && *byte > 1 {
            return Err(Malformed);
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(Some((value, len)));
        }
    }
    if bytes.len() >= MAX_VARINT { Err(Malformed) } else { Ok(None) }
}

/// The fields of a complete message, each with its body.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) const fn of(message: &'a [u8]) -> Self {
        Self(message)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(FieldShape, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = match FieldShape::read(self.0) {
            Ok(Some(shape)) => self.0.split_at_checked(shape.len()).and_then(|(field, rest)| {
                self.0 = rest;
                Some((shape, field.get(shape.header..)?))
            }),
            _ => None,
        };
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Malformed))
    }
}
