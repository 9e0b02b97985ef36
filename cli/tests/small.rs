//! The command without its server: a client that does all that a client does, and says what it does
//! not have. `cargo test -p xlreg-cli --no-default-features`
#![cfg(not(feature = "server"))]

use std::future::pending;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::{TempDir, tempdir};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use xlreg::credential::Credential;
use xlreg::crypto::SystemRng;
use xlreg::identity::{Identity, NodeId, Version};
use xlreg::message::{Reply, Request};
use xlreg::registry::{ClientState, Registry, RegistryLimits};
use xlreg::serve::{Handler, serve};
use xlreg::session::{OpenedHello, SealedHello, ServerConfig};
use xlreg_testkit::identity;

/// The rules of a registry in memory.
struct Rules {
    identity: Identity,
    registry: Mutex<Registry>,
}

impl Handler for Rules {
    async fn open(&self, hello: SealedHello) -> Option<OpenedHello> {
        Some(hello.open(&self.identity.comms, &mut SystemRng))
    }

    async fn decide(&self, state: &mut ClientState, request: Request) -> Reply {
        self.registry.lock().unwrap().handle(state, request, &mut SystemRng).reply
    }
}

/// A registry in this process, and a directory with its credential.
struct TestRegistry {
    dir: TempDir,
    _runtime: Runtime,
}

impl TestRegistry {
    fn start() -> Self {
        let (identity, runtime) = (identity("xlReg", 0), Runtime::new().unwrap());
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let credential = Credential {
            name: identity.name.clone(),
            id: NodeId::from_bytes(&[0x5e; 32]).unwrap(),
            comms_key: identity.comms.public_key().clone(),
            sig_key: identity.sig.public_key().clone(),
            end_points: vec![listener.local_addr().unwrap().into()],
            version: Version::new(2, 0, 0, 0),
        };
        let dir = tempdir().unwrap();
        std::fs::write(dir.path().join("regCred.dat"), credential.to_string()).unwrap();
        let config = ServerConfig {
            version: credential.version,
            ..ServerConfig::new(&credential.comms_key)
        };
        let registry = Mutex::new(Registry::new(credential, RegistryLimits::default()));
        runtime.spawn(accept(listener, config, Arc::new(Rules { identity, registry })));
        Self { dir, _runtime: runtime }
    }

    /// The JSON that a command prints, which succeeds.
    fn json(&self, words: &str) -> Value {
        let output = xlreg(self.dir.path(), &format!("{words} --registry regCred.dat --json"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}: {stderr}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

async fn accept(listener: TcpListener, config: ServerConfig, rules: Arc<Rules>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (config, rules) = (config.clone(), Arc::clone(&rules));
        tokio::spawn(async move {
            serve(stream, config, &*rules, SystemRng, pending::<()>()).await.unwrap();
        });
    }
}

fn xlreg(dir: &Path, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xlreg"));
    command.args(words.split(' ')).current_dir(dir).env("XDG_STATE_HOME", dir.join("state"));
    command.output().unwrap()
}

#[test]
fn a_client_creates_joins_lists_and_asks() {
    let registry = TestRegistry::start();
    let created = registry.json("create alpha --size 1");
    let joined = registry.json("join alpha --node alice --name alice --end-point 10.0.0.1:4000");
    assert_eq!(joined["cluster"]["id"], created["cluster"]["id"]);
    let listed = registry.json("members alpha");
    assert_eq!(listed["members"][0]["name"], "alice");
    assert_eq!(registry.json("credential fetch")["same"], true);
}

#[test]
fn commands_of_the_server_say_how_to_get_one() {
    for words in ["serve --dir reg", "init --help", "demo"] {
        let output = xlreg(Path::new("."), words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(stderr.contains("is a client only"), "{words}: {stderr}");
        assert!(stderr.contains("xlreg-cli"), "{words}: {stderr}");
    }
}

#[test]
fn help_does_not_offer_what_is_not_there() {
    for words in ["--help", "completions bash", "man"] {
        let output = xlreg(Path::new("."), words);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("members"), "{words}");
        for command in ["serve", "init", "demo"] {
            let offered = text.lines().any(|line| line.trim_start().starts_with(command));
            assert!(!offered, "{words} offers {command}");
        }
    }
}
