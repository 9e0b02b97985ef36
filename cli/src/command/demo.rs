//! `xlreg demo`: a registry and three members in one process form a cluster over TCP.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use xlreg::adapter::blocking::{Clock, Driver};
use xlreg::credential::Credential;
use xlreg::enroll::{Enroll, Plan, Roster};
use xlreg::identity::{ClusterAttrs, Identity, MemberAttrs, Name, NodeId};
use xlreg::message::Create;
use xlreg::registry::{Registry, RegistryLimits};
use xlreg::session::ClientConfig;
use xlreg_server::store::MemoryStore;
use xlreg_server::{Options, Server};

use crate::daemon::home;
use crate::output::json::roster_json;
use crate::output::tables::table;
use crate::output::{Failure, print, print_json};
use crate::random;

const CLUSTER: &str = "demo";
const MEMBERS: [&str; 3] = ["alice", "bob", "carol"];
/// This is enough for any machine. Most take well under a second.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: &DemoArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let registry = identity("xlReg", Some(NodeId::random(&mut random::system())))?;
    let members = MEMBERS.map(|name| identity(name, None));
    let keys = started.elapsed();

    let listener = TcpListener::bind("127.0.0.1:0").map_err(Failure::new)?;
    let address = listener.local_addr().map_err(Failure::new)?;
    let end_point = address.to_string().parse().map_err(Failure::new)?;
    let credential = home::credential(&registry, vec![end_point])?;
    let runtime = Runtime::new().map_err(Failure::new)?;
    // The state is gone when the demo ends.
    let store = MemoryStore::new(Registry::new(credential.clone(), RegistryLimits::default()));
    listener.set_nonblocking(true).map_err(Failure::new)?;
    // It serves on this runtime until the demo ends.
    let _server = runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(Failure::new)?;
        let options = Options::default();
        Server::start(Arc::new(store), &registry.comms, options, vec![listener])
            .map_err(Failure::new)
    })?;

    let started = Instant::now();
    let threads = members.map(|member| {
        let credential = credential.clone();
        thread::spawn(move || join(&credential, &member?))
    });
    let mut rosters = Vec::new();
    for thread in threads {
        let joined = thread.join().map_err(|_| Failure::new("a member's thread panicked"))?;
        rosters.push(joined?);
    }
    let formed = started.elapsed();

    let seen: Vec<_> = rosters.iter().map(|roster| (&roster.cluster, &roster.members)).collect();
    let agreed = seen.windows(2).all(|pair| pair[0] == pair[1]);
    let (Some(roster), true) = (rosters.first(), agreed) else {
        return Err(Failure::new("the members do not agree on who is in the cluster"));
    };
    if roster.members.len() != MEMBERS.len() {
        return Err(Failure::new("the cluster is not complete"));
    }
    if args.json {
        let name = CLUSTER.parse().map_err(Failure::new)?;
        let mut json = roster_json(Some(&name), Some(roster));
        json["formed_ms"] = u64::try_from(formed.as_millis()).map_err(Failure::new)?.into();
        return print_json(&json);
    }
    print(&format!(
        "registry {} on {address}, cluster {CLUSTER} {}\n\n{}\n\
         all {} members agree; formed in {} ms (keys made before in {} ms)\n",
        credential.name,
        roster.cluster.id.to_string().get(..8).unwrap_or_default(),
        table(roster),
        MEMBERS.len(),
        formed.as_millis(),
        keys.as_millis(),
    ))
}

fn identity(name: &str, id: Option<NodeId>) -> Result<Identity, Failure> {
    let name: Name = name.parse().map_err(Failure::new)?;
    let identity = Identity::generate(name, &mut random::system()).map_err(Failure::new)?;
    Ok(Identity { id, ..identity })
}

/// Enrolls one member, with a port of its own as its end point.
fn join(credential: &Credential, member: &Identity) -> Result<Roster, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Failure::new)?;
    let end = listener.local_addr().map_err(Failure::new)?.to_string();
    let end_points = vec![end.parse().map_err(Failure::new)?];
    let token = member
        .token(MemberAttrs::EPHEMERAL, end_points, &mut random::system())
        .map_err(Failure::new)?;
    let create = Create {
        name: CLUSTER.parse().map_err(Failure::new)?,
        max_size: u32::try_from(MEMBERS.len()).map_err(Failure::new)?,
        attrs: ClusterAttrs::EPHEMERAL,
        end_point_count: 1,
    };
    let plan = Plan { give_up_after: Some(PATIENCE), ..Plan::create_and_join(token, create) };
    let clock = Clock::start();
    let enroll = Enroll::new(clock.now(), ClientConfig::new(credential), plan, random::system())
        .map_err(Failure::new)?;
    let registry = credential.end_points.first().map_or("", |end| end.as_str());
    let stream = TcpStream::connect(registry).map_err(Failure::new)?;
    let mut driver = Driver::new(enroll, stream, clock);
    while driver.next_event().map_err(Failure::new)?.is_some() {}
    driver.into_machine().into_roster().ok_or_else(|| Failure::new("no cluster was joined"))
}
