//! Whether bytes are what an encoder would have written, seen while they are decoded (PROTOCOL
//! 4.1).
//!
//! Records of the deployed dialects have no MAC. Who changes their bits garbles blocks, and must
//! hide those where nobody looks: in fields that are unknown, or that a later one replaces. A
//! client looks everywhere.

use super::wire::FieldShape;

/// A set of field numbers, 1 to 31.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet(u32);

impl FieldSet {
    /// The set of these. Numbers over 31 are not in it.
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

/// What fields a message or token has, and whether they are written as an encoder writes them:
/// known ones in the order of their numbers, none twice but those that repeat, every varint as
/// short as it can be.
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
    /// Takes in the next field, of which this is the body.
    pub(super) fn add(&mut self, shape: &FieldShape, body: &[u8], repeats: bool) {
        let bit = FieldSet::bit(shape.number);
        // The highest field before this one counts: it must be lower, or the same if that may come
        // again.
        let before = if repeats { self.seen >> 1 } else { self.seen };
        self.is_exact &= before < bit && shape.is_least(body);
        self.seen |= bit;
    }

    /// Takes in one thing more that must be so.
    pub(super) const fn require(&mut self, is_exact: bool) {
        self.is_exact &= is_exact;
    }

    /// Whether it is all as an encoder writes it.
    pub(super) const fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// The same, of something that has these fields and no other.
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
