//! A store of one's own, outside of this project: a file to which changes are appended. It keeps what
//! `Change::to_bytes` gives, each with its length in front.
//!
//! It has what a store needs to be durable, and not what an operator needs: no checks for damage, no
//! lock. `store::Sqlite` has those.
//!
//! `cargo run -p xlreg-server --example own_store -- FILE`

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use xlreg::crypto::{RustCrypto, SystemRng};
use xlreg::identity::{Identity, MemberAttrs, NodeId};
use xlreg::message::{Create, Reply, Request};
use xlreg::registry::{Change, CheckedRequest, ClientState, Registry, RegistryLimits};
use xlreg_server::credential;
use xlreg_server::store::{Log, MemoryStore, Origin, Store, StoreError};

/// A file of changes.
struct Appended(File);

impl Appended {
    /// Opens the file, and applies what it has to an empty registry.
    fn open(path: &Path, registry: &mut Registry) -> Result<Self, Box<dyn Error>> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut rest = bytes.as_slice();
        while let Some((len, after)) = rest.split_first_chunk() {
            // A change that was cut short was never acknowledged.
            let Some((change, after)) = after.split_at_checked(u32::from_le_bytes(*len) as usize)
            else {
                break;
            };
            registry.apply(&Change::from_bytes(change)?)?;
            rest = after;
        }
        // What comes next must follow what is whole.
        file.set_len((bytes.len() - rest.len()) as u64)?;
        Ok(Self(file))
    }
}

impl Log for Appended {
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut all = Vec::new();
        for change in changes {
            let bytes = change.to_bytes();
            all.extend((bytes.len() as u32).to_le_bytes());
            all.extend(bytes);
        }
        let written = self.0.write_all(&all).and_then(|()| self.0.sync_data());
        written
            .map_err(|error| StoreError::Io { path: "changes".into(), reason: error.to_string() })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: own_store FILE")?;
    let mut identity = Identity::generate("xlReg".parse()?, &mut SystemRng)?;
    identity.id = Some(NodeId::from([5; 32]));
    let credential = credential(&identity, vec!["127.0.0.1:1".parse()?])?;
    let mut registry = Registry::new(credential, RegistryLimits::default());
    let log = Appended::open(path.as_ref(), &mut registry)?;
    println!(
        "{} nodes and {} clusters were there",
        registry.size().nodes,
        registry.size().clusters
    );

    // One node that registers and creates a cluster; a server would take requests from clients.
    let store = MemoryStore::with_log(registry, log, Arc::default())?;
    let client = &mut ClientState::new();
    let node = Identity::generate("alice".parse()?, &mut SystemRng)?;
    let token = node.token(MemberAttrs::NONE, vec!["h:1".parse()?], &mut SystemRng)?;
    let name = "alpha".parse()?;
    let create = Create { name, max_size: 2, attrs: Default::default(), end_point_count: 1 };
    for request in [Request::Member(token), Request::Create(create)] {
        let request = CheckedRequest::new(request, &RustCrypto).map_err(|it| it.as_str())?;
        if let Reply::Error(reason) = store.decide(client, request, &Origin::unlimited()).await? {
            return Err(reason.as_str().into());
        }
    }
    let size = store.size();
    println!("{} nodes and {} clusters are there", size.nodes, size.clusters);
    store.close().await;
    Ok(())
}
