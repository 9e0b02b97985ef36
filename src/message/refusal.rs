//! Why a registry refuses: the texts of `ErrDesc` (PROTOCOL 6.8).

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A refusal whose text is known to both sides.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Refusal {
            $($(#[$doc])* $name,)*
        }

        impl Refusal {
            /// Every known refusal.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The text on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

refusals! {
    /// A token has no attrs.
    BadAttrs = "badly formed attrs line",
    /// No cluster has this ID.
    NoClusterWithId = "cannot find cluster with this ID",
    /// No cluster has this name.
    NoClusterWithName = "cannot find cluster with this name",
    /// Another member of the cluster has this ID.
    MemberIdInUse = "cluster member id already in use",
    /// The cluster wants one end and the member has none.
    NoEnd = "cluster members must have at least one endPoint",
    /// The cluster wants two ends and the member has fewer.
    TooFewEnds = "cluster members must have at least two endPoints",
    /// Another member of the cluster has this name.
    MemberNameInUse = "cluster member name already in use",
    /// A cluster of size 0.
    EmptyCluster = "cluster must have a member!",
    /// The ID is bound to another sig key.
    IdInUse = "ID already in use",
    /// A deployed server's words for a member without ends.
    MemberWithoutEnd = "member must have at least one endPoint",
    /// The request names no cluster and the session has none.
    NoClusterGiven = "missing cluster name or ID",
    /// A deployed server's words for a name that is taken.
    NameInUse = "name already in use",
    /// A known operation at the wrong time.
    WrongState = "invalid msg type for current state",
    /// No operation, or one that is not in the table.
    UnknownOp = "message tag out of range",
    /// A deployed server's words for an operation it did not expect.
    UnexpectedOp = "unexpected message type",
    /// An ID of another length than 20 or 32 bytes.
    IdLength = "bad length for nodeID",
    /// The cluster has all the members it may have.
    ClusterFull = "cluster is full",
    /// A name of a member or cluster breaks the rules.
    BadName = "not a valid name",
    /// A cluster may ask for one or two ends.
    EndPointCount = "cluster must have one or two endPoints",
    /// The signature of the token is missing or wrong.
    BadSignature = "bad digital signature",
    /// A key is not RSA, or not within the bounds.
    BadKey = "not an acceptable RSA key",
    /// An end is not host:port, or there are too many.
    BadEnd = "not a valid endPoint",
    /// The registry has no room for another node or cluster.
    RegistryFull = "registry is full",
    /// More requests than one session may make.
    TooManyRequests = "too many requests in one session",
    /// The registry cannot do it now, for a reason of its own.
    Unavailable = "registry is unavailable",
}

impl Refusal {
    /// The refusal with exactly this text.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|refusal| refusal.as_str() == text)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text is none of a known refusal. A peer may send any; [`Reason`] keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the text of a known refusal")]
pub struct UnknownRefusal;

impl FromStr for Refusal {
    type Err = UnknownRefusal;

    fn from_str(text: &str) -> Result<Self, UnknownRefusal> {
        Self::from_text(text).ok_or(UnknownRefusal)
    }
}

/// The text of an Error as a peer sent it. It is the peer's: `Display` escapes whatever does not
/// print as itself, so that it can be shown on a terminal or logged on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Takes a text over. The session that sends or receives it bounds its length
    /// ([`MessageLimits::text_len`](super::MessageLimits::text_len)).
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text exactly as it is on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The refusal this text stands for, if it is a known one.
    pub fn refusal(&self) -> Option<Refusal> {
        Refusal::from_text(&self.0)
    }
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.as_str().into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '"' | '\'' | '\\' => write!(f, "{c}"),
            // Leaves what can be printed as it is.
            _ => write!(f, "{}", c.escape_debug()),
        })
    }
}
