//! The registry's rules, as pure functions: a request goes in, a reply and a [`Change`] come out
//! (PROTOCOL 6).
//!
//! * [`decide`] is the rules. It looks things up through a [`View`] and changes nothing but the
//!   [`ClientState`] of the session, so it works over whatever holds the registry.
//! * [`Registry`] holds one in memory, for all sessions. [`Registry::handle`] decides and applies
//!   at once. Whoever drives it makes the [`Change`]s durable in order, and lets a reply out only
//!   when all changes up to the [`Outcome`]'s revision are; replaying the changes rebuilds the
//!   registry exactly ([`Registry::apply`]).
//! * Checking a signature is the one slow step, and needs nothing of the registry:
//!   [`CheckedRequest::new`] does it on any thread, [`Registry::handle_checked`] goes on from
//!   there.
//! * The rules of one cluster are functions over one value ([`Cluster`]), so that a store that is
//!   not in one process can run them as compare-and-swap.

mod change;
mod client_state;
mod cluster;
mod clusters;
mod memory;
mod rules;
mod view;

pub use change::{ApplyError, Change};
pub use client_state::{CheckedRequest, ClientState};
pub use cluster::{Cluster, Joined};
pub use memory::{Outcome, Registry};
pub use rules::{Decision, decide};
pub use view::View;

/// How large a registry may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistryLimits {
    /// Nodes known. Each takes about 120 bytes of memory.
    pub nodes: usize,
    /// Clusters, members apart. Each takes at most 700 bytes, with a name of the longest kind.
    pub clusters: usize,
    /// Members of all clusters together. Each takes about 1.5 KB and, with the largest keys and
    /// ends, at most 8.5 KB; one session's memberships share all of it.
    pub memberships: usize,
}

impl Default for RegistryLimits {
    fn default() -> Self {
        // At most some 8 GB for the worst that clients can think of, 1.5 GB for what people do.
        Self { nodes: 1_000_000, clusters: 250_000, memberships: 1_000_000 }
    }
}

/// How much a registry knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Nodes known: every ID ever accepted or issued.
    pub nodes: usize,
    /// Clusters.
    pub clusters: usize,
    /// Members of all clusters together.
    pub memberships: usize,
}
