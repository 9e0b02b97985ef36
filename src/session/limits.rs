//! Bounds on a session's memory, work and time.

use core::time::Duration;

use crate::message::MessageLimits;

/// Bounds on everything that a peer controls. Each is finite by default. A declared size is checked
/// before anything is buffered or allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in one message, without padding. A message that declares more is refused as soon as
    /// its length is read.
    pub record: usize,
    /// What one message may hold.
    pub message: MessageLimits,
    /// Requests in one session that the registry accepts. The default, 100,000, lets a deployed
    /// client poll ten times a second for two hours. It stops a flood of GetCluster, which has 48
    /// bytes and is answered with 42 KB.
    pub requests: u32,
    /// Requests without an answer. At the limit a registry takes no more input, and a client's
    /// commands are refused.
    pub in_flight: usize,
    /// Bytes of output that wait to be written. Above the limit a registry takes no more requests.
    /// The replies to the requests it has taken may exceed the limit: there are at most
    /// [`in_flight`](Self::in_flight) of them, and only one can be a large ClusterMembers, because
    /// a registry takes no request behind a GetCluster without an answer.
    pub output: usize,
    /// Time from the start of the session to the end of the handshake.
    pub hello_time: Duration,
    /// Time for the peer to complete its next message, from the start of its turn.
    pub idle_time: Duration,
}

impl Limits {
    /// The limits of a registry. A record may have 16 KiB: the largest legal request, a Member with
    /// keys of 8192 bits and eight long end points, has about 6 KB, and deployed servers read no
    /// more than 16 KiB. With 8 requests in flight a client can send its whole enrollment at once.
    /// 10 s for a Hello and 60 s for a request suffice on slow links.
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

    /// The limits of a client. A record may have 384 KiB: 64 members with keys of 8192 bits and
    /// eight end points of the longest kind take about 4.7 KB each. The registry may take 30 s to
    /// answer, since it may be busy with the RSA of other clients.
    pub fn client() -> Self {
        Self {
            record: 384 * 1024,
            hello_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(30),
            ..Self::server()
        }
    }
}
