//! The common part of all commands that talk to a registry.
//!
//! 1. [`run`] runs the work of a command on an event loop. A deadline or a signal stops it between
//!    two records.
//! 2. [`persist`] retries after temporary errors. Each try is a whole session, because a restarted
//!    registry may have forgotten the one before.
//! 3. [`RegistryClient`] is one session, and [`dial`] connects it.
//! 4. [`advice`] explains failures to the user.

pub mod advice;
mod dial;
mod error;
mod patience;
mod registry_client;
mod stop;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;
use xlreg::credential::Credential;
use xlreg::enroll::{Enroll, EnrollError};
use xlreg::identity::{Name, NodeId};
use xlreg::message::ClusterRef;
use xlreg::session::{ClientConfig, Dialect};

pub use dial::{dial, reach};
pub use error::ClientError;
pub use patience::{Patience, PatienceArgs, whole_seconds};
pub use registry_client::{Presence, RegistryClient, ask_kind, finish};
pub use stop::{Stop, Stopped};

use crate::checked::Check;
use crate::output::Failure;

/// The registry, and how to talk to it.
#[derive(Debug, clap::Args)]
pub struct RegistryArgs {
    /// The registry's credential, its regCred.dat
    #[arg(long, value_name = "REGCRED")]
    pub registry: PathBuf,
    /// The generation of the registry's server
    #[arg(long, value_enum, default_value_t)]
    pub dialect: DialectChoice,
    /// Also send requests that end a deployed server, and all its clusters with it; only for a
    /// server of your own
    #[arg(long)]
    pub may_end_server: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum DialectChoice {
    /// The generation that belongs to the version in the credential
    #[default]
    Auto,
    /// Servers from 1.9.0 on
    Prefixed,
    /// Servers up to 1.8.4
    Chained,
}

impl RegistryArgs {
    pub fn credential(&self) -> Result<Credential, Failure> {
        read_credential(&self.registry)
    }

    /// Makes the settings of a session with the registry of this credential.
    pub fn config(&self, credential: &Credential) -> ClientConfig {
        let config = ClientConfig::new(credential);
        let dialect = match self.dialect {
            DialectChoice::Auto => config.dialect,
            DialectChoice::Prefixed => Dialect::Prefixed,
            DialectChoice::Chained => Dialect::Chained,
        };
        ClientConfig { dialect, ..config }
    }

    /// Checks that a Hello to this registry is harmless and understood.
    pub fn check(&self, credential: &Credential) -> Result<(), ClientError> {
        let (version, first) = (credential.version, Enroll::FIRST_VERSION);
        if version < first {
            return Err(EnrollError::TooOld { version, first }.into());
        }
        let too_short = matches!(self.dialect, DialectChoice::Prefixed)
            && Dialect::of_registry(version) == Dialect::Chained;
        match too_short && !self.may_end_server {
            true => Err(ClientError::NewerHello),
            false => Ok(()),
        }
    }
}

pub fn read_credential(path: &Path) -> Result<Credential, Failure> {
    let advice = "what is needed is the regCred.dat that the registry wrote in its --dir";
    let text = fs::read(path).map_err(|error| error.to_string()).and_then(text_of);
    let text = text.map_err(|error| {
        Failure::new(format!("cannot read {}: {error}", path.display())).advise(advice)
    })?;
    text.parse()
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())).advise(advice))
}

/// Decodes the bytes of a file. PowerShell redirects in UTF-16, which starts with a byte order
/// mark.
fn text_of(bytes: Vec<u8>) -> Result<String, String> {
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, odd) = rest.as_chunks::<2>();
        let units: Vec<_> = pairs.iter().map(|pair| unit(*pair)).collect();
        match odd.is_empty() {
            true => String::from_utf16(&units).map_err(|error| error.to_string()),
            false => Err("half a character of UTF-16 at its end".into()),
        }
    };
    match &bytes[..] {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => String::from_utf8(bytes).map_err(|_| "it is no text".into()),
    }
}

/// A cluster, by name or by ID. A text can be both, so the user says which it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cluster {
    Named(Name),
    WithId(NodeId),
}

#[derive(Debug, clap::Args)]
pub struct ClusterArgs {
    /// The cluster's name
    #[arg(id = "cluster", value_name = "CLUSTER", required_unless_present = "id")]
    name: Option<Name>,
    /// The cluster's ID instead of its name: 40 or 64 hex digits
    #[arg(long, value_name = "ID", conflicts_with = "cluster")]
    id: Option<NodeId>,
}

impl Check for ClusterArgs {
    type Values = Cluster;

    fn check(self) -> Result<Cluster, String> {
        match (self.name, self.id) {
            (Some(name), None) => Ok(Cluster::Named(name)),
            (None, Some(id)) => Ok(Cluster::WithId(id)),
            // The attributes above allow neither.
            (None, None) | (Some(_), Some(_)) => Err("either CLUSTER or --id is needed".into()),
        }
    }
}

impl Cluster {
    /// The cluster's name, if it was given.
    pub const fn name(&self) -> Option<&Name> {
        match self {
            Self::Named(name) => Some(name),
            Self::WithId(_) => None,
        }
    }

    /// The cluster in the form of a request.
    pub fn reference(&self) -> ClusterRef {
        match self {
            Self::Named(name) => name.clone().into(),
            Self::WithId(id) => (*id).into(),
        }
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => name.fmt(f),
            Self::WithId(id) => id.fmt(f),
        }
    }
}

/// Runs the work of a command on an event loop of its own.
pub fn run<T>(
    registry: &RegistryArgs,
    args: &PatienceArgs,
    work: impl AsyncFnOnce(&mut Patience) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::new)?;
    let done = runtime.block_on(async {
        let mut patience = Patience::start(args);
        if registry.may_end_server {
            patience.try_once();
        }
        work(&mut patience).await
    });
    // A name that is being resolved cannot be cancelled, and nobody needs it any more.
    runtime.shutdown_background();
    done
}

/// Runs work that may block on a thread of its own, until the command must stop. `what` describes
/// it in the error.
pub async fn aside<T: Send + 'static>(
    stop: &Stop,
    what: &str,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match stop.clone().or(spawn_blocking(work)).await {
        Ok(done) => done.map_err(Failure::new)?,
        Err(Stopped::Deadline) => Err(Failure::timeout(format!("timed out, waiting for {what}"))),
        Err(Stopped::Signal(number)) => Err(Failure::interrupted(number)),
    }
}

/// Repeats a try until it succeeds, fails for good, or the time is over.
pub async fn persist<T>(
    patience: &mut Patience,
    mut once: impl AsyncFnMut(&Stop) -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    loop {
        let stop = patience.stop.clone();
        patience.begin();
        match once(&stop).await {
            Ok(done) => return Ok(done),
            Err(error) => patience.pause(error).await?,
        }
    }
}
