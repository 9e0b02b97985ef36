//! regCred: the text file that describes a registry to its clients (PROTOCOL 7).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::identity::{
    EndPoint, EndPointError, Name, NameError, NodeId, NodeIdError, OpenSshError, PublicKey,
    Version, VersionError,
};

/// The public credential of a registry: its name, ID, keys and addresses.
///
/// Clients get it as a file (`regCred.dat`). [`FromStr`] reads the text, with LF or CRLF line ends
/// and with or without a byte order mark. [`Display`](fmt::Display) writes it with CRLF. A registry
/// also sends it over the wire on request (PROTOCOL 5, tags 1 and 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The registry's name.
    pub name: Name,
    /// The registry's ID.
    pub id: NodeId,
    /// The key that clients seal their Hellos to.
    pub comms_key: PublicKey,
    /// The key of the registry's own signatures.
    pub sig_key: PublicKey,
    /// The addresses where the registry listens. A file has at least one.
    pub end_points: Vec<EndPoint>,
    /// The registry's version. It decides the dialect (PROTOCOL 3).
    pub version: Version,
}

impl Credential {
    /// The longest text that is parsed, in bytes. Two keys of 8192 bits, a name and the end points
    /// fit.
    pub const MAX_LEN: usize = 16 * 1024;
    /// The largest number of end points. A token may have as many by default (PROTOCOL 6.4).
    pub const MAX_END_POINTS: usize = 8;
}

/// A text is not a regCred. The error names the line and the problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("regCred line {line}: {problem}")]
pub struct CredentialError {
    /// The line, counted from 1.
    pub line: usize,
    /// The problem of the line.
    pub problem: CredentialProblem,
}

/// The problem of a line of a regCred.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialProblem {
    /// The line is not the expected one.
    #[error("expected '{expected}', found '{found}'")]
    Unexpected {
        /// The expected text.
        expected: &'static str,
        /// The start of the line.
        found: String,
    },
    /// The text ends too early.
    #[error("expected '{expected}', found the end of the text")]
    End {
        /// The expected text.
        expected: &'static str,
    },
    /// The value of `Name` is not a name.
    #[error("expected a name after 'Name: ': {0}")]
    Name(#[source] NameError),
    /// The value of `ID` is not an ID.
    #[error("expected 40 or 64 hex digits after 'ID: ': {0}")]
    Id(#[source] NodeIdError),
    /// The value of `CommsPubKey` or `SigPubKey` is not a key.
    #[error("expected an OpenSSH public key after '{field}: ': {source}")]
    Key {
        /// The name of the field.
        field: &'static str,
        /// The error of the key.
        source: OpenSshError,
    },
    /// The value of `TcpEndPoint` is not an end point.
    #[error("expected host:port after 'TcpEndPoint: ': {0}")]
    EndPoint(#[source] EndPointError),
    /// The value of `Version` is not a version.
    #[error("expected a version after 'Version: ': {0}")]
    Version(#[source] VersionError),
    /// The text is longer than [`Credential::MAX_LEN`].
    #[error("expected at most {} bytes in all, found {bytes}", Credential::MAX_LEN)]
    TooLong {
        /// The length of the text, in bytes.
        bytes: usize,
    },
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "regCred {{\r\n")?;
        write!(f, "    Name: {}\r\n", self.name)?;
        write!(f, "    ID: {}\r\n", self.id)?;
        write!(f, "    CommsPubKey: {}\r\n", self.comms_key.to_openssh())?;
        write!(f, "    SigPubKey: {}\r\n", self.sig_key.to_openssh())?;
        write!(f, "    EndPoints {{\r\n")?;
        for end in &self.end_points {
            write!(f, "         TcpEndPoint: {end}\r\n")?;
        }
        write!(f, "    }}\r\n    Version: {}\r\n}}\r\n", self.version)
    }
}

#[cfg(feature = "serde")]
crate::identity::serde_as_text!(Credential);

impl FromStr for Credential {
    type Err = CredentialError;

    fn from_str(text: &str) -> Result<Self, CredentialError> {
        if text.len() > Self::MAX_LEN {
            let problem = CredentialProblem::TooLong { bytes: text.len() };
            return Err(CredentialError { line: 1, problem });
        }
        // Editors and shells of Windows put a byte order mark in front.
        let mut lines = Lines::new(text.strip_prefix('\u{feff}').unwrap_or(text));
        lines.literal("regCred {")?;
        let name = lines.field("Name: ", |v| v.parse().map_err(CredentialProblem::Name))?;
        let id = lines.field("ID: ", |v| v.parse().map_err(CredentialProblem::Id))?;
        let key = |field| {
            move |text: &str| {
                PublicKey::from_openssh(text)
                    .map_err(|source| CredentialProblem::Key { field, source })
            }
        };
        let comms_key = lines.field("CommsPubKey: ", key("CommsPubKey"))?;
        let sig_key = lines.field("SigPubKey: ", key("SigPubKey"))?;
        lines.literal("EndPoints {")?;
        let end = |v: &str| v.parse().map_err(CredentialProblem::EndPoint);
        let mut end_points = Vec::from([lines.field("TcpEndPoint: ", end)?]);
        while end_points.len() < Self::MAX_END_POINTS && !lines.next_is("}") {
            end_points.push(lines.field("TcpEndPoint: ", end)?);
        }
        lines.literal("}")?;
        let version =
            lines.field("Version: ", |v| v.parse().map_err(CredentialProblem::Version))?;
        lines.literal("}")?;
        lines.end()?;
        Ok(Self { name, id, comms_key, sig_key, end_points, version })
    }
}

/// The lines of a text that are not blank, trimmed and with their numbers.
struct Lines<'a> {
    rest: core::iter::Peekable<NumberedLines<'a>>,
    last: usize,
}

type NumberedLines<'a> = core::iter::Filter<
    core::iter::Zip<core::ops::RangeFrom<usize>, core::str::Lines<'a>>,
    fn(&(usize, &'a str)) -> bool,
>;

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let filled: fn(&(usize, &'a str)) -> bool = |(_, line)| !line.trim().is_empty();
        Self { rest: (1..).zip(text.lines()).filter(filled).peekable(), last: 1 }
    }

    fn next(&mut self, expected: &'static str) -> Result<&'a str, CredentialError> {
        match self.rest.next() {
            Some((number, line)) => {
                self.last = number;
                Ok(line.trim())
            }
            None => Err(self.wrong(CredentialProblem::End { expected })),
        }
    }

    fn next_is(&mut self, text: &str) -> bool {
        self.rest.peek().is_some_and(|(_, line)| line.trim() == text)
    }

    fn wrong(&self, problem: CredentialProblem) -> CredentialError {
        CredentialError { line: self.last, problem }
    }

    fn unexpected(&self, expected: &'static str, line: &str) -> CredentialError {
        // This is enough to recognise the line. The rest may be a long key.
        let found = line.chars().take(40).flat_map(char::escape_debug).collect();
        self.wrong(CredentialProblem::Unexpected { expected, found })
    }

    fn literal(&mut self, expected: &'static str) -> Result<(), CredentialError> {
        let line = self.next(expected)?;
        if line == expected { Ok(()) } else { Err(self.unexpected(expected, line)) }
    }

    fn field<T>(
        &mut self,
        label: &'static str,
        parse: impl FnOnce(&str) -> Result<T, CredentialProblem>,
    ) -> Result<T, CredentialError> {
        let line = self.next(label)?;
        let value = line.strip_prefix(label).ok_or_else(|| self.unexpected(label, line))?;
        parse(value).map_err(|problem| self.wrong(problem))
    }

    fn end(&mut self) -> Result<(), CredentialError> {
        match self.rest.next() {
            None => Ok(()),
            Some((number, line)) => {
                self.last = number;
                Err(self.unexpected("the end of the text", line.trim()))
            }
        }
    }
}
