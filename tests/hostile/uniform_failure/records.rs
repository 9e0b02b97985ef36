//! Plaintexts of records that are not a message, or not yet.

use xlreg::message::Op;

use xlreg_testkit::scenario::{self, Msg, Value, member, token};

/// Illegal messages with the right padding, each with its fault.
pub fn no_messages(limit: usize) -> Vec<(String, Vec<u8>)> {
    let behind = |bytes: &[u8]| [&Msg::op(Op::Bye).encode()[..], bytes].concat();
    let over_long = [&[7 << 3][..], &[0x80; 10], &[0]].concat();
    let in_token = |bytes: &[u8]| {
        let token = [&Msg::token(&token()).encode()[..], bytes].concat();
        Msg::op(Op::Member).bytes(11, token).encode()
    };
    let mut small = behind(&[]);
    small.extend([7 << 3, 0].repeat(limit / 2));
    let declared =
        |len: u64| behind(&[&[7 << 3 | 2][..], &scenario::varint(len), &[0x2a; 40]].concat());
    let kinds = [
        ("field 0", behind(&[0, 1])),
        ("field 0 with bytes", behind(&[2, 0])),
        ("the start of a group", behind(&[7 << 3 | 3, 1, 1])),
        ("the end of a group", behind(&[7 << 3 | 4, 1, 1])),
        ("wire type 6", behind(&[7 << 3 | 6, 1, 1])),
        ("wire type 7", behind(&[7 << 3 | 7, 1, 1])),
        ("a varint of eleven bytes", behind(&over_long)),
        ("a tenth byte over 1", behind(&[&[7 << 3][..], &[0xff; 9], &[2]].concat())),
        ("a key over 32 bits", behind(&[0xff, 0xff, 0xff, 0xff, 0x7f, 0])),
        ("a length of eleven bytes", behind(&[&[7 << 3 | 2][..], &[0x80; 10], &[0]].concat())),
        ("a length one over the limit", declared(limit as u64)),
        ("a length of 4 GiB", declared(1 << 32)),
        ("the longest length", declared(u64::MAX)),
        ("too long in small fields", small),
        ("Op as bytes", Msg::new().bytes(1, [3]).encode()),
        ("Op as fixed32", Msg::new().field(1, Value::Fixed32(3)).encode()),
        ("a name as a number", Msg::op(Op::Create).varint(14, 3).encode()),
        ("a token as a number", Msg::op(Op::Member).varint(11, 3).encode()),
        ("a number as bytes", Msg::op(Op::Create).bytes(15, [3]).encode()),
        ("a name that is not UTF-8", Msg::op(Op::Create).bytes(14, [0xff, 0xfe]).encode()),
        ("a text that is not UTF-8", Msg::op(Op::Error).bytes(23, [b'a', 0xc3]).encode()),
        ("a token's name that is not UTF-8", in_token(&[0x0a, 1, 0xff])),
        ("a token with field 0", in_token(&[0, 1])),
        ("a token with a group", in_token(&[0x0b, 0x0c])),
        ("a token cut in a field", in_token(&[0x0a, 5, b'a'])),
        ("a token cut in a varint", in_token(&[0x10, 0x80])),
        ("a token with an over-long varint", in_token(&over_long)),
    ];
    kinds.map(|(kind, message)| (kind.into(), scenario::pad(&message))).into()
}

/// Whole blocks that may still become a message, because their end is missing.
pub fn no_ends(limit: usize) -> Vec<(String, Vec<u8>)> {
    let blocks = |bytes: &[u8]| {
        let mut blocks = bytes.to_vec();
        blocks.resize(bytes.len().next_multiple_of(16), 0x2a);
        blocks
    };
    let declared = |len: u64| {
        blocks(
            &[&Msg::op(Op::Create).encode()[..], &[14 << 3 | 2], &scenario::varint(len)].concat(),
        )
    };
    let member = scenario::pad(&member().encode());
    let mut kinds = vec![
        ("nothing".into(), Vec::new()),
        ("a field as long as may be".into(), declared(limit as u64 - 10)),
        ("a field a block longer than what is there".into(), declared(30)),
    ];
    kinds.extend(
        [16, 32, 512, member.len() - 16]
            .map(|cut| (format!("a Member cut after {cut} bytes"), member[..cut].to_vec())),
    );
    kinds
}
