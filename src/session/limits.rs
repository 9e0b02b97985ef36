//! What a session lets its peer make it hold or do.

use core::time::Duration;

use crate::message::MessageLimits;

/// Bounds on everything a peer controls. Each is finite by default and checked on the declared
/// size, before anything is buffered or allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in one message, padding not counted. Whatever declares more is refused as soon as the
    /// length is read.
    pub record: usize,
    /// What one message may hold.
    pub message: MessageLimits,
    /// Requests the registry accepts in one session. 100,000: a deployed client that polls ten
    /// times a second for two hours stays below, a flood of GetCluster (48 bytes in, 42 KB
    /// out) does not go on for ever.
    pub requests: u32,
    /// Requests without an answer. At the limit a registry takes no more input, and a client's
    /// commands are refused.
    pub in_flight: usize,
    /// Bytes of output that wait to be written; above it a registry takes no more requests. The
    /// replies to those it has taken may go over it: [`in_flight`](Self::in_flight) small
    /// ones, of which one may be a large ClusterMembers, because nothing is taken behind a
    /// GetCluster that is not answered.
    pub output: usize,
    /// Time from the start of the session to the end of the handshake.
    pub hello_time: Duration,
    /// Time for the peer to complete its next message when it is its turn.
    pub idle_time: Duration,
}

impl Limits {
    /// For a registry. A record has 16 KiB: the largest legal request, a Member with keys of 8192
    /// bits and eight long ends, has about 6 KB, and deployed servers read no more than 16 KiB
    /// either. 8 requests in flight let a client send its whole enrollment in one flight. 10 s
    /// for a Hello and 60 s for a request are ample for people's links.
    pub fn server() -> Self {
        Self {
            record: 16 * 1024,
            message: MessageLimits::default(),
            requests: 100_000,
            in_flight: 8,
            output: 64 * 1024,
            hello_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(60),
        }
    }

    /// For a client. A record has 384 KiB: 64 members with keys of 8192 bits and eight ends of the
    /// longest kind each take about 4.7 KB. 30 s for the registry to answer: it may be busy
    /// with other people's RSA.
    pub fn client() -> Self {
        Self {
            record: 384 * 1024,
            hello_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(30),
            ..Self::server()
        }
    }
}
