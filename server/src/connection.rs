//! A connection's way to the RSA threads and the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{debug, error};
use xlreg::identity::Version;
use xlreg::message::{Refusal, Reply, Request};
use xlreg::registry::ClientState;
use xlreg::session::{Dialect, OpenedHello, SealedHello};

use crate::admission::Admission;
use crate::fair::Place;
use crate::metrics::Metrics;
use crate::rsa::Rsa;
use crate::store::{Origin, Store};
use crate::target;
use crate::workers::Rejected;

/// The handler of one connection.
pub struct Connection<S> {
    store: Arc<S>,
    rsa: Arc<Rsa>,
    admission: Arc<Admission>,
    metrics: Arc<Metrics>,
    place: Place,
    origin: Origin,
    connected: AtomicBool,
}

impl<S: Store> Connection<S> {
    pub fn new(
        store: Arc<S>,
        rsa: Arc<Rsa>,
        admission: Arc<Admission>,
        metrics: Arc<Metrics>,
        place: Place,
        origin: Origin,
    ) -> Self {
        let connected = AtomicBool::new(false);
        Self { store, rsa, admission, metrics, place, origin, connected }
    }

    /// Whether the handshake is complete.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    async fn decided(&self, state: &mut ClientState, request: Request) -> Reply {
        let request = match self.rsa.check(self.place, request).await {
            Ok(request) => request,
            Err(refusal) => return Reply::Error(refusal.into()),
        };
        match self.store.decide(state, request, &self.origin).await {
            Ok(reply) => reply,
            Err(failure) => {
                error!(
                    target: target::CONNECTION,
                    "a request could not be made durable: {failure}"
                );
                Reply::Error(Refusal::Unavailable.into())
            }
        }
    }
}

impl<S: Store> xlreg::serve::Handler for Connection<S> {
    async fn open(&self, hello: SealedHello) -> Option<OpenedHello> {
        if !self.admission.hello(self.place.0) {
            self.metrics.refused("hello_rate");
            debug!(target: target::CONNECTION, address = %self.place.0, "refused: too many Hellos");
            return None;
        }
        match self.rsa.open(self.place, hello).await {
            Ok(opened) => Some(opened),
            Err(rejected) => {
                if rejected == Rejected::Full {
                    self.metrics.refused("hellos_waiting");
                }
                debug!(target: target::CONNECTION, "a Hello was not opened: {rejected:?}");
                None
            }
        }
    }

    async fn decide(&self, state: &mut ClientState, request: Request) -> Reply {
        let op = request.op();
        let reply = self.decided(state, request).await;
        self.metrics.request(op, &reply);
        if let Reply::Error(reason) = &reply {
            debug!(target: target::CONNECTION, %op, %reason, "refused");
        }
        reply
    }

    fn connected(&self, dialect: Dialect, version: Version) {
        if !self.connected.swap(true, Ordering::Relaxed) {
            let address = self.place.0;
            debug!(target: target::CONNECTION, %address, %dialect, %version, "connected");
            self.metrics.handshake("ok", Some(dialect));
        }
    }
}
