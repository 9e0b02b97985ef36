//! Node and cluster IDs: 20 or 32 opaque bytes (PROTOCOL 1).

use core::fmt;
use core::str::FromStr;

use rand_core::CryptoRng;

/// The ID of a member, cluster or registry, unique in a registry.
///
/// Deployed servers issue 20 bytes and this crate issues 32. Both are accepted. The text form is
/// lower-case hex, and either case is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Repr);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Repr {
    Short([u8; 20]),
    Long([u8; 32]),
}

impl NodeId {
    /// Makes the ID with exactly these bytes.
    ///
    /// # Errors
    ///
    /// [`NodeIdError::Length`] unless there are 20 or 32.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NodeIdError> {
        if let Ok(short) = <[u8; 20]>::try_from(bytes) {
            Ok(short.into())
        } else if let Ok(long) = <[u8; 32]>::try_from(bytes) {
            Ok(long.into())
        } else {
            Err(NodeIdError::Length { bytes: bytes.len() })
        }
    }

    /// Draws a random ID of 32 bytes.
    pub fn random(rng: &mut dyn CryptoRng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(Repr::Long(bytes))
    }

    /// The 20 or 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Short(bytes) => bytes,
            Repr::Long(bytes) => bytes,
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl From<[u8; 20]> for NodeId {
    fn from(bytes: [u8; 20]) -> Self {
        Self(Repr::Short(bytes))
    }
}

impl From<[u8; 32]> for NodeId {
    fn from(bytes: [u8; 32]) -> Self {
        Self(Repr::Long(bytes))
    }
}

impl TryFrom<&[u8]> for NodeId {
    type Error = NodeIdError;

    fn try_from(bytes: &[u8]) -> Result<Self, NodeIdError> {
        Self::from_bytes(bytes)
    }
}

impl AsRef<[u8]> for NodeId {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// Bytes or text are not a node ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeIdError {
    /// The ID has another length than 20 or 32 bytes.
    #[error("an ID of {bytes} bytes; an ID has 20 or 32")]
    Length {
        /// The length, in bytes.
        bytes: usize,
    },
    /// The text is not 40 or 64 hex digits.
    #[error("not an ID: 40 or 64 hex digits expected")]
    NotHex,
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        let mut buffer = [0; 32];
        match text.len() {
            40 | 64 => {
                let bytes = base16ct::mixed::decode(text, &mut buffer);
                Self::from_bytes(bytes.map_err(|_| NodeIdError::NotHex)?)
            }
            _ => Err(NodeIdError::NotHex),
        }
    }
}
