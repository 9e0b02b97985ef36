//! `xlreg join`: joins a cluster and waits until it is full.

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use xlreg::adapter::tokio::{Clock, Driver};
use xlreg::credential::Credential;
use xlreg::enroll::{Enroll, EnrollError, EnrollEvent, Plan, RegistryKind, Roster};
use xlreg::identity::{ClusterAttrs, EndPoint, MemberAttrs};
use xlreg::message::{ClusterInfo, Create, Op, Refusal};

use super::create::difference;
use crate::checked::{Check, Checked};
use crate::client::advice::{Command, Peer, explain};
use crate::client::{
    self, ClientError, Cluster, ClusterArgs, Patience, PatienceArgs, Presence, RegistryArgs,
    Stopped, ask_kind, finish, reach,
};
use crate::node::{Node, NodeArgs};
use crate::output::json::{own_entry, roster_json};
use crate::output::progress::Progress;
use crate::output::progress_lines::{ProgressArgs, ProgressChoice, ProgressLines};
use crate::output::tables::{table, table_of};
use crate::output::{Failure, MessageFormat, note, print, print_json};
use crate::random;

const AFTER_HELP: &str = "\
Without --timeout the registry is tried for 10 seconds, and for 60 if it is lost after the join.
Waiting for members has no end.
A deployed server does not accept a node again under its name. Then 'join' prints the members that
it kept in DIR when the cluster was complete. Without --create no cluster of a deployed server is
joined, because joining an unknown cluster ends the server and all its clusters.
With --progress json stderr has one JSON object a line. Each has a key 'event': connected,
identified, created (the cluster exists), joined, member, changed, listed_twice, listed_beyond,
done, waiting, note, error.
docs/json-schema.json describes them, and the output of --json.

Exit codes:
  0  the cluster is complete, or with --no-wait joined; its members are printed
  1  failed; the message says what to do
  2  usage
  3  timed out before the cluster was complete; what is known is printed
  4  refused by the registry
  5  the registry could not be reached

Examples:
  xlreg join alpha --registry regCred.dat --node ./node --name host1 \\
    --end-point 10.0.0.1:4000 --create 3
  xlreg join alpha --registry regCred.dat --node ./node --name host2 \\
    --end-point 10.0.0.2:4000 --json
  xlreg join alpha --registry regCred.dat --node ./node --name host2 \\
    --end-point 10.0.0.2:4000 --no-wait";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct JoinArgs {
    #[command(flatten)]
    cluster: Checked<ClusterArgs>,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    node: NodeArgs,
    /// Where this node listens: for other members, then for the cluster's clients
    #[arg(long = "end-point", value_name = "HOST:PORT", required = true)]
    end_points: Vec<EndPoint>,
    /// Create the cluster for this number of members (1 to 64), if it does not exist
    #[arg(long, value_name = "SIZE", value_parser = clap::value_parser!(u32).range(1..=64))]
    create: Option<u32>,
    /// Print the present members after joining, and do not wait for the others
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    patience: PatienceArgs,
    #[command(flatten)]
    progress: ProgressArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The arguments of `xlreg join`, as values.
pub struct Join {
    cluster: Cluster,
    /// The cluster to create if it does not exist.
    create: Option<Create>,
    registry: RegistryArgs,
    node: NodeArgs,
    end_points: Vec<EndPoint>,
    /// Whether to wait until the cluster is complete.
    wait: bool,
    patience: PatienceArgs,
    progress: ProgressChoice,
    json: bool,
}

impl Check for JoinArgs {
    type Values = Join;

    fn check(self) -> Result<Join, String> {
        let cluster = self.cluster.0;
        let end_point_count = match self.end_points.len() {
            1 => 1,
            2 => 2,
            _ => return Err("--end-point may be given once or twice, not more".into()),
        };
        let create = match (self.create, &cluster) {
            (None, _) => None,
            (Some(_), Cluster::WithId(_)) => {
                return Err("--create needs the cluster's name, not an ID".into());
            }
            (Some(max_size), Cluster::Named(name)) => {
                let (name, attrs) = (name.clone(), ClusterAttrs::NONE);
                Some(Create { name, max_size, attrs, end_point_count })
            }
        };
        Ok(Join {
            cluster,
            create,
            registry: self.registry,
            node: self.node,
            end_points: self.end_points,
            wait: !self.no_wait,
            patience: self.patience,
            progress: self.progress.progress,
            json: self.json,
        })
    }
}

impl Join {
    pub const fn message_format(&self) -> MessageFormat {
        self.progress.message_format(self.json)
    }
}

pub fn run(args: &Join) -> Result<(), Failure> {
    let credential = args.registry.credential()?;
    client::run(&args.registry, &args.patience, async |patience| {
        let node = args.node.open(&patience.stop).await?;
        let mut enrollment = Enrollment::new(args, &credential, node);
        let ended = enrollment.persist(patience).await;
        enrollment.report(ended, patience).await
    })
}

/// A member's enrollment. It may take several sessions.
struct Enrollment<'a> {
    args: &'a Join,
    credential: &'a Credential,
    node: Node,
    presence: Presence,
    registry: RegistryKind,
    /// The cluster as the registry answered Create.
    created: Option<ClusterInfo>,
    /// The roster of the last session that had one.
    known: Option<Roster>,
    progress: Option<Progress>,
    lines: ProgressLines,
}

impl<'a> Enrollment<'a> {
    fn new(args: &'a Join, credential: &'a Credential, node: Node) -> Self {
        let presence = Presence { attrs: MemberAttrs::NONE, end_points: args.end_points.clone() };
        // The version in the HelloReply counts, not the one in a file.
        let registry = RegistryKind::Unknown;
        let (created, known, progress) = (None, None, None);
        let lines = ProgressLines::new(args.progress, args.cluster.name());
        Self { args, credential, node, presence, registry, created, known, progress, lines }
    }

    /// Retries until the cluster is complete, or an error is not temporary.
    async fn persist(&mut self, patience: &mut Patience) -> Result<(), ClientError> {
        loop {
            patience.begin();
            match self.enroll(patience).await {
                Ok(()) => return Ok(()),
                Err(ClientError::Registry(EnrollError::LargeMember { bytes, limit })) => {
                    // A member this large is presented only to a registry that is not a deployed
                    // server.
                    let args = &self.args.registry;
                    match ask_kind(args, self.credential, &patience.stop).await {
                        Ok(()) => self.registry = RegistryKind::Xlreg,
                        Err(ClientError::Registry(EnrollError::Deployed)) => {
                            return Err(EnrollError::LargeMember { bytes, limit }.into());
                        }
                        Err(error) => patience.pause(error).await?,
                    }
                }
                Err(error) => patience.pause(error).await?,
            }
        }
    }

    fn plan(&self, deadline: Option<Instant>) -> Result<Plan, ClientError> {
        let token = self.node.token(&self.presence)?;
        let plan = match &self.args.create {
            Some(create) => Plan::create_and_join(token, create.clone()),
            None => Plan::join(token, self.args.cluster.reference()),
        };
        Ok(Plan {
            registry: self.registry,
            may_end_server: self.args.registry.may_end_server,
            give_up_after: deadline.map(|at| at.saturating_duration_since(Instant::now())),
            wait: self.args.wait,
            ..plan
        })
    }

    /// Runs one session.
    async fn enroll(&mut self, patience: &mut Patience) -> Result<(), ClientError> {
        self.args.registry.check(self.credential)?;
        let stop = patience.stop.clone();
        reach(self.credential, &stop, async |stream| self.enroll_over(stream, patience).await).await
    }

    async fn enroll_over(
        &mut self,
        stream: TcpStream,
        patience: &mut Patience,
    ) -> Result<(), ClientError> {
        let mut stop = patience.stop.clone();
        let (clock, plan) = (Clock::start(), self.plan(stop.deadline())?);
        let config = self.args.registry.config(self.credential);
        let enroll = Enroll::new(clock.now(), config, plan, random::system())?;
        let mut driver = Driver::new(enroll, stream, clock);
        let ended = loop {
            let word = self.progress.as_ref().map(Progress::next_word);
            let event = tokio::select! {
                biased;
                event = driver.next_event() => event,
                number = stop.signalled() => {
                    let now = driver.now();
                    driver.machine().abandon(now);
                    finish(&mut driver, &mut stop).await;
                    break Err(Stopped::Signal(number).into());
                }
                () = sleep_until(word.unwrap_or_else(Instant::now)), if word.is_some() => {
                    if let Some(text) = self.progress.as_mut().and_then(Progress::word) {
                        patience.say(&text);
                    }
                    continue;
                }
            };
            match event {
                Ok(Some(event)) => self.on_event(event, patience)?,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        self.known = driver.into_parts().0.into_roster().or(self.known.take());
        ended
    }

    fn on_event(&mut self, event: EnrollEvent, patience: &mut Patience) -> Result<(), Failure> {
        let cluster = self.args.cluster.to_string();
        self.lines.tell(&event);
        match event {
            EnrollEvent::Connected { version, .. }
                if RegistryKind::of(version) == RegistryKind::Xlreg =>
            {
                self.registry = RegistryKind::Xlreg;
            }
            // The ID is kept first: without it the node would lose its place.
            EnrollEvent::Registered { id, .. } => self.node.keep(id)?,
            EnrollEvent::Created(info) => self.on_created(info),
            EnrollEvent::Joined(info) => {
                patience.reached();
                let wanted = self.args.wait && self.args.progress.for_people();
                if wanted && self.progress.is_none() {
                    self.progress = Some(Progress::start(&cluster, info.max_size));
                }
            }
            EnrollEvent::Member { index, token } => {
                if let Some(progress) = &mut self.progress {
                    progress.arrived(index, &token.name);
                }
            }
            EnrollEvent::ListedTwice { id, first, second } => note(format_args!(
                "xlreg: node {id} has two places in {cluster}, {first} and {second}: it joined a \
                 deployed server under two names"
            )),
            EnrollEvent::ListedBeyond { index, token } => note(format_args!(
                "xlreg: {} is member {index} of {cluster}, for which it has no room: a deployed \
                 server let it join",
                token.name
            )),
            _ => {}
        }
        Ok(())
    }

    /// Notes a difference to the wanted cluster, once. The properties in the answer count.
    fn on_created(&mut self, info: ClusterInfo) {
        let first = self.created.replace(info).is_none();
        let asked = self.args.create.as_ref().filter(|_| first);
        if let Some(difference) = asked.and_then(|asked| difference(asked, &info)) {
            note(format_args!("xlreg: {difference}"));
        }
    }

    /// Prints the known members, and the end of the enrollment.
    async fn report(
        mut self,
        ended: Result<(), ClientError>,
        patience: &Patience,
    ) -> Result<(), Failure> {
        drop(self.progress.take());
        let known = self.known.as_ref();
        let error = match ended {
            Ok(()) => {
                if let Some(known) = known.filter(|known| known.is_complete()) {
                    self.node.keep_roster(self.args.cluster.name(), known);
                }
                return self.print(known);
            }
            Err(error) => error,
        };
        if is_name_in_use(&error) {
            return Err(self.name_in_use(error, patience).await?);
        }
        if matches!(error, ClientError::Registry(EnrollError::GaveUp)) {
            self.print(known)?;
            // A node that has not joined has no place to keep, and was not answered in time.
            let error = match known {
                Some(_) => error,
                None => Stopped::Deadline.into(),
            };
            let advice = explain(error, &self.args.registry, Command::Join, self.peer());
            return Err(advice.with_message(self.gave_up()));
        }
        if matches!(error, ClientError::TimedOut(_) | ClientError::Stopped(Stopped::Deadline)) {
            self.print(known)?;
        }
        Err(explain(error, &self.args.registry, Command::Join, self.peer()))
    }

    fn peer(&self) -> Peer {
        match self.registry {
            RegistryKind::Xlreg => Peer::Ours,
            RegistryKind::Unknown => Peer::Unknown,
        }
    }

    fn print(&self, known: Option<&Roster>) -> Result<(), Failure> {
        if self.args.json {
            return print_json(&roster_json(self.args.cluster.name(), known));
        }
        match known {
            Some(known) => print(&table(known)),
            None => Ok(()),
        }
    }

    fn gave_up(&self) -> String {
        let cluster = &self.args.cluster;
        match &self.known {
            Some(known) => format!(
                "timed out: {} of {} members of {cluster} are known",
                known.members.len(),
                known.cluster.max_size,
            ),
            None => format!("timed out before {cluster} was joined"),
        }
    }

    /// Explains that the name is in use in the cluster. The owner of the name is another node, or
    /// this one: a deployed server does not accept a node a second time. A harmless question finds
    /// out which registry it is.
    async fn name_in_use(
        &self,
        error: ClientError,
        patience: &Patience,
    ) -> Result<Failure, Failure> {
        let args = &self.args.registry;
        let peer = match ask_kind(args, self.credential, &patience.stop).await {
            Ok(()) => Peer::Ours,
            Err(ClientError::Registry(EnrollError::Deployed)) => Peer::Deployed,
            Err(_) => Peer::Unknown,
        };
        let failure = explain(error, args, Command::Join, peer);
        let kept = self.created.and_then(|cluster| self.node.kept_roster(&cluster.id));
        let (Peer::Deployed, Some(mut kept)) = (peer, kept) else { return Ok(failure) };
        let Some(own) = own_entry(&kept, &self.node.identity) else { return Ok(failure) };
        let end_points = own["end_points"].as_array().cloned().unwrap_or_default();
        let end_points: Vec<_> = end_points.iter().filter_map(|end| end.as_str()).collect();
        let (name, cluster) = (&self.node.identity.name, &self.args.cluster);
        kept["kept"] = true.into();
        match self.args.json {
            true => print_json(&kept)?,
            false => print(&table_of(&kept))?,
        }
        Ok(Failure::refused(format!(
            "the deployed server does not take {name} into {cluster} again; its place there is \
             kept, with the end points it had when the cluster was complete: {}",
            end_points.join(" ")
        ))
        .advise(
            "what is printed was kept in the --node directory when the cluster was complete, and \
             may have changed since; another --name would take a second place",
        ))
    }
}

/// Whether a Join was refused for its name.
fn is_name_in_use(error: &ClientError) -> bool {
    match error {
        ClientError::Registry(EnrollError::Refused { request: Some(Op::Join), reason }) => {
            reason.refusal() == Some(Refusal::MemberNameInUse)
        }
        _ => false,
    }
}
