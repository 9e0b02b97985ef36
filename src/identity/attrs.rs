//! The 64-bit flag sets of members and clusters (PROTOCOL 1).

use core::fmt;
use core::str::FromStr;

/// A text is not a set of flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a set of flags: 'none', or names and bits like 0x10 with '|' between")]
pub struct AttrsError;

/// The text of an empty set.
const NO_FLAG: &str = "none";

macro_rules! flags {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$flag_doc:meta])* $flag:ident = $text:literal $bit:literal,)*
    }) => {
        $(#[$doc])*
        ///
        /// Bits without a name are kept. The text form has the names with `|` between them, and the
        /// other bits as one number, like `ephemeral|0x10`. The empty set is `none`.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// The empty set.
            pub const NONE: Self = Self(0);
            $($(#[$flag_doc])* pub const $flag: Self = Self($bit);)*

            const NAMES: &[(&str, u64)] = &[$(($text, $bit),)*];

            /// Makes the set with exactly these bits.
            pub const fn from_bits(bits: u64) -> Self {
                Self(bits)
            }

            /// All bits, as on the wire.
            pub const fn bits(self) -> u64 {
                self.0
            }

            /// Whether every flag of `other` is set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Makes the set of the flags that are in either set.
            #[must_use]
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                display(self.0, Self::NAMES, f)
            }
        }

        impl FromStr for $name {
            type Err = AttrsError;

            fn from_str(text: &str) -> Result<Self, AttrsError> {
                parse(text, Self::NAMES).map(Self)
            }
        }

        impl From<u64> for $name {
            fn from(bits: u64) -> Self {
                Self(bits)
            }
        }

        impl From<$name> for u64 {
            fn from(flags: $name) -> Self {
                flags.0
            }
        }
    };
}

fn display(bits: u64, names: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if bits == 0 {
        return f.write_str(NO_FLAG);
    }
    let (mut rest, mut between) = (bits, "");
    for (name, bit) in names.iter().filter(|(_, bit)| bits & bit != 0) {
        write!(f, "{between}{name}")?;
        (rest, between) = (rest & !bit, "|");
    }
    if rest == 0 { Ok(()) } else { write!(f, "{between}{rest:#x}") }
}

fn parse(text: &str, names: &[(&str, u64)]) -> Result<u64, AttrsError> {
    if text == NO_FLAG {
        return Ok(0);
    }
    text.split('|').try_fold(0, |bits, word| {
        let named = names.iter().find(|(name, _)| *name == word).map(|(_, bit)| *bit);
        named.or_else(|| hex_bits(word)).map(|more| bits | more).ok_or(AttrsError)
    })
}

/// Reads the 64 bits that `{:#x}` writes, in either case and with any zeros in front.
pub(crate) fn hex_bits(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x")?;
    // Without this check a sign would pass.
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| all_digits)
}

flags! {
    /// Flags of a member.
    MemberAttrs {
        /// The member is not expected to come back.
        EPHEMERAL = "ephemeral" 1,
        /// The member administers clusters and joins none.
        ADMIN = "admin" 2,
        /// The member belongs to no cluster.
        SOLO = "solo" 4,
    }
}

flags! {
    /// Flags of a cluster.
    ClusterAttrs {
        /// The cluster is not meant to outlive its members.
        EPHEMERAL = "ephemeral" 1,
        /// The cluster has been deleted.
        DELETED = "deleted" 2,
    }
}
