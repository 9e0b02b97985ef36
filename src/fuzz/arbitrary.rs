//! Who meets in the fuzzers' conversations and what they ask, out of a few bytes: members with keys
//! that nobody can factor or sign with, a generator that repeats itself, requests of every kind.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;
use std::sync::LazyLock;

use rand_core::{TryCryptoRng, TryRng};

use super::input::Input;
use super::support::token;
use crate::crypto::{PublicComponents, Verify, VerifyError};
use crate::identity::{ClusterAttrs, EndPoint, MemberAttrs, Name, NodeId, PublicKey, Token};
use crate::message::{ClusterRef, Create, GetCluster, MemberSet, Request};

/// Takes any signature but an empty one.
pub(super) struct NoVerify;

impl Verify for NoVerify {
    fn verify(
        &self,
        _: PublicComponents<'_>,
        _: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        if signature.is_empty() { Err(VerifyError) } else { Ok(()) }
    }
}

/// Draws the same byte over and over, and the next one at the next draw: the IDs it makes can be
/// told in advance, and come again.
#[derive(Clone)]
pub(super) struct SequentialRng(pub(super) u8);

impl SequentialRng {
    /// The ID made of this byte.
    pub(super) fn id(byte: u8) -> NodeId {
        NodeId::from_bytes(&[byte; 32]).expect("32 bytes")
    }
}

impl TryRng for SequentialRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|value| u32::try_from(value >> 32).unwrap_or_default())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.fill(self.0);
        self.0 = self.0.wrapping_add(1);
        Ok(())
    }
}

impl TryCryptoRng for SequentialRng {}

/// The `n`-th of 128 names.
pub(super) fn name(n: u8) -> Name {
    static NAMES: LazyLock<Vec<Name>> =
        LazyLock::new(|| (0..128).map(|n| format!("n{n}").parse().expect("a name")).collect());
    NAMES[usize::from(n % 128)].clone()
}

/// The `n`-th of 4 keys of 1024 bits.
pub(super) fn key(n: u8) -> PublicKey {
    static KEYS: LazyLock<Vec<PublicKey>> = LazyLock::new(|| {
        let key = |n: u8| PublicKey::from_components(&[0x81 | n << 1; 128], &[1, 0, 1]);
        (0..4).map(|n| key(n).expect("a key")).collect()
    });
    KEYS[usize::from(n % 4)].clone()
}

/// So many ends, of which there are no more than 9.
pub(super) fn end_points(count: u8) -> Vec<EndPoint> {
    static END_POINTS: LazyLock<Vec<EndPoint>> =
        LazyLock::new(|| (0..9).map(|n| format!("h:{n}").parse().expect("an end")).collect());
    END_POINTS.iter().take(count.into()).cloned().collect()
}

/// One of 16 members: 4 keys and 4 names. The upper half of the byte says what else is special
/// about it.
pub(super) fn member(n: u8) -> Token {
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

/// Any request, in three bytes at most.
pub(super) fn request(input: &mut Input<'_>) -> Request {
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
