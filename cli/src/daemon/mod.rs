//! The registry daemon: listeners in, connections served against a store, an orderly end.
//!
//! 1. A connection is let in if there is room, in all and for its address ([`admission`]); else it
//!    is closed at once.
//! 2. Its Hello is opened on a thread for that ([`workers`]), at a bounded rate for each address
//!    ([`connection`]).
//! 3. Its requests go to the store ([`crate::store`]), which answers when what they change is
//!    durable.
//! 4. When the daemon is to stop, it accepts no more, finishes what is in flight, and closes.

mod admission;
pub mod advertise;
mod connection;
mod exposition;
mod fair;
pub mod listen;
pub mod log;
pub mod manager;
mod metrics;
mod metrics_http;
mod places;
mod rsa;
pub mod signals;
mod workers;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};
use xlreg::adapter::tokio::DriveError;
use xlreg::identity::CommsKeyPair;
use xlreg::serve::serve;
use xlreg::session::{Error, ServerConfig};

pub use admission::Limits;
pub use metrics::Metrics;
pub use metrics_http::Observer;

use crate::output::Failure;
use crate::random;
use crate::store::Store;
use admission::{Admission, Permit};
use connection::Connection;
use fair::Place;
use rsa::Rsa;

/// How long a client that was refused may take to read why.
const LINGER: Duration = Duration::from_secs(2);
/// How much of what it still sends is read meanwhile.
const LINGER_BYTES: u64 = 64 * 1024;
/// Pause after a failure to accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections accepted before those that are there have their turn: more take the time of some
/// requests.
const ACCEPTED_A_TURN: u32 = 8;
/// How long connections may take to finish what is in flight when the daemon stops.
const STOP_TIME: Duration = Duration::from_secs(10);

/// Cores for each thread that reads and writes. A session takes several times as long in RSA, which
/// has threads of its own, as in all else; and what few threads share they need not wake one
/// another for.
const CORES_PER_EVENT_LOOP: usize = 4;

/// A runtime for the daemon.
///
/// # Errors
///
/// The system's, if it has no more threads.
pub fn runtime() -> std::io::Result<Runtime> {
    let event_loops = cores().div_ceil(CORES_PER_EVENT_LOOP);
    Builder::new_multi_thread().worker_threads(event_loops).enable_all().build()
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// What all connections share.
pub struct Daemon<S> {
    store: Arc<S>,
    rsa: Arc<Rsa>,
    config: ServerConfig,
    admission: Arc<Admission>,
    metrics: Arc<Metrics>,
}

impl<S: Store> Daemon<S> {
    /// A daemon for the registry with this comms key pair, which answers as the newest reference.
    ///
    /// # Errors
    ///
    /// [`Failure`] if nothing can do its RSA.
    pub fn new(
        store: Arc<S>,
        comms: &CommsKeyPair,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, Failure> {
        let config = ServerConfig::new(comms.public_key());
        let rsa = Arc::new(Rsa::new(comms, limits.hellos_waiting)?);
        let admission = Arc::new(Admission::new(limits));
        Ok(Arc::new(Self { store, rsa, config, admission, metrics }))
    }

    /// Accepts and serves until `stop` says so, then lets what is in flight finish, for a bounded
    /// time.
    pub async fn run(self: &Arc<Self>, listeners: Vec<TcpListener>, stop: watch::Receiver<bool>) {
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(Arc::clone(self).accept(listener, stop.clone()));
        }
        let mut connections = JoinSet::new();
        while let Some(accepted) = accepting.join_next().await {
            // One that panicked has taken its connections with it; the others go on.
            if let Ok(mut accepted) = accepted {
                connections.spawn(async move { while accepted.join_next().await.is_some() {} });
            }
        }
        let finished = async { while connections.join_next().await.is_some() {} };
        if timeout(STOP_TIME, finished).await.is_err() {
            warn!("connections that do not finish in {} s are cut off", STOP_TIME.as_secs());
        }
    }

    async fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        mut stop: watch::Receiver<bool>,
    ) -> JoinSet<()> {
        let mut connections = JoinSet::new();
        let mut in_a_row = 0;
        loop {
            in_a_row = (in_a_row + 1) % ACCEPTED_A_TURN;
            if in_a_row == 0 {
                yield_now().await;
            }
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return connections,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let Some(permit) = self.admission.permit(peer.ip()) else {
                        self.metrics.refused("connections");
                        debug!(%peer, "refused: too many connections");
                        continue;
                    };
                    connections.spawn(Arc::clone(&self).serve_connection(
                        stream,
                        peer,
                        permit,
                        stop.clone(),
                    ));
                }
                Err(error) => {
                    warn!("cannot accept a connection: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve_connection(
        self: Arc<Self>,
        mut stream: TcpStream,
        peer: SocketAddr,
        permit: Permit,
        mut stop: watch::Receiver<bool>,
    ) {
        let open = self.metrics.connection();
        let connection = self.connection(permit.place());
        let stopped = async {
            // A sender that is gone has stopped as well.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        let served = match stream.set_nodelay(true) {
            Ok(()) => {
                let config = self.config.clone();
                serve(&mut stream, config, &connection, random::system(), stopped).await
            }
            Err(error) => Err(DriveError::Io(error)),
        };
        self.account(peer, &connection, served);
        linger(stream).await;
        drop((open, permit));
    }

    fn connection(&self, place: Place) -> Connection<S> {
        Connection::new(
            Arc::clone(&self.store),
            Arc::clone(&self.rsa),
            Arc::clone(&self.admission),
            Arc::clone(&self.metrics),
            place,
        )
    }

    fn account(
        &self,
        peer: SocketAddr,
        connection: &Connection<S>,
        served: Result<(), DriveError<Error>>,
    ) {
        let Err(error) = served else {
            debug!(%peer, "done");
            return;
        };
        if !connection.is_connected() {
            let outcome = match &error {
                DriveError::Machine(Error::Timeout(_)) => "timeout",
                DriveError::Machine(Error::Eof(_)) => "closed",
                DriveError::Machine(Error::Handshake) => "bad_hello",
                _ => "failed",
            };
            self.metrics.handshake(outcome, None);
        }
        match &error {
            DriveError::Command(_)
            | DriveError::Waiting
            | DriveError::Machine(Error::Internal(_)) => {
                warn!(%peer, "{error}");
            }
            // Anybody can cause these as often as they like; metrics count them.
            DriveError::Machine(Error::Timeout(_) | Error::Eof(_) | Error::Handshake) => {
                debug!(%peer, "{error}");
            }
            _ => info!(%peer, "{error}"),
        }
    }
}

/// Closes so that the last reply arrives: closing with input unread would reset the connection and
/// take the reply with it.
async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let rest = async {
            let mut left = LINGER_BYTES;
            let mut sink = [0; 1024];
            while left > 0 {
                match stream.read(&mut sink).await {
                    Ok(n) if n > 0 => left = left.saturating_sub(n as u64),
                    _ => return,
                }
            }
        };
        // Whatever comes of it, the connection is closed next.
        let _ = timeout(LINGER, rest).await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use xlreg::credential::Credential;
    use xlreg::identity::{NodeId, SigKeyPair, Version};
    use xlreg::registry::{Registry, RegistryLimits};

    use super::*;
    use crate::store::Local;

    pub(super) fn daemon() -> Arc<Daemon<Local>> {
        let rng = &mut random::system();
        let comms = CommsKeyPair::generate(1024, rng).unwrap();
        let credential = Credential {
            name: "registry".parse().unwrap(),
            id: NodeId::random(rng),
            comms_key: comms.public_key().clone(),
            sig_key: SigKeyPair::generate(1024, rng).unwrap().public_key().clone(),
            end_points: vec!["127.0.0.1:1".parse().unwrap()],
            version: Version::REFERENCE,
        };
        let store = Local::ephemeral(Registry::new(credential, RegistryLimits::default()));
        let metrics = Arc::new(Metrics::new());
        Daemon::new(Arc::new(store), &comms, Limits::default(), metrics).unwrap()
    }

    /// A runtime of one thread, so that between two looks everybody who is ready has their turn.
    #[tokio::test]
    async fn a_crowd_at_the_door_leaves_others_their_turn() {
        const CROWD: usize = 100;
        let daemon = daemon();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let crowd: Vec<_> = (0..CROWD).map(|_| TcpStream::connect(address).unwrap()).collect();
        let (stop, stopping) = watch::channel(false);
        let running = tokio::spawn({
            let daemon = Arc::clone(&daemon);
            async move { daemon.run(vec![listener], stopping).await }
        });
        let (mut let_in, mut most) = (0, 0);
        while let_in < CROWD {
            tokio::task::yield_now().await;
            let now = daemon.admission.open();
            most = most.max(now - let_in);
            let_in = now;
        }
        assert!(most <= 2 * ACCEPTED_A_TURN as usize, "{most} between two looks");
        drop(crowd);
        stop.send_replace(true);
        running.await.unwrap();
    }
}
