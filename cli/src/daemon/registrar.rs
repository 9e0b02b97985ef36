//! What one connection needs of the daemon: its Hello opened, its requests checked and decided.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::spawn_blocking;
use tracing::{debug, error};
use xlreg::identity::{PublicKey, Version};
use xlreg::message::{Refusal, Reply, Request};
use xlreg::registry::{CheckedRequest, Visitor};
use xlreg::session::{Dialect, OpenedHello, SealedHello};

use super::admission::Admission;
use super::metrics::Metrics;
use super::rsa::Rsa;
use crate::random;
use crate::store::Store;

/// One connection's way to the store.
pub struct Registrar<S> {
    store: Arc<S>,
    rsa: Rsa,
    admission: Arc<Admission>,
    metrics: Arc<Metrics>,
    address: IpAddr,
    connected: AtomicBool,
}

impl<S: Store> Registrar<S> {
    pub fn new(
        store: Arc<S>,
        rsa: Rsa,
        admission: Arc<Admission>,
        metrics: Arc<Metrics>,
        address: IpAddr,
    ) -> Self {
        Self { store, rsa, admission, metrics, address, connected: AtomicBool::new(false) }
    }

    /// Whether the handshake was completed.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Checks a signature: here, which costs less than another thread, or where Hellos are opened, if the key is one
    /// of those that take milliseconds.
    async fn checked(&self, request: Request) -> Result<CheckedRequest, Refusal> {
        if !matches!(&request, Request::Member(token) if is_slow(&token.sig_key)) {
            return CheckedRequest::new(request, &*self.rsa.provider);
        }
        let turn = self.admission.turn().await.ok_or(Refusal::Unavailable)?;
        let provider = Arc::clone(&self.rsa.provider);
        let checked = spawn_blocking(move || {
            let checked = CheckedRequest::new(request, &*provider);
            drop(turn);
            checked
        });
        checked.await.unwrap_or(Err(Refusal::Unavailable))
    }

    async fn decided(&self, visitor: &mut Visitor, request: Request) -> Reply {
        let request = match self.checked(request).await {
            Ok(request) => request,
            Err(refusal) => return Reply::Error(refusal.into()),
        };
        match self.store.decide(visitor, request).await {
            Ok(reply) => reply,
            Err(failure) => {
                error!("a request could not be made durable: {failure}");
                Reply::Error(Refusal::Unavailable.into())
            }
        }
    }
}

/// Whether a signature by this key takes more than some 300 microseconds to check. (2048 bits take 80, 8192 bits with a
/// large exponent 3,000.)
fn is_slow(key: &PublicKey) -> bool {
    key.bits() > 4096 || key.components().exponent.len() > 3
}

impl<S: Store> xlreg::adapter::tokio::Registrar for Registrar<S> {
    async fn open(&self, hello: SealedHello) -> Option<OpenedHello> {
        if !self.admission.hello(self.address) {
            self.metrics.refused("hello_rate");
            debug!(address = %self.address, "refused: too many Hellos");
            return None;
        }
        let Some(turn) = self.admission.turn().await else {
            self.metrics.refused("hellos_waiting");
            debug!("refused: too many Hellos wait");
            return None;
        };
        let opener = Arc::clone(&self.rsa.opener);
        let open = move || {
            let opened = hello.open(&*opener, &mut random::system());
            drop(turn);
            opened
        };
        spawn_blocking(open).await.ok()
    }

    async fn decide(&self, visitor: &mut Visitor, request: Request) -> Reply {
        let op = request.op();
        let reply = self.decided(visitor, request).await;
        self.metrics.request(op, &reply);
        if let Reply::Error(reason) = &reply {
            debug!(%op, %reason, "refused");
        }
        reply
    }

    fn connected(&self, dialect: Dialect, version: Version) {
        if !self.connected.swap(true, Ordering::Relaxed) {
            debug!(address = %self.address, %dialect, %version, "connected");
            self.metrics.handshake("ok", Some(dialect));
        }
    }
}
