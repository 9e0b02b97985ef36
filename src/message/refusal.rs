//! The reasons of a registry to refuse: the texts of `ErrDesc` (PROTOCOL 6.8).

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A refusal with a text that both sides know.
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
    /// The cluster needs one end point and the member has none.
    NoEnd = "cluster members must have at least one endPoint",
    /// The cluster needs two end points and the member has fewer.
    TooFewEnds = "cluster members must have at least two endPoints",
    /// Another member of the cluster has this name.
    MemberNameInUse = "cluster member name already in use",
    /// The size of the cluster is 0.
    EmptyCluster = "cluster must have a member!",
    /// The ID is bound to another sig key.
    IdInUse = "ID already in use",
    /// The text of a deployed server for a member without end points.
    MemberWithoutEnd = "member must have at least one endPoint",
    /// The request names no cluster and the session has none.
    NoClusterGiven = "missing cluster name or ID",
    /// The text of a deployed server for a name in use.
    NameInUse = "name already in use",
    /// The operation is known but not allowed in this state.
    WrongState = "invalid msg type for current state",
    /// The operation is absent or unknown.
    UnknownOp = "message tag out of range",
    /// The text of a deployed server for an operation that it did not expect.
    UnexpectedOp = "unexpected message type",
    /// An ID has another length than 20 or 32 bytes.
    IdLength = "bad length for nodeID",
    /// The cluster has as many members as its size allows.
    ClusterFull = "cluster is full",
    /// The name of a member or cluster breaks the rules.
    BadName = "not a valid name",
    /// A cluster needs one or two end points, and Create says another number.
    EndPointCount = "cluster must have one or two endPoints",
    /// The signature of the token is missing or wrong.
    BadSignature = "bad digital signature",
    /// A key is not an RSA key within the bounds.
    BadKey = "not an acceptable RSA key",
    /// An end point is not host:port, or the token has too many.
    BadEnd = "not a valid endPoint",
    /// The registry has no room for another node or cluster.
    RegistryFull = "registry is full",
    /// The sig key has as many node IDs as one may.
    TooManyNodesOfKey = "too many nodes with this sig key",
    /// The sig key has created as many clusters as one may.
    TooManyClustersOfKey = "too many clusters created with this sig key",
    /// The nodes of the sig key are members as often as they may be.
    TooManyMembershipsOfKey = "too many memberships with this sig key",
    /// The sig key has made as many changes in this minute as one may.
    TooManyChangesOfKey = "too many changes with this sig key in a minute",
    /// The address has registered as many new nodes in this minute as one may.
    TooManyNodesFromAddress = "too many new nodes from this address in a minute",
    /// The address has created as many clusters in this minute as one may.
    TooManyClustersFromAddress = "too many new clusters from this address in a minute",
    /// The address has joined as often in this minute as one may.
    TooManyMembershipsFromAddress = "too many new members from this address in a minute",
    /// The address has made as many changes in this minute as one may.
    TooManyChangesFromAddress = "too many changes from this address in a minute",
    /// The session has made as many requests as it may.
    TooManyRequests = "too many requests in one session",
    /// The registry cannot make a change durable now, because its disk is full or can only be read.
    CannotStore = "registry cannot store now",
    /// The registry cannot answer now, for an internal reason.
    Unavailable = "registry is unavailable",
}

impl Refusal {
    /// Whether a rate was reached, so that a minute later the same request may be served.
    pub const fn is_of_a_rate(self) -> bool {
        matches!(
            self,
            Self::TooManyChangesOfKey
                | Self::TooManyNodesFromAddress
                | Self::TooManyClustersFromAddress
                | Self::TooManyMembershipsFromAddress
                | Self::TooManyChangesFromAddress
        )
    }

    /// Finds the refusal with exactly this text.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|refusal| refusal.as_str() == text)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text belongs to no known refusal. A peer may send any text, and [`Reason`] keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the text of a known refusal")]
pub struct UnknownRefusal;

impl FromStr for Refusal {
    type Err = UnknownRefusal;

    fn from_str(text: &str) -> Result<Self, UnknownRefusal> {
        Self::from_text(text).ok_or(UnknownRefusal)
    }
}

/// The text of an Error, as the peer sent it. The peer controls the text, so `Display` escapes all
/// characters that do not print as themselves. The result is safe on a terminal and in a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Makes a reason from a text. The session that sends or receives it checks its length
    /// ([`MessageLimits::text_len`](super::MessageLimits::text_len)).
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, exactly as on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The known refusal with this text, if there is one.
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
            // Printable characters stay as they are.
            _ => write!(f, "{}", c.escape_debug()),
        })
    }
}
