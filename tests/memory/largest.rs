//! The largest possible keys, end points, tokens and messages.

use xlreg::identity::{MemberAttrs, NodeId, Token};
use xlreg::message::{MemberEntry, MemberList, MemberSet, Op, Reply};

use xlreg_testkit::largest::{largest_key, longest_end};
use xlreg_testkit::pair;
use xlreg_testkit::scenario::{Msg, members};

pub fn largest_token(n: u8) -> Token {
    Token {
        name: format!("{n:0255}").parse().unwrap(),
        attrs: MemberAttrs::from_bits(u64::MAX),
        id: Some(NodeId::from_bytes(&[n; 32]).unwrap()),
        comms_key: largest_key(n),
        sig_key: largest_key(n + 64),
        end_points: (0..8).map(longest_end).collect(),
        signature: Some(vec![0x5a; 1024]),
    }
}

/// All members of a full cluster with the largest tokens, as a registry keeps them.
fn full_cluster() -> Vec<MemberEntry> {
    (0..64).map(|n| MemberEntry::new(largest_token(n))).collect()
}

pub fn largest_members() -> Reply {
    Reply::Members(MemberList::of(pair::id(9), MemberSet::ALL, full_cluster()).unwrap())
}

pub fn largest_members_message() -> Msg {
    let tokens: Vec<Msg> = full_cluster().iter().map(|member| Msg::token(member)).collect();
    members(u64::MAX, &tokens)
}

pub fn largest_member() -> Msg {
    Msg::op(Op::Member).msg(11, &Msg::token(&largest_token(1)))
}
