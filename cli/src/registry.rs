//! A registry on a TCP listener: one thread a connection, clusters in memory.

use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use xlreg::adapter::DriveError;
use xlreg::adapter::blocking::{Clock, Driver};
use xlreg::credential::Credential;
use xlreg::crypto::RustCrypto;
use xlreg::identity::CommsKeyPair;
use xlreg::message::Reply;
use xlreg::registry::{CheckedRequest, Registry, RegistryLimits, Visitor};
use xlreg::session::{Error, Server, ServerConfig, ServerEvent, Session};

use crate::failure::note;
use crate::random;

/// Connections served at once. Each has a thread; what comes beyond is closed at once. Below the 1024 files that a
/// process may usually have open.
const MAX_CONNECTIONS: usize = 900;
/// How long a client that was refused may take to read why.
const LINGER: Duration = Duration::from_secs(2);
/// How much of what it still sends is read meanwhile.
const LINGER_BYTES: usize = 64 * 1024;
/// Pause after a failure to accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all connections share.
pub struct Service {
    comms: CommsKeyPair,
    config: ServerConfig,
    registry: Mutex<Registry>,
    connections: AtomicUsize,
}

impl Service {
    /// An empty registry with this credential; `comms` is the key pair its comms key belongs to.
    pub fn new(credential: Credential, comms: CommsKeyPair) -> Arc<Self> {
        let config =
            ServerConfig { version: credential.version, ..ServerConfig::new(comms.public_key()) };
        Arc::new(Self {
            comms,
            config,
            registry: Mutex::new(Registry::new(credential, RegistryLimits::default())),
            connections: AtomicUsize::new(0),
        })
    }

    /// Accepts and serves connections for ever.
    pub fn run(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            match stream {
                Ok(stream) => self.spawn(stream),
                Err(error) => {
                    note(format_args!("cannot accept a connection: {error}"));
                    thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    }

    fn spawn(self: &Arc<Self>, stream: TcpStream) {
        let seat = Seat::take(self);
        if self.connections.load(Ordering::Relaxed) > MAX_CONNECTIONS {
            return;
        }
        let peer = stream.peer_addr();
        let serve = move || {
            if let Err(error) = seat.0.serve(&stream) {
                match peer {
                    Ok(peer) => note(format_args!("{peer}: {error}")),
                    Err(_) => note(format_args!("a client: {error}")),
                }
            }
        };
        if let Err(error) = thread::Builder::new().spawn(serve) {
            note(format_args!("cannot start a thread for a connection: {error}"));
        }
    }

    fn serve(&self, stream: &TcpStream) -> Result<(), DriveError<Error>> {
        stream.set_nodelay(true)?;
        let clock = Clock::start();
        let session = Session::<Server>::new(clock.now(), self.config.clone(), random::system());
        let mut driver = Driver::new(session, stream, clock);
        let mut visitor = Visitor::new();
        let ended = loop {
            match driver.next_event() {
                Ok(None) => break Ok(()),
                Ok(Some(ServerEvent::Hello(hello))) => {
                    let opened = hello.open(&self.comms, &mut random::system());
                    let now = driver.now();
                    driver.machine().open_hello(now, opened)?;
                }
                Ok(Some(ServerEvent::Request { id, request })) => {
                    let reply = match CheckedRequest::new(request, &RustCrypto) {
                        Ok(request) => self.decide(&mut visitor, request),
                        Err(refusal) => Reply::Error(refusal.into()),
                    };
                    let now = driver.now();
                    driver.machine().reply(now, id, &reply)?;
                }
                Ok(Some(_)) => {}
                Err(error) => break Err(error),
            }
        };
        linger(stream);
        ended
    }

    /// The registry stays locked for the decision alone: signatures have been checked before. Its state is whole
    /// whatever a thread that held the lock came to.
    fn decide(&self, visitor: &mut Visitor, request: CheckedRequest) -> Reply {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.handle_checked(visitor, request, &mut random::system()).reply
    }
}

/// One of the connections served at once, for as long as it lives.
struct Seat(Arc<Service>);

impl Seat {
    fn take(service: &Arc<Service>) -> Self {
        service.connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(service))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Closes so that the last reply arrives: closing with input unread would reset the connection and take the reply
/// with it.
fn linger(mut stream: &TcpStream) {
    let end = Instant::now() + LINGER;
    let mut left = LINGER_BYTES;
    // Whatever goes wrong here, the connection is closed next.
    let mut open = stream.shutdown(Shutdown::Write).is_ok();
    while open && left > 0 {
        let time = end.saturating_duration_since(Instant::now());
        let read = match time.is_zero() || stream.set_read_timeout(Some(time)).is_err() {
            true => Ok(0),
            false => stream.read(&mut [0; 1024]),
        };
        open = read.as_ref().is_ok_and(|n| *n > 0);
        left = left.saturating_sub(read.unwrap_or(0));
    }
}
