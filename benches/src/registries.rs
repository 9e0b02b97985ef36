//! Registries of many sizes.

use xlreg::identity::{ClusterAttrs, Token};
use xlreg::message::{ClusterRef, Create, GetCluster, Reply, Request};
use xlreg::registry::{CheckedRequest, ClientState, Registry, RegistryLimits};

use crate::{Seeded, credential, identity, token};

/// The number of members of each cluster.
const MEMBERS: usize = 8;

/// A registry with a number of clusters of eight, and clients of its members. All clusters have the
/// same members, so that a million clusters fit into memory.
pub struct Registries {
    registry: Registry,
    clients: Vec<ClientState>,
    rng: Seeded,
    clusters: u64,
}

impl Registries {
    pub fn new(clusters: u64) -> Self {
        let registry = Registry::new(credential(), RegistryLimits::NONE);
        let rng = Seeded::new(7);
        let mut registries = Self { registry, clients: Vec::new(), rng, clusters: 0 };
        let tokens: Vec<Token> = (0..=MEMBERS as u64).map(|n| token(&identity(n + 1))).collect();
        registries.clients = tokens
            .into_iter()
            .map(|token| {
                let mut state = ClientState::new();
                let request = Request::Member(token);
                let outcome = registries.registry.handle(&mut state, request, &mut registries.rng);
                assert!(matches!(outcome.reply, Reply::MemberOk { .. }));
                state
            })
            .collect();
        for _ in 0..clusters {
            registries.create();
            for member in 0..MEMBERS {
                registries.join(member);
            }
        }
        registries
    }

    fn decide(&mut self, client: usize, request: Request) -> Reply {
        let Self { registry, clients, rng, .. } = self;
        let request = CheckedRequest::new(request, &xlreg::crypto::RustCrypto).expect("no Member");
        registry.handle_checked(&mut clients[client], request, rng).reply
    }

    /// A new cluster.
    pub fn create(&mut self) {
        self.clusters += 1;
        let name = format!("cluster-{}", self.clusters.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let create = Create {
            name: name.parse().expect("a name"),
            max_size: MEMBERS as u32 + 1,
            attrs: ClusterAttrs::NONE,
            end_point_count: 1,
        };
        let reply = self.decide(0, Request::Create(create));
        assert!(matches!(reply, Reply::Create(_)));
    }

    /// Some cluster, by its name.
    fn some(&self, n: u64) -> ClusterRef {
        let n = n % self.clusters + 1;
        let name = format!("cluster-{}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        ClusterRef::from(name.parse::<xlreg::identity::Name>().expect("a name"))
    }

    /// A member joins the newest cluster.
    pub fn join(&mut self, member: usize) {
        let newest = self.some(self.clusters - 1);
        let reply = self.decide(member, Request::Join(newest));
        assert!(matches!(reply, Reply::Join(_)), "{reply:?}");
    }

    /// The ninth member joins the newest cluster.
    pub fn join_newest(&mut self) {
        self.join(MEMBERS);
    }

    /// A member of all clusters joins one of them again.
    pub fn join_again(&mut self, n: u64) {
        let cluster = self.some(n);
        let reply = self.decide(0, Request::Join(cluster));
        assert!(matches!(reply, Reply::Join(_)), "{reply:?}");
    }

    /// The members of some cluster.
    pub fn get(&mut self, n: u64) -> Reply {
        let get = GetCluster { cluster: self.some(n), which: None };
        self.decide(0, Request::GetCluster(get))
    }
}
