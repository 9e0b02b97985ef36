//! A registry inside a program of your own: it starts, a client becomes a member, and it stops. Its
//! state is kept in a directory: run it again, and the same node is in the same cluster.
//!
//! `cargo run -p xlreg-server --example embed -- DIR`

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use xlreg::adapter::tokio::enroll;
use xlreg::credential::Credential;
use xlreg::crypto::SystemRng;
use xlreg::enroll::{Plan, Roster};
use xlreg::identity::{ClusterAttrs, Identity, MemberAttrs, NodeId};
use xlreg::message::Create;
use xlreg::registry::{Registry, RegistryLimits};
use xlreg::session::ClientConfig;
use xlreg_server::store::{CounterTrust, MemoryStore, Sqlite};
use xlreg_server::{Options, Server, credential};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = PathBuf::from(std::env::args().nth(1).ok_or("usage: embed DIR")?);

    // The identity of the registry. It gets an ID once, and clients recognise it by ID and keys.
    let rng = &mut SystemRng;
    let mut identity = Identity::load_or_generate(&dir, "xlReg".parse()?, rng)?;
    let store = dir.join("registry.sqlite");
    if identity.id.is_none() {
        let id = NodeId::random(rng);
        Sqlite::create(&store, id, [])?;
        identity.id = Some(id);
        identity.save(&dir)?;
    }

    // The state of the registry, and its listener.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let credential = credential(&identity, vec![listener.local_addr()?.into()])?;
    let mut registry = Registry::new(credential.clone(), RegistryLimits::default());
    let log = Sqlite::open(&store, &mut registry, CounterTrust::Needed)?;
    let options = Options::default();
    let store = MemoryStore::with_log(registry, log, Arc::clone(&options.metrics))?;
    let server = Server::start(Arc::new(store), &identity.comms, options, vec![listener])?;

    let roster = join(&dir.join("node"), &credential).await?;
    for member in roster.members.values() {
        println!("{} is in the cluster {}", member.name, roster.cluster.id);
    }
    Ok(server.stop().await?)
}

/// A client, which would be another program.
async fn join(node: &Path, registry: &Credential) -> Result<Roster, Box<dyn Error>> {
    let mut identity = Identity::load_or_generate(node, "alice".parse()?, &mut SystemRng)?;
    let end_points = vec!["alice.example:4000".parse()?];
    let token = identity.token(MemberAttrs::NONE, end_points, &mut SystemRng)?;
    let create = Create {
        name: "alpha".parse()?,
        max_size: 1,
        attrs: ClusterAttrs::NONE,
        end_point_count: 1,
    };
    let stream = TcpStream::connect(registry.end_points[0].as_str()).await?;
    let config = ClientConfig::new(registry);
    let roster = enroll(stream, config, Plan::create_and_join(token, create), SystemRng).await?;
    identity.id = Some(roster.id);
    identity.save(node)?;
    Ok(roster)
}
