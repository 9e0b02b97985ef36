//! Protobuf at its surface: where a field starts and ends, and nothing of what it means.
//!
//! The end-of-record rule (PROTOCOL 4.1) walks a message before it is complete, and a view of a
//! message is made of its fields where they are; both need only this.

/// Bytes that are no protobuf field: field number 0, a group, or a varint over ten bytes (PROTOCOL
/// 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// One field at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldShape {
    /// The field number, never 0.
    pub(crate) number: u32,
    /// Bytes of the key and, if it is length-delimited, of the length.
    pub(crate) header: usize,
    /// Bytes that follow the header.
    pub(crate) body: usize,
    /// What the body is.
    pub(crate) wire_type: WireType,
}

/// What the body of a field is; groups there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireType {
    Varint,
    Fixed64,
    Delimited,
    Fixed32,
}

impl FieldShape {
    /// The shape of the field that starts `bytes`; `None` if that takes more bytes to tell. The
    /// body need not be there yet.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some((key, key_len)) = varint(bytes)? else { return Ok(None) };
        // A key is 32 bits: 29 of field number and 3 of wire type.
        let key = u32::try_from(key).map_err(|_| Malformed)?;
        let number = key >> 3;
        if number == 0 {
            return Err(Malformed);
        }
        let rest = bytes.get(key_len..).unwrap_or_default();
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
        Ok(Some(Self { number, header: key_len.saturating_add(extra), body, wire_type }))
    }

    /// Bytes of the whole field, saturating.
    pub(crate) const fn len(&self) -> usize {
        self.header.saturating_add(self.body)
    }

    /// Whether key, length and value, each as it is there, are what an encoder writes: varints
    /// without bytes that add nothing. `body` is the field's.
    pub(crate) fn is_least(&self, body: &[u8]) -> bool {
        let key = varint_len(u64::from(self.number) << 3);
        match self.wire_type {
            // The last byte of a varint holds its highest bits.
            WireType::Varint => self.header == key && (body.len() == 1 || body.last() != Some(&0)),
            WireType::Delimited => {
                let len = u64::try_from(self.body).map_or(usize::MAX, varint_len);
                self.header == key.saturating_add(len)
            }
            WireType::Fixed64 | WireType::Fixed32 => self.header == key,
        }
    }
}

/// Bytes of the shortest varint of this value.
fn varint_len(value: u64) -> usize {
    match value {
        ..0x80 => 1,
        0x80..0x4000 => 2,
        _ => {
            let bits = u64::BITS.saturating_sub(value.leading_zeros());
            usize::try_from(bits.div_ceil(7)).unwrap_or(usize::MAX)
        }
    }
}

/// The value of a varint field, of which this is the body.
pub(crate) fn value(body: &[u8]) -> Result<u64, Malformed> {
    varint(body)?.map(|(value, _)| value).ok_or(Malformed)
}

/// A varint and its length; `None` if its end is not there yet.
fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
    // Most have one byte, most others two.
    match *bytes {
        [a @ ..0x80, ..] => return Ok(Some((u64::from(a), 1))),
        [a, b @ ..0x80, ..] => return Ok(Some((u64::from(a & 0x7f) | u64::from(b) << 7, 2))),
        _ => {}
    }
    let mut value = 0u64;
    for (index, byte) in (0u32..10).zip(bytes) {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if index == 9 && *byte > 1 {
            return Err(Malformed);
        }
        value |= bits << index.saturating_mul(7);
        if byte & 0x80 == 0 {
            let len = usize::try_from(index).map_err(|_| Malformed)?.saturating_add(1);
            return Ok(Some((value, len)));
        }
    }
    if bytes.len() >= 10 { Err(Malformed) } else { Ok(None) }
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
