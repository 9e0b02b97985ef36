//! The process: its keys, its clusters, whether it lives.

use std::collections::VecDeque;

use rand_core::Rng;
use xlreg::crypto::Open;
use xlreg::identity::Version;
use xlreg::session::Dialect;

use super::{Cause, Connection, Member, Seeded};
use crate::peer::Secrets;

/// What a test wants of a server.
#[derive(Clone, Debug)]
pub struct Ways {
    /// Below 1.9 it speaks the chained dialect, else the prefixed one.
    pub version: Version,
    /// How many connections it can have until it is restarted. It gives none back.
    pub descriptors: usize,
    /// Each Create whose number this divides is answered "name already in use", as one of many at
    /// once is.
    pub busy_at_create: Option<usize>,
    /// Whether what ends it now and then does so the first time: a record that is cut between two
    /// blocks, or that another follows in the same read.
    pub unlucky: bool,
    /// What goes wrong, once.
    pub fault: Option<Fault>,
}

impl Ways {
    /// The usual ways of this version.
    pub fn of(version: Version) -> Self {
        Self { version, descriptors: 1000, busy_at_create: None, unlucky: true, fault: None }
    }
}

/// What goes wrong, and with which reply, counted since the test began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server is restarted once this one has gone out.
    RestartAfter(usize),
    /// The server is restarted before this one goes out.
    RestartBefore(usize),
    /// The connection is lost before this one goes out. The server goes on, and forgets nothing.
    Loss(usize),
}

/// What a server takes from a capture instead of drawing it.
#[derive(Default)]
pub struct Scripted {
    pub secrets: VecDeque<Secrets>,
    pub cluster_ids: VecDeque<Vec<u8>>,
}

/// A cluster, in the order of joining.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub name: Vec<u8>,
    pub id: Vec<u8>,
    pub max_size: u64,
    pub end_point_count: u64,
    pub members: Vec<Member>,
}

/// A deployed server: one process after the other, if it is restarted.
pub struct DeployedServer {
    pub ways: Ways,
    pub scripted: Scripted,
    pub clusters: Vec<Cluster>,
    /// Every Op it was sent, as it was, with the number of the connection.
    pub log: Vec<(usize, u64)>,
    /// What it died of, each time.
    pub deaths: Vec<Cause>,
    pub replies: usize,
    key: Box<dyn Open + Send>,
    rng: Seeded,
    /// Connections since the last start.
    open: usize,
    accepted: usize,
    creates: usize,
    /// Which process it is; connections to another are closed.
    life: usize,
    is_dead: bool,
}

impl DeployedServer {
    /// `key` is its comms key.
    pub fn new(ways: Ways, key: impl Open + Send + 'static) -> Self {
        Self {
            ways,
            scripted: Scripted::default(),
            clusters: Vec::new(),
            log: Vec::new(),
            deaths: Vec::new(),
            replies: 0,
            key: Box::new(key),
            rng: Seeded::new(0xDE9),
            open: 0,
            accepted: 0,
            creates: 0,
            life: 0,
            is_dead: false,
        }
    }

    /// What it speaks.
    pub fn dialect(&self) -> Dialect {
        match self.ways.version < Version::new(1, 9, 0, 0) {
            true => Dialect::Chained,
            false => Dialect::Prefixed,
        }
    }

    /// Whether the process has ended and was not started again.
    pub fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// Connections since the test began.
    pub fn accepted(&self) -> usize {
        self.accepted
    }

    /// Which process it is, counted from 0.
    pub fn life(&self) -> usize {
        self.life
    }

    /// A connection; none if the process is dead, or dies of it.
    pub fn accept(&mut self) -> Option<Connection> {
        if self.is_dead {
            return None;
        }
        self.open += 1;
        if self.open > self.ways.descriptors {
            self.die(Cause::TooManyConnections);
            return None;
        }
        self.accepted += 1;
        Some(Connection::new(self.accepted, self.life))
    }

    /// A new process: every cluster is forgotten, every connection closed.
    pub fn restart(&mut self) {
        self.life += 1;
        self.is_dead = false;
        self.open = 0;
        self.clusters.clear();
    }

    /// The Ops of all connections in the order they came.
    pub fn ops(&self) -> Vec<u64> {
        self.log.iter().map(|(_, op)| *op).collect()
    }

    /// The first cluster of which this is true.
    pub fn cluster(&mut self, is_it: impl Fn(&Cluster) -> bool) -> Option<&mut Cluster> {
        self.clusters.iter_mut().find(|cluster| is_it(cluster))
    }

    /// Makes a cluster; its ID.
    pub fn create(&mut self, name: &[u8], max_size: u64, end_point_count: u64) -> Vec<u8> {
        let id = self.scripted.cluster_ids.pop_front().unwrap_or_else(|| self.new_id());
        self.clusters.push(Cluster {
            name: name.into(),
            id: id.clone(),
            max_size: max_size.clamp(2, 64),
            end_point_count,
            members: Vec::new(),
        });
        id
    }

    pub(super) fn die(&mut self, cause: Cause) {
        self.restart();
        self.is_dead = true;
        self.deaths.push(cause);
    }

    /// Opens what a Hello is sealed to.
    pub(super) fn open_hello(&mut self, sealed: &[u8]) -> Option<Vec<u8>> {
        let plain = self.key.open(sealed, &mut self.rng).ok()?;
        Some(plain.expose().into())
    }

    pub(super) fn secrets(&mut self) -> Secrets {
        if let Some(secrets) = self.scripted.secrets.pop_front() {
            return secrets;
        }
        let mut secrets = Secrets::default();
        self.rng.fill_bytes(&mut secrets.key2);
        self.rng.fill_bytes(&mut secrets.iv2);
        self.rng.fill_bytes(&mut secrets.salt2);
        secrets
    }

    /// Servers up to 1.5.0 issue longer ones.
    pub(super) fn new_id(&mut self) -> Vec<u8> {
        let is_old = self.ways.version <= Version::new(1, 5, 0, 0);
        let mut id = vec![0; if is_old { 32 } else { 20 }];
        self.rng.fill_bytes(&mut id);
        id
    }

    /// Whether this Create is one of many at once.
    pub(super) fn is_busy(&mut self) -> bool {
        self.creates += 1;
        self.ways.busy_at_create.is_some_and(|each| self.creates.is_multiple_of(each))
    }

    /// A reply is to go out; whether it does, and whether the connection goes on.
    pub(super) fn reply(&mut self) -> (bool, bool) {
        self.replies += 1;
        let n = self.replies;
        let (restarts, goes_out) = match self.ways.fault {
            Some(Fault::RestartAfter(at)) if at == n => (true, true),
            Some(Fault::RestartBefore(at)) if at == n => (true, false),
            Some(Fault::Loss(at)) if at == n => (false, false),
            _ => return (true, true),
        };
        self.ways.fault = None;
        if restarts {
            self.restart();
        }
        (goes_out, false)
    }
}
