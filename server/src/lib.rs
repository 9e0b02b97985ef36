//! A durable xlReg cluster registry on tokio, to be embedded into a daemon of your own.
//!
//! ```
//! # use std::sync::Arc;
//! # use tokio::net::TcpListener;
//! # use xlreg::{crypto::SystemRng, identity::{Identity, NodeId}};
//! # use xlreg::registry::{Registry, RegistryLimits};
//! use xlreg_server::{Options, Server, credential, store::MemoryStore};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let rng = &mut SystemRng;
//! let mut identity = Identity::generate("xlReg".parse()?, rng)?;
//! identity.id = Some(NodeId::random(rng));
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let credential = credential(&identity, vec![listener.local_addr()?.into()])?;
//! let registry = Registry::new(credential.clone(), RegistryLimits::default());
//! let store = Arc::new(MemoryStore::new(registry));
//! let server = Server::start(store, &identity.comms, Options::default(), vec![listener])?;
//! println!("{credential}"); // what clients need
//! server.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! With an identity from a directory ([`Identity::load`](xlreg::identity::Identity::load)) and a
//! [`store::Sqlite`] below the [`store::MemoryStore`], clusters outlive the process.
//!
//! 1. A connection is let in if there is room, in total and for its address ([`Limits`]). Otherwise
//!    it is closed at once.
//! 2. Its Hello is opened on a thread for RSA, at a bounded rate for each address.
//! 3. Its requests go to the store ([`store::Store`]). The store answers when the changes are
//!    durable.
//! 4. When the server stops, it accepts no more connections, finishes the requests in flight, and
//!    closes.
//!
//! It logs with `tracing`, with targets below `xlreg::daemon` and `xlreg::store`. It starts no
//! subscriber, handles no signals, and writes nothing to stdout or stderr. All of that is for your
//! process.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
// These lints forbid panics, except in tests.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod admission;
mod connection;
mod error;
mod exposition;
mod fair;
mod listen;
mod metrics;
mod metrics_http;
mod places;
mod rates;
mod rsa;
mod server;
pub mod store;
mod workers;

use xlreg::credential::Credential;
use xlreg::identity::{EndPoint, Identity, Version};

pub use admission::Limits;
pub use error::ServerError;
pub use listen::{connections_within_files, listen};
pub use metrics::Metrics;
pub use metrics_http::MetricsHttp;
pub use rates::Rates;
pub use server::{Options, Server, runtime};

/// The targets of log lines. The filters of operators name them, so they do not change with the
/// files.
mod target {
    pub const SERVER: &str = "xlreg::daemon";
    pub const CONNECTION: &str = "xlreg::daemon::connection";
    pub const LISTEN: &str = "xlreg::daemon::listen";
    pub const RSA: &str = "xlreg::daemon::rsa";
    pub const STORE: &str = "xlreg::store";
}

/// Makes the credential for clients: this registry at these end points.
///
/// # Errors
///
/// [`ServerError::NoId`] if the identity has no ID.
pub fn credential(
    identity: &Identity,
    end_points: Vec<EndPoint>,
) -> Result<Credential, ServerError> {
    Ok(Credential {
        name: identity.name.clone(),
        id: identity.id.ok_or(ServerError::NoId)?,
        comms_key: identity.comms.public_key().clone(),
        sig_key: identity.sig.public_key().clone(),
        end_points,
        version: Version::REFERENCE,
    })
}
