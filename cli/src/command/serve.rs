//! `xlreg serve`: runs a registry.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use xlreg::credential::Credential;
use xlreg::identity::directory::{DirectoryError, DirectoryLock, write_atomically};
use xlreg::identity::{EndPoint, Identity, Name, NodeId, Version};

use crate::failure::{Failure, print};
use crate::random;
use crate::registry::Service;

/// The file that clients are given.
const CREDENTIAL_FILE: &str = "regCred.dat";
/// The name of a registry that was given none.
const DEFAULT_NAME: &str = "xlReg";

#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Where the registry keeps its keys and writes regCred.dat
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:56789")]
    pub listen: EndPoint,
    /// The address that regCred.dat tells clients [default: where it listens, 127.0.0.1 if that is everywhere]
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<EndPoint>,
    /// What the registry calls itself [default: the name it had before, xlReg the first time]
    #[arg(long)]
    pub name: Option<Name>,
}

pub fn run(args: &ServeArgs) -> Result<(), Failure> {
    let lock = DirectoryLock::try_now(&args.dir).map_err(|error| match error {
        DirectoryError::Busy { .. } => {
            Failure::new(format!("another registry runs on {}", args.dir.display()))
                .advise("stop it first, or give this one another --dir")
        }
        other => Failure::new(other),
    })?;
    let identity = identity(&args.dir, &lock, args.name.as_ref())?;
    let listener = TcpListener::bind(args.listen.as_str()).map_err(|error| {
        Failure::new(format!("cannot listen on {}: {error}", args.listen))
            .advise("choose another address or port with --listen, or stop what listens there")
    })?;
    let address = listener.local_addr().map_err(Failure::new)?;
    let end_point = match &args.advertise {
        Some(end_point) => end_point.clone(),
        None => reachable(address)?,
    };
    let credential = credential(&identity, end_point)?;
    let path = args.dir.join(CREDENTIAL_FILE);
    write_atomically(&path, credential.to_string().as_bytes(), 0o644).map_err(Failure::new)?;
    let service = Service::new(credential, identity.comms);
    print(&format!("listening on {address}\n"))?;
    service.run(&listener);
    Ok(())
}

/// The registry's identity, made the first time, under the name asked for.
fn identity(dir: &Path, lock: &DirectoryLock, name: Option<&Name>) -> Result<Identity, Failure> {
    let rng = &mut random::system();
    let name = match name {
        Some(name) => Ok(name.clone()),
        None => Identity::load(dir).map(|known| known.name).or_else(|_| DEFAULT_NAME.parse()),
    };
    let name = name.map_err(Failure::new)?;
    let mut identity = lock.load_or_generate(name.clone(), rng).map_err(Failure::new)?;
    if identity.id.is_none() || identity.name != name {
        identity.id = identity.id.or_else(|| Some(NodeId::random(rng)));
        identity.name = name;
        identity.save(dir).map_err(Failure::new)?;
    }
    Ok(identity)
}

/// The registry's credential, telling clients to come to this end point.
pub fn credential(identity: &Identity, end_point: EndPoint) -> Result<Credential, Failure> {
    let id = identity.id.ok_or_else(|| Failure::new("the registry has no ID"))?;
    Ok(Credential {
        name: identity.name.clone(),
        id,
        comms_key: identity.comms.public_key().clone(),
        sig_key: identity.sig.public_key().clone(),
        end_points: vec![end_point],
        version: Version::REFERENCE,
    })
}

/// Where clients on this machine reach a listener: one that listens everywhere, on the loopback address.
fn reachable(address: SocketAddr) -> Result<EndPoint, Failure> {
    let text = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("127.0.0.1:{}", v4.port()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("[::1]:{}", v6.port()),
        other => other.to_string(),
    };
    text.parse().map_err(Failure::new)
}
