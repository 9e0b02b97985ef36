//! Which request may come when (PROTOCOL 6.1), as data.
//!
//! Both roles walk the same table: a client when it sends, a registry when it receives. That is
//! also why requests can be pipelined: what counts is their order, not whether the ones before have
//! been answered. A Member that is refused ends the session, so nothing after it is ever acted
//! upon.
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

/// How far the conversation has come, by the requests made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody has said who the client is.
    Anonymous,
    /// A Member has been sent.
    Registered,
    /// A Bye has been sent; nothing may follow.
    Leaving,
}

/// From, request, to. What is not here is not allowed.
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
