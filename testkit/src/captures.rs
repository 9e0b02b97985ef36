//! The captures of deployed clients and servers (`testkit/vectors`, docs/protocol.md section 8).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value as Json;
use xlreg::credential::Credential;
use xlreg::identity::{CommsKeyPair, SigKeyPair, Token, Version};
use xlreg::message::{MessageLimits, decode_token};
use xlreg::session::Dialect;

use crate::peer::{Msg, Value};

/// One captured run: a deployed server and its clients.
pub struct Capture {
    pub file: &'static str,
    pub dialect: Dialect,
    pub regcred: String,
    pub server: KeyPairs,
    pub identities: BTreeMap<String, KeyPairs>,
    pub sessions: Vec<Captured>,
}

/// The key pairs of a node or a server.
pub struct KeyPairs {
    pub comms: CommsKeyPair,
    pub sig: SigKeyPair,
}

/// One captured session.
pub struct Captured {
    pub identity: String,
    pub client_draws: Vec<u8>,
    pub server_draws: Vec<u8>,
    pub client_version: Version,
    pub server_version: Version,
    pub steps: Vec<Step>,
}

/// One message of a session: its bytes on the wire, and its plaintext.
pub struct Step {
    pub from_client: bool,
    pub kind: String,
    pub wire: Vec<u8>,
    pub plain: Vec<u8>,
    pub message: Json,
}

/// The directory of the captures. It also has keys in every form, and files of deployed servers.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

static FIRST: LazyLock<Capture> = LazyLock::new(|| load("prefixed-1.9.24.json"));

/// Both captured runs.
pub fn all() -> [Capture; 2] {
    [load("prefixed-1.9.24.json"), load("chained-1.8.4.json")]
}

/// Decodes hex.
pub fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn load(file: &'static str) -> Capture {
    let path = folder().join(file);
    let json: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let dialect = match json["dialect"].as_str().unwrap() {
        "prefixed" => Dialect::Prefixed,
        "chained" => Dialect::Chained,
        other => panic!("unknown dialect {other}"),
    };
    let identities = json["identities"].as_object().unwrap();
    Capture {
        file,
        dialect,
        regcred: json["regcred"].as_str().unwrap().into(),
        server: keys(&json["server"]),
        identities: identities.iter().map(|(name, json)| (name.clone(), keys(json))).collect(),
        sessions: json["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| session(dialect, s))
            .collect(),
    }
}

fn keys(json: &Json) -> KeyPairs {
    KeyPairs {
        comms: CommsKeyPair::from_pem(json["comms_key"].as_str().unwrap()).unwrap(),
        sig: SigKeyPair::from_pem(json["sig_key"].as_str().unwrap()).unwrap(),
    }
}

/// Reads a session, with its draws in the order of PROTOCOL 3.3: those of the handshake, then one
/// IV per message (prefixed only).
fn session(dialect: Dialect, json: &Json) -> Captured {
    let (client, server): (&[&str], &[&str]) = match dialect {
        Dialect::Prefixed => (&["key1", "salt1", "oaep_seed"], &["key2", "salt2", "iv"]),
        Dialect::Chained => (&["iv1", "key1", "salt1", "oaep_seed"], &["iv2", "key2", "salt2"]),
    };
    let steps: Vec<Step> = json["steps"].as_array().unwrap().iter().map(step).collect();
    let raw_steps = json["steps"].as_array().unwrap();
    let draws = |side: &str, names: &[&str], from_client: bool| {
        let named = names.iter().flat_map(|name| hex(json[side][name].as_str().unwrap()));
        let ivs = raw_steps.iter().zip(&steps).filter(|(_, step)| step.from_client == from_client);
        let ivs = ivs.filter_map(|(raw, _)| raw["iv"].as_str()).flat_map(hex);
        named.chain(ivs).collect()
    };
    let version = |index: usize| {
        let bytes = hex(raw_steps[index]["version"].as_str().unwrap());
        Version::from_bytes(bytes.try_into().unwrap())
    };
    Captured {
        identity: json["identity"].as_str().unwrap().into(),
        client_draws: draws("client_draws", client, true),
        server_draws: draws("server_draws", server, false),
        client_version: version(0),
        server_version: version(1),
        steps,
    }
}

fn step(json: &Json) -> Step {
    Step {
        from_client: json["from"] == "client",
        kind: json["kind"].as_str().unwrap().into(),
        wire: hex(json["wire"].as_str().unwrap()),
        plain: hex(json["plain"].as_str().unwrap()),
        message: json["message"].clone(),
    }
}

/// The credential of the first captured registry.
pub fn credential() -> Credential {
    static CREDENTIAL: LazyLock<Credential> =
        LazyLock::new(|| FIRST.regcred.parse().expect("a captured credential"));
    CREDENTIAL.clone()
}

/// The comms key of that registry.
pub fn registry_key() -> &'static CommsKeyPair {
    &FIRST.server.comms
}

/// The first Hello to that registry, as on the wire.
pub fn hello() -> &'static [u8] {
    &FIRST.sessions[0].steps[0].wire
}

/// The token of the client that sent it.
pub fn token() -> Token {
    static TOKEN: LazyLock<Token> = LazyLock::new(|| {
        let member = FIRST.sessions[0].steps.iter().find(|step| step.kind == "Member");
        let member = Msg::decode(&member.expect("it registers").plain);
        let Value::Bytes(token) = member.get(11) else { panic!("a Member has a token") };
        decode_token(token, &MessageLimits::default()).expect("a captured token")
    });
    TOKEN.clone()
}
