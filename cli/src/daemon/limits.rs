//! The limits of a registry, as flags of `xlreg serve`.

use xlreg::registry::{Holdings, RegistryLimits};
use xlreg_server::{Limits, Rates};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// The number of open connections; more are closed at once
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections, value_parser = seats)]
    max_connections: usize,
    /// The number of open connections of one address
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections_per_address, value_parser = seats)]
    max_connections_per_address: usize,
    /// The number of handshakes per second of one address, in the long run
    #[arg(long, value_name = "PER_SECOND_PER_ADDRESS", default_value_t = Limits::default().hello_rate, value_parser = rate)]
    hello_rate: f64,
    /// The number of nodes; each takes some memory for ever
    #[arg(long, value_name = "N", default_value_t = RegistryLimits::default().nodes)]
    max_nodes: usize,
    /// The number of clusters
    #[arg(long, value_name = "N", default_value_t = RegistryLimits::default().clusters)]
    max_clusters: usize,
    /// The number of members of all clusters together
    #[arg(long, value_name = "N", default_value_t = RegistryLimits::default().memberships)]
    max_memberships: usize,
    /// The bytes of all that members say of themselves; like all sizes: a number, or with KiB, MiB,
    /// GiB behind it
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = bytes)]
    max_token_bytes: u64,
    /// The bytes of memory for nodes, clusters and members
    #[arg(long, value_name = "BYTES", default_value = "3GiB", value_parser = bytes)]
    max_memory: u64,
    /// The bytes of the store on disk
    #[arg(long, value_name = "BYTES", default_value = "4GiB", value_parser = bytes)]
    max_store: u64,
    /// The number of nodes that one sig key may be
    #[arg(long, value_name = "N", default_value_t = RegistryLimits::default().of_a_key.nodes)]
    max_nodes_per_key: usize,
    /// The number of clusters that one sig key may have created
    #[arg(long, value_name = "N", default_value_t = RegistryLimits::default().of_a_key.clusters)]
    max_clusters_per_key: usize,
    /// The number of memberships of one sig key
    #[arg(long, value_name = "N", default_value_t = RegistryLimits::default().of_a_key.memberships)]
    max_memberships_per_key: usize,
    /// New nodes of one address in a minute
    #[arg(long, value_name = "PER_MINUTE_PER_ADDRESS", default_value_t = Rates::default().nodes)]
    node_rate: u32,
    /// New clusters of one address in a minute
    #[arg(long, value_name = "PER_MINUTE_PER_ADDRESS", default_value_t = Rates::default().clusters)]
    cluster_rate: u32,
    /// New memberships of one address in a minute
    #[arg(long, value_name = "PER_MINUTE_PER_ADDRESS", default_value_t = Rates::default().memberships)]
    membership_rate: u32,
    /// Changes of one address in a minute, new nodes, clusters and memberships included
    #[arg(long, value_name = "PER_MINUTE_PER_ADDRESS", default_value_t = Rates::default().changes)]
    change_rate: u32,
    /// Changes of one sig key in a minute
    #[arg(long, value_name = "PER_MINUTE_PER_KEY", default_value_t = Rates::default().changes_of_a_key)]
    change_rate_per_key: u32,
}

impl LimitArgs {
    /// The limits on what clients may use together.
    pub fn connections(&self) -> Limits {
        Limits {
            connections: xlreg_server::connections_within_files(self.max_connections),
            connections_per_address: self.max_connections_per_address,
            hello_rate: self.hello_rate,
            ..Limits::default()
        }
    }

    /// How large the registry may grow.
    pub const fn registry(&self) -> RegistryLimits {
        RegistryLimits {
            nodes: self.max_nodes,
            clusters: self.max_clusters,
            memberships: self.max_memberships,
            token_bytes: self.max_token_bytes,
            memory_bytes: self.max_memory,
            store_bytes: self.max_store,
            of_a_key: Holdings {
                nodes: self.max_nodes_per_key,
                clusters: self.max_clusters_per_key,
                memberships: self.max_memberships_per_key,
            },
        }
    }

    /// How many changes a minute are accepted from whom.
    pub const fn rates(&self) -> Rates {
        Rates {
            nodes: self.node_rate,
            clusters: self.cluster_rate,
            memberships: self.membership_rate,
            changes: self.change_rate,
            changes_of_a_key: self.change_rate_per_key,
        }
    }
}

fn seats(text: &str) -> Result<usize, String> {
    let seats = text.parse().ok().filter(|seats| (1..=1_000_000).contains(seats));
    seats.ok_or_else(|| "a number from 1 to 1000000 is expected".into())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "a number above 0 is expected".into())
}

/// Reads a number of bytes: digits, and perhaps a unit.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..) {
        Some("" | "B") => Some(1),
        Some("KiB" | "K") => Some(1 << 10),
        Some("MiB" | "M") => Some(1 << 20),
        Some("GiB" | "G") => Some(1 << 30),
        _ => None,
    };
    let number: Option<u64> = digits.parse().ok();
    let bytes = number.zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    bytes.ok_or_else(|| "a number of bytes is expected, as 1048576, 64MiB or 2GiB".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_or_are_bytes() {
        let read = [("0", 0), ("17", 17), ("17B", 17), ("2KiB", 2048), ("3M", 3 << 20)];
        for (text, expected) in read.into_iter().chain([("4GiB", 4 << 30)]) {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "GiB", "-1", "1.5GiB", "1 GiB", "2TB", "18446744073709551615K", "1gib"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            limits: LimitArgs,
        }
        let Command { limits } = clap::Parser::parse_from(["serve"]);
        assert_eq!(limits.registry(), RegistryLimits::default());
        assert_eq!(limits.rates(), Rates::default());
    }
}
