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
mod keys;
mod memory;
mod node;
mod room;
mod rules;
mod size;
mod tokens;
mod undo;
mod view;

pub use change::{ApplyError, Change};
pub use change_bytes::ChangeBytesError;
pub use client_state::{CheckedRequest, ClientState};
pub use cluster::{Cluster, ClusterProperties, Joined};
pub use memory::{Outcome, Registry};
pub use node::{Day, Node};
pub use rules::{Decision, decide};
pub use size::{Holdings, RegistryLimits, Size};
pub use view::View;
