//! For tests and fuzzers: a view must have the fields that prost decodes, and be exact if and only
//! if prost would write the same bytes.
#![allow(clippy::panic, reason = "a difference is reported by a panic")]

use prost::Message;

use super::MessageLimits;
use super::proto::XlRegMsg;
use super::proto::xl_reg_msg::Token;
use super::view::{MessageView, TokenView};
use super::wire::Fields;

/// prost has no limits.
const UNLIMITED: MessageLimits = MessageLimits {
    tokens: usize::MAX,
    end_points: usize::MAX,
    name_len: usize::MAX,
    text_len: usize::MAX,
    rsa_bits: 0..=usize::MAX,
};

/// Panics if prost decodes another message from these bytes.
pub(crate) fn compare(bytes: &[u8]) {
    let seen = XlRegMsg::decode(bytes);
    let view = MessageView::new(bytes, &UNLIMITED);
    match (view, seen) {
        (Err(_), Err(_)) => {}
        // prost skips unknown groups. For us a group is not a field (PROTOCOL 4.1).
        (Err(_), Ok(_)) => assert!(!is_all_fields(bytes), "refused, and prost does not"),
        (Ok(_), Err(error)) => panic!("accepted, and prost says {error}"),
        (Ok(view), Ok(seen)) => {
            assert_eq!(view.is_exact(), seen.encode_to_vec() == bytes, "as an encoder writes it");
            assert_eq!(view.op, seen.op);
            assert_eq!(view.version, seen.version);
            assert_eq!(view.member_id, seen.member_id.as_deref());
            assert_eq!(view.member_attrs, seen.member_attrs);
            assert_eq!(view.cluster_id, seen.cluster_id.as_deref());
            assert_eq!(view.cluster_name, seen.cluster_name.as_deref());
            assert_eq!(view.cluster_max_size, seen.cluster_max_size);
            assert_eq!(view.cluster_attrs, seen.cluster_attrs);
            assert_eq!(view.end_point_count, seen.end_point_count);
            assert_eq!(view.which, seen.which);
            assert_eq!(view.err_desc, seen.err_desc.as_deref());
            assert_eq!(view.member_specs.is_some(), seen.member_specs.is_some());
            for (view, seen) in view.member_specs.iter().zip(&seen.member_specs) {
                same_token(view, seen);
            }
            assert_eq!(view.tokens.len(), seen.tokens.len());
            for (view, seen) in view.tokens.iter().zip(&seen.tokens) {
                same_token(view, seen);
            }
        }
    }
}

fn same_token(view: &TokenView<'_>, seen: &Token) {
    assert_eq!(view.name, seen.name.as_deref());
    assert_eq!(view.attrs, seen.attrs);
    assert_eq!(view.id, seen.id.as_deref());
    assert_eq!(view.comms_key, seen.comms_key.as_deref());
    assert_eq!(view.sig_key, seen.sig_key.as_deref());
    assert_eq!(view.dig_sig, seen.dig_sig.as_deref());
    assert!(view.end_points().eq(seen.my_ends.iter()));
    assert_eq!(view.end_count(), seen.my_ends.len());
}

/// Whether message and tokens have no group.
fn is_all_fields(bytes: &[u8]) -> bool {
    let of_tokens = |(number, body): (u32, &[u8])| match number {
        11 | 21 => Fields::of(body).all(|field| field.is_ok()),
        _ => true,
    };
    Fields::of(bytes).all(|field| field.is_ok_and(|(shape, body)| of_tokens((shape.number, body))))
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use proptest::prelude::*;
    use proptest::strategy::ValueTree;

    use super::*;

    fn varint(mut value: u64, out: &mut Vec<u8>) {
        while value >= 0x80 {
            out.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        out.push(value.to_le_bytes()[0]);
    }

    /// Writes a varint in its shortest form or, seldom, with bytes that add nothing.
    fn perhaps_longer(value: u64, odd: u8, out: &mut Vec<u8>) {
        varint(value, out);
        if let (0..3, Some(last)) = (odd, out.last_mut()) {
            *last |= 0x80;
            out.extend((0..odd).map(|_| 0x80).chain([0]));
        }
    }

    /// A field of any number and form, most often of the form that the schema has for it. `long`
    /// says which of its varints are longer than necessary.
    fn field(
        delimited: &'static [u64],
        body: BoxedStrategy<Vec<u8>>,
    ) -> impl Strategy<Value = Vec<u8>> {
        let number = prop_oneof![9 => 1u64..25, 1 => 25u64..1 << 29];
        let long = [0u8..200, 0..200, 0..200];
        (number, body, any::<u64>(), 0u32..64, 0u8..60, long).prop_map(
            move |(number, body, value, shift, odd, long)| {
                let mut out = Vec::new();
                let usual = if delimited.contains(&number) { 2 } else { 0 };
                let wire_type = if odd < 6 { u64::from(odd) } else { usual };
                perhaps_longer(number << 3 | wire_type, long[0], &mut out);
                match wire_type {
                    0 => perhaps_longer(value >> shift, long[1], &mut out),
                    1 => out.extend_from_slice(&value.to_le_bytes()),
                    2 => {
                        perhaps_longer(body.len().try_into().unwrap_or(0), long[2], &mut out);
                        out.extend_from_slice(&body);
                    }
                    5 => out.extend_from_slice(&value.to_le_bytes()[..4]),
                    _ => {}
                }
                out
            },
        )
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            8 => "[a-z0-9:.]{0,12}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..6),
        ]
    }

    fn fields(
        field: impl Strategy<Value = Vec<u8>>,
        most: usize,
    ) -> impl Strategy<Value = Vec<u8>> {
        let fields = (prop::collection::vec(field, 0..most), 0u8..3);
        fields.prop_map(|(mut fields, order)| {
            let number = |field: &[u8]| Fields::of(field).flatten().next().map(|(it, _)| it.number);
            if order > 0 {
                fields.sort_by_key(|field| number(field));
            }
            if order > 1 {
                fields.dedup_by_key(|field| number(field));
            }
            fields.concat()
        })
    }

    fn message() -> impl Strategy<Value = Vec<u8>> {
        let token = fields(field(&[1, 3, 4, 5, 6, 7], text().boxed()), 9);
        let body = prop_oneof![text(), token].boxed();
        let delimited = &[3, 4, 5, 8, 9, 11, 13, 14, 21, 22, 23];
        fields(field(delimited, body), 12)
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 4096,
            failure_persistence: None,
            ..Default::default()
        })]

        #[test]
        fn a_view_is_what_prost_sees(bytes in message(), cut in any::<prop::sample::Index>()) {
            compare(&bytes);
            compare(bytes.split_at(cut.index(bytes.len().max(1))).0);
        }
    }

    /// The test above would prove nothing if none of its inputs were a message, or none an exact
    /// one.
    #[test]
    fn many_of_them_are_messages() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let made =
            (0..500).flat_map(|_| message().new_tree(&mut runner)).map(|tree| tree.current());
        let made: Vec<_> = made.filter(|bytes| bytes.len() > 8).collect();
        let views = made.iter().flat_map(|bytes| MessageView::new(bytes, &UNLIMITED));
        let (exact, other): (Vec<_>, Vec<_>) = views.partition(MessageView::is_exact);
        let counts = (exact.len(), other.len());
        assert!(counts.0 > 10 && (100..450).contains(&counts.1), "{counts:?} of 500");
    }
}
