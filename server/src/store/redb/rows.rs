//! The rows of an old store, and the [`Change`]s that they are.
//!
//! Rows are the state and not its history. A node, a cluster and a member are one row each. A
//! member with a new token replaces its row.
//!
//! | Table | Key | Value |
//! |-------|-----|-------|
//! | `nodes` | the node's ID | the fingerprint of its sig key, 32 bytes |
//! | `clusters` | the cluster's ID | the name with its length, the size (4 bytes), attrs (8), the number of end points (4) |
//! | `members` | the cluster's ID with its length, the index (4) | the token, as on the wire |
//!
//! Numbers are little-endian. A length is one byte, or 254 and two bytes if it is 254 or more.

use xlreg::identity::{ClusterAttrs, Fingerprint, Name, NameError, NodeId, NodeIdError};
use xlreg::message::{ClusterInfo, DecodeError, MemberIndex, MessageLimits, decode_token};
use xlreg::registry::Change;

/// Says that the length follows in two bytes.
const LONG: u8 = 254;

/// A table of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// The registered nodes.
    Nodes,
    /// The clusters, without their members.
    Clusters,
    /// The members of clusters.
    Members,
}

impl Table {
    /// All tables. Rows that are read in this order, and by key in each table, are changes that
    /// follow from one another.
    pub(super) const ALL: [Self; 3] = [Self::Nodes, Self::Clusters, Self::Members];

    /// The name of the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Clusters => "clusters",
            Self::Members => "members",
        }
    }
}

/// The reason why a change has no row, or a row is not a change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RowError {
    /// The row ends early, goes on after its end, or has a length in another form than ours.
    #[error("a row of the table '{}' is cut short or too long", .0.name())]
    Form(Table),
    /// A name is not UTF-8.
    #[error("a name is not UTF-8")]
    Utf8,
    /// The row has an illegal name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The row has an illegal ID.
    #[error(transparent)]
    Id(#[from] NodeIdError),
    /// No member can have this index.
    #[error("a member has index {0}")]
    Index(u32),
    /// The row has an illegal token.
    #[error(transparent)]
    Token(#[from] DecodeError),
}

/// Reads a row as a change. A member's row is read as its join, with its present token.
///
/// # Errors
///
/// [`RowError`] if no such row was ever written.
pub(super) fn change(table: Table, key: &[u8], value: &[u8]) -> Result<Change, RowError> {
    let (mut key, mut value) = (Bytes { table, rest: key }, Bytes { table, rest: value });
    let change = match table {
        Table::Nodes => Change::NodeBound {
            id: NodeId::from_bytes(key.all())?,
            key: Fingerprint::from_bytes(value.array()?),
            day: None,
        },
        Table::Clusters => Change::ClusterCreated {
            created_by: None,
            name: name(value.with_length()?)?,
            info: ClusterInfo {
                id: NodeId::from_bytes(key.all())?,
                max_size: value.u32()?,
                attrs: ClusterAttrs::from_bits(u64::from_le_bytes(value.array()?)),
                end_point_count: value.u32()?,
            },
        },
        Table::Members => {
            let cluster = NodeId::from_bytes(key.with_length()?)?;
            let index = key.u32()?;
            Change::MemberJoined {
                cluster,
                index: MemberIndex::new(index).ok_or(RowError::Index(index))?,
                member: decode_token(value.all(), &MessageLimits::default())?.into(),
            }
        }
    };
    match (key.rest, value.rest) {
        ([], []) => Ok(change),
        _ => Err(RowError::Form(table)),
    }
}

fn name(bytes: &[u8]) -> Result<Name, RowError> {
    let text = std::str::from_utf8(bytes).map_err(|_| RowError::Utf8)?;
    Ok(text.parse()?)
}

/// The rest of a key or a value.
struct Bytes<'a> {
    table: Table,
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], RowError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(RowError::Form(self.table))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RowError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(RowError::Form(self.table))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, RowError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn with_length(&mut self) -> Result<&'a [u8], RowError> {
        let [first] = self.array()?;
        let len = match first {
            LONG => match u16::from_le_bytes(self.array()?) {
                len if len >= LONG.into() => len,
                _ => return Err(RowError::Form(self.table)),
            },
            len if len < LONG => len.into(),
            _ => return Err(RowError::Form(self.table)),
        };
        self.take(len.into())
    }
}

#[cfg(test)]
mod tests;
