//! The registry's rules as pure functions (PROTOCOL 6): a request goes in, a reply and a [`Change`]
//! come out.
//!
//! * [`decide`] is the rules. It looks things up in a [`View`] and changes only the [`ClientState`]
//!   of the session, so it works over any store.
//! * [`Registry`] is a registry in memory, shared by all sessions. [`Registry::handle`] decides and
//!   applies at once. Its caller makes the [`Change`]s durable in their order. It sends a reply
//!   when all changes up to the [`Outcome`]'s revision are durable. [`Registry::apply`] rebuilds
//!   the registry from its changes.
//! * The check of a signature is the one slow step, and needs no registry. [`CheckedRequest::new`]
//!   checks it on any thread; [`Registry::handle_checked`] does the rest.
//! * The rules of one cluster are functions over one value ([`Cluster`]), so a store on several
//!   machines can run them as compare-and-swap.

mod change;
mod change_bytes;
mod client_state;
mod cluster;
mod clusters;
mod memory;
mod rules;
mod tokens;
mod view;

pub use change::{ApplyError, Change};
pub use change_bytes::ChangeBytesError;
pub use client_state::{CheckedRequest, ClientState};
pub use cluster::{Cluster, Joined};
pub use memory::{Outcome, Registry};
pub use rules::{Decision, decide};
pub use view::View;

/// How large a registry may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RegistryLimits {
    /// Nodes known. Each takes about 120 bytes of memory.
    pub nodes: usize,
    /// Clusters, members apart. Each takes at most 700 bytes, with a name of the longest kind.
    pub clusters: usize,
    /// Members of all clusters together. Each takes about 1.5 KB, and at most 8.5 KB with the
    /// largest keys and end points. The members that one session adds share most of that.
    pub memberships: usize,
}

impl Default for RegistryLimits {
    fn default() -> Self {
        // This is 1.5 GB of memory for what people do, and some 8 GB for the worst that clients can
        // send.
        Self { nodes: 1_000_000, clusters: 250_000, memberships: 1_000_000 }
    }
}

/// How much a registry knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Size {
    /// Nodes known: every ID that was accepted or issued.
    pub nodes: usize,
    /// Clusters.
    pub clusters: usize,
    /// Members of all clusters together.
    pub memberships: usize,
}
