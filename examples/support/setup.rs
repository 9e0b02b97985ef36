//! What the example registries need besides their event loop: keys, a credential file.

use std::error::Error;
use std::net::TcpListener;
use std::path::PathBuf;
use std::{env, fs};

use xlreg::credential::Credential;
use xlreg::crypto::SystemRng;
use xlreg::identity::{CommsKeyPair, NodeId, SigKeyPair, Version};
use xlreg::registry::{Registry, RegistryLimits};

/// Where to listen: the first argument.
pub fn address() -> String {
    env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into())
}

/// An empty registry with new keys. Its regCred goes into the directory of the second argument.
pub fn registry(
    listener: TcpListener,
) -> Result<(TcpListener, CommsKeyPair, Registry), Box<dyn Error>> {
    let address = listener.local_addr()?;
    let comms = CommsKeyPair::generate(2048, &mut SystemRng)?;
    let credential = Credential {
        name: "example".parse()?,
        id: NodeId::random(&mut SystemRng),
        comms_key: comms.public_key().clone(),
        sig_key: SigKeyPair::generate(2048, &mut SystemRng)?.public_key().clone(),
        end_points: vec![address.into()],
        version: Version::REFERENCE,
    };
    let dir = PathBuf::from(env::args().nth(2).unwrap_or_else(|| ".".into()));
    fs::write(dir.join("regCred.dat"), credential.to_string())?;
    println!("listening on {address}");
    Ok((listener, comms, Registry::new(credential, RegistryLimits::default())))
}
