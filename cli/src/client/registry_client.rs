//! A conversation with a registry, one request at a time, as deployed servers want it.

use tokio::net::TcpStream;
use xlreg::adapter::tokio::{Clock, Driver};
use xlreg::credential::Credential;
use xlreg::enroll::{Enroll, EnrollError, Look, RegistryKind};
use xlreg::identity::{EndPoint, MemberAttrs, Name, NodeId, Token, Version};
use xlreg::message::{
    ClusterInfo, ClusterRef, Create, GetCluster, MemberList, MemberSet, Op, Refusal, Reply,
};
use xlreg::session::{
    Client, ClientEvent, CommandError, EofAt, Error, Instant, Machine, RequestId, Session,
};

use super::RegistryArgs;
use super::dial::reach;
use super::error::ClientError;
use super::stop::Stop;
use crate::node::Node;
use crate::random;
use crate::visitor::{VISITOR_ATTRS, visitor};

/// How a node presents itself.
pub struct Presence {
    pub attrs: MemberAttrs,
    pub end_points: Vec<EndPoint>,
}

/// A connection to a registry. It never cuts a record, and sends nothing that ends a deployed
/// server unless the user means it, or the peer has shown that it is none.
pub struct RegistryClient {
    driver: Driver<Session<Client>, TcpStream>,
    stop: Stop,
    /// The registry's version, as it says itself.
    pub version: Version,
    /// What it is taken for.
    pub kind: RegistryKind,
    may_end_server: bool,
}

impl RegistryClient {
    /// Connects and completes the handshake.
    pub async fn open(
        args: &RegistryArgs,
        credential: &Credential,
        stop: &Stop,
    ) -> Result<Self, ClientError> {
        args.check(credential)?;
        reach(credential, stop, async |stream| Self::greet(args, credential, stop, stream).await)
            .await
    }

    /// Completes the handshake.
    async fn greet(
        args: &RegistryArgs,
        credential: &Credential,
        stop: &Stop,
        stream: TcpStream,
    ) -> Result<Self, ClientError> {
        let clock = Clock::start();
        let session =
            Session::<Client>::new(clock.now(), args.config(credential), random::system());
        let driver = Driver::new(session.map_err(EnrollError::from)?, stream, clock);
        let may_end_server = args.may_end_server;
        // What the registry says of itself counts, and not what a file says.
        let (version, kind) = (Version::ZERO, RegistryKind::Unknown);
        let stop = stop.clone();
        let mut client = Self { driver, stop, version, kind, may_end_server };
        match client.next_event().await? {
            Some(ClientEvent::Connected { version, .. }) => {
                client.version = version;
                client.kind = RegistryKind::of(version);
                client.require_supported()?;
                Ok(client)
            }
            Some(ClientEvent::Refused { reason, .. }) => {
                Err(EnrollError::Refused { request: None, reason }.into())
            }
            _ => Err(unasked()),
        }
    }

    /// Connects and says who the client is. The node keeps the ID it is known by; the token is what
    /// it said, with that ID.
    pub async fn open_as(
        args: &RegistryArgs,
        credential: &Credential,
        stop: &Stop,
        node: &mut Node,
        presence: &Presence,
    ) -> Result<(Self, Token), ClientError> {
        let token = node.token(presence)?;
        let mut client = Self::open(args, credential, stop).await?;
        let id = match client.register(token.clone()).await {
            // A record that may not fit a segment goes only to a registry that is no deployed
            // server.
            Err(ClientError::Registry(EnrollError::LargeMember { bytes, limit })) => {
                ask_kind(args, credential, stop).await.map_err(|error| match error {
                    ClientError::Registry(EnrollError::Deployed) => {
                        EnrollError::LargeMember { bytes, limit }.into()
                    }
                    error => error,
                })?;
                client = Self::open(args, credential, stop).await?;
                client.kind = RegistryKind::Xlreg;
                client.register(token.clone()).await?
            }
            done => done?,
        };
        node.keep(id)?;
        Ok((client, Token { id: Some(id), ..token }))
    }

    fn require_supported(&self) -> Result<(), ClientError> {
        let (version, first) = (self.version, Enroll::FIRST_VERSION);
        match version < first {
            true => Err(EnrollError::TooOld { version, first }.into()),
            false => Ok(()),
        }
    }

    /// Whether what ends a deployed server may be sent.
    fn may_risk(&self) -> bool {
        self.may_end_server || self.kind == RegistryKind::Xlreg
    }

    async fn register(&mut self, token: Token) -> Result<NodeId, ClientError> {
        let presented = token.id;
        let now = self.driver.now();
        self.driver.machine().register(now, token).map_err(EnrollError::from)?;
        let (bytes, limit) = (self.driver.machine().output().len(), Enroll::SEGMENT);
        if bytes > limit && !self.may_risk() {
            self.abandon().await;
            return Err(EnrollError::LargeMember { bytes, limit }.into());
        }
        let got = match self.answer(Op::Member).await? {
            Reply::MemberOk { id, .. } => id,
            _ => return Err(unasked()),
        };
        match presented.filter(|presented| *presented != got) {
            Some(presented) => Err(EnrollError::WrongMember { presented, got }.into()),
            None => Ok(got),
        }
    }

    /// Creates a cluster, or finds the one of that name.
    pub async fn create(&mut self, create: Create) -> Result<ClusterInfo, ClientError> {
        match self.ask(Op::Create, |session, now| session.create(now, create)).await? {
            Reply::Create(info) => Ok(info),
            _ => Err(unasked()),
        }
    }

    /// Asks whether a cluster is there, in a way that a deployed server refuses and survives; its
    /// ID. Goes before any Join.
    ///
    /// # Errors
    ///
    /// [`EnrollError::Deployed`] if the peer is a deployed server.
    pub async fn find(&mut self, cluster: ClusterRef) -> Result<NodeId, ClientError> {
        let by_id = cluster.id;
        let get = GetCluster { cluster, which: Some(MemberSet::NONE) };
        let answer = self.ask(Op::GetCluster, |session, now| session.get_members(now, get)).await;
        match answer {
            Ok(Reply::Members(list)) => {
                self.kind = RegistryKind::Xlreg;
                let id = by_id.unwrap_or(list.cluster());
                Look { registry: self.kind, ..Look::new(id, MemberSet::NONE) }.check(&list)?;
                Ok(id)
            }
            Ok(_) => Err(unasked()),
            Err(error) if tells_deployed(&error) => Err(EnrollError::Deployed.into()),
            Err(error) => Err(error),
        }
    }

    /// Asks for all members of a cluster that was [found](Self::find).
    pub async fn members(&mut self, cluster: NodeId) -> Result<MemberList, ClientError> {
        let get = GetCluster::of(cluster, MemberSet::ALL);
        match self.ask(Op::GetCluster, |session, now| session.get_members(now, get)).await? {
            Reply::Members(list) => {
                Look { registry: self.kind, ..Look::new(cluster, MemberSet::ALL) }.check(&list)?;
                Ok(list)
            }
            _ => Err(unasked()),
        }
    }

    /// Asks who the registry is. It ends a deployed server.
    pub async fn credential(&mut self) -> Result<Credential, ClientError> {
        let asked = self.ask(Op::RegCredRequest, |session, now| session.registry_credential(now));
        match asked.await? {
            Reply::RegCred(credential) => Ok(credential),
            _ => Err(unasked()),
        }
    }

    /// Says good bye. All that was wanted is there: that it is not answered takes nothing away.
    pub async fn bye(mut self) {
        let _ = self.ask(Op::Bye, |session, now| session.bye(now)).await;
    }

    async fn ask(
        &mut self,
        op: Op,
        send: impl FnOnce(&mut Session<Client>, Instant) -> Result<RequestId, CommandError>,
    ) -> Result<Reply, ClientError> {
        let now = self.driver.now();
        send(self.driver.machine(), now).map_err(EnrollError::from)?;
        self.answer(op).await
    }

    async fn answer(&mut self, op: Op) -> Result<Reply, ClientError> {
        match self.next_event().await? {
            Some(ClientEvent::Reply { reply, .. }) => Ok(reply),
            Some(ClientEvent::Refused { reason, .. }) => {
                Err(EnrollError::Refused { request: Some(op), reason }.into())
            }
            _ => Err(unasked()),
        }
    }

    /// The next event, unless the command is to stop: then the record that has been begun still
    /// goes out.
    async fn next_event(&mut self) -> Result<Option<ClientEvent>, ClientError> {
        let event = self.stop.or(self.driver.next_event()).await;
        match event {
            Ok(event) => Ok(event?),
            Err(stopped) => {
                self.abandon().await;
                Err(stopped.into())
            }
        }
    }

    async fn abandon(&mut self) {
        let now = self.driver.now();
        self.driver.machine().abandon(now);
        finish(&mut self.driver, &mut self.stop).await;
    }
}

/// Writes the rest of a record that has been begun, unless the user insists.
pub async fn finish<M: Machine + Unpin>(driver: &mut Driver<M, TcpStream>, stop: &mut Stop) {
    tokio::select! {
        biased;
        () = driver.write_rest() => {}
        () = stop.insisted() => {}
    }
}

/// Whether an answer to the question shows a deployed server: it refuses it for the state of the
/// session, or hangs up.
fn tells_deployed(error: &ClientError) -> bool {
    match error {
        ClientError::Registry(EnrollError::Refused { reason, .. }) => {
            reason.refusal() == Some(Refusal::WrongState)
        }
        ClientError::Registry(EnrollError::Session(Error::Eof(at))) => *at == EofAt::Reply,
        _ => false,
    }
}

/// Makes sure that the registry is no deployed server, by a question that such a one survives: for
/// a cluster that nobody has. It costs a session, and is asked as the user's lasting visitor.
///
/// # Errors
///
/// [`EnrollError::Deployed`] if it is one.
pub async fn ask_kind(
    args: &RegistryArgs,
    credential: &Credential,
    stop: &Stop,
) -> Result<(), ClientError> {
    let mut client = RegistryClient::open(args, credential, stop).await?;
    if client.kind == RegistryKind::Xlreg {
        client.bye().await;
        return Ok(());
    }
    let mut visitor = visitor(credential)?;
    let presence = Presence { attrs: VISITOR_ATTRS, end_points: Vec::new() };
    let token = visitor.token(&presence)?;
    let id = client.register(token).await?;
    visitor.keep(id)?;
    let nobody = NodeId::random(&mut random::system()).to_string();
    let nobody: String = nobody.chars().take(32).collect();
    let nobody = Name::new(nobody).map_err(crate::output::Failure::new)?;
    match client.find(nobody.into()).await {
        Ok(_) => {
            client.bye().await;
            Ok(())
        }
        Err(ClientError::Registry(EnrollError::Refused { reason, .. }))
            if reason.refusal() == Some(Refusal::NoClusterWithName) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The session lets no other event through at this point.
fn unasked() -> ClientError {
    Error::Internal("the session told something that was not asked").into()
}
