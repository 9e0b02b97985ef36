//! The tests' model of a deployed server behind a listener: what each read brings is what it works
//! on, and where the process dies, everything is closed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use xlreg::credential::Credential;
use xlreg::identity::{Identity, NodeId};

use xlreg_testkit::deployed::{Connection, DeployedServer, Member, Outcome, READ, Ways};

/// A server that runs until it dies, or the test is over.
pub struct Front {
    address: SocketAddr,
    keys: Identity,
    shared: Arc<Mutex<State>>,
    acceptor: Option<JoinHandle<()>>,
}

struct State {
    server: DeployedServer,
    streams: Vec<TcpStream>,
    /// Whether the process is started again at once where it dies.
    restarts: bool,
    /// Who joins whatever cluster has somebody in it, so that who waits for it need not wait.
    company: Option<Member>,
    is_over: bool,
}

impl Front {
    /// Serves on a port of its own, with these keys.
    pub fn start(ways: Ways, keys: Identity) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(State {
            server: DeployedServer::new(ways, keys.comms.clone()),
            streams: Vec::new(),
            restarts: false,
            company: None,
            is_over: false,
        }));
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { address, keys, shared, acceptor: Some(acceptor) }
    }

    /// Started again at once where it dies.
    pub fn that_restarts(self) -> Self {
        lock(&self.shared).restarts = true;
        self
    }

    /// With somebody who joins whatever others have joined.
    pub fn with_company(self, company: Member) -> Self {
        lock(&self.shared).company = Some(company);
        self
    }

    /// The regCred of such a server.
    pub fn credential(&self) -> Credential {
        Credential {
            name: self.keys.name.clone(),
            id: NodeId::from_bytes(&[0xde; 20]).unwrap(),
            comms_key: self.keys.comms.public_key().clone(),
            sig_key: self.keys.sig.public_key().clone(),
            end_points: vec![self.address.to_string().parse().unwrap()],
            version: self.server(|server| server.ways.version),
        }
    }

    /// Looks at the server, or changes it.
    pub fn server<T>(&self, look: impl FnOnce(&mut DeployedServer) -> T) -> T {
        look(&mut lock(&self.shared).server)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let mut state = lock(&self.shared);
        state.is_over = true;
        state.close_all();
        drop(state);
        // Its accept returns, if it is not gone already.
        let _ = TcpStream::connect(self.address);
        let _ = self.acceptor.take().map(JoinHandle::join);
    }
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl State {
    fn close_all(&mut self) {
        for stream in self.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// What becomes of a process that is not the one it was before.
    fn after(&mut self, life: usize) {
        if self.server.life() == life {
            return;
        }
        self.close_all();
        if self.server.is_dead() {
            match self.restarts {
                true => self.server.restart(),
                false => self.is_over = true,
            }
        }
    }

    fn keep_company(&mut self) {
        let Some(company) = &self.company else { return };
        for cluster in &mut self.server.clusters {
            let mut members = cluster.members.iter();
            if !cluster.members.is_empty() && members.all(|member| member.name != company.name) {
                cluster.members.push(company.clone());
            }
        }
    }
}

/// Takes connections until the process is no more; then nobody listens.
fn accept(listener: &TcpListener, shared: &Arc<Mutex<State>>) {
    for stream in listener.incoming() {
        let mut state = lock(shared);
        if state.is_over {
            return;
        }
        let Ok(stream) = stream else { continue };
        let life = state.server.life();
        let Some(connection) = state.server.accept() else {
            state.after(life);
            match state.is_over {
                true => return,
                false => continue,
            }
        };
        state.streams.push(stream.try_clone().unwrap());
        let shared = Arc::clone(shared);
        thread::spawn(move || serve(connection, stream, &shared));
    }
}

fn serve(mut connection: Connection, mut stream: TcpStream, shared: &Mutex<State>) {
    let mut buffer = vec![0; READ];
    loop {
        let bytes = match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(n) => &buffer[..n],
        };
        let mut state = lock(shared);
        let life = state.server.life();
        let outcome = connection.segment(&mut state.server, bytes);
        state.keep_company();
        let goes_on = match outcome {
            Outcome::Reply(reply) => stream.write_all(&reply).is_ok(),
            Outcome::Close(words) => {
                let _ = stream.write_all(&words);
                false
            }
            Outcome::Died(_) => false,
        };
        state.after(life);
        if !goes_on {
            let _ = stream.shutdown(Shutdown::Both);
            if state.is_over
                && let Ok(address) = stream.local_addr()
            {
                drop(state);
                let _ = TcpStream::connect(address);
            }
            return;
        }
    }
}
