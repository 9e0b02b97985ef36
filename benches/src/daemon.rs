//! The registry daemon as a process, and its clients.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use socket2::{Domain, Socket, Type};
use xlreg::adapter::blocking::{Clock, Driver};
use xlreg::credential::Credential;
use xlreg::identity::Token;
use xlreg::session::{
    Client, ClientConfig, ClientEvent, CommandError, Instant, RequestId, Session,
};

use crate::Seeded;

/// A running `xlreg serve` on an empty directory. It is killed when dropped, and the directory is
/// removed.
pub struct Daemon {
    process: Child,
    dir: PathBuf,
    /// The address where it listens.
    pub address: String,
}

/// The flags that lift all limits.
const UNLIMITED: &str = include_str!("../unlimited");

/// A connected client.
pub type Connection = Driver<Session<Client>, TcpStream>;

impl Daemon {
    /// Starts the binary that `XLREG` names, with these flags.
    pub fn start(flags: &[&str]) -> Self {
        let xlreg =
            std::env::var("XLREG").expect("XLREG, the binary to measure; benches/daemon sets it");
        Self::of(&xlreg, flags)
    }

    /// Starts this binary.
    pub fn of(xlreg: &str, flags: &[&str]) -> Self {
        let dir = std::env::temp_dir().join(format!("xlreg-benches-{}", std::process::id()));
        let mut command = Command::new(xlreg);
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(UNLIMITED.split_whitespace());
        command.arg("--dir");
        command.arg(&dir).args(flags).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("it starts");
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().expect("piped"));
        output.read_line(&mut line).expect("it says where it listens");
        let address = line.trim().strip_prefix("listening on ").expect("an address").to_string();
        Self { process, dir, address }
    }

    /// The credential for its clients.
    pub fn credential(&self) -> Credential {
        let text = fs::read_to_string(self.dir.join("regCred.dat")).expect("it is there");
        text.parse().expect("a credential")
    }

    /// A connection to it.
    pub fn stream(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_nodelay(true).expect("TCP");
        stream
    }

    /// A connection to it from another address of this machine.
    pub fn stream_from(&self, source: IpAddr) -> TcpStream {
        let to: SocketAddr = self.address.parse().expect("an address");
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::new(source, 0).into()).expect("an address of this machine");
        socket.connect(&to.into()).expect("it listens");
        socket.set_tcp_nodelay(true).expect("TCP");
        socket.into()
    }

    /// A client that has registered.
    pub fn visit(&self, token: Token) -> Connection {
        self.visit_over(self.stream(), ClientConfig::new(&self.credential()), token)
    }

    /// The same over this connection.
    pub fn visit_over(&self, stream: TcpStream, config: ClientConfig, token: Token) -> Connection {
        let clock = Clock::start();
        let session = Session::<Client>::new(clock.now(), config, Seeded::new(1)).expect("sealed");
        let mut driver = Driver::new(session, stream, clock);
        assert!(matches!(driver.next_event(), Ok(Some(ClientEvent::Connected { .. }))));
        ask(&mut driver, |session, now| session.register(now, token));
        driver
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The system removes the rest.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// One round trip.
pub fn ask(
    connection: &mut Connection,
    command: impl FnOnce(&mut Session<Client>, Instant) -> Result<RequestId, CommandError>,
) {
    let now = connection.now();
    command(connection.machine(), now).expect("a command in its order");
    match connection.next_event() {
        Ok(Some(ClientEvent::Reply { .. })) => {}
        other => panic!("{other:?}"),
    }
}
