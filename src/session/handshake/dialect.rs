//! The dialects, and the rules of PROTOCOL that differ by dialect.

use core::fmt;
use core::str::FromStr;

use crate::identity::Version;

/// A form of handshake and record layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Registries from 1.9.0 on: a fresh IV before every record (PROTOCOL 3.1).
    Prefixed,
    /// Registries up to 1.8.4: records chain to each other (PROTOCOL 3.2).
    Chained,
    /// A dialect for a test, which differs in everything that may differ.
    #[cfg(test)]
    Trial,
}

/// The rules of one dialect. A rule that differs by dialect has its column here.
struct Rules {
    dialect: Dialect,
    /// The name of the dialect.
    name: &'static str,
    /// The first version of a registry that speaks this dialect instead of the one before (PROTOCOL
    /// 3).
    since: Version,
}

/// The dialects, oldest first.
const RULES: &[Rules] = &[
    Rules { dialect: Dialect::Chained, name: "chained", since: Version::ZERO },
    Rules { dialect: Dialect::Prefixed, name: "prefixed", since: Version::FIRST_PREFIXED },
    #[cfg(test)]
    Rules { dialect: Dialect::Trial, name: "trial", since: Version::new(255, 0, 0, 0) },
];

impl Dialect {
    /// The dialect that a registry of this version speaks (PROTOCOL 3).
    pub fn of_registry(version: Version) -> Self {
        let speaks = RULES.iter().rfind(|rules| rules.since <= version);
        debug_assert!(speaks.is_some(), "the oldest dialect is since version 0");
        speaks.map_or(Self::Chained, |rules| rules.dialect)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        RULES.iter().filter(|rules| rules.dialect == *self).try_for_each(|it| f.write_str(it.name))
    }
}

/// A text is not the name of a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a dialect: 'prefixed' or 'chained' expected")]
pub struct UnknownDialect;

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(text: &str) -> Result<Self, UnknownDialect> {
        let named = RULES.iter().find(|rules| rules.name == text);
        named.map(|rules| rules.dialect).ok_or(UnknownDialect)
    }
}
