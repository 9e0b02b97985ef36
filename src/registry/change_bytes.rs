//! Changes as bytes, for stores and for what goes between machines.
//!
//! The first byte is the kind, and says what follows:
//!
//! | Kind | Change | What follows |
//! |------|--------|--------------|
//! | 1 | [`Change::NodeBound`] | ID, fingerprint (32) |
//! | 2 | [`Change::ClusterCreated`] | ID, name, size (4), attrs (8), number of end points (4); 0, or 1 and the fingerprint of the creator (32) |
//! | 3 | [`Change::MemberJoined`] | ID of the cluster, index (1), the token as on the wire |
//! | 4 | [`Change::MemberUpdated`] | the same |
//! | 5 | [`Change::NodeBound`] with its day | ID, fingerprint (32), day (4) |
//! | 6 | [`Change::NodeUsed`] | ID, day (4) |
//! | 7 | [`Change::ClusterDeleted`] | ID |
//! | 8 | [`Change::All`] | each change, with its length (4) in front |
//!
//! Numbers are little-endian. An ID and a name have their length in front, in 1 and in 2 bytes. What
//! was written once is read for ever: a change that has more to say gets a new kind.

use alloc::vec::Vec;

use super::{Change, Day};
use crate::identity::{ClusterAttrs, Fingerprint, Name, NameError, NodeId, NodeIdError};
use crate::message::{
    ClusterInfo, DecodeError, MemberEntry, MemberIndex, MessageLimits, decode_token, encode_token,
};

/// The reason why bytes are not a change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeBytesError {
    /// A later version has written this kind. It must not be lost in silence.
    #[error("a change of the unknown kind {0}")]
    UnknownKind(u8),
    /// A list has a list among its changes.
    #[error("a list of changes within another")]
    Nested,
    /// The bytes end early, or go on after the end.
    #[error("a change that is cut short or too long")]
    Length,
    /// A name is not UTF-8.
    #[error("a name is not UTF-8")]
    Utf8,
    /// An illegal name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An illegal ID.
    #[error(transparent)]
    Id(#[from] NodeIdError),
    /// No member can have this index.
    #[error("a member has index {0}")]
    Index(u8),
    /// An illegal token.
    #[error(transparent)]
    Token(#[from] DecodeError),
}

impl Change {
    /// The change as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::NodeBound { id, key, day } => {
                out.push(if day.is_some() { 5 } else { 1 });
                append_id(&mut out, id);
                out.extend(key.to_bytes());
                out.extend(day.iter().flat_map(|day| day.get().to_le_bytes()));
            }
            Self::NodeUsed { id, day } => {
                out.push(6);
                append_id(&mut out, id);
                out.extend(day.get().to_le_bytes());
            }
            Self::ClusterDeleted { cluster } => {
                out.push(7);
                append_id(&mut out, cluster);
            }
            Self::All(parts) => {
                out.push(8);
                for part in parts {
                    let bytes = part.to_bytes();
                    let len = u32::try_from(bytes.len());
                    debug_assert!(len.is_ok(), "the longest change is a token");
                    out.extend(len.unwrap_or(u32::MAX).to_le_bytes());
                    out.extend(bytes);
                }
            }
            Self::ClusterCreated { name, info, created_by } => {
                let ClusterInfo { id, max_size, attrs, end_point_count } = info;
                out.push(2);
                append_id(&mut out, id);
                let name = name.as_str().as_bytes();
                let len = u16::try_from(name.len());
                debug_assert!(len.is_ok(), "a name has 65,535 bytes at most");
                out.extend(len.unwrap_or(u16::MAX).to_le_bytes());
                out.extend_from_slice(name);
                out.extend(max_size.to_le_bytes());
                out.extend(attrs.bits().to_le_bytes());
                out.extend(end_point_count.to_le_bytes());
                out.push(created_by.is_some().into());
                out.extend(created_by.iter().flat_map(|key| key.to_bytes()));
            }
            Self::MemberJoined { cluster, index, member } => {
                append_member(&mut out, 3, cluster, *index, member);
            }
            Self::MemberUpdated { cluster, index, member } => {
                append_member(&mut out, 4, cluster, *index, member);
            }
        }
        out
    }

    /// Reads a change.
    ///
    /// # Errors
    ///
    /// [`ChangeBytesError`] if [`to_bytes`](Self::to_bytes) of this version or an earlier one gives
    /// no such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ChangeBytesError> {
        let mut rest = Rest(bytes);
        let [kind] = rest.array()?;
        let change = match kind {
            1 | 5 => {
                let (id, key) = (rest.id()?, Fingerprint::from_bytes(rest.array()?));
                let day = if kind == 5 { Some(rest.day()?) } else { None };
                Self::NodeBound { id, key, day }
            }
            6 => Self::NodeUsed { id: rest.id()?, day: rest.day()? },
            7 => Self::ClusterDeleted { cluster: rest.id()? },
            8 => Self::All(rest.parts()?),
            2 => {
                let id = rest.id()?;
                let name = rest.name()?;
                let info = ClusterInfo {
                    id,
                    max_size: u32::from_le_bytes(rest.array()?),
                    attrs: ClusterAttrs::from_bits(u64::from_le_bytes(rest.array()?)),
                    end_point_count: u32::from_le_bytes(rest.array()?),
                };
                let created_by = match rest.array()? {
                    [0] => None,
                    [1] => Some(Fingerprint::from_bytes(rest.array()?)),
                    _ => return Err(ChangeBytesError::Length),
                };
                Self::ClusterCreated { name, info, created_by }
            }
            3 | 4 => {
                let cluster = rest.id()?;
                let [index] = rest.array()?;
                let index = MemberIndex::new(index.into()).ok_or(ChangeBytesError::Index(index))?;
                let token = core::mem::take(&mut rest.0);
                let member = decode_token(token, &MessageLimits::default())?.into();
                match kind {
                    3 => Self::MemberJoined { cluster, index, member },
                    _ => Self::MemberUpdated { cluster, index, member },
                }
            }
            unknown => return Err(ChangeBytesError::UnknownKind(unknown)),
        };
        if rest.0.is_empty() { Ok(change) } else { Err(ChangeBytesError::Length) }
    }
}

fn append_id(out: &mut Vec<u8>, id: &NodeId) {
    let bytes = id.as_bytes();
    let len = u8::try_from(bytes.len());
    debug_assert!(len.is_ok(), "an ID has 32 bytes at most");
    out.push(len.unwrap_or(u8::MAX));
    out.extend_from_slice(bytes);
}

fn append_member(
    out: &mut Vec<u8>,
    kind: u8,
    cluster: &NodeId,
    index: MemberIndex,
    member: &MemberEntry,
) {
    out.push(kind);
    append_id(out, cluster);
    let [index, ..] = index.get().to_le_bytes();
    out.push(index);
    out.extend(encode_token(member));
}

/// The bytes that are not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], ChangeBytesError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(ChangeBytesError::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ChangeBytesError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(ChangeBytesError::Length)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn day(&mut self) -> Result<Day, ChangeBytesError> {
        Ok(Day::new(u32::from_le_bytes(self.array()?)))
    }

    fn parts(&mut self) -> Result<Vec<Change>, ChangeBytesError> {
        let mut parts = Vec::new();
        while !self.0.is_empty() {
            let len = usize::try_from(u32::from_le_bytes(self.array()?));
            let part = self.take(len.map_err(|_| ChangeBytesError::Length)?)?;
            if part.first() == Some(&8) {
                return Err(ChangeBytesError::Nested);
            }
            parts.push(Change::from_bytes(part)?);
        }
        Ok(parts)
    }

    fn id(&mut self) -> Result<NodeId, ChangeBytesError> {
        let [len] = self.array()?;
        Ok(NodeId::from_bytes(self.take(len.into())?)?)
    }

    fn name(&mut self) -> Result<Name, ChangeBytesError> {
        let len = u16::from_le_bytes(self.array()?);
        let text = core::str::from_utf8(self.take(len.into())?);
        Ok(text.map_err(|_| ChangeBytesError::Utf8)?.parse()?)
    }
}
