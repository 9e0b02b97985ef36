//! Members and requests for the fuzzers' conversations, made of a few bytes. Nobody can factor the
//! members' keys or sign with them.
use std::sync::LazyLock;

use crate::input::Input;
use xlreg::identity::MemberAttrs;
use xlreg::identity::{ClusterAttrs, EndPoint, Name, NodeId, PublicKey, Token};
use xlreg::message::{
    ClusterInfo, ClusterRef, Create, GetCluster, MemberList, MemberSet, Op, Refusal, Reply, Request,
};
use xlreg::session::{Dialect, Limits};
use xlreg_testkit::SequentialRng;
use xlreg_testkit::captures::{credential, token};

/// The `n`-th of 128 names.
pub(crate) fn name(n: u8) -> Name {
    static NAMES: LazyLock<Vec<Name>> =
        LazyLock::new(|| (0..128).map(|n| format!("n{n}").parse().expect("a name")).collect());
    NAMES[usize::from(n % 128)].clone()
}

/// The `n`-th of 4 keys of 1024 bits.
pub(crate) fn key(n: u8) -> PublicKey {
    static KEYS: LazyLock<Vec<PublicKey>> = LazyLock::new(|| {
        let key = |n: u8| PublicKey::from_components(&[0x81 | n << 1; 128], &[1, 0, 1]);
        (0..4).map(|n| key(n).expect("a key")).collect()
    });
    KEYS[usize::from(n % 4)].clone()
}

/// A number of end points, at most 9.
pub(crate) fn end_points(count: u8) -> Vec<EndPoint> {
    static END_POINTS: LazyLock<Vec<EndPoint>> =
        LazyLock::new(|| (0..9).map(|n| format!("h:{n}").parse().expect("an end")).collect());
    END_POINTS.iter().take(count.into()).cloned().collect()
}

/// One of 16 members: 4 keys and 4 names. The upper half of the byte selects other details.
pub(crate) fn member(n: u8) -> Token {
    let (count, id, signature) = match n >> 4 {
        0 => (1, None, None),
        1 => (1, None, Some(vec![7; 17 * 1024])),
        2 => (9, None, Some(vec![7])),
        3 => (0, None, Some(vec![7])),
        4..6 => (2, Some(SequentialRng::id(n % 4)), Some(vec![7])),
        6 => return Token { name: name(n >> 2 & 3), ..token() },
        7 => (2, None, Some(Vec::new())),
        _ => (2, None, Some(vec![7])),
    };
    Token {
        name: name(n >> 2 & 3),
        attrs: MemberAttrs::NONE,
        id,
        comms_key: key(n),
        sig_key: key(n),
        end_points: end_points(count),
        signature,
    }
}

/// Any request, made of at most three bytes.
pub(crate) fn request(input: &mut Input<'_>) -> Request {
    match input.byte() % 8 {
        0 => Request::RegCred,
        1 | 2 => Request::Member(member(input.byte())),
        3 => {
            let n = input.byte();
            Request::Create(Create {
                name: name(n % 4),
                max_size: u32::from(n >> 2 & 7),
                attrs: ClusterAttrs::NONE,
                end_point_count: u32::from(n >> 5 & 3),
            })
        }
        4 => Request::Join(cluster(input.byte())),
        5 | 6 => {
            let cluster = cluster(input.byte());
            let which = match input.byte() {
                0 => None,
                n => Some(MemberSet::from_bits(u64::from(n) - 1)),
            };
            Request::GetCluster(GetCluster { cluster, which })
        }
        _ => Request::Bye,
    }
}

fn cluster(n: u8) -> ClusterRef {
    let (id, name) = (SequentialRng::id(n >> 2), name(n >> 2 & 3));
    match n & 3 {
        0 => ClusterRef::CURRENT,
        1 => name.into(),
        2 => id.into(),
        _ => ClusterRef { id: Some(id), name: Some(name) },
    }
}

pub(crate) fn dialect(input: &mut Input<'_>) -> Dialect {
    if input.byte() & 1 == 0 { Dialect::Prefixed } else { Dialect::Chained }
}

/// Limits small enough for a fuzzer to reach them.
pub(crate) fn limits(usual: Limits) -> Limits {
    Limits { record: 2048, requests: 20, in_flight: 3, output: 1024, ..usual }
}

/// A reply of the kind that answers this request, or a refusal.
pub(crate) fn reply(op: Op, input: &mut Input<'_>) -> Reply {
    let id = NodeId::from_bytes(&[7; 20]).expect("20 bytes");
    let attrs = ClusterAttrs::NONE;
    let info = ClusterInfo { id, max_size: 3, attrs, end_point_count: 1 };
    match (input.byte(), op) {
        (255, _) => Reply::Error(Refusal::WrongState.into()),
        (_, Op::RegCredRequest) => Reply::RegCred(credential()),
        (_, Op::Member) => Reply::MemberOk { id, attrs: MemberAttrs::NONE },
        (_, Op::Create) => Reply::Create(info),
        (_, Op::Join) => Reply::Join(info),
        (n, Op::GetCluster) => {
            let member = Token { id: Some(id), signature: None, ..token() };
            let which = MemberSet::first(u32::from(n % 4));
            let tokens: Vec<_> = std::iter::repeat_n(member, usize::from(n % 4)).collect();
            Reply::Members(MemberList::new(id, which, tokens).expect("as many as which says"))
        }
        _ => Reply::Ack,
    }
}
