//! How much a registry knows, and how much it may.

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
    /// The different tokens that they have.
    pub tokens: usize,
    /// The bytes of these tokens, as they are in a list of members.
    pub token_bytes: u64,
}

/// The memory of a node and of what is known of its sig key, in bytes; `tests/memory/state.rs`
/// measures these numbers.
const NODE: u64 = 450;
/// The memory of a cluster with the longest name.
const CLUSTER: u64 = 750;
/// The memory of a membership without its token.
const MEMBERSHIP: u64 = 100;
/// The memory of a token apart from its bytes, which are there twice: encoded, and in parts.
const TOKEN: u64 = 500;

impl Size {
    /// The bytes of memory that this takes at most, for a server of this project with a store on
    /// disk.
    pub fn memory_bytes(&self) -> u64 {
        let counts = [
            (self.nodes, NODE),
            (self.clusters, CLUSTER),
            (self.memberships, MEMBERSHIP),
            (self.tokens, TOKEN),
        ];
        // At its end the number is as good as any: all of it is there already.
        let bytes = counts
            .map(|(count, bytes)| u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(bytes));
        bytes.into_iter().fold(self.token_bytes.saturating_mul(2), u64::saturating_add)
    }
}

/// How large a registry may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RegistryLimits {
    /// Nodes known.
    pub nodes: usize,
    /// Clusters, members apart.
    pub clusters: usize,
    /// Members of all clusters together.
    pub memberships: usize,
    /// Bytes of the different tokens that members have ([`Size::token_bytes`]).
    pub token_bytes: u64,
    /// Bytes of memory for all of that ([`Size::memory_bytes`]).
    pub memory_bytes: u64,
    /// Bytes that a store has on disk, if it has a disk. The store itself sees to it.
    pub store_bytes: u64,
    /// How much one sig key may have.
    pub of_a_key: Holdings,
}

impl RegistryLimits {
    /// No limits but those of numbers and of memory.
    pub const NONE: Self = Self {
        nodes: usize::MAX,
        clusters: usize::MAX,
        memberships: usize::MAX,
        token_bytes: u64::MAX,
        memory_bytes: u64::MAX,
        store_bytes: u64::MAX,
        of_a_key: Holdings::ALL,
    };
}

impl Default for RegistryLimits {
    /// What people do takes some 600 MB of memory at these counts. The worst that clients can send
    /// is stopped by the bytes.
    fn default() -> Self {
        Self {
            nodes: 1_000_000,
            clusters: 250_000,
            memberships: 1_000_000,
            token_bytes: 1 << 30,
            memory_bytes: 3 << 30,
            store_bytes: 4 << 30,
            // Far more than people do. Anybody can have many keys, so this bounds mistakes.
            of_a_key: Holdings { nodes: 1_000, clusters: 10_000, memberships: 50_000 },
        }
    }
}

/// What one sig key has in a registry, or may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Holdings {
    /// Node IDs that are bound to it. A node has one; a client that forgets its own gets another.
    pub nodes: usize,
    /// Clusters that it has created.
    pub clusters: usize,
    /// Memberships of its nodes.
    pub memberships: usize,
}

impl Holdings {
    /// More than there can be.
    pub const ALL: Self = Self { nodes: usize::MAX, clusters: usize::MAX, memberships: usize::MAX };
}
