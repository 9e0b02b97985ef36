//! The xlReg cluster-registry protocol as a sans-IO state machine, both roles.
//!
//! Machines that want to form a cluster register with a registry, join a cluster by name, and fetch
//! every other member's ID, addresses and keys. This crate is that conversation without the I/O: a
//! [`Session`](session::Session) turns bytes into events and commands into bytes. It never touches
//! a socket, a clock, a thread or a global random source. So it runs in any runtime, in a loop of
//! your own, in a fuzzer and without an operating system. It speaks both dialects of the deployed
//! servers and clients, byte for byte.
//!
//! # A walk through one conversation
//!
//! Both sides are in one function. Only byte slices go between them. In your program they go over a
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
//! // The client: it has its own keys, and needs only the credential of the registry.
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
//!     // "The network": one side receives the output of the other, in any pieces.
//!     let n = server.receive(now, client.output());
//!     client.consume_output(n);
//!     let n = client.receive(now, server.output());
//!     server.consume_output(n);
//!
//!     // The registry's side.
//!     match server.poll_event()? {
//!         Some(ServerEvent::Hello(hello)) => {
//!             // The one RSA private operation. Any thread can do it: the session waits.
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
//!     // The client's side. It sends one request at a time, as deployed servers need it.
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
//! # Modules
//!
//! Each module uses only those below it in the table.
//!
//! | Module | Content |
//! |--------|------------|
//! | `serve` | a registry's connection on tokio |
//! | [`adapter`] | adapters that read, write and wait: for std, tokio, `embedded-io` and `embedded-io-async` |
//! | [`enroll`] | a member's whole enrollment, from Hello to a complete roster, as one machine |
//! | [`registry`] | the rules of a registry: a request in, a reply and a change out |
//! | [`session`] | bytes ⇄ events: handshake, records, deadlines, limits |
//! | [`message`] | requests and replies as checked types, with protobuf inside |
//! | [`credential`] | regCred, the text that describes a registry |
//! | [`identity`] | IDs, names, addresses, keys, tokens |
//! | [`crypto`] | the few RSA operations, as traits |
//!
//! Most programs need [`Enroll`](enroll::Enroll) and an adapter. Registries need
//! [`Session<Server>`](session::Server) and [`Registry`](registry::Registry). `PROTOCOL 4.1` in a
//! comment is that section of `docs/protocol.md`.
//!
//! # Features
//!
//! * `std` (default): the blocking adapter, and identities kept in a directory. Without it the
//!   crate needs only `alloc`.
//! * `getrandom` (default): [`SystemRng`](crypto::SystemRng), the random generator of the system.
//!   It does not need `std`. For targets that the crate `getrandom` does not know, turn the default
//!   features off and use a generator of your own.
//! * `tokio`: the adapter for tokio.
//! * `embedded-io`, `embedded-io-async`: the adapters for machines without an operating system.
//! * `aws-lc-rs`: RSA by AWS-LC, for servers. It needs `std` and a C compiler.
//! * `internals`: only for the tests and fuzzers of this project. It opens a module that is outside
//!   semver.
//! * `generate`: only for work on the wire schema. The build generates the types of
//!   `proto/xlreg.proto` again.
//!
//! # Promises
//!
//! * Any chunking of the input gives the same events. Any order of calls is legal.
//! * The same draws and inputs give the same bytes.
//! * There are no panics and no `unsafe`. The one exception is [`SystemRng`](crypto::SystemRng) on
//!   a system without random numbers, which panics.
//! * Everything that a peer controls has a bound ([`Limits`](session::Limits)). It is checked
//!   before memory is allocated.
//! * No type of a dependency is in the public API, except the traits of `rand_core`.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
// These lints forbid panics. Each exception has its reason beside it.
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

/// The README's example, which is compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
