//! The metrics of a server.

use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use xlreg::message::{Op, Refusal, Reply};
use xlreg::registry::{Holdings, RegistryLimits, Size};
use xlreg::session::Dialect;

use crate::exposition::Format;
use crate::rates::{Counts, Meter, Rates};
use crate::store::Health;

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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    of: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOf {
    by: &'static str,
    of: &'static str,
}

/// What a store has, as metrics tell it.
pub(crate) struct StoreState {
    pub(crate) size: Size,
    pub(crate) limits: RegistryLimits,
    pub(crate) most_of_a_key: Holdings,
    pub(crate) health: Health,
}

/// The counters of one server.
pub struct Metrics {
    registry: Registry,
    open: Gauge,
    accepted: Counter,
    refused: Family<Reason, Counter>,
    handshakes: Family<Handshake, Counter>,
    requests: Family<Request, Counter>,
    refusals: Family<Reason, Counter>,
    commits: Histogram,
    changes: Counter,
    nodes: Gauge,
    clusters: Gauge,
    memberships: Gauge,
    tokens: Gauge,
    token_bytes: Gauge,
    memory_bytes: Gauge,
    limits: Family<Of, Gauge>,
    most_of_a_key: Family<Of, Gauge>,
    limits_of_a_key: Family<Of, Gauge>,
    most_in_a_minute: Family<ByOf, Gauge>,
    limits_of_a_minute: Family<ByOf, Gauge>,
    writable: Gauge,
    waiting: Gauge,
    store_bytes: Gauge,
    log_bytes: Gauge,
    /// The rates of the server that counts here.
    meter: OnceLock<Arc<Meter>>,
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
            refusals: Family::default(),
            // The buckets go from 100 µs to 1.6 s.
            commits: Histogram::new(exponential_buckets(0.0001, 2.0, 15)),
            changes: Counter::default(),
            nodes: Gauge::default(),
            clusters: Gauge::default(),
            memberships: Gauge::default(),
            tokens: Gauge::default(),
            token_bytes: Gauge::default(),
            memory_bytes: Gauge::default(),
            limits: Family::default(),
            most_of_a_key: Family::default(),
            limits_of_a_key: Family::default(),
            most_in_a_minute: Family::default(),
            limits_of_a_minute: Family::default(),
            writable: Gauge::default(),
            waiting: Gauge::default(),
            store_bytes: Gauge::default(),
            log_bytes: Gauge::default(),
            meter: OnceLock::new(),
        };
        metrics.register_connections();
        metrics.register_state();
        metrics
    }

    fn register_connections(&mut self) {
        let r = &mut self.registry;
        r.register("connections", "Connections open", self.open.clone());
        r.register("connections_accepted", "Connections let in", self.accepted.clone());
        let help = "Connections and Hellos not let in, by reason";
        r.register("refused", help, self.refused.clone());
        let help = "Handshakes by outcome and dialect";
        r.register("handshakes", help, self.handshakes.clone());
        r.register("requests", "Requests by operation and outcome", self.requests.clone());
        r.register("refusals", "Requests refused, by reason", self.refusals.clone());
        r.register("commit_seconds", "Time of one durable commit", self.commits.clone());
        r.register("changes_committed", "Changes made durable", self.changes.clone());
    }

    fn register_state(&mut self) {
        let r = &mut self.registry;
        r.register("nodes", "Nodes known", self.nodes.clone());
        r.register("clusters", "Clusters", self.clusters.clone());
        r.register("memberships", "Members of all clusters", self.memberships.clone());
        r.register("tokens", "Different tokens of members", self.tokens.clone());
        r.register("token_bytes", "Bytes of these tokens", self.token_bytes.clone());
        let help = "Bytes of memory that the state takes at most";
        r.register("memory_bytes", help, self.memory_bytes.clone());
        r.register("limit", "The limits of the registry", self.limits.clone());
        let help = "The most that one sig key has had since the start";
        r.register("key_most", help, self.most_of_a_key.clone());
        r.register("key_limit", "The limits of one sig key", self.limits_of_a_key.clone());
        let help = "The most changes of one address or sig key in this minute or the last";
        r.register("minute_most", help, self.most_in_a_minute.clone());
        let help = "The changes a minute that one address or sig key may make";
        r.register("minute_limit", help, self.limits_of_a_minute.clone());
        let help = "1 if changes can be stored, else 0";
        r.register("store_writable", help, self.writable.clone());
        r.register("changes_waiting", "Changes not durable yet", self.waiting.clone());
        r.register("store_bytes", "Size of the store's file", self.store_bytes.clone());
        r.register("store_log_bytes", "Size of the store's log", self.log_bytes.clone());
    }

    /// Tells the rates of a server. Those of the first one stay.
    pub(crate) fn tell_rates(&self, meter: Arc<Meter>) {
        let _ = self.meter.set(meter);
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
        self.refused.get_or_create(&Reason { reason }).inc();
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
        if let Reply::Error(reason) = reply {
            let reason = reason.refusal().map_or("other", Refusal::as_str);
            self.refusals.get_or_create(&Reason { reason }).inc();
        }
    }

    /// Counts changes that were made durable.
    pub(crate) fn commit(&self, changes: usize, seconds: f64) {
        self.commits.observe(seconds);
        self.changes.inc_by(changes as u64);
    }

    /// Writes all metrics, with the state of the store.
    pub(crate) fn text(
        &self,
        state: &StoreState,
        format: Format,
    ) -> Result<String, std::fmt::Error> {
        let StoreState { size, limits, most_of_a_key, health } = state;
        set(&self.nodes, size.nodes as u64);
        set(&self.clusters, size.clusters as u64);
        set(&self.memberships, size.memberships as u64);
        set(&self.tokens, size.tokens as u64);
        set(&self.token_bytes, size.token_bytes);
        set(&self.memory_bytes, size.memory_bytes());
        for (of, limit) in [
            ("nodes", limits.nodes as u64),
            ("clusters", limits.clusters as u64),
            ("memberships", limits.memberships as u64),
            ("token_bytes", limits.token_bytes),
            ("memory_bytes", limits.memory_bytes),
            ("store_bytes", limits.store_bytes),
        ] {
            set(&self.limits.get_or_create(&Of { of }), limit);
        }
        set_holdings(&self.most_of_a_key, most_of_a_key);
        set_holdings(&self.limits_of_a_key, &limits.of_a_key);
        self.set_rates();
        set(&self.writable, health.is_writable().into());
        set(&self.waiting, health.waiting);
        let disk = health.disk.unwrap_or_default();
        set(&self.store_bytes, disk.store);
        set(&self.log_bytes, disk.log);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(format.of_open_metrics(text))
    }

    fn set_rates(&self) {
        let Some(meter) = self.meter.get() else { return };
        let (rates, used) = meter.used();
        let Rates { nodes, clusters, memberships, changes, changes_of_a_key } = rates;
        let of_an_address = Counts { nodes, clusters, memberships, changes };
        let of_a_key = Counts { changes: changes_of_a_key, ..Counts::default() };
        for (by, used, limits) in
            [("address", used.by_an_address, of_an_address), ("key", used.by_a_key, of_a_key)]
        {
            for (of, used, limit) in [
                ("nodes", used.nodes, limits.nodes),
                ("clusters", used.clusters, limits.clusters),
                ("memberships", used.memberships, limits.memberships),
                ("changes", used.changes, limits.changes),
            ] {
                // A key has a rate of changes alone.
                if by == "address" || of == "changes" {
                    set(&self.most_in_a_minute.get_or_create(&ByOf { by, of }), used.into());
                    set(&self.limits_of_a_minute.get_or_create(&ByOf { by, of }), limit.into());
                }
            }
        }
    }
}

/// Sets a gauge. At its end it shows the nearest that it can.
fn set(gauge: &Gauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

fn set_holdings(family: &Family<Of, Gauge>, holdings: &Holdings) {
    let Holdings { nodes, clusters, memberships } = holdings;
    for (of, value) in [("nodes", nodes), ("clusters", clusters), ("memberships", memberships)] {
        set(&family.get_or_create(&Of { of }), *value as u64);
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
