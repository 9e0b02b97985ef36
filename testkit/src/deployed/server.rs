//! The process of a deployed server: its keys, its clusters and its deaths.

use std::collections::VecDeque;

use rand_core::Rng;
use xlreg::crypto::Open;
use xlreg::identity::Version;
use xlreg::session::Dialect;

use super::{Cause, Connection, Member, Seeded};
use crate::peer::Secrets;

/// The behaviour of a server in a test.
#[derive(Clone, Debug)]
pub struct Ways {
    /// The version. Below 1.9 it is the chained dialect, otherwise the prefixed one.
    pub version: Version,
    /// The number of connections until a restart. The server never frees one.
    pub descriptors: usize,
    /// Every n-th Create is answered "name already in use", as if many clients had sent it at once.
    pub busy_at_create: Option<usize>,
    /// Whether the server dies at once of things that end it only sometimes: a record that is cut
    /// between two blocks, or two records in one read.
    pub unlucky: bool,
    /// One fault.
    pub fault: Option<Fault>,
}

impl Ways {
    /// The usual behaviour of this version.
    pub fn of(version: Version) -> Self {
        Self { version, descriptors: 1000, busy_at_create: None, unlucky: true, fault: None }
    }
}

/// A fault, and the number of the reply where it happens, counted since the test began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server is restarted after this reply.
    RestartAfter(usize),
    /// The server is restarted before this reply.
    RestartBefore(usize),
    /// The connection is lost before this reply. The server goes on, and forgets nothing.
    Loss(usize),
}

/// The values of a capture that replace draws.
#[derive(Default)]
pub struct Scripted {
    pub secrets: VecDeque<Secrets>,
    pub cluster_ids: VecDeque<Vec<u8>>,
}

/// A cluster, with its members in the order of joining.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub name: Vec<u8>,
    pub id: Vec<u8>,
    pub max_size: u64,
    pub end_point_count: u64,
    pub members: Vec<Member>,
}

/// A deployed server. After a restart it is another process.
pub struct DeployedServer {
    pub ways: Ways,
    pub scripted: Scripted,
    pub clusters: Vec<Cluster>,
    /// Every Op that it got, with the number of the connection.
    pub log: Vec<(usize, u64)>,
    /// The cause of each death.
    pub deaths: Vec<Cause>,
    pub replies: usize,
    key: Box<dyn Open + Send>,
    rng: Seeded,
    /// The number of connections since the last start.
    open: usize,
    accepted: usize,
    creates: usize,
    /// The number of the process. Connections to an earlier one are closed.
    life: usize,
    is_dead: bool,
}

impl DeployedServer {
    /// Makes a server with this comms key.
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

    /// The dialect of the server.
    pub fn dialect(&self) -> Dialect {
        match self.ways.version < Version::new(1, 9, 0, 0) {
            true => Dialect::Chained,
            false => Dialect::Prefixed,
        }
    }

    /// Whether the process has ended and was not restarted.
    pub fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// The number of connections since the test began.
    pub fn accepted(&self) -> usize {
        self.accepted
    }

    /// The number of the process, from 0.
    pub fn life(&self) -> usize {
        self.life
    }

    /// Accepts a connection; `None` if the process is dead, or dies of it.
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

    /// Starts a new process. All clusters are forgotten, and all connections are closed.
    pub fn restart(&mut self) {
        self.life += 1;
        self.is_dead = false;
        self.open = 0;
        self.clusters.clear();
    }

    /// The Ops of all connections, in the order of arrival.
    pub fn ops(&self) -> Vec<u64> {
        self.log.iter().map(|(_, op)| *op).collect()
    }

    /// Finds the first cluster for which this is true.
    pub fn cluster(&mut self, is_it: impl Fn(&Cluster) -> bool) -> Option<&mut Cluster> {
        self.clusters.iter_mut().find(|cluster| is_it(cluster))
    }

    /// Makes a cluster, and gives its ID.
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

    /// Opens a sealed Hello.
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

    /// Servers up to 1.5.0 issue longer IDs.
    pub(super) fn new_id(&mut self) -> Vec<u8> {
        let is_old = self.ways.version <= Version::new(1, 5, 0, 0);
        let mut id = vec![0; if is_old { 32 } else { 20 }];
        self.rng.fill_bytes(&mut id);
        id
    }

    /// Whether this Create counts as one of many at once.
    pub(super) fn is_busy(&mut self) -> bool {
        self.creates += 1;
        self.ways.busy_at_create.is_some_and(|each| self.creates.is_multiple_of(each))
    }

    /// Notes a reply. Gives whether it is sent, and whether the connection goes on.
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
