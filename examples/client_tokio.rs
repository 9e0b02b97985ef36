//! A cluster member on tokio: joins a cluster, which it creates if necessary, and prints the
//! members.
//!
//! `cargo run --features tokio --example client_tokio -- regCred.dat CLUSTER SIZE NAME HOST:PORT`

use std::error::Error;
use std::{env, fs};

use tokio::net::TcpStream;
use xlreg::adapter::tokio::enroll;
use xlreg::credential::Credential;
use xlreg::crypto::SystemRng;
use xlreg::enroll::Plan;
use xlreg::identity::{ClusterAttrs, Identity, MemberAttrs};
use xlreg::message::Create;
use xlreg::session::ClientConfig;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [registry, cluster, size, name, end] = arguments.as_slice() else {
        return Err("usage: client_tokio regCred.dat CLUSTER SIZE NAME HOST:PORT".into());
    };
    let credential: Credential = fs::read_to_string(registry)?.parse()?;

    // To be recognised later, a node keeps its identity: Identity::load_or_generate.
    let node = Identity::generate(name.parse()?, &mut SystemRng)?;
    let token = node.token(MemberAttrs::EPHEMERAL, vec![end.parse()?], &mut SystemRng)?;
    let create = Create {
        name: cluster.parse()?,
        max_size: size.parse()?,
        attrs: ClusterAttrs::NONE,
        end_point_count: 1,
    };
    let stream = TcpStream::connect(credential.end_points[0].as_str()).await?;
    let config = ClientConfig::new(&credential);
    let roster = enroll(stream, config, Plan::create_and_join(token, create), SystemRng).await?;
    for (index, member) in &roster.members {
        let end_points: Vec<_> = member.end_points.iter().map(ToString::to_string).collect();
        println!("{index} {} {}", member.name, end_points.join(" "));
    }
    Ok(())
}
