//! The metrics of a server.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use xlreg::message::{Op, Reply};
use xlreg::registry::Size;
use xlreg::session::Dialect;

use crate::exposition::Format;
use crate::store::Health;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Handshake {
    outcome: &'static str,
    dialect: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    op: &'static str,
    outcome: &'static str,
}

/// The counters of one server.
pub struct Metrics {
    registry: Registry,
    open: Gauge,
    accepted: Counter,
    refused: Family<Refused, Counter>,
    handshakes: Family<Handshake, Counter>,
    requests: Family<Request, Counter>,
    commits: Histogram,
    changes: Counter,
    nodes: Gauge,
    clusters: Gauge,
    memberships: Gauge,
    writable: Gauge,
    waiting: Gauge,
    store_bytes: Gauge,
    log_bytes: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Makes counters at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("xlreg"),
            open: Gauge::default(),
            accepted: Counter::default(),
            refused: Family::default(),
            handshakes: Family::default(),
            requests: Family::default(),
            // The buckets go from 100 µs to 1.6 s.
            commits: Histogram::new(exponential_buckets(0.0001, 2.0, 15)),
            changes: Counter::default(),
            nodes: Gauge::default(),
            clusters: Gauge::default(),
            memberships: Gauge::default(),
            writable: Gauge::default(),
            waiting: Gauge::default(),
            store_bytes: Gauge::default(),
            log_bytes: Gauge::default(),
        };
        let r = &mut metrics.registry;
        r.register("connections", "Connections open", metrics.open.clone());
        r.register("connections_accepted", "Connections let in", metrics.accepted.clone());
        r.register(
            "refused",
            "Connections and Hellos not let in, by reason",
            metrics.refused.clone(),
        );
        r.register("handshakes", "Handshakes by outcome and dialect", metrics.handshakes.clone());
        r.register("requests", "Requests by operation and outcome", metrics.requests.clone());
        r.register("commit_seconds", "Time of one durable commit", metrics.commits.clone());
        r.register("changes_committed", "Changes made durable", metrics.changes.clone());
        r.register("nodes", "Nodes known", metrics.nodes.clone());
        r.register("clusters", "Clusters", metrics.clusters.clone());
        r.register("memberships", "Members of all clusters", metrics.memberships.clone());
        r.register(
            "store_writable",
            "1 if changes can be stored, else 0",
            metrics.writable.clone(),
        );
        r.register("changes_waiting", "Changes not durable yet", metrics.waiting.clone());
        r.register("store_bytes", "Size of the store's file", metrics.store_bytes.clone());
        r.register("store_log_bytes", "Size of the store's log", metrics.log_bytes.clone());
        metrics
    }

    /// Adds a counter of lost log lines. `lost` gives their number, because the log belongs to the
    /// process.
    pub fn with_lost_log_lines(mut self, lost: fn() -> u64) -> Self {
        self.registry.register_collector(Box::new(LogLines(lost)));
        self
    }

    /// Counts a connection as open, until the value is dropped.
    pub(crate) fn connection(self: &Arc<Self>) -> impl Sized + use<> {
        self.accepted.inc();
        self.open.inc();
        Open(Arc::clone(self))
    }

    /// Counts a connection that was not let in.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Refused { reason }).inc();
    }

    /// Counts the end of a handshake.
    pub(crate) fn handshake(&self, outcome: &'static str, dialect: Option<Dialect>) {
        let dialect = dialect.map_or("unknown".into(), |dialect| dialect.to_string());
        self.handshakes.get_or_create(&Handshake { outcome, dialect }).inc();
    }

    /// Counts an answered request.
    pub(crate) fn request(&self, op: Op, reply: &Reply) {
        let outcome = match reply {
            Reply::Error(_) => "refused",
            _ => "ok",
        };
        self.requests.get_or_create(&Request { op: op.name(), outcome }).inc();
    }

    /// Counts changes that were made durable.
    pub(crate) fn commit(&self, changes: usize, seconds: f64) {
        self.commits.observe(seconds);
        self.changes.inc_by(changes as u64);
    }

    /// Writes all metrics, with the size and the health of the store.
    pub(crate) fn text(
        &self,
        size: Size,
        health: &Health,
        format: Format,
    ) -> Result<String, std::fmt::Error> {
        let gauge =
            // A gauge at its end is the nearest that it can show.
            |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        gauge(&self.nodes, size.nodes as u64);
        gauge(&self.clusters, size.clusters as u64);
        gauge(&self.memberships, size.memberships as u64);
        gauge(&self.writable, health.is_writable().into());
        gauge(&self.waiting, health.waiting);
        let disk = health.disk.unwrap_or_default();
        gauge(&self.store_bytes, disk.store);
        gauge(&self.log_bytes, disk.log);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(format.of_open_metrics(text))
    }
}

/// The number of lost log lines.
#[derive(Debug)]
struct LogLines(fn() -> u64);

impl Collector for LogLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let lost = ConstCounter::new((self.0)());
        let help = "Lines of the log that were lost: nobody read it, or the disk was full";
        lost.encode(encoder.encode_descriptor("log_lines_lost", help, None, lost.metric_type())?)
    }
}

struct Open(Arc<Metrics>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.dec();
    }
}
