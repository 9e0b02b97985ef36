//! The check that an encoder would have written the same bytes, made while they are decoded
//! (PROTOCOL 4.1).
//!
//! Records of the deployed dialects have no MAC. An attacker who changes bits of a record garbles
//! whole blocks, and can hide them only in unknown fields or in fields that a later one replaces. A
//! client therefore accepts neither.

use super::wire::FieldShape;

/// A set of field numbers, 1 to 31.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet(u32);

impl FieldSet {
    /// Makes the set of these numbers. Numbers over 31 are left out.
    pub(super) const fn of(numbers: &[u32]) -> Self {
        let (mut set, mut rest) = (0, numbers);
        while let [number, more @ ..] = rest {
            set |= Self::bit(*number);
            rest = more;
        }
        Self(set)
    }

    const fn bit(number: u32) -> u32 {
        match 1u32.checked_shl(number) {
            Some(bit) => bit,
            None => 0,
        }
    }
}

/// The fields that a message or token has, and whether an encoder writes them like this: known
/// fields in the order of their numbers, none twice except repeated ones, and each varint in its
/// shortest form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    seen: u32,
    is_exact: bool,
}

impl Default for Form {
    fn default() -> Self {
        Self { seen: 0, is_exact: true }
    }
}

impl Form {
    /// Notes the next field. `body` is its body.
    pub(super) fn add(&mut self, shape: &FieldShape, body: &[u8], repeats: bool) {
        let bit = FieldSet::bit(shape.number);
        // The highest field so far must be lower than this one, or the same if the field repeats.
        let before = if repeats { self.seen >> 1 } else { self.seen };
        self.is_exact &= before < bit && shape.is_least(body);
        self.seen |= bit;
    }

    /// Notes one more condition.
    pub(super) const fn require(&mut self, is_exact: bool) {
        self.is_exact &= is_exact;
    }

    /// Whether an encoder would have written all of it.
    pub(super) const fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// Whether an encoder would have written all of it, and it has no fields but these.
    pub(super) const fn is_exact_with(&self, fields: FieldSet) -> bool {
        self.is_exact && self.seen & !fields.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_its_numbers_and_no_others() {
        assert_eq!(FieldSet::of(&[1, 4, 31]).0, 1 << 1 | 1 << 4 | 1 << 31);
        assert_eq!(FieldSet::of(&[32, u32::MAX]).0, 0);
    }
}
