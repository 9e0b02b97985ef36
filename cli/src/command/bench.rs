//! `xlreg bench`: measures how fast a registry serves.
//!
//! A full session is that of a member: hello, member, join, get, bye. One session in eight creates
//! a cluster of eight, a few groups ahead, so that no session waits for its cluster. Keys, tokens
//! and the first clusters are prepared before the measurement.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use xlreg::adapter::tokio::{Clock, Driver};
use xlreg::identity::{ClusterAttrs, Identity, MemberAttrs, Name, Token};
use xlreg::message::{ClusterRef, Create, GetCluster, MemberSet, Reply};
use xlreg::session::{Client, ClientConfig, ClientEvent, CommandError, RequestId, Session};

use crate::client::advice::{Command, Peer, explain};
use crate::client::{RegistryArgs, Stop, ask_kind, dial};
use crate::output::{Failure, print, print_json};
use crate::random;

/// The number of members in each cluster.
const GROUP: u64 = 8;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A registry limits the handshakes of one address: run it with a high --hello-rate.
Measure only a server of your own. It ends a deployed server, so a harmless question is asked first.

Exit codes:
  0  every session succeeded
  1  some failed
  2  usage
  4  refused, or the registry is a deployed server
  5  the registry could not be reached

Examples:
  xlreg bench --registry regCred.dat --sessions 5000 --concurrency 32
  xlreg bench --registry regCred.dat --sessions 2000 --concurrency 1 --step hello --json")]
pub struct BenchArgs {
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// The number of sessions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub sessions: u64,
    /// The number of sessions at a time
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub concurrency: u64,
    /// The last step of each session
    #[arg(long, value_enum, default_value_t = Step::Full)]
    pub step: Step,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The last step of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Step {
    /// The handshake, then bye
    Hello,
    /// The registration too
    Member,
    /// All steps of a member
    Full,
}

pub fn run(args: &BenchArgs) -> Result<(), Failure> {
    let runtime = Runtime::new().map_err(Failure::new)?;
    let measured = runtime.block_on(measure(args))?;
    report(args, &measured)
}

struct Measured {
    seconds: f64,
    /// The latencies of the sessions that succeeded, sorted.
    latencies: Vec<Duration>,
    failed: u64,
    /// The first error.
    why: Option<String>,
}

async fn measure(args: &BenchArgs) -> Result<Measured, Failure> {
    let load = Arc::new(Load::prepare(args).await?);
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    let started = Instant::now();
    for _ in 0..args.concurrency.min(args.sessions) {
        let (load, next, sessions) = (Arc::clone(&load), Arc::clone(&next), args.sessions);
        workers.spawn(async move {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= sessions {
                    return done;
                }
                let started = Instant::now();
                done.push(load.session(index).await.map(|()| started.elapsed()));
            }
        });
    }
    let (mut latencies, mut failed, mut why) = (Vec::new(), 0, None);
    while let Some(done) = workers.join_next().await {
        for outcome in done.map_err(Failure::new)? {
            match outcome {
                Ok(latency) => latencies.push(latency),
                Err(error) => {
                    failed += 1;
                    why = why.or(Some(error));
                }
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    Ok(Measured { seconds, latencies, failed, why })
}

/// The values that are prepared before the measurement.
struct Load {
    address: SocketAddr,
    config: ClientConfig,
    step: Step,
    /// A token for each member of a group. In a new cluster each is a new member.
    tokens: Vec<Token>,
    /// A part of the cluster names, different for each run.
    run: String,
    /// The number of groups that clusters are created ahead.
    ahead: u64,
}

impl Load {
    async fn prepare(args: &BenchArgs) -> Result<Self, Failure> {
        let credential = args.registry.credential()?;
        if !args.registry.may_end_server {
            let asked = ask_kind(&args.registry, &credential, &Stop::listen(None)).await;
            asked.map_err(|e| explain(e, &args.registry, Command::Bench, Peer::Unknown))?;
        }
        let unreachable = |error: &dyn std::fmt::Display| {
            Failure::unreachable(format!("cannot reach the registry {}: {error}", credential.name))
        };
        let reached = dial(&credential, &[]).await.map_err(|error| unreachable(&error))?;
        let address = reached.peer_addr().map_err(|error| unreachable(&error))?;
        drop(reached);
        let rng = &mut random::system();
        let node = Identity::generate("bench".parse().map_err(Failure::new)?, rng);
        let mut node = node.map_err(Failure::new)?;
        let end_points = vec!["127.0.0.1:1".parse().map_err(Failure::new)?];
        let mut tokens = Vec::new();
        for slot in 0..GROUP {
            node.name = format!("member{slot}").parse().map_err(Failure::new)?;
            let token = node.token(MemberAttrs::EPHEMERAL, end_points.clone(), rng);
            tokens.push(token.map_err(Failure::new)?);
        }
        let load = Self {
            address,
            config: args.registry.config(&credential),
            step: args.step,
            tokens,
            run: xlreg::identity::NodeId::random(rng).to_string().chars().take(16).collect(),
            ahead: 4 * args.concurrency.div_ceil(GROUP) + 8,
        };
        if args.step == Step::Full {
            for group in 0..load.ahead {
                let created = load.converse(Some(0), Some(group), None).await;
                created.map_err(|error| unreachable(&error))?;
            }
        }
        Ok(load)
    }

    /// Runs the session with this index.
    async fn session(&self, index: u64) -> Result<(), String> {
        let (group, slot) = (index / GROUP, index % GROUP);
        match self.step {
            Step::Hello => self.converse(None, None, None).await,
            Step::Member => self.converse(Some(slot), None, None).await,
            Step::Full => {
                let create = (slot == 0).then_some(group + self.ahead);
                self.converse(Some(slot), create, Some(group)).await
            }
        }
    }

    /// Runs one session: as this member, if any, creating the cluster of one group and joining that
    /// of another.
    async fn converse(
        &self,
        member: Option<u64>,
        create: Option<u64>,
        join: Option<u64>,
    ) -> Result<(), String> {
        let stream = TcpStream::connect(self.address).await.map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let clock = Clock::start();
        let config = self.config.clone();
        let session = Session::<Client>::new(clock.now(), config, random::system());
        let session = session.map_err(|e| e.to_string())?;
        let mut driver = Driver::new(session, stream, clock);
        next(&mut driver).await?;
        if let Some(slot) = member {
            let token = self.tokens.get(slot as usize).ok_or("no such member")?;
            ask(&mut driver, |s, now| s.register(now, token.clone())).await?;
        }
        if let Some(group) = create {
            let create = Create {
                name: self.cluster(group)?,
                max_size: GROUP as u32,
                attrs: ClusterAttrs::EPHEMERAL,
                end_point_count: 1,
            };
            ask(&mut driver, |s, now| s.create(now, create)).await?;
        }
        if let Some(group) = join {
            let cluster: ClusterRef = self.cluster(group)?.into();
            let joined = ask(&mut driver, |s, now| s.join(now, cluster)).await?;
            let Some(Reply::Join(info)) = joined else { return Err("no JoinReply".into()) };
            let get = GetCluster::of(info.id, MemberSet::first(info.max_size));
            ask(&mut driver, |s, now| s.get_members(now, get)).await?;
        }
        ask(&mut driver, |s, now| s.bye(now)).await.map(drop)
    }

    fn cluster(&self, group: u64) -> Result<Name, String> {
        Name::new(format!("bench-{}-{group}", self.run)).map_err(|e| e.to_string())
    }
}

type Connection = Driver<Session<Client>, TcpStream>;

async fn ask(
    driver: &mut Connection,
    command: impl FnOnce(
        &mut Session<Client>,
        xlreg::session::Instant,
    ) -> Result<RequestId, CommandError>,
) -> Result<Option<Reply>, String> {
    let now = driver.now();
    command(driver.machine(), now).map_err(|e| e.to_string())?;
    next(driver).await
}

async fn next(driver: &mut Connection) -> Result<Option<Reply>, String> {
    match driver.next_event().await {
        Ok(Some(ClientEvent::Refused { reason, .. })) => Err(reason.to_string()),
        Ok(Some(ClientEvent::Reply { reply, .. })) => Ok(Some(reply)),
        Ok(Some(_)) => Ok(None),
        Ok(None) => Err("the session ended too early".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn report(args: &BenchArgs, measured: &Measured) -> Result<(), Failure> {
    let done = measured.latencies.len();
    let rate = done as f64 / measured.seconds;
    let [p50, p95, p99, max] =
        [50, 95, 99, 100].map(|percent| quantile(&measured.latencies, percent));
    if args.json {
        print_json(&json!({
            "step": format!("{:?}", args.step).to_lowercase(),
            "concurrency": args.concurrency,
            "sessions": done,
            "failed": measured.failed,
            "seconds": measured.seconds,
            "per_second": rate,
            "latency_ms": { "p50": p50, "p95": p95, "p99": p99, "max": max },
        }))?;
    } else {
        print(&format!(
            "{done} sessions in {:.2} s: {rate:.0} per second\n\
             latency p50 {p50:.2} ms, p95 {p95:.2} ms, p99 {p99:.2} ms, max {max:.2} ms\n",
            measured.seconds
        ))?;
    }
    match (&measured.why, measured.failed) {
        (Some(why), failed) => {
            Err(Failure::new(format!("{failed} sessions failed, the first: {why}"))
                .advise("if handshakes were cut off: run the registry with a higher --hello-rate"))
        }
        (None, _) => Ok(()),
    }
}

/// The latency in milliseconds that `percent` of the sessions do not exceed.
fn quantile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
}
