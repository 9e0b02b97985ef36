//! The server's RSA: its provider and its threads.

use std::sync::Arc;

use tracing::warn;
#[cfg(feature = "aws-lc-rs")]
use xlreg::crypto::AwsLc;
use xlreg::crypto::{Open, Provider, RustCrypto, SelfTestFailed, SystemRng};
use xlreg::identity::{CommsKeyPair, PublicKey};
use xlreg::message::{Refusal, Request};
use xlreg::registry::CheckedRequest;
use xlreg::session::{OpenedHello, SealedHello};

use crate::error::ServerError;
use crate::fair::Place;
use crate::server::cores;
use crate::target;
use crate::workers::{Rejected, Workers};

/// The registry's key in an RSA provider, and threads to use it on.
pub struct Rsa {
    opener: Arc<dyn Open + Send + Sync>,
    provider: Arc<dyn Provider>,
    workers: Workers,
}

impl Rsa {
    /// Takes the fastest provider that accepts the key and passes its self-test, and as many
    /// threads as there are cores. `waiting` is the number of Hellos that may wait for them.
    ///
    /// # Errors
    ///
    /// [`ServerError`] if a provider gives wrong answers, none accepts the key, or there are no
    /// threads.
    pub fn new(comms: &CommsKeyPair, waiting: usize) -> Result<Self, ServerError> {
        let workers = Workers::start(cores(), waiting).map_err(ServerError::Threads)?;
        let key = comms.to_pkcs8_der()?;
        for make in PROVIDERS {
            let provider = make()?;
            match provider.opener(key.expose()) {
                Ok(opener) => return Ok(Self { opener: opener.into(), provider, workers }),
                Err(refused) => warn!(target: target::RSA, "{}: {refused}", provider.name()),
            }
        }
        Err(ServerError::KeyRefused)
    }
}

impl Rsa {
    /// Sets the number of Hellos that may wait. Those that wait already stay.
    pub fn set_waiting(&self, waiting: usize) {
        self.workers.set_room(waiting);
    }

    /// Opens a Hello of the connection at this place.
    ///
    /// # Errors
    ///
    /// [`Rejected`] says why the Hello was not opened.
    pub async fn open(&self, place: Place, hello: SealedHello) -> Result<OpenedHello, Rejected> {
        let opener = Arc::clone(&self.opener);
        self.workers.run(place, move || hello.open(&*opener, &mut SystemRng)).await
    }

    /// Checks a signature. That is done here, because it takes less time than to wake a thread. For
    /// a key that takes milliseconds it is done on the threads.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] to send.
    pub async fn check(&self, place: Place, request: Request) -> Result<CheckedRequest, Refusal> {
        if !matches!(&request, Request::Member(token) if is_slow(&token.sig_key)) {
            return CheckedRequest::new(request, &*self.provider);
        }
        let provider = Arc::clone(&self.provider);
        let checked = self.workers.run(place, move || CheckedRequest::new(request, &*provider));
        // Work that was not done says nothing of the signature.
        checked.await.unwrap_or(Err(Refusal::Unavailable))
    }
}

/// Whether checking a signature by this key takes more than about 300 microseconds. 2048 bits take
/// 80, and 8192 bits with a large exponent take 3,000.
fn is_slow(key: &PublicKey) -> bool {
    key.bits() > 4096 || key.components().exponent.len() > 3
}

type Make = fn() -> Result<Arc<dyn Provider>, SelfTestFailed>;

/// The fastest is the first. Each tests itself when it is made, so none is made before it is
/// needed.
const PROVIDERS: &[Make] = &[
    #[cfg(feature = "aws-lc-rs")]
    || Ok(Arc::new(AwsLc::new()?)),
    || Ok(Arc::new(RustCrypto::new()?)),
];
