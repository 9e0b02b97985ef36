//! A message as it lies in its record: every field of the schema found, its form checked, nothing copied (PROTOCOL 5).
//!
//! It makes of bytes what protobuf makes of them: of a field that comes twice the last one counts, a token that comes
//! twice is merged, and what the schema does not have is passed over. Tests and fuzzers hold it against prost.

use core::str;

use super::wire::{Fields, Malformed, WireType};

/// Field numbers that others need.
pub(super) const MEMBER_SPECS: u32 = 11;
pub(super) const TOKENS: u32 = 21;
pub(super) const COMMS_KEY: u32 = 4;
pub(super) const SIG_KEY: u32 = 5;
pub(super) const MY_ENDS: u32 = 6;

/// The value of a field.
struct Value<'a> {
    wire_type: WireType,
    body: &'a [u8],
}

impl<'a> Value<'a> {
    fn bytes(self) -> Result<&'a [u8], Malformed> {
        if self.wire_type == WireType::Delimited { Ok(self.body) } else { Err(Malformed) }
    }

    fn text(self) -> Result<&'a str, Malformed> {
        str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    fn u64(self) -> Result<u64, Malformed> {
        if self.wire_type == WireType::Varint {
            super::wire::value(self.body)
        } else {
            Err(Malformed)
        }
    }

    /// Protobuf cuts what is too long for the field.
    fn u32(self) -> Result<u32, Malformed> {
        let [a, b, c, d, ..] = self.u64()?.to_le_bytes();
        Ok(u32::from_le_bytes([a, b, c, d]))
    }
}

/// The fields of an `XLRegMsg` that mean something to us.
#[derive(Default)]
pub(super) struct MessageView<'a> {
    bytes: &'a [u8],
    pub(super) op: Option<i32>,
    pub(super) version: Option<u32>,
    pub(super) member_id: Option<&'a [u8]>,
    pub(super) member_attrs: Option<u64>,
    pub(super) member_specs: Option<TokenView<'a>>,
    pub(super) cluster_id: Option<&'a [u8]>,
    pub(super) cluster_name: Option<&'a str>,
    pub(super) cluster_max_size: Option<u32>,
    pub(super) cluster_attrs: Option<u64>,
    pub(super) end_point_count: Option<u32>,
    pub(super) which: Option<u64>,
    pub(super) err_desc: Option<&'a str>,
}

impl<'a> MessageView<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut view = Self { bytes, ..Self::default() };
        for field in Fields::of(bytes) {
            let (shape, body) = field?;
            let value = Value { wire_type: shape.wire_type, body };
            match shape.number {
                1 => view.op = Some(value.u32()?.cast_signed()),
                6 => view.version = Some(value.u32()?),
                9 => view.member_id = Some(value.bytes()?),
                10 => view.member_attrs = Some(value.u64()?),
                MEMBER_SPECS => {
                    let mut token = view.member_specs.take().unwrap_or_default();
                    token.merge(value.bytes()?)?;
                    token.scope = Scope::Specs(bytes);
                    view.member_specs = Some(token);
                }
                13 => view.cluster_id = Some(value.bytes()?),
                14 => view.cluster_name = Some(value.text()?),
                15 => view.cluster_max_size = Some(value.u32()?),
                16 => view.cluster_attrs = Some(value.u64()?),
                17 => view.end_point_count = Some(value.u32()?),
                20 => view.which = Some(value.u64()?),
                TOKENS => drop(TokenView::new(value.bytes()?)?),
                23 => view.err_desc = Some(value.text()?),
                // AesKey, Salt1, Salt2, DigSig and MemberName: of the schema, but used by no message.
                3 | 4 | 5 | 22 => drop(value.bytes()?),
                8 => drop(value.text()?),
                _ => {}
            }
        }
        Ok(view)
    }

    pub(super) fn tokens(
        &self,
    ) -> impl Iterator<Item = Result<TokenView<'a>, Malformed>> + use<'a> {
        all(self.bytes, TOKENS).map(TokenView::new)
    }
}

/// The fields of a `Token`.
#[derive(Default)]
pub(super) struct TokenView<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) attrs: Option<u64>,
    pub(super) id: Option<&'a [u8]>,
    pub(super) comms_key: Option<&'a [u8]>,
    pub(super) sig_key: Option<&'a [u8]>,
    pub(super) dig_sig: Option<&'a [u8]>,
    scope: Scope<'a>,
    ends: usize,
}

/// Where the fields of a token are.
#[derive(Clone, Copy)]
enum Scope<'a> {
    /// These are all.
    Body(&'a [u8]),
    /// In every `MemberSpecs` of this message.
    Specs(&'a [u8]),
}

impl Default for Scope<'_> {
    fn default() -> Self {
        Self::Body(&[])
    }
}

impl<'a> TokenView<'a> {
    pub(super) fn new(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut token = Self { scope: Scope::Body(body), ..Self::default() };
        token.merge(body)?;
        Ok(token)
    }

    fn merge(&mut self, body: &'a [u8]) -> Result<(), Malformed> {
        for field in Fields::of(body) {
            let (shape, body) = field?;
            let value = Value { wire_type: shape.wire_type, body };
            match shape.number {
                1 => self.name = Some(value.text()?),
                2 => self.attrs = Some(value.u64()?),
                3 => self.id = Some(value.bytes()?),
                COMMS_KEY => self.comms_key = Some(value.bytes()?),
                SIG_KEY => self.sig_key = Some(value.bytes()?),
                MY_ENDS => {
                    value.text()?;
                    self.ends = self.ends.saturating_add(1);
                }
                7 => self.dig_sig = Some(value.bytes()?),
                _ => {}
            }
        }
        Ok(())
    }

    /// How many ends there are.
    pub(super) const fn end_count(&self) -> usize {
        self.ends
    }

    pub(super) fn ends(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (body, message) = match self.scope {
            Scope::Body(body) => (Some(body), &[][..]),
            Scope::Specs(message) => (None, message),
        };
        let bodies = body.into_iter().chain(all(message, MEMBER_SPECS));
        // They were found to be text before.
        bodies.flat_map(|body| all(body, MY_ENDS)).filter_map(|end| str::from_utf8(end).ok())
    }
}

/// The bodies of all fields of this number.
pub(super) fn all(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    let fields = Fields::of(message).flatten();
    fields.filter(move |(shape, _)| shape.number == number).map(|(_, body)| body)
}
