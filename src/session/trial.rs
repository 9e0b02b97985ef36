//! Tests that a third dialect fits in: it is two files, one in `handshake/` and one in `record/`,
//! and a row in each of their tables. Both roles speak it. A registry that speaks it chooses by the
//! first bytes, and serves the deployed dialects as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;
use std::sync::LazyLock;

use rand_core::{CryptoRng, TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};

use super::{
    Client, ClientConfig, ClientEvent, Dialect, Error, Instant, Limits, Server, ServerConfig,
    ServerEvent, Session, State,
};
use crate::crypto::{Open, OpenError, PublicComponents, Seal, SealError, Secret};
use crate::identity::{ClusterAttrs, CommsKeyPair, MemberAttrs, PublicKey, Token, Version};
use crate::message::{ClusterInfo, Create, Reply, Request};

const NOW: Instant = Instant::EPOCH;
const DIALECTS: [Dialect; 3] = [Dialect::Trial, Dialect::Prefixed, Dialect::Chained];

/// A generator that counts, so that the test knows what is drawn.
struct Counter(u8);

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}

/// Seals nothing: this test is not about RSA.
struct Plain;

impl Seal for Plain {
    fn seal(
        &self,
        key: PublicComponents<'_>,
        plaintext: &[u8],
        _: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        let mut sealed = plaintext.to_vec();
        sealed.resize(key.modulus.len(), 0);
        Ok(sealed)
    }
}

/// Opens what [`Plain`] has sealed.
struct Opener(Dialect);

impl Open for Opener {
    fn open(&self, ciphertext: &[u8], _: &mut dyn CryptoRng) -> Result<Secret, OpenError> {
        let len = if self.0 == Dialect::Chained { 60 } else { 44 };
        Ok(Secret::new(ciphertext.get(..len).ok_or(OpenError)?.to_vec()))
    }
}

static KEY: LazyLock<PublicKey> = LazyLock::new(|| {
    let pair = CommsKeyPair::generate(1024, &mut crate::crypto::SystemRng);
    pair.expect("a key").public_key().clone()
});

/// Both ends of one connection, which carries `chunk` bytes at a time.
struct Ends {
    client: Session<Client>,
    server: Session<Server>,
    dialect: Dialect,
    chunk: usize,
}

impl Ends {
    fn new(dialect: Dialect, chunk: usize) -> Self {
        let config = ClientConfig {
            registry_key: KEY.clone(),
            dialect,
            version: Version::new(1, 2, 3, 4),
            limits: Limits::client(),
            provider: &Plain,
        };
        Self {
            client: Session::<Client>::new(NOW, config, Counter(1)).unwrap(),
            server: Session::<Server>::new(NOW, ServerConfig::new(&KEY), Counter(101)),
            dialect,
            chunk,
        }
    }

    /// Carries bytes until both sides wait. Returns the events of each side.
    fn settle(&mut self) -> (Vec<ClientEvent>, Vec<Request>) {
        let (mut told, mut asked) = (Vec::new(), Vec::new());
        loop {
            let sent = self.client.output();
            let (piece, _) = sent.split_at(sent.len().min(self.chunk));
            let taken = self.server.receive(NOW, piece);
            self.client.consume_output(taken);
            let sent = self.server.output();
            let (piece, _) = sent.split_at(sent.len().min(self.chunk));
            let given = self.client.receive(NOW, piece);
            self.server.consume_output(given);
            let mut is_quiet = taken == 0 && given == 0;
            if let Some(event) = self.client.poll_event().unwrap() {
                told.push(event);
                is_quiet = false;
            }
            match self.server.poll_event().unwrap() {
                Some(ServerEvent::Hello(hello)) => {
                    let opened = hello.open(&Opener(self.dialect), &mut Counter(0));
                    self.server.open_hello(NOW, opened).unwrap();
                    is_quiet = false;
                }
                Some(ServerEvent::Request { id, request }) => {
                    self.server.reply(NOW, id, &answer(&request)).unwrap();
                    asked.push(request);
                    is_quiet = false;
                }
                None => {}
            }
            if is_quiet {
                return (told, asked);
            }
        }
    }

    /// The value of the handshake, as each side has it.
    fn bindings(&self) -> [Option<[u8; 32]>; 2] {
        [
            self.client.engine.channel().unwrap().binding,
            self.server.engine.channel().unwrap().binding,
        ]
    }
}

fn answer(request: &Request) -> Reply {
    match request {
        Request::Member(_) => Reply::MemberOk { id: [7; 32].into(), attrs: MemberAttrs::NONE },
        Request::Create(create) => Reply::Create(ClusterInfo {
            id: [8; 32].into(),
            max_size: create.max_size,
            attrs: create.attrs,
            end_point_count: create.end_point_count,
        }),
        Request::Bye => Reply::Ack,
        other => panic!("not asked here: {other:?}"),
    }
}

/// A token whose signature is valid in one session only.
fn token(binding: Option<[u8; 32]>) -> Token {
    Token {
        name: "alice".parse().unwrap(),
        attrs: MemberAttrs::NONE,
        id: None,
        comms_key: KEY.clone(),
        sig_key: KEY.clone(),
        end_points: vec!["10.0.0.1:4000".parse().unwrap()],
        signature: Some(proof(binding)),
    }
}

fn proof(binding: Option<[u8; 32]>) -> Vec<u8> {
    let bound = Sha256::new().chain_update("proof").chain_update(binding.unwrap_or_default());
    bound.finalize().to_vec()
}

fn create() -> Create {
    Create {
        name: "c".repeat(200).parse().unwrap(),
        max_size: 3,
        attrs: ClusterAttrs::NONE,
        end_point_count: 1,
    }
}

#[test]
fn every_dialect_goes_its_way_in_any_pieces() {
    for dialect in DIALECTS {
        for chunk in [1, 2, 7, 16, 43, 64, 1000, usize::MAX] {
            let mut ends = Ends::new(dialect, chunk);
            let version = Version::REFERENCE;
            let (told, asked) = ends.settle();
            assert_eq!(told, [ClientEvent::Connected { dialect, version }], "{dialect} {chunk}");
            assert!(asked.is_empty());
            assert_eq!(ends.server.dialect(), Some(dialect));
            assert_eq!(ends.server.peer_version(), Some(Version::new(1, 2, 3, 4)));

            // A proof in the Member needs a value of the handshake. Both sides have it.
            let [ours, theirs] = ends.bindings();
            assert_eq!((ours, ours.is_some()), (theirs, dialect == Dialect::Trial));
            ends.client.register(NOW, token(ours)).unwrap();
            // This message takes several frames.
            ends.client.create(NOW, create()).unwrap();
            ends.client.bye(NOW).unwrap();
            let (told, asked) = ends.settle();
            assert_eq!(told.len(), 3, "{dialect} {chunk}: {told:?}");
            let [Request::Member(token), Request::Create(created), Request::Bye] = &asked[..]
            else {
                panic!("{asked:?}")
            };
            assert_eq!(token.signature.as_deref(), Some(&proof(theirs)[..]));
            assert_eq!(*created, create());
            assert!(ends.client.is_finished() && ends.server.is_finished());
        }
    }
}

#[test]
fn a_proof_does_not_hold_in_another_session() {
    let mut ends = Ends::new(Dialect::Trial, 1000);
    ends.settle();
    let before = ends.bindings();
    let mut others = Ends::new(Dialect::Trial, 1000);
    others.server = Session::<Server>::new(NOW, ServerConfig::new(&KEY), Counter(102));
    others.settle();
    assert_ne!(before, others.bindings());
}

#[test]
fn a_frame_that_is_changed_anywhere_is_met_with_silence() {
    let sent = |ends: &mut Ends| {
        ends.settle();
        let binding = ends.bindings()[0];
        ends.client.register(NOW, token(binding)).unwrap();
        let sent = ends.client.output().to_vec();
        ends.client.consume_output(sent.len());
        sent
    };
    let len = sent(&mut Ends::new(Dialect::Trial, 1000)).len();
    assert!(len > 3 * 82, "several frames");
    for place in 0..len {
        let mut ends = Ends::new(Dialect::Trial, 1000);
        let mut frames = sent(&mut ends);
        *frames.get_mut(place).unwrap() ^= 1;
        let mut rest = &frames[..];
        let error = loop {
            let taken = ends.server.receive(NOW, rest);
            rest = rest.get(taken..).unwrap();
            match ends.server.poll_event() {
                Err(error) => break Some(error),
                Ok(None) if taken == 0 => break None,
                Ok(None) => {}
                Ok(Some(event)) => panic!("{place}: {event:?}"),
            }
        };
        // A changed length may make the session wait for ever, but never gives a message.
        if let Some(error) = error {
            assert_eq!((error, ends.server.state()), (Error::BadRecord, State::Closed));
        }
        assert!(ends.server.output().is_empty(), "{place}");
    }
}

#[test]
fn a_handshake_that_is_changed_fails_on_both_sides() {
    for place in 0..52 {
        let mut ends = Ends::new(Dialect::Trial, usize::MAX);
        let hello = ends.client.output().to_vec();
        ends.client.consume_output(hello.len());
        ends.server.receive(NOW, &hello);
        assert!(ends.server.poll_event().unwrap().is_none());
        let mut reply = ends.server.output().to_vec();
        assert_eq!(reply.len(), 52);
        *reply.get_mut(place).unwrap() ^= 1;
        ends.client.receive(NOW, &reply);
        assert_eq!(ends.client.poll_event(), Err(Error::Handshake), "{place}");
        assert!(ends.client.output().is_empty());
        ends.server.receive(NOW, &[0; 16]);
        assert_eq!(ends.server.poll_event().unwrap_err(), Error::Handshake);
    }
}
