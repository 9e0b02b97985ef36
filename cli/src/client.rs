//! What the commands that talk to a registry share: its credential, the way to it, a conversation with it, and what
//! the user is told when one of these fails.

use std::fmt;
use std::fs;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use xlreg::adapter::blocking::{Clock, DriveError, Driver};
use xlreg::credential::Credential;
use xlreg::enroll::EnrollError;
use xlreg::identity::{EndPoint, MemberAttrs, Name, NodeId, Token, Version};
use xlreg::message::{ClusterInfo, ClusterRef, Create, GetCluster, MemberList, Op, Refusal, Reply};
use xlreg::session::{
    Client, ClientConfig, ClientEvent, CommandError, Dialect, EofAt, Error, RequestId, Session,
    TimerKind,
};

use crate::failure::Failure;
use crate::node::Node;
use crate::random;

/// How long to try to connect where no other time is set.
const CONNECT_TIME: Duration = Duration::from_secs(20);

/// Which registry, and how to speak to it.
#[derive(Debug, clap::Args)]
pub struct RegistryArgs {
    /// The registry's credential, its regCred.dat
    #[arg(long, value_name = "REGCRED")]
    pub registry: PathBuf,
    /// The generation of servers to speak to
    #[arg(long, value_enum, default_value_t)]
    pub dialect: DialectChoice,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum DialectChoice {
    /// What goes with the version in the credential
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

    /// How a client is to speak to the registry of this credential.
    pub fn config(&self, credential: &Credential) -> ClientConfig {
        let config = ClientConfig::new(credential);
        let dialect = match self.dialect {
            DialectChoice::Auto => config.dialect,
            DialectChoice::Prefixed => Dialect::Prefixed,
            DialectChoice::Chained => Dialect::Chained,
        };
        ClientConfig { dialect, ..config }
    }
}

pub fn read_credential(path: &Path) -> Result<Credential, Failure> {
    let advice = "what is needed is the regCred.dat that the registry wrote in its --dir";
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::new(format!("cannot read {}: {error}", path.display())).advise(advice)
    })?;
    text.parse()
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())).advise(advice))
}

/// Which cluster. A text may be both a name and an ID, so what is meant is said, not guessed.
#[derive(Debug, clap::Args)]
pub struct ClusterArgs {
    /// The cluster's name
    #[arg(id = "cluster", value_name = "CLUSTER", required_unless_present = "id")]
    pub name: Option<Name>,
    /// The cluster's ID instead of its name: 40 or 64 hex digits
    #[arg(long, value_name = "ID", conflicts_with = "cluster")]
    pub id: Option<NodeId>,
}

impl ClusterArgs {
    /// The cluster as a request names it.
    pub fn cluster(&self) -> ClusterRef {
        ClusterRef { id: self.id, name: self.name.clone() }
    }
}

impl fmt::Display for ClusterArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.id) {
            (Some(name), _) => name.fmt(f),
            (None, Some(id)) => id.fmt(f),
            (None, None) => Ok(()),
        }
    }
}

/// Connects to the first end point of the registry that answers.
pub fn connect(credential: &Credential, deadline: Option<Instant>) -> Result<TcpStream, Failure> {
    let mut problems = Vec::new();
    for end_point in &credential.end_points {
        match connect_to(end_point.as_str(), deadline) {
            Ok(stream) => return Ok(stream),
            Err(error) => problems.push(format!("{end_point}: {error}")),
        }
    }
    let message =
        format!("cannot reach the registry {} ({})", credential.name, problems.join("; "));
    Err(match deadline.is_some_and(|at| Instant::now() >= at) {
        true => Failure::timeout(message),
        false => Failure::unreachable(message).advise(
            "is the registry running, and is the address in its regCred the one to reach it at?",
        ),
    })
}

fn connect_to(end_point: &str, deadline: Option<Instant>) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no such host");
    for address in end_point.to_socket_addrs()? {
        let left = deadline.map_or(CONNECT_TIME, |at| {
            at.saturating_duration_since(Instant::now()).min(CONNECT_TIME)
        });
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A conversation with a registry, one request at a time, as deployed servers want it.
pub struct Conversation {
    driver: Driver<Session<Client>, TcpStream>,
    /// The registry's version, as it says itself.
    pub version: Version,
}

impl Conversation {
    /// Connects and completes the handshake.
    pub fn open(args: &RegistryArgs, credential: &Credential) -> Result<Self, Trouble> {
        let stream = connect(credential, None)?;
        let clock = Clock::start();
        let config = args.config(credential);
        let session = Session::<Client>::new(clock.now(), config, random::system());
        let session = session.map_err(|error| Trouble::from(EnrollError::from(error)))?;
        let mut driver = Driver::new(session, stream, clock);
        match driver.next_event()? {
            Some(ClientEvent::Connected { version, .. }) => Ok(Self { driver, version }),
            Some(ClientEvent::Refused { reason, .. }) => {
                Err(EnrollError::Refused { request: None, reason }.into())
            }
            _ => Err(no_answer()),
        }
    }

    /// Connects and says who the client is. The node keeps the ID it is known by; the token is what it said,
    /// with that ID.
    pub fn open_as(
        args: &RegistryArgs,
        credential: &Credential,
        node: &mut Node,
        attrs: MemberAttrs,
        ends: Vec<EndPoint>,
    ) -> Result<(Self, Token), Trouble> {
        let token = node.identity.token(attrs, ends, &mut random::system());
        let token = token.map_err(Failure::new)?;
        let mut registry = Self::open(args, credential)?;
        let id = registry.identify(token.clone())?;
        node.keep(id)?;
        Ok((registry, Token { id: Some(id), ..token }))
    }

    fn identify(&mut self, token: Token) -> Result<NodeId, Trouble> {
        let presented = token.id;
        let send = |session: &mut Session<Client>, now| session.identify(now, token);
        let got = self.ask(Op::Member, send, |reply| match reply {
            Reply::MemberOk { id, .. } => Some(id),
            _ => None,
        })?;
        match presented.filter(|presented| *presented != got) {
            Some(presented) => Err(EnrollError::WrongMember { presented, got }.into()),
            None => Ok(got),
        }
    }

    /// Creates a cluster, or finds the one of that name.
    pub fn create(&mut self, create: Create) -> Result<ClusterInfo, Trouble> {
        let send = |session: &mut Session<Client>, now| session.create(now, create);
        self.ask(Op::Create, send, |reply| match reply {
            Reply::Create(info) => Some(info),
            _ => None,
        })
    }

    /// Asks for all members of a cluster.
    pub fn members(&mut self, cluster: ClusterRef) -> Result<MemberList, Trouble> {
        let by_id = cluster.id;
        let get = GetCluster { cluster, which: None };
        let send = |session: &mut Session<Client>, now| session.get_members(now, get);
        let list = self.ask(Op::GetCluster, send, |reply| match reply {
            Reply::Members(list) => Some(list),
            _ => None,
        })?;
        match by_id.filter(|asked| *asked != list.cluster()) {
            Some(asked) => Err(EnrollError::WrongCluster { asked, got: list.cluster() }.into()),
            None => Ok(list),
        }
    }

    /// Asks who the registry is.
    pub fn credential(&mut self) -> Result<Credential, Trouble> {
        self.ask(Op::RegCredRequest, Session::registry_credential, |reply| match reply {
            Reply::RegCred(credential) => Some(credential),
            _ => None,
        })
    }

    /// Says good bye. All that was wanted is there: that it is not answered takes nothing away.
    pub fn bye(mut self) {
        let _ = self.ask(Op::Bye, Session::bye, |reply| (reply == Reply::Ack).then_some(()));
    }

    fn ask<T>(
        &mut self,
        op: Op,
        send: impl FnOnce(
            &mut Session<Client>,
            xlreg::session::Instant,
        ) -> Result<RequestId, CommandError>,
        pick: impl FnOnce(Reply) -> Option<T>,
    ) -> Result<T, Trouble> {
        let now = self.driver.now();
        send(self.driver.machine(), now).map_err(EnrollError::from)?;
        match self.driver.next_event()? {
            Some(ClientEvent::Reply { reply, .. }) => pick(reply).ok_or_else(no_answer),
            Some(ClientEvent::Refused { reason, .. }) => {
                Err(EnrollError::Refused { request: Some(op), reason }.into())
            }
            _ => Err(no_answer()),
        }
    }
}

/// The session lets no other event through at this point.
fn no_answer() -> Trouble {
    Trouble::Failed(Failure::new("the session told something that was not asked; please report it"))
}

/// Why a conversation did not end as it should.
#[derive(Debug)]
pub enum Trouble {
    /// The registry, or the connection to it.
    Drive(DriveError<EnrollError>),
    /// What was to be done beside talking, explained already.
    Failed(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<EnrollError> for Trouble {
    fn from(error: EnrollError) -> Self {
        Self::Drive(DriveError::Machine(error))
    }
}

impl From<DriveError<EnrollError>> for Trouble {
    fn from(error: DriveError<EnrollError>) -> Self {
        Self::Drive(error)
    }
}

impl From<DriveError<Error>> for Trouble {
    fn from(error: DriveError<Error>) -> Self {
        match error {
            DriveError::Machine(error) => EnrollError::Session(error).into(),
            DriveError::Io(error) => Self::Drive(DriveError::Io(error)),
            DriveError::Command(error) => EnrollError::Command(error).into(),
            _ => no_answer(),
        }
    }
}

/// What a command's user can do when it fails.
pub struct Advice {
    /// When the registry refuses.
    pub refused: fn(Refusal) -> Option<&'static str>,
    /// When nothing more is known.
    pub otherwise: &'static str,
}

impl Trouble {
    /// What happened, and what to do about it.
    pub fn explain(self, args: &RegistryArgs, advice: &Advice) -> Failure {
        let registry = args.registry.display();
        let error = match self {
            Self::Drive(error) => error,
            Self::Failed(failure) => return failure,
        };
        match error {
            DriveError::Machine(EnrollError::Session(Error::Handshake)) => Failure::new(format!(
                "the handshake failed: the registry does not hold the key in {registry}, or it is no xlReg \
                 registry"
            ))
            .advise(
                "get the current regCred.dat from whoever runs the registry; if it is the right one, try another \
                 --dialect",
            ),
            DriveError::Machine(EnrollError::Session(Error::Eof(EofAt::Handshake))) => {
                Failure::new(format!(
                    "the handshake failed: the registry closed the connection, most likely because it \
                     does not hold the key in {registry}"
                ))
                .advise(
                    "get the current regCred.dat from whoever runs the registry; if it is the right one, the \
                     registry may be overloaded or want another --dialect: try again",
                )
            }
            DriveError::Machine(EnrollError::Session(Error::Timeout(TimerKind::Hello))) => {
                Failure::unreachable("the handshake failed: the registry did not answer in time").advise(
                    format!(
                        "try again; if that does not help, {registry} may be of another registry, or it may want \
                         another --dialect"
                    ),
                )
            }
            DriveError::Machine(EnrollError::Refused { request, reason }) => {
                let advised = reason.refusal().and_then(advice.refused);
                let failure = Failure::refused(EnrollError::Refused { request, reason });
                match advised {
                    Some(advised) => failure.advise(advised),
                    None => failure,
                }
            }
            lost if is_lost(&lost) => Failure::unreachable(lost).advise(advice.otherwise),
            other => Failure::new(other).advise(advice.otherwise),
        }
    }
}

/// Whether the registry went away or fell silent, after it had been reached.
const fn is_lost(error: &DriveError<EnrollError>) -> bool {
    matches!(
        error,
        DriveError::Io(_)
            | DriveError::Machine(EnrollError::Session(Error::Eof(_) | Error::Timeout(_)))
    )
}
