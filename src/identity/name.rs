//! Names of members, clusters and registries (PROTOCOL 1).

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

/// A name: a letter, digit or `_`, then letters, digits, `_`, `.` and `-`; all ASCII, 1 to 255
/// bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The longest name, in bytes (PROTOCOL 1).
    pub const MAX_LEN: usize = 255;

    /// Makes a name of a text.
    ///
    /// # Errors
    ///
    /// [`NameError`] says which rule the text breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        Self::check(&text)?;
        Ok(Self(text))
    }

    fn check(text: &str) -> Result<(), NameError> {
        if text.len() > Self::MAX_LEN {
            return Err(NameError::TooLong { bytes: text.len(), limit: Self::MAX_LEN });
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match text.chars().next() {
            None => return Err(NameError::Empty),
            Some(first) if !word(first) => return Err(NameError::Start(first)),
            Some(_) => {}
        }
        match text.chars().find(|&c| !word(c) && c != '.' && c != '-') {
            Some(bad) => Err(NameError::Character(bad)),
            None => Ok(()),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<&str> for Name {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, NameError> {
        text.parse()
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

/// A text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The text is empty.
    #[error("the name is empty")]
    Empty,
    /// The text has more bytes than a name may have.
    #[error("the name has {bytes} bytes, {limit} at most are allowed")]
    TooLong {
        /// The length of the text, in bytes.
        bytes: usize,
        /// The length allowed, in bytes.
        limit: usize,
    },
    /// The first character is not a letter, digit or `_`.
    #[error("the name starts with {0:?}; a letter, a digit or '_' is expected there")]
    Start(char),
    /// A later character is not a letter, digit, `_`, `.` or `-`.
    #[error("the name contains {0:?}; letters, digits, '_', '.' and '-' are allowed")]
    Character(char),
}
