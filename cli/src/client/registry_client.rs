//! A conversation with a registry. It sends one request at a time, as deployed servers need it.

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

/// The flags and end points of a node.
pub struct Presence {
    pub attrs: MemberAttrs,
    pub end_points: Vec<EndPoint>,
}

/// A connection to a registry. It never cuts a record. It sends nothing that ends a deployed
/// server, unless the user wants that or the peer has shown that it is none.
pub struct RegistryClient {
    driver: Driver<Session<Client>, TcpStream>,
    stop: Stop,
    /// The registry's version, from its HelloReply.
    pub version: Version,
    /// The kind of registry.
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
        // The version in the HelloReply counts, not the one in a file.
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

    /// Connects and registers the client. The node keeps its ID. Gives the token with that ID.
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
            // A record that may not fit one segment is sent only to a registry that is not a
            // deployed server.
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

    /// Whether requests may be sent that end a deployed server.
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

    /// Creates a cluster, or finds the one with this name.
    pub async fn create(&mut self, create: Create) -> Result<ClusterInfo, ClientError> {
        match self.ask(Op::Create, |session, now| session.create(now, create)).await? {
            Reply::Create(info) => Ok(info),
            _ => Err(unasked()),
        }
    }

    /// Asks whether a cluster exists, before any Join. A deployed server refuses the question and
    /// goes on. Gives the cluster's ID.
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

    /// Asks for the registry's credential. That ends a deployed server.
    pub async fn credential(&mut self) -> Result<Credential, ClientError> {
        let asked = self.ask(Op::RegCredRequest, |session, now| session.registry_credential(now));
        match asked.await? {
            Reply::RegCred(credential) => Ok(credential),
            _ => Err(unasked()),
        }
    }

    /// Sends Bye. All results are there, so a missing Ack does not matter.
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

    /// Waits for the next event, or until the command must stop. Then the rest of a begun record is
    /// still written.
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

/// Writes the rest of a begun record, unless a second signal comes.
pub async fn finish<M: Machine + Unpin>(driver: &mut Driver<M, TcpStream>, stop: &mut Stop) {
    tokio::select! {
        biased;
        () = driver.write_rest() => {}
        () = stop.insisted() => {}
    }
}

/// Whether an answer to the question shows a deployed server: it refuses the question as one at the
/// wrong time, or hangs up.
fn tells_deployed(error: &ClientError) -> bool {
    match error {
        ClientError::Registry(EnrollError::Refused { reason, .. }) => {
            reason.refusal() == Some(Refusal::WrongState)
        }
        ClientError::Registry(EnrollError::Session(Error::Eof(at))) => *at == EofAt::Reply,
        _ => false,
    }
}

/// Makes sure that the registry is not a deployed server, by asking for a cluster that nobody has.
/// A deployed server survives the question. It takes a session of the user's own visitor.
///
/// # Errors
///
/// [`EnrollError::Deployed`] if the registry is a deployed server.
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

/// The session gives no other event at this point.
fn unasked() -> ClientError {
    Error::Internal("the session told something that was not asked").into()
}
