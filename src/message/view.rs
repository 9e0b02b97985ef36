//! A view of a message in its record: it finds every field of the schema, checks its form and
//! copies nothing (PROTOCOL 5).
//!
//! A view follows the rules of protobuf. The last one of a repeated plain field counts, a repeated
//! token is merged, and fields outside the schema are skipped. It also notes whether an encoder
//! would have written exactly these bytes ([`Form`]). Tests and fuzzers compare both with prost.

use alloc::vec::Vec;
use core::str;

use super::codec::DecodeError;
use super::form::{FieldSet, Form};
use super::schema::{message, token};
use super::wire::{Fields, Malformed, WireType};
use super::{Field, MessageError, MessageLimits};

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
        match self.wire_type {
            WireType::Varint => super::wire::value(self.body),
            _ => Err(Malformed),
        }
    }

    /// Reads 32 bits. Protobuf cuts a longer value, which no encoder writes.
    fn u32(self, form: &mut Form) -> Result<u32, Malformed> {
        let value = self.u64()?;
        let [a, b, c, d, ..] = value.to_le_bytes();
        let cut = u32::from_le_bytes([a, b, c, d]);
        form.require(value == u64::from(cut));
        Ok(cut)
    }

    /// Reads an enum, which is signed: an encoder writes all 64 bits of a negative one.
    fn i32(self, form: &mut Form) -> Result<i32, Malformed> {
        let value = self.u64()?.cast_signed();
        let [a, b, c, d, ..] = value.to_le_bytes();
        let cut = i32::from_le_bytes([a, b, c, d]);
        form.require(value == i64::from(cut));
        Ok(cut)
    }
}

/// The fields of an `XLRegMsg` that a message of this protocol uses.
#[derive(Default)]
pub(super) struct MessageView<'a> {
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
    pub(super) tokens: Vec<TokenView<'a>>,
    pub(super) err_desc: Option<&'a str>,
    form: Form,
}

impl<'a> MessageView<'a> {
    /// Finds the fields of a message. Tokens and end points are counted before memory is allocated
    /// for them.
    pub(super) fn new(bytes: &'a [u8], limits: &MessageLimits) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        for field in Fields::of(bytes) {
            let (shape, body) = field?;
            let value = Value { wire_type: shape.wire_type, body };
            let form = &mut view.form;
            form.add(&shape, body, shape.number == message::TOKENS);
            match shape.number {
                message::OP => view.op = Some(value.i32(form)?),
                message::VERSION => view.version = Some(value.u32(form)?),
                message::MEMBER_ID => view.member_id = Some(value.bytes()?),
                message::MEMBER_ATTRS => view.member_attrs = Some(value.u64()?),
                message::MEMBER_SPECS => {
                    // The first one starts from a token without fields.
                    let mut specs = view.member_specs.take().unwrap_or_default();
                    specs.merge(value.bytes()?, limits)?;
                    specs.scope = Scope::Specs(bytes);
                    form.require(specs.form.is_exact());
                    view.member_specs = Some(specs);
                }
                message::CLUSTER_ID => view.cluster_id = Some(value.bytes()?),
                message::CLUSTER_NAME => view.cluster_name = Some(value.text()?),
                message::CLUSTER_MAX_SIZE => view.cluster_max_size = Some(value.u32(form)?),
                message::CLUSTER_ATTRS => view.cluster_attrs = Some(value.u64()?),
                message::END_POINT_COUNT => view.end_point_count = Some(value.u32(form)?),
                message::WHICH => view.which = Some(value.u64()?),
                message::TOKENS => {
                    check_room(Field::Tokens, view.tokens.len(), limits.tokens)?;
                    let token = TokenView::new(value.bytes()?, limits)?;
                    form.require(token.form.is_exact());
                    view.tokens.push(token);
                }
                message::ERR_DESC => view.err_desc = Some(value.text()?),
                // The schema has these fields, but no message uses them.
                message::AES_KEY | message::SALT1 | message::SALT2 | message::DIG_SIG => {
                    value.bytes()?;
                }
                message::MEMBER_NAME => {
                    value.text()?;
                }
                _ => form.require(false),
            }
        }
        Ok(view)
    }

    /// Whether an encoder would have written exactly these bytes, and the message has no fields but
    /// these.
    pub(super) fn is_exact_with(&self, fields: FieldSet, of_token: FieldSet) -> bool {
        let mut tokens = self.member_specs.iter().chain(&self.tokens);
        self.form.is_exact_with(fields) && tokens.all(|token| token.form.is_exact_with(of_token))
    }

    /// Whether an encoder would have written exactly these bytes, for any message.
    #[cfg(any(test, feature = "internals"))]
    pub(super) const fn is_exact(&self) -> bool {
        self.form.is_exact()
    }
}

/// Checks that there may be one more than `count`.
const fn check_room(field: Field, count: usize, limit: usize) -> Result<(), MessageError> {
    if count < limit { Ok(()) } else { Err(MessageError::TooMany { field, limit }) }
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
    form: Form,
    scope: Scope<'a>,
    end_count: usize,
    /// The first end points. Nearly every token has no more than these.
    first_ends: [&'a str; 2],
}

/// Where the fields of a token are.
#[derive(Clone, Copy)]
enum Scope<'a> {
    /// All fields are in these bytes.
    Body(&'a [u8]),
    /// The fields are in every `MemberSpecs` of this message.
    Specs(&'a [u8]),
}

impl Default for Scope<'_> {
    fn default() -> Self {
        Self::Body(&[])
    }
}

impl<'a> TokenView<'a> {
    pub(super) fn new(body: &'a [u8], limits: &MessageLimits) -> Result<Self, DecodeError> {
        let mut token = Self { scope: Scope::Body(body), ..Self::default() };
        token.merge(body, limits)?;
        Ok(token)
    }

    /// Adds more fields to the token. End points are added to those before.
    fn merge(&mut self, body: &'a [u8], limits: &MessageLimits) -> Result<(), DecodeError> {
        for field in Fields::of(body) {
            let (shape, body) = field?;
            let value = Value { wire_type: shape.wire_type, body };
            self.form.add(&shape, body, shape.number == token::MY_ENDS);
            match shape.number {
                token::NAME => self.name = Some(value.text()?),
                token::ATTRS => self.attrs = Some(value.u64()?),
                token::ID => self.id = Some(value.bytes()?),
                token::COMMS_KEY => self.comms_key = Some(value.bytes()?),
                token::SIG_KEY => self.sig_key = Some(value.bytes()?),
                token::MY_ENDS => {
                    let end = value.text()?;
                    check_room(Field::TokenMyEnds, self.end_count, limits.end_points)?;
                    if let Some(place) = self.first_ends.get_mut(self.end_count) {
                        *place = end;
                    }
                    self.end_count = self.end_count.checked_add(1).ok_or(Malformed)?;
                }
                token::DIG_SIG => self.dig_sig = Some(value.bytes()?),
                _ => self.form.require(false),
            }
        }
        Ok(())
    }

    /// The number of end points.
    pub(super) const fn end_count(&self) -> usize {
        self.end_count
    }

    /// The end points, in their order.
    pub(super) fn end_points(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let first = self.first_ends;
        let (body, message): (_, &[u8]) = match self.scope {
            _ if self.end_count <= first.len() => (None, &[]),
            Scope::Body(body) => (Some(body), &[]),
            Scope::Specs(message) => (None, message),
        };
        let bodies = body.into_iter().chain(all(message, message::MEMBER_SPECS));
        let others = bodies.flat_map(|body| all(body, token::MY_ENDS)).skip(first.len());
        // `merge` has checked that each is text.
        let others = others.filter_map(|end| str::from_utf8(end).ok());
        first.into_iter().take(self.end_count).chain(others)
    }
}

/// The bodies of all fields with this number.
pub(super) fn all(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    let fields = Fields::of(message).flatten();
    fields.filter(move |(shape, _)| shape.number == number).map(|(_, body)| body)
}
