//! Which request is allowed when (PROTOCOL 6.1), as data.
//!
//! Both roles use the same table: a client when it sends a request, a registry when it receives
//! one. The phase depends on the requests alone and not on their replies, so requests can be
//! pipelined. A refused Member ends the session, so the registry acts on nothing after it.
//!
//! ```text
//!                Member                    Bye
//!   Anonymous ------------> Registered ----------> Leaving
//!    |  ^  |                 |  ^                    ^
//!    +--+  |                 +--+                    |
//!   RegCredRequest          RegCredRequest, Create,  |
//!          |                Join, GetCluster         |
//!          +-----------------------------------------+
//!                            Bye
//! ```

use crate::message::Op;

/// The phase of a conversation, by the requests made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The client has not said who it is.
    Anonymous,
    /// The client has sent a Member.
    Registered,
    /// The client has sent a Bye. Nothing may follow.
    Leaving,
}

/// The phase before, the request, the phase after. A request that has no row is not allowed.
const TABLE: [(Phase, Op, Phase); 8] = [
    (Phase::Anonymous, Op::RegCredRequest, Phase::Anonymous),
    (Phase::Anonymous, Op::Member, Phase::Registered),
    (Phase::Anonymous, Op::Bye, Phase::Leaving),
    (Phase::Registered, Op::RegCredRequest, Phase::Registered),
    (Phase::Registered, Op::Create, Phase::Registered),
    (Phase::Registered, Op::Join, Phase::Registered),
    (Phase::Registered, Op::GetCluster, Phase::Registered),
    (Phase::Registered, Op::Bye, Phase::Leaving),
];

impl Phase {
    /// The phase after this request; `None` if it is not allowed now.
    pub(super) fn after(self, request: Op) -> Option<Self> {
        TABLE.iter().find(|(from, op, _)| *from == self && *op == request).map(|(_, _, to)| *to)
    }
}
