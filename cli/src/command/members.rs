//! `xlreg members`: prints the members of a cluster, without joining it.

use tokio::time::{Instant, sleep};
use xlreg::credential::Credential;
use xlreg::message::{ClusterInfo, MemberList};

use crate::checked::{Check, Checked};
use crate::client::advice::{Command, Peer, explain};
use crate::client::{
    self, ClientError, Cluster, ClusterArgs, Patience, PatienceArgs, Presence, RegistryArgs,
    RegistryClient, Stopped,
};
use crate::node::Node;
use crate::output::json::list_json;
use crate::output::progress::Progress;
use crate::output::progress_lines::{ProgressArgs, ProgressChoice, ProgressLines};
use crate::output::tables::members_table;
use crate::output::{Failure, MessageFormat, print, print_json};
use crate::visitor::{VISITOR_ATTRS, VisitorArgs};
use crate::watch::{self, WaitArgs, WaitFor, Watch};

const AFTER_HELP: &str = "\
No cluster is joined. Deployed servers list members only for members, so there it fails with exit
code 4.
The registry sees the asking user as a node: always the same one, or the one in --node.
Without --timeout the registry is tried for 10 seconds.
--wait waits until the cluster is complete, and --wait=N until N members are there; without --timeout
for ever. A registry that is lost in between is tried for 60 seconds. The cluster must exist. With
--id only --wait=N works, because a registry gives a cluster's size only for its name.
The JSON is that of 'join'. A registry does not give the cluster's size to a node outside, so the
size and the completeness are null without --wait.
--progress json reports events on stderr, one JSON object a line, as 'join' does. The event for the
cluster is 'found'.

Exit codes:
  0  the members are printed; there may be none yet
  1  failed; the message says what to do
  2  usage
  3  timed out; with --wait the known members are printed
  4  refused by the registry
  5  the registry could not be reached

Examples:
  xlreg members alpha --registry regCred.dat
  xlreg members alpha --registry regCred.dat --node ./watcher
  xlreg members --id 105f1a9aab6ed41d1de4bfefa074c824bd05e3d4 --registry regCred.dat
  xlreg members alpha --registry regCred.dat --wait --timeout 600 --progress json
  xlreg members alpha --registry regCred.dat --json | jq -r '.members[].end_points[0]'";

/// The name of the asking node. No member sees it.
const NAME: &str = "guest";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct MembersArgs {
    #[command(flatten)]
    cluster: Checked<ClusterArgs>,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    visitor: VisitorArgs,
    #[command(flatten)]
    patience: PatienceArgs,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    progress: ProgressArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The arguments of `xlreg members`, as values.
pub struct Members {
    cluster: Cluster,
    registry: RegistryArgs,
    visitor: VisitorArgs,
    patience: PatienceArgs,
    wait: Option<WaitFor>,
    progress: ProgressChoice,
    json: bool,
}

impl Check for MembersArgs {
    type Values = Members;

    fn check(self) -> Result<Members, String> {
        let (cluster, wait) = (self.cluster.0, self.wait.wait);
        wait.map_or(Ok(()), |wait| wait.check(&cluster))?;
        Ok(Members {
            cluster,
            registry: self.registry,
            visitor: self.visitor,
            patience: self.patience,
            wait,
            progress: self.progress.progress,
            json: self.json,
        })
    }
}

impl Members {
    pub const fn message_format(&self) -> MessageFormat {
        self.progress.message_format(self.json)
    }
}

pub fn run(args: &Members) -> Result<(), Failure> {
    let credential = args.registry.credential()?;
    client::run(&args.registry, &args.patience, async |patience| {
        let mut visit = Visit::new(args, &credential)?;
        let ended = visit.persist(patience).await;
        visit.report(ended)
    })
}

/// A look at a cluster from outside. It may take several sessions.
struct Visit<'a> {
    args: &'a Members,
    credential: &'a Credential,
    node: Node,
    lines: ProgressLines,
    progress: Option<Progress>,
    /// The members at the last look.
    list: Option<MemberList>,
    /// The cluster's properties, if they were asked for.
    cluster: Option<ClusterInfo>,
}

impl<'a> Visit<'a> {
    fn new(args: &'a Members, credential: &'a Credential) -> Result<Self, Failure> {
        let node = args.visitor.open(NAME, credential)?;
        let lines = ProgressLines::new(args.progress, args.cluster.name());
        let (progress, list, cluster) = (None, None, None);
        Ok(Self { args, credential, node, lines, progress, list, cluster })
    }

    /// Retries until all wanted members are there, or an error is not temporary.
    async fn persist(&mut self, patience: &mut Patience) -> Result<(), ClientError> {
        loop {
            match self.look(patience).await {
                Ok(()) => return Ok(()),
                Err(error) => patience.pause(error).await?,
            }
        }
    }

    /// Runs one session.
    async fn look(&mut self, patience: &mut Patience) -> Result<(), ClientError> {
        let (args, stop) = (&self.args.registry, patience.stop.clone());
        let presence = Presence { attrs: VISITOR_ATTRS, end_points: Vec::new() };
        let opened =
            RegistryClient::open_as(args, self.credential, &stop, &mut self.node, &presence);
        let (mut registry, token) = opened.await?;
        let dialect = args.config(self.credential).dialect;
        self.lines.tell_session(dialect, registry.version, &token);
        let id = registry.find(self.args.cluster.reference()).await?;
        if let (Some(_), Some(name)) = (self.args.wait, self.args.cluster.name()) {
            let answer = registry.create(watch::question(name)).await?;
            self.cluster = Some(watch::answer(id, answer)?);
        }
        self.lines.tell_found(id, self.cluster);
        match self.args.wait {
            None => self.keep(registry.members(id).await?),
            Some(wait) => {
                let mut watch = Watch::new(wait, &self.args.cluster, self.cluster)?;
                patience.reached();
                loop {
                    let list = registry.members(id).await?;
                    let pause = watch.look(&list);
                    self.keep(list);
                    let Some(pause) = pause else { break };
                    self.say_so(watch.wanted(), patience);
                    patience.stop.or(sleep(pause)).await?;
                }
            }
        }
        registry.bye().await;
        Ok(())
    }

    /// Keeps a list, and reports its news.
    fn keep(&mut self, list: MemberList) {
        for (index, token) in list.iter() {
            self.lines.tell_member(index, token);
            if let Some(progress) = &mut self.progress {
                progress.arrived(index, &token.name);
            }
        }
        self.list = Some(list);
    }

    /// Reports that it waits for members: at once on a terminal, and elsewhere now and then.
    fn say_so(&mut self, wanted: u32, patience: &Patience) {
        if !self.args.progress.for_people() {
            return;
        }
        match &mut self.progress {
            Some(progress) if progress.next_word() <= Instant::now() => {
                if let Some(text) = progress.word() {
                    patience.say(&text);
                }
            }
            Some(_) => {}
            None => {
                let mut progress = Progress::start(&self.args.cluster.to_string(), wanted);
                for (index, token) in self.list.iter().flat_map(MemberList::iter) {
                    progress.arrived(index, &token.name);
                }
                self.progress = Some(progress);
            }
        }
    }

    /// Prints the known members, and the end of the look.
    fn report(mut self, ended: Result<(), ClientError>) -> Result<(), Failure> {
        drop(self.progress.take());
        let timed_out = match &ended {
            Ok(()) => return self.print().inspect(|()| self.lines.tell_done()),
            Err(error) => {
                matches!(error, ClientError::TimedOut(_) | ClientError::Stopped(Stopped::Deadline))
            }
        };
        if timed_out {
            self.print()?;
        }
        ended.map_err(|e| explain(e, &self.args.registry, Command::Members, Peer::Unknown))
    }

    fn print(&self) -> Result<(), Failure> {
        let Some(list) = &self.list else { return Ok(()) };
        let name = self.args.cluster.name();
        match self.args.json {
            true => print_json(&list_json(name, list, self.cluster)),
            false => print(&members_table(list.iter())),
        }
    }
}
