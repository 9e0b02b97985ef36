//! The server: it accepts connections, serves them with a store, and stops in order.

use std::future::pending;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet, yield_now};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};
use xlreg::adapter::tokio::DriveError;
use xlreg::crypto::SystemRng;
use xlreg::identity::CommsKeyPair;
use xlreg::serve::serve;
use xlreg::session::{Error, ServerConfig};

use crate::admission::{Admission, Limits, Permit};
use crate::connection::Connection;
use crate::error::ServerError;
use crate::fair::Place;
use crate::metrics::Metrics;
use crate::rates::{Meter, Rates};
use crate::rsa::Rsa;
use crate::store::{Origin, Store};
use crate::target;

/// The longest time for a refused client to read the reason.
const LINGER: Duration = Duration::from_secs(2);
/// The number of bytes that are read from it in this time.
const LINGER_BYTES: u64 = 64 * 1024;
/// The pause after a failed accept. Most likely there are no more file descriptors.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The number of connections that are accepted before others have a turn. Accepting more takes as
/// long as some requests.
const ACCEPTED_A_TURN: u32 = 8;
/// The longest time for connections to finish their requests when the server stops.
const STOP_TIME: Duration = Duration::from_secs(10);

/// The number of cores for each thread that reads and writes. In a session RSA takes several times
/// as long as all else, and has threads of its own. Few threads also need not wake one another.
const CORES_PER_EVENT_LOOP: usize = 4;

/// Makes a runtime for a server. It has few threads, because RSA has threads of its own.
///
/// # Errors
///
/// The system's, if it has no more threads.
pub fn runtime() -> std::io::Result<Runtime> {
    let event_loops = cores().div_ceil(CORES_PER_EVENT_LOOP);
    Builder::new_multi_thread().worker_threads(event_loops).enable_all().build()
}

pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The options of a server.
#[derive(Clone, Default)]
pub struct Options {
    /// The limits on what clients may use together.
    pub limits: Limits,
    /// How many changes a minute are accepted from whom.
    pub rates: Rates,
    /// The metrics, where the server counts.
    pub metrics: Arc<Metrics>,
}

/// A running server, on tasks of the runtime that it was started on. It also stops when this is
/// dropped, but then nobody waits for the end.
pub struct Server<S> {
    shared: Arc<Shared<S>>,
    stop: watch::Sender<bool>,
    /// The task of the server. `None` once its end is known.
    running: Option<JoinHandle<()>>,
}

impl<S: Store> Server<S> {
    /// Starts to serve the registry with this comms key pair, at these listeners. Call it on a
    /// runtime.
    ///
    /// # Errors
    ///
    /// [`ServerError`] if no provider can do its RSA, or the system has no more threads.
    pub fn start(
        store: Arc<S>,
        comms: &CommsKeyPair,
        options: Options,
        listeners: Vec<TcpListener>,
    ) -> Result<Self, ServerError> {
        let shared = Shared::new(store, comms, options)?;
        let (stop, stopping) = watch::channel(false);
        let running = tokio::spawn(Arc::clone(&shared).run(listeners, stopping));
        Ok(Self { shared, stop, running: Some(running) })
    }

    /// Sets new limits and rates. Open connections and waiting Hellos stay.
    pub fn reload(&self, limits: Limits, rates: Rates) {
        self.shared.meter.set_rates(rates);
        self.shared.admission.set_limits(limits);
        self.shared.rsa.set_waiting(limits.hellos_waiting);
    }

    /// Resolves when the server cannot go on: its store has failed, or it has ended by itself. Stop
    /// it then.
    pub async fn failed(&mut self) -> ServerError {
        let ended = async {
            match &mut self.running {
                Some(running) => running.await,
                // The end was reported already.
                None => pending().await,
            }
        };
        let ended = tokio::select! {
            failure = self.shared.store.failed() => return failure.into(),
            ended = ended => format!("{ended:?}"),
        };
        self.running = None;
        ServerError::Ended(ended)
    }

    /// Stops the server: it accepts no more connections, waits a bounded time for the requests in
    /// flight, and closes the store.
    ///
    /// # Errors
    ///
    /// [`ServerError::Panicked`] if a task of the server has panicked. The store is closed then
    /// too.
    pub async fn stop(self) -> Result<(), ServerError> {
        self.stop.send_replace(true);
        let ran = match self.running {
            Some(running) => running.await,
            None => Ok(()),
        };
        self.shared.store.close().await;
        ran.map_err(|error| ServerError::Panicked(error.to_string()))
    }
}

/// The part of the server that all connections share.
pub(crate) struct Shared<S> {
    pub(crate) store: Arc<S>,
    rsa: Arc<Rsa>,
    config: ServerConfig,
    admission: Arc<Admission>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) metrics: Arc<Metrics>,
}

impl<S: Store> Shared<S> {
    /// Makes it. The registry has the version of the newest reference server.
    fn new(
        store: Arc<S>,
        comms: &CommsKeyPair,
        options: Options,
    ) -> Result<Arc<Self>, ServerError> {
        let Options { limits, rates, metrics } = options;
        let config = ServerConfig::new(comms.public_key());
        let rsa = Arc::new(Rsa::new(comms, limits.hellos_waiting)?);
        let admission = Arc::new(Admission::new(limits));
        let meter = Arc::new(Meter::new(rates));
        metrics.tell_rates(Arc::clone(&meter));
        Ok(Arc::new(Self { store, rsa, config, admission, meter, metrics }))
    }

    /// Accepts and serves until `stop`, then waits a bounded time for the requests in flight.
    async fn run(self: Arc<Self>, listeners: Vec<TcpListener>, stop: watch::Receiver<bool>) {
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(Arc::clone(&self).accept(listener, stop.clone()));
        }
        let mut connections = JoinSet::new();
        while let Some(accepted) = accepting.join_next().await {
            // A task that panicked has ended its connections. The others go on.
            if let Ok(mut accepted) = accepted {
                connections.spawn(async move { while accepted.join_next().await.is_some() {} });
            }
        }
        let finished = async { while connections.join_next().await.is_some() {} };
        if timeout(STOP_TIME, finished).await.is_err() {
            let seconds = STOP_TIME.as_secs();
            warn!(
                target: target::SERVER,
                "connections that do not finish in {seconds} s are cut off"
            );
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
                        debug!(target: target::SERVER, %peer, "refused: too many connections");
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
                    warn!(target: target::SERVER, "cannot accept a connection: {error}");
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
            // A dropped sender means to stop too.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        let served = match stream.set_nodelay(true) {
            Ok(()) => {
                let config = self.config.clone();
                serve(&mut stream, config, &connection, SystemRng, stopped).await
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
            Origin::new(place.0, Arc::clone(&self.meter)),
        )
    }

    fn account(
        &self,
        peer: SocketAddr,
        connection: &Connection<S>,
        served: Result<(), DriveError<Error>>,
    ) {
        let Err(error) = served else {
            debug!(target: target::SERVER, %peer, "done");
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
                warn!(target: target::SERVER, %peer, "{error}");
            }
            // Every client can cause these at any time. Metrics count them, and the log does not.
            DriveError::Machine(Error::Timeout(_) | Error::Eof(_) | Error::Handshake) => {
                debug!(target: target::SERVER, %peer, "{error}");
            }
            _ => info!(target: target::SERVER, %peer, "{error}"),
        }
    }
}

/// Closes a connection after its last reply. To close with unread input would reset the connection,
/// and the client would lose the reply.
async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let rest = async {
            let mut left = LINGER_BYTES;
            let mut sink = [0; 1024];
            while left > 0 {
                match stream.read(&mut sink).await {
                    // The last read may take more than is left.
                    Ok(n) if n > 0 => left = left.saturating_sub(n as u64),
                    _ => return,
                }
            }
        };
        // In any case the connection is closed next.
        let _ = timeout(LINGER, rest).await;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::TcpStream;

    use xlreg::credential::Credential;
    use xlreg::identity::{NodeId, SigKeyPair, Version};
    use xlreg::registry::{Registry, RegistryLimits};

    use super::*;
    use crate::store::MemoryStore;

    pub(crate) fn server() -> Arc<Shared<MemoryStore>> {
        let rng = &mut SystemRng;
        let comms = CommsKeyPair::generate(1024, rng).unwrap();
        let credential = Credential {
            name: "registry".parse().unwrap(),
            id: NodeId::random(rng),
            comms_key: comms.public_key().clone(),
            sig_key: SigKeyPair::generate(1024, rng).unwrap().public_key().clone(),
            end_points: vec!["127.0.0.1:1".parse().unwrap()],
            version: Version::REFERENCE,
        };
        let store = MemoryStore::new(Registry::new(credential, RegistryLimits::default()));
        Shared::new(Arc::new(store), &comms, Options::default()).unwrap()
    }

    /// A runtime of one thread: between two looks every task that is ready has a turn.
    #[tokio::test]
    async fn a_crowd_at_the_door_leaves_others_their_turn() {
        const CROWD: usize = 100;
        let server = server();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let crowd: Vec<_> = (0..CROWD).map(|_| TcpStream::connect(address).unwrap()).collect();
        let (stop, stopping) = watch::channel(false);
        let running = tokio::spawn({
            let server = Arc::clone(&server);
            server.run(vec![listener], stopping)
        });
        let (mut let_in, mut most) = (0, 0);
        while let_in < CROWD {
            tokio::task::yield_now().await;
            let now = server.admission.open();
            most = most.max(now - let_in);
            let_in = now;
        }
        assert!(most <= 2 * ACCEPTED_A_TURN as usize, "{most} between two looks");
        drop(crowd);
        stop.send_replace(true);
        running.await.unwrap();
    }
}
