//! The xlReg cluster-registry protocol as a sans-IO state machine, both roles.
//!
//! Machines that want to form a cluster tell a registry who they are, join a cluster by name, and
//! fetch every other member's ID, addresses and keys. This crate is that conversation without the
//! I/O: a [`Session`](session::Session) turns bytes into events and commands into bytes. It never
//! touches a socket, a clock, a thread or a global source of randomness, so it runs in any runtime,
//! in a loop of your own, in a fuzzer and without an operating system. The wire is that of the
//! deployed servers and clients, both of their dialects, byte for byte.
//!
//! # A walk through one conversation
//!
//! Both ends in one function. Between them is nothing but byte slices; in your program there is a
//! network.
//!
//! ```
//! use xlreg::credential::Credential;
//! use xlreg::crypto::SystemRng;
//! use xlreg::identity::{CommsKeyPair, Identity, MemberAttrs, NodeId, SigKeyPair, Version};
//! use xlreg::message::{Create, GetCluster, Reply, MemberSet};
//! use xlreg::registry::{Registry, RegistryLimits, ClientState};
//! use xlreg::session::{
//!     Client, ClientConfig, ClientEvent, Instant, Server, ServerConfig, ServerEvent, Session,
//! };
//!
//! let mut rng = SystemRng; // any `CryptoRng`
//! let now = Instant::EPOCH; // time is an argument too
//!
//! // The registry: its keys, and the credential it gives to clients as a file.
//! let comms = CommsKeyPair::generate(1024, &mut rng)?;
//! let sig = SigKeyPair::generate(1024, &mut rng)?;
//! let credential = Credential {
//!     name: "registry".parse()?,
//!     id: NodeId::random(&mut rng),
//!     comms_key: comms.public_key().clone(),
//!     sig_key: sig.public_key().clone(),
//!     end_points: vec!["127.0.0.1:56789".parse()?],
//!     version: Version::REFERENCE,
//! };
//! let config = ServerConfig::new(comms.public_key());
//! let mut registry = Registry::new(credential.clone(), RegistryLimits::default());
//! let mut server = Session::<Server>::new(now, config, rng);
//! let mut state = ClientState::new();
//!
//! // The client: its own keys, and all it needs to know is the credential.
//! let node = Identity {
//!     name: "alice".parse()?,
//!     id: None,
//!     comms: CommsKeyPair::generate(1024, &mut rng)?,
//!     sig: SigKeyPair::generate(1024, &mut rng)?,
//! };
//! let token = node.token(MemberAttrs::NONE, vec!["10.0.0.1:4000".parse()?], &mut rng)?;
//! let mut client = Session::<Client>::new(now, ClientConfig::new(&credential), rng)?;
//!
//! let mut members = None;
//! let mut cluster = None;
//! while !client.is_finished() {
//!     // "The network": what one side has to send, the other receives, in whatever pieces.
//!     let n = server.receive(now, client.output());
//!     client.consume_output(n);
//!     let n = client.receive(now, server.output());
//!     server.consume_output(n);
//!
//!     // The registry's side.
//!     match server.poll_event()? {
//!         Some(ServerEvent::Hello(hello)) => {
//!             // The one RSA private operation. Here, or on any other thread: the session waits.
//!             let opened = hello.open(&comms, &mut rng);
//!             server.open_hello(now, opened)?;
//!         }
//!         Some(ServerEvent::Request { id, request }) => {
//!             let outcome = registry.handle(&mut state, request, &mut rng);
//!             // A registry that outlives its process makes `outcome.change` durable here.
//!             server.reply(now, id, &outcome.reply)?;
//!         }
//!         _ => {}
//!     }
//!
//!     // The client's side. One request at a time, as deployed servers want it.
//!     match client.poll_event()? {
//!         Some(ClientEvent::Connected { .. }) => {
//!             client.register(now, token.clone())?;
//!         }
//!         Some(ClientEvent::Reply { reply, .. }) => match reply {
//!             Reply::MemberOk { .. } => {
//!                 let (name, attrs) = ("alpha".parse()?, Default::default());
//!                 client.create(now, Create { name, max_size: 3, attrs, end_point_count: 1 })?;
//!             }
//!             // Join what Create answers: a Join of another cluster can end a deployed server.
//!             Reply::Create(info) => {
//!                 cluster = Some(info.id);
//!                 client.join(now, info.id.into())?;
//!             }
//!             Reply::Join(info) => {
//!                 let all = MemberSet::first(info.max_size);
//!                 client.get_members(now, GetCluster::of(info.id, all))?;
//!             }
//!             Reply::Members(list) => {
//!                 members = Some(list);
//!                 client.bye(now)?;
//!             }
//!             _ => {}
//!         },
//!         Some(ClientEvent::Refused { reason, .. }) => panic!("refused: {reason}"),
//!         _ => {}
//!     }
//! }
//!
//! let members = members.expect("the registry answered");
//! assert_eq!(Some(members.cluster()), cluster);
//! let (index, alice) = members.iter().next().expect("alice joined");
//! assert_eq!((index.get(), alice.name.as_str()), (0, "alice"));
//! assert_eq!(alice.end_points[0].as_str(), "10.0.0.1:4000");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where things are
//!
//! Arrows point one way: each module uses only those below it.
//!
//! | Module | What it is |
//! |--------|------------|
//! | `serve` | one connection of a registry on tokio |
//! | [`adapter`] | reads, writes and waits; nothing else. One for std, tokio, `embedded-io` and `embedded-io-async` each |
//! | [`enroll`] | a member's whole enrollment, from Hello to a complete roster, as one machine |
//! | [`registry`] | the registry's rules: request in, reply and change out |
//! | [`session`] | bytes ⇄ events: handshake, records, deadlines, limits |
//! | [`message`] | requests and replies as checked types; protobuf stays inside |
//! | [`credential`] | regCred, the text by which a registry makes itself known |
//! | [`identity`] | IDs, names, addresses, keys, tokens |
//! | [`crypto`] | the few RSA operations, as traits |
//!
//! Most programs want [`Enroll`](enroll::Enroll) over an adapter. Registries want
//! [`Session<Server>`](session::Server) and [`Registry`](registry::Registry). Comments that say
//! `PROTOCOL 4.1` mean that section of `docs/protocol.md`.
//!
//! # Features
//!
//! * `std` (default): the blocking adapter, and identities kept in a directory. Without it the
//!   crate needs `alloc` only.
//! * `getrandom` (default): [`SystemRng`](crypto::SystemRng), the system's generator. It needs no
//!   `std`. For targets that the crate `getrandom` does not know, turn the default features off and
//!   bring a generator.
//! * `tokio`: the adapter for tokio.
//! * `embedded-io`, `embedded-io-async`: the adapters for what has no operating system.
//! * `aws-lc-rs`: RSA for servers, by AWS-LC. Needs `std` and a C compiler.
//! * `internals`: for the tests and fuzzers of this project alone. It opens a module that is outside
//!   semver.
//! * `generate`: for work on the wire schema alone. The build makes the types of
//!   `proto/xlreg.proto` anew.
//!
//! # Promises
//!
//! * Any chunking of the input gives the same events, and any order of calls is legal.
//! * Same draws, same inputs, same bytes.
//! * No panics ([`SystemRng`](crypto::SystemRng) of a system without random numbers aside), no
//!   `unsafe`; everything a peer controls has a bound ([`Limits`](session::Limits)) that is checked
//!   before anything is allocated for it.
//! * No type of a dependency is in the public API, the traits of `rand_core` aside.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
// No panics by construction. Each exception has its reason beside it.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod adapter;
pub mod credential;
pub mod crypto;
pub mod enroll;
pub mod identity;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
pub mod message;
pub mod registry;
#[cfg(feature = "tokio")]
pub mod serve;
pub mod session;

/// The README's example is compiled with the documentation tests, so that it cannot rot.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
