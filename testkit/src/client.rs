//! A blocking client that runs step by step, with the library's deadlines.

use std::net::{SocketAddr, TcpStream};

use xlreg::adapter::blocking::{Clock, DriveError, Driver};
use xlreg::credential::Credential;
use xlreg::identity::{Identity, MemberAttrs, NodeId, Token};
use xlreg::message::{ClusterInfo, ClusterRef, Create, GetCluster, Refusal, Reply};
use xlreg::session::{
    Client as Role, ClientConfig, ClientEvent, CommandError, Dialect, Instant, RequestId, Session,
};

use crate::Seeded;
use crate::wait::HANG;

/// The failure of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The registry refused.
    Refused(String),
    /// The connection was lost, or could not be made.
    Lost(String),
}

impl Failure {
    /// Whether it is this refusal.
    pub fn is(&self, refusal: Refusal) -> bool {
        *self == Self::Refused(refusal.as_str().into())
    }

    /// Whether the connection was lost, or could not be made.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

/// The address of a registry, and the settings and draws of a client.
#[derive(Clone)]
pub struct Way {
    pub address: SocketAddr,
    pub config: ClientConfig,
}

impl Way {
    /// Makes a way to this address, with the settings for the credential.
    pub fn new(address: &str, credential: &Credential) -> Self {
        Self { address: address.parse().unwrap(), config: ClientConfig::new(credential) }
    }

    /// Sets the dialect.
    pub fn in_dialect(mut self, dialect: Dialect) -> Self {
        self.config.dialect = dialect;
        self
    }

    /// Connects and completes the handshake.
    pub fn connect(&self, rng: &mut Seeded) -> Result<Client, Failure> {
        self.connect_over(TcpStream::connect_timeout(&self.address, HANG).map_err(lost)?, rng)
    }

    /// Completes the handshake.
    pub fn connect_over(&self, stream: TcpStream, rng: &mut Seeded) -> Result<Client, Failure> {
        stream.set_nodelay(true).map_err(lost)?;
        let clock = Clock::start();
        let own = Seeded(rand_core::Rng::next_u64(rng));
        let session = Session::<Role>::new(clock.now(), self.config.clone(), own).unwrap();
        let mut client = Client { driver: Driver::new(session, stream, clock) };
        match client.event()? {
            ClientEvent::Connected { dialect, .. } => assert_eq!(dialect, self.config.dialect),
            other => panic!("{other:?}"),
        }
        Ok(client)
    }

    /// Makes a Hello, which may be sent again and again.
    pub fn hello(&self, rng: &mut Seeded) -> Vec<u8> {
        let session = Session::<Role>::new(Instant::EPOCH, self.config.clone(), rng.clone());
        session.unwrap().output().to_vec()
    }

    /// Connects and registers.
    pub fn visit(&self, token: &Token, rng: &mut Seeded) -> Result<(Client, NodeId), Failure> {
        let mut client = self.connect(rng)?;
        let id = client.member(token)?;
        Ok((client, id))
    }
}

/// One session.
pub struct Client {
    driver: Driver<Session<Role>, TcpStream>,
}

type Command = Result<RequestId, CommandError>;

impl Client {
    /// Registers this member; its ID is the answer.
    pub fn member(&mut self, token: &Token) -> Result<NodeId, Failure> {
        match self.ask(|session, now| session.register(now, token.clone()))? {
            Reply::MemberOk { id, .. } => Ok(id),
            other => panic!("{other:?}"),
        }
    }

    /// Creates a cluster, or finds the one of this name.
    pub fn create(&mut self, name: &str, max_size: u32) -> Result<ClusterInfo, Failure> {
        let name = name.parse().unwrap();
        let create = Create { name, max_size, attrs: Default::default(), end_point_count: 1 };
        match self.ask(|session, now| session.create(now, create))? {
            Reply::Create(info) => Ok(info),
            other => panic!("{other:?}"),
        }
    }

    /// Joins a cluster.
    pub fn join(&mut self, cluster: impl Into<ClusterRef>) -> Result<ClusterInfo, Failure> {
        let cluster = cluster.into();
        match self.ask(|session, now| session.join(now, cluster))? {
            Reply::Join(info) => Ok(info),
            other => panic!("{other:?}"),
        }
    }

    /// All members of a cluster, with their indexes.
    pub fn members(&mut self, cluster: NodeId) -> Result<Vec<(u32, Token)>, Failure> {
        let get = GetCluster { cluster: cluster.into(), which: None };
        match self.ask(|session, now| session.get_members(now, get))? {
            Reply::Members(list) => {
                Ok(list.into_entries().map(|(index, token)| (index.get(), token)).collect())
            }
            other => panic!("{other:?}"),
        }
    }

    /// Says Bye, and waits for the Ack.
    pub fn bye(mut self) -> Result<(), Failure> {
        match self.ask(|session, now| session.bye(now))? {
            Reply::Ack => Ok(()),
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, command: impl FnOnce(&mut Session<Role>, Instant) -> Command) -> Asked {
        let now = self.driver.now();
        let asked = command(self.driver.machine(), now).expect("a step in its place");
        match self.event()? {
            ClientEvent::Reply { request, reply } => {
                assert_eq!(request, asked);
                Ok(reply)
            }
            other => panic!("{other:?}"),
        }
    }

    fn event(&mut self) -> Result<ClientEvent, Failure> {
        match self.driver.next_event() {
            Ok(Some(ClientEvent::Refused { reason, .. })) => {
                Err(Failure::Refused(reason.as_str().into()))
            }
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(Failure::Lost("the session is over".into())),
            Err(DriveError::Command(error)) => panic!("{error}"),
            Err(error) => Err(lost(error)),
        }
    }
}

type Asked = Result<Reply, Failure>;

fn lost(error: impl std::fmt::Display) -> Failure {
    Failure::Lost(error.to_string())
}

/// Makes the signed token of an identity with one end point.
pub fn token(identity: &Identity, end: &str, rng: &mut Seeded) -> Token {
    identity.token(MemberAttrs::default(), vec![end.parse().unwrap()], rng).unwrap()
}
