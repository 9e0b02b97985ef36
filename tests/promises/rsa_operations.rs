//! The number of RSA operations in a whole enrollment. They are most of its cost.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rand_core::CryptoRng;
use xlreg::crypto::{
    Open, OpenError, PublicComponents, RustCrypto, Seal, SealError, Secret, Verify, VerifyError,
};
use xlreg::enroll::{Enroll, EnrollEvent, Plan, RegistryKind};
use xlreg::registry::{CheckedRequest, ClientState};
use xlreg::session::{ClientConfig, Instant, Machine, Server, ServerConfig, ServerEvent, Session};
use xlreg_testkit::Seeded;
use xlreg_testkit::pair::{DIALECTS, TestRegistry, cluster, registry_identity, token};

/// Counts the operations, and passes them on.
#[derive(Default)]
struct Counting {
    opened: AtomicUsize,
    sealed: AtomicUsize,
    verified: AtomicUsize,
}

impl Open for Counting {
    fn open(&self, ciphertext: &[u8], rng: &mut dyn CryptoRng) -> Result<Secret, OpenError> {
        self.opened.fetch_add(1, Relaxed);
        registry_identity().comms.open(ciphertext, rng)
    }
}

impl Seal for Counting {
    fn seal(
        &self,
        key: PublicComponents<'_>,
        plaintext: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        self.sealed.fetch_add(1, Relaxed);
        RustCrypto.seal(key, plaintext, rng)
    }
}

impl Verify for Counting {
    fn verify(
        &self,
        key: PublicComponents<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        self.verified.fetch_add(1, Relaxed);
        RustCrypto.verify(key, message, signature)
    }
}

#[test]
fn an_enrollment_costs_the_registry_one_private_operation_and_the_client_none() {
    let now = Instant::EPOCH;
    for dialect in DIALECTS {
        let counting: &'static Counting = Box::leak(Box::default());
        let mut registry = TestRegistry::new(dialect, Default::default());
        let credential = registry.rules.credential().clone();
        let create = cluster("solo", 1, 1);
        let plan = Plan::create_and_join(token("alice", 0, &["h:1"]), create);
        let plan = Plan { registry: RegistryKind::Xlreg, ..plan };
        let config = ClientConfig { provider: counting, ..ClientConfig::new(&credential) };
        let mut client = Enroll::new(now, config, plan, Seeded::new(1)).unwrap();
        let config = ServerConfig::new(&credential.comms_key);
        let mut server = Session::<Server>::new(now, config, Seeded::new(2));
        let (mut state, mut requests, mut done) = (ClientState::new(), 0, false);
        while !client.is_finished() {
            let n = server.receive(now, client.output());
            client.consume_output(n);
            match server.poll_event().unwrap() {
                Some(ServerEvent::Hello(hello)) => {
                    let opened = hello.open(counting, &mut Seeded::new(3));
                    server.open_hello(now, opened).unwrap();
                }
                Some(ServerEvent::Request { id, request }) => {
                    requests += 1;
                    let request = CheckedRequest::new(request, counting).unwrap();
                    let TestRegistry { rules, rng, .. } = &mut registry;
                    let outcome = rules.handle_checked(&mut state, request, rng);
                    server.reply(now, id, &outcome.reply).unwrap();
                }
                _ => {}
            }
            let n = client.receive(now, server.output());
            server.consume_output(n);
            while let Some(event) = client.poll_event().unwrap() {
                done |= event == EnrollEvent::Done;
            }
        }
        assert!(done);
        // The registry opens one Hello and checks one signature, and the client seals one Hello.
        // The client's token was signed before.
        let counts = [&counting.opened, &counting.verified, &counting.sealed];
        assert_eq!((requests, counts.map(|count| count.load(Relaxed))), (5, [1; 3]), "{dialect}");
    }
}
