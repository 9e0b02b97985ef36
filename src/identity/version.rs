//! Versions: four bytes `a.b.c.d` (PROTOCOL 1).

use core::fmt;
use core::str::FromStr;

/// A version of software or of the registry, `a.b.c.d`.
///
/// The text form leaves out zeros at the end, but has at least two numbers: `1.9.24`, `0.5`,
/// `1.2.3.4`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version([u8; 4]);

impl Version {
    /// `0.0.0.0`, which deployed clients send in their Hello.
    pub const ZERO: Self = Self([0, 0, 0, 0]);
    /// `1.9.0`, the first deployed server that speaks the prefixed dialect (PROTOCOL 3).
    pub const FIRST_PREFIXED: Self = Self([1, 9, 0, 0]);
    /// `1.9.24`, the newest deployed server. This crate reproduces its wire byte for byte.
    pub const REFERENCE: Self = Self([1, 9, 24, 0]);

    /// Makes the version `a.b.c.d`.
    pub const fn new(a: u8, b: u8, c: u8, d: u8) -> Self {
        Self([a, b, c, d])
    }

    /// The four bytes in wire order: a, b, c, d.
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0
    }

    /// Makes a version of the four bytes in wire order.
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        match (c, d) {
            (0, 0) => write!(f, "{a}.{b}"),
            (_, 0) => write!(f, "{a}.{b}.{c}"),
            _ => write!(f, "{a}.{b}.{c}.{d}"),
        }
    }
}

impl From<[u8; 4]> for Version {
    fn from(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }
}

impl From<Version> for [u8; 4] {
    fn from(version: Version) -> Self {
        version.0
    }
}

/// A text is not a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a version: two to four numbers of 0 to 255 with dots between, like 1.9.24")]
pub struct VersionError;

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let mut bytes = [0; 4];
        let mut slots = bytes.iter_mut();
        for field in text.split('.') {
            let plain = !field.is_empty() && field.bytes().all(|b| b.is_ascii_digit());
            let slot = slots.next().filter(|_| plain).ok_or(VersionError)?;
            *slot = field.parse().map_err(|_| VersionError)?;
        }
        // Two of the four must be there.
        if slots.len() > 2 { Err(VersionError) } else { Ok(Self(bytes)) }
    }
}
