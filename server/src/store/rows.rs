//! The one mapping between a [`Change`] and a row, for all stores.
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
//! Files have these bytes, so they must not change.

use xlreg::identity::{ClusterAttrs, Fingerprint, Name, NameError, NodeId, NodeIdError};
use xlreg::message::{
    ClusterInfo, DecodeError, MemberIndex, MessageLimits, decode_token, encode_token,
};
use xlreg::registry::Change;

/// Says that the length follows in two bytes.
const LONG: u8 = 254;

/// A table of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
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
    pub const ALL: [Self; 3] = [Self::Nodes, Self::Clusters, Self::Members];

    /// The name of the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Clusters => "clusters",
            Self::Members => "members",
        }
    }
}

/// The reason why a change has no row, or a row is not a change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// This version does not know the kind of change. It must not be lost in silence.
    #[error("a change of an unknown kind: {0}")]
    UnknownChange(String),
    /// A part of the row is longer than any legal one.
    #[error("a part of a row has {0} bytes")]
    TooLong(usize),
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

/// The row of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    table: Table,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Row {
    /// Makes the row of this change. It replaces a row with the same key.
    ///
    /// # Errors
    ///
    /// [`RowError::UnknownChange`].
    pub fn of(change: &Change) -> Result<Self, RowError> {
        match change {
            Change::NodeBound { id, key } => Ok(Self {
                table: Table::Nodes,
                key: id.as_bytes().into(),
                value: key.to_bytes().into(),
            }),
            Change::ClusterCreated { name, info } => {
                let ClusterInfo { id, max_size, attrs, end_point_count } = info;
                let mut value = with_length(name.as_str().as_bytes())?;
                value.extend(max_size.to_le_bytes());
                value.extend(attrs.bits().to_le_bytes());
                value.extend(end_point_count.to_le_bytes());
                Ok(Self { table: Table::Clusters, key: id.as_bytes().into(), value })
            }
            Change::MemberJoined { cluster, index, member }
            | Change::MemberUpdated { cluster, index, member } => {
                let mut key = with_length(cluster.as_bytes())?;
                key.extend(index.get().to_le_bytes());
                Ok(Self { table: Table::Members, key, value: encode_token(member) })
            }
            other => Err(RowError::UnknownChange(format!("{other:?}"))),
        }
    }

    /// Reads a row as a change. A member's row is read as its join, with its present token.
    ///
    /// # Errors
    ///
    /// [`RowError`] if [`Row::of`] makes no such row.
    pub fn change(table: Table, key: &[u8], value: &[u8]) -> Result<Change, RowError> {
        let (mut key, mut value) = (Bytes { table, rest: key }, Bytes { table, rest: value });
        let change = match table {
            Table::Nodes => Change::NodeBound {
                id: NodeId::from_bytes(key.all())?,
                key: Fingerprint::from_bytes(value.array()?),
            },
            Table::Clusters => Change::ClusterCreated {
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

    /// The table of the row.
    pub const fn table(&self) -> Table {
        self.table
    }

    /// The key of the row, which is unique in its table.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The value of the row.
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}

fn name(bytes: &[u8]) -> Result<Name, RowError> {
    let text = std::str::from_utf8(bytes).map_err(|_| RowError::Utf8)?;
    Ok(text.parse()?)
}

/// Puts the length in front. IDs and names are never too long for it.
fn with_length(bytes: &[u8]) -> Result<Vec<u8>, RowError> {
    let mut out = Vec::with_capacity(bytes.len() + 16);
    match u8::try_from(bytes.len()) {
        Ok(len) if len < LONG => out.push(len),
        _ => {
            let len = u16::try_from(bytes.len()).map_err(|_| RowError::TooLong(bytes.len()))?;
            out.push(LONG);
            out.extend(len.to_le_bytes());
        }
    }
    out.extend(bytes);
    Ok(out)
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
