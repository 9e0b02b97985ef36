//! The registry behind a server's session, and the values that members bring to it.

use xlreg::credential::Credential;
use xlreg::identity::{ClusterAttrs, Identity, MemberAttrs, NodeId, Token, Version};
use xlreg::message::{ClusterInfo, Create, MemberIndex, Reply, Request};
use xlreg::registry::{Change, ClientState, Registry, RegistryLimits};
use xlreg::session::Dialect;

use super::DIALECTS;
use crate::{KEYS, Seeded, identity};

/// The seed of the registry's IDs.
const REGISTRY_SEED: u64 = 0x4E61;

/// The backend of a server session: it answers the requests.
pub trait Backend {
    /// Answers a request of this client.
    fn answer(&mut self, state: &mut ClientState, request: Request) -> Reply;
}

/// A registry, its generator, and all its changes.
#[derive(Clone)]
pub struct TestRegistry {
    pub rules: Registry,
    pub rng: Seeded,
    pub changes: Vec<Change>,
}

impl TestRegistry {
    /// Makes an empty registry for this dialect.
    pub fn new(dialect: Dialect, limits: RegistryLimits) -> Self {
        Self {
            rules: Registry::new(credential(dialect), limits),
            rng: Seeded::new(REGISTRY_SEED),
            changes: Vec::new(),
        }
    }

    /// Makes a registry for tests that do not depend on the dialect.
    pub fn usual() -> Self {
        Self::new(DIALECTS[0], RegistryLimits::default())
    }

    /// Enrolls a member without a session, and gives its ID.
    pub fn enroll_member(&mut self, token: Token, cluster: &Create) -> NodeId {
        let mut state = ClientState::new();
        let join = Request::Join(cluster.name.clone().into());
        for request in [Request::Member(token), Request::Create(cluster.clone()), join] {
            let reply = self.answer(&mut state, request);
            assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
        }
        state.member().unwrap().0
    }
}

impl Backend for TestRegistry {
    fn answer(&mut self, state: &mut ClientState, request: Request) -> Reply {
        let outcome = self.rules.handle(state, request, &mut self.rng);
        self.changes.extend(outcome.change);
        outcome.reply
    }
}

/// The registry's keys: the last ones of the captures, so that members can have the others.
pub fn registry_identity() -> Identity {
    identity("xlReg", KEYS.comms.len() - 1)
}

/// The credential of a registry for this dialect, by its version.
pub fn credential(dialect: Dialect) -> Credential {
    let keys = registry_identity();
    Credential {
        name: keys.name,
        id: NodeId::from_bytes(&[0xE6; 32]).unwrap(),
        comms_key: keys.comms.public_key().clone(),
        sig_key: keys.sig.public_key().clone(),
        end_points: vec!["127.0.0.1:45678".parse().unwrap()],
        version: match dialect {
            Dialect::Prefixed => Version::REFERENCE,
            Dialect::Chained => Version::new(1, 8, 4, 0),
        },
    }
}

/// Makes the signed token of a new member with the `n`-th keys and these end points.
pub fn token(name: &str, n: usize, end_points: &[&str]) -> Token {
    let end_points = end_points.iter().map(|end| end.parse().unwrap()).collect();
    identity(name, n).token(MemberAttrs::NONE, end_points, &mut Seeded::new(1)).unwrap()
}

/// The token as a cluster serves it.
pub fn served(token: &Token, id: NodeId) -> Token {
    Token { id: Some(id), signature: None, ..token.clone() }
}

/// Makes a Create.
pub fn cluster(name: &str, max_size: u32, end_point_count: u32) -> Create {
    Create { name: name.parse().unwrap(), max_size, attrs: ClusterAttrs::NONE, end_point_count }
}

/// The properties of a cluster from this Create.
pub fn info(id: NodeId, create: &Create) -> ClusterInfo {
    ClusterInfo {
        id,
        max_size: create.max_size,
        attrs: create.attrs,
        end_point_count: create.end_point_count,
    }
}

/// The index of a member.
pub fn at(index: u32) -> MemberIndex {
    MemberIndex::new(index).unwrap()
}

/// An ID that no registry has issued.
pub fn id(n: u8) -> NodeId {
    NodeId::from_bytes(&[n; 32]).unwrap()
}

/// A trio with Alice and Bob in it.
pub fn duo() -> (TestRegistry, [NodeId; 2], NodeId) {
    let mut registry = TestRegistry::usual();
    let trio = cluster("trio", 3, 1);
    let alice = registry.enroll_member(token("alice", 0, &["h:1"]), &trio);
    let bob = registry.enroll_member(token("bob", 1, &["h:2"]), &trio);
    let trio = registry.rules.clusters().next().unwrap().info().id;
    (registry, [alice, bob], trio)
}

/// The state of a client after its registration.
pub fn visit(registry: &mut TestRegistry, token: Token) -> ClientState {
    let mut state = ClientState::new();
    let reply = registry.answer(&mut state, Request::Member(token));
    assert!(matches!(reply, Reply::MemberOk { .. }), "{reply:?}");
    state
}
