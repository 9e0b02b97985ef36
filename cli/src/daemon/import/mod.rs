//! Reads the identity of a deployed registry from its `.xlattice/reg.config`.
//!
//! Such a file repeats most values: the private keys of the node come again after the node, and
//! their public halves beside them. All values must agree, because otherwise no registry wrote the
//! file.

mod config;

use std::fmt::{self, Display};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64ct::{Base64, Encoding};
use xlreg::crypto::Secret;
use xlreg::identity::{CommsKeyPair, Identity, KeyPairError, Name, NodeId, PublicKey, SigKeyPair};

use self::config::{Block, Value};
use crate::output::Failure;

/// The longest file that is read, in bytes. A deployed one has 8,000.
const MAX_FILE: u64 = 256 * 1024;

/// The names of the fields. Before 1.4.0 the private keys of a node had the second name.
const NAME: &[&str] = &["name"];
const ID: &[&str] = &["nodeID"];
const COMMS_PRIVATE: &[&str] = &["ckPriv", "commsKey"];
const SIG_PRIVATE: &[&str] = &["skPriv", "sigKey"];
const COMMS_PUBLIC: &[&str] = &["commsPubKey"];
const SIG_PUBLIC: &[&str] = &["sigPubKey"];

/// Reads the identity of a deployed registry.
pub fn identity(path: &Path) -> Result<Identity, Failure> {
    let text = read(path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
    let parsed = match std::str::from_utf8(text.expose()) {
        Ok(text) => parse(text),
        Err(_) => Err("it is not text".into()),
    };
    parsed.map_err(|problem| {
        Failure::new(format!("{}: {problem}", path.display()))
            .advise(
            "--import-config takes the file .xlattice/reg.config of a deployed registry, as it wrote it",
        )
    })
}

fn read(path: &Path) -> std::io::Result<Secret> {
    let mut bytes = Vec::with_capacity(16 * 1024);
    File::open(path)?.take(MAX_FILE.saturating_add(1)).read_to_end(&mut bytes)?;
    let bytes = Secret::new(bytes);
    match u64::try_from(bytes.expose().len()) {
        Ok(0..=MAX_FILE) => Ok(bytes),
        _ => Err(std::io::Error::other(format!(
            "it has more than {MAX_FILE} bytes, and so is no reg.config"
        ))),
    }
}

fn parse(text: &str) -> Result<Identity, String> {
    let whole = config::parse(text).map_err(|error| error.to_string())?;
    let blocks = match whole.name {
        "regNode" => {
            let mut nodes = whole.blocks.iter().filter(|block| block.name == "node");
            match (nodes.next(), nodes.next()) {
                (Some(node), None) => vec![node, &whole],
                (None, _) => return Err("there is no 'node {' in its 'regNode {'".into()),
                (Some(_), Some(_)) => return Err("there is more than one 'node {' in it".into()),
            }
        }
        "node" => vec![&whole],
        _ => return Err("'regNode {' is expected first".into()),
    };
    let name = one(&blocks, "name", NAME, |value| text_of(value)?.parse::<Name>().map_err(told))?;
    let id = one(&blocks, "node ID", ID, |value| text_of(value)?.parse::<NodeId>().map_err(told))?;
    let comms = one(&blocks, "private comms key", COMMS_PRIVATE, |value| {
        let (pkcs1, pkcs8) = (CommsKeyPair::from_pkcs1_der, CommsKeyPair::from_pkcs8_der);
        Private::of(value, [pkcs1, pkcs8], CommsKeyPair::to_pkcs8_der)
    })?;
    let sig = one(&blocks, "private sig key", SIG_PRIVATE, |value| {
        let (pkcs1, pkcs8) = (SigKeyPair::from_pkcs1_der, SigKeyPair::from_pkcs8_der);
        Private::of(value, [pkcs1, pkcs8], SigKeyPair::to_pkcs8_der)
    })?;
    fits(&blocks, COMMS_PUBLIC, &comms.place, comms.value.pair.public_key())?;
    fits(&blocks, SIG_PUBLIC, &sig.place, sig.value.pair.public_key())?;
    Ok(Identity {
        name: name.value,
        id: Some(id.value),
        comms: comms.value.pair,
        sig: sig.value.pair,
    })
}

fn told(error: impl Display) -> String {
    error.to_string()
}

/// A value, and its place in the file.
struct Said<T> {
    value: T,
    place: Place,
}

/// A place in the file.
struct Place {
    field: String,
    block: String,
    line: usize,
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} (line {})", self.field, self.block, self.line)
    }
}

/// Reads all fields with these names in the blocks.
fn all<T>(
    blocks: &[&Block<'_>],
    names: &[&str],
    read: impl Fn(Value<'_>) -> Result<T, String>,
) -> Result<Vec<Said<T>>, String> {
    let mut said = Vec::new();
    for block in blocks {
        for field in &block.fields {
            if names.iter().any(|name| name.eq_ignore_ascii_case(field.name)) {
                let (name, block) = (field.name.into(), block.name.into());
                let place = Place { field: name, block, line: field.line };
                let value = read(field.value).map_err(|problem| format!("{place}: {problem}"))?;
                said.push(Said { value, place });
            }
        }
    }
    Ok(said)
}

/// Reads the one value of all fields with these names in the blocks.
fn one<T: PartialEq>(
    blocks: &[&Block<'_>],
    what: &str,
    names: &[&str],
    read: impl Fn(Value<'_>) -> Result<T, String>,
) -> Result<Said<T>, String> {
    let mut said = all(blocks, names, read)?.into_iter();
    let names = names.first().copied().unwrap_or_default();
    let first = said.next().ok_or_else(|| format!("there is no {what} in it (no {names})"))?;
    match said.find(|other| other.value != first.value) {
        None => Ok(first),
        Some(other) => Err(format!("it has two {what}s: {} is not {}", first.place, other.place)),
    }
}

/// Checks that the public keys in fields with these names, if any, belong to this private key.
fn fits(
    blocks: &[&Block<'_>],
    names: &[&str],
    private: &Place,
    key: &PublicKey,
) -> Result<(), String> {
    match all(blocks, names, public)?.iter().find(|said| said.value != *key) {
        None => Ok(()),
        Some(other) => Err(format!("{} is not the public half of {private}", other.place)),
    }
}

fn text_of(value: Value<'_>) -> Result<&str, String> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Pem(_) => Err("a PEM block is not expected here".into()),
    }
}

/// Reads a public key: OpenSSH text from 1.8.4, or a PEM block from 1.9.24.
fn public(value: Value<'_>) -> Result<PublicKey, String> {
    match value {
        Value::Text(text) => PublicKey::from_openssh(text).map_err(told),
        Value::Pem(body) => PublicKey::from_spki_der(der(body)?.expose()).map_err(told),
    }
}

fn der(body: &str) -> Result<Secret, String> {
    let base64: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let base64 = Secret::new(base64);
    let text = std::str::from_utf8(base64.expose()).map_err(told)?;
    let der = Base64::decode_vec(text).map_err(|_| "the PEM block is not base64")?;
    Ok(Secret::new(der))
}

/// A private key, and its numbers for comparing.
struct Private<K> {
    pair: K,
    numbers: Secret,
}

/// A way to read a key from DER.
type Form<K> = fn(&[u8]) -> Result<K, KeyPairError>;

impl<K> Private<K> {
    /// Reads a key in one of these forms.
    fn of(
        value: Value<'_>,
        forms: [Form<K>; 2],
        numbers: fn(&K) -> Result<Secret, KeyPairError>,
    ) -> Result<Self, String> {
        let Value::Pem(body) = value else { return Err("a PEM block is expected here".into()) };
        let der = der(body)?;
        let [pkcs1, pkcs8] = forms.map(|form| form(der.expose()));
        let damaged = |error: &KeyPairError| {
            matches!(error, KeyPairError::Encoding(_) | KeyPairError::Inconsistent)
        };
        let pair = match (pkcs1, pkcs8) {
            (Ok(pair), _) | (_, Ok(pair)) => pair,
            (Err(one), Err(other)) if damaged(&one) && damaged(&other) => {
                return Err("not an RSA private key whose parts fit together".into());
            }
            (Err(one), Err(other)) => {
                let error = if damaged(&one) { other } else { one };
                return Err(error.to_string());
            }
        };
        let numbers = numbers(&pair).map_err(told)?;
        Ok(Self { pair, numbers })
    }
}

impl<K> PartialEq for Private<K> {
    fn eq(&self, other: &Self) -> bool {
        self.numbers.expose() == other.numbers.expose()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use xlreg::credential::Credential;

    use super::*;

    const DEPLOYED: [&str; 2] = ["1.8.4", "1.9.24"];

    fn deployed(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit/vectors/deployed").join(name)
    }

    fn text(version: &str) -> String {
        std::fs::read_to_string(deployed(&format!("reg.config-{version}"))).unwrap()
    }

    /// The values by which clients know a registry.
    type Known = (Name, Option<NodeId>, [PublicKey; 2]);

    fn said(text: &str) -> Result<Known, String> {
        let it = parse(text)?;
        let keys = [it.comms.public_key(), it.sig.public_key()].map(PublicKey::clone);
        Ok((it.name, it.id, keys))
    }

    /// The values in the regCred of the same server.
    fn credential(version: &str) -> Known {
        let text = std::fs::read_to_string(deployed(&format!("regCred.dat-{version}"))).unwrap();
        let it: Credential = text.parse().unwrap();
        (it.name, Some(it.id), [it.comms_key, it.sig_key])
    }

    /// A field with its PEM block, with its indentation.
    fn block<'a>(text: &'a str, start: &str) -> &'a str {
        let from = text.find(start).unwrap();
        let len = text[from..].find("-----END").unwrap();
        let end = text[from + len..].find('\n').unwrap();
        &text[from..from + len + end + 1]
    }

    #[test]
    fn deployed_registries_keep_their_identity() {
        for version in DEPLOYED {
            assert_eq!(said(&text(version)), Ok(credential(version)), "{version}");
        }
    }

    /// Forms of other generations, and of copies through editors, with the same values.
    #[test]
    fn other_forms_of_the_file_say_the_same() {
        for version in DEPLOYED {
            let known = credential(version);
            let text = text(version);
            let outer = text.rfind("    ckPriv").unwrap();
            let inner = [block(&text, "        ckPriv"), block(&text, "        skPriv")];
            let once_inside = format!("{}}}\n", &text[..outer]);
            let once_outside = text.replacen(inner[0], "", 1).replacen(inner[1], "", 1);
            let swapped = text
                .replacen(inner[0], "@", 1)
                .replacen(inner[1], inner[0], 1)
                .replacen('@', inner[1], 1);
            let node =
                once_inside.strip_prefix("regNode {\n").unwrap().strip_suffix("}\n").unwrap();
            let labelled = text.replace("BEGIN -----", "BEGIN RSA PRIVATE KEY-----");
            let old_names = inner[0].replace("ckPriv", "commsKey");
            let (_, id) = text.split_once("nodeID: ").unwrap();
            let longer = format!("{}{}", &id[..40], "0".repeat(24));
            let keys = text.find("        commsPubKey").unwrap();
            let private_only =
                format!("{}{}", &text[..keys], &text[text.find("        overlays").unwrap()..]);
            let peer = "peers {\n            peer {\n name: other\n nodeID: 00\n connectors {\n \
                        TcpConnector: 1.2.3.4:5\n }\n }\n";
            for (what, other) in [
                ("CRLF", text.replace('\n', "\r\n")),
                ("a BOM and no last line end", format!("\u{feff}{}", text.trim_end())),
                ("no indentation", text.replace("    ", "")),
                ("keys inside only", once_inside.clone()),
                ("keys outside only", once_outside),
                ("the sig key first", swapped),
                ("no public keys", private_only),
                ("no regNode", node.into()),
                ("labels", labelled.replace("END -----", "END RSA PRIVATE KEY-----")),
                ("old names", text.replacen(inner[0], &old_names, 1)),
                ("ends without a name", text.replace("TcpEndPoint: ", "")),
                ("more ends", text.replace("endPoints {", "endPoints {\nTcpEndPoint: [::]:1")),
                ("no ends", text.replace("            TcpEndPoint: 127.0.0.1", "x: ")),
                ("a peer", text.replace("peers {\n", peer)),
                ("an unknown field", text.replace("lfs:", "k: 3\nlfs:")),
                ("an unknown block", text.replace("        lfs:", "gateways {\n}\n lfs:")),
            ] {
                assert_ne!(other, text, "{what}");
                assert_eq!(said(&other).as_ref(), Ok(&known), "{version}: {what}");
            }
            let long = said(&text.replace(&id[..40], &longer)).unwrap();
            assert_eq!(long.1, Some(longer.parse().unwrap()), "32 bytes");
        }
    }

    /// Changes each pair of equal values in one place.
    #[test]
    fn what_is_said_twice_must_agree() {
        let (mine, other) = (text("1.9.24"), text("1.8.4"));
        let stop = mine.rfind("    ckPriv").unwrap();
        let (node, rest) = mine.split_at(stop);
        let key = |text: &str, name: &str| block(text, &format!("{name}: ")).to_owned();
        let put = |text: &str, name: &str, from: &str, by: &str| {
            text.replacen(&key(text, name), &key(from, by).replacen(by, name, 1), 1)
        };
        let (_, ssh) = other.split_once("commsPubKey: ").unwrap();
        let ssh = format!("commsPubKey: {}\n", ssh.lines().next().unwrap());
        for (name, what) in [("ckPriv", "private comms keys"), ("skPriv", "private sig keys")] {
            let [inner, outer] = [node, rest].map(|part| put(part, name, &other, name));
            for text in [format!("{inner}{rest}"), format!("{node}{outer}")] {
                let problem = said(&text).unwrap_err();
                let first = format!("two {what}: {name} of node (line ");
                assert!(problem.contains(&first), "{problem}");
                assert!(
                    problem.contains(&format!(") is not {name} of regNode (line ")),
                    "{problem}"
                );
            }
        }
        let cases = [
            (
                put(&mine, "commsPubKey", &mine, "sigPubKey"),
                "commsPubKey of node (line 5) is not the public half of",
                "ckPriv of node",
            ),
            (
                put(&mine, "sigPubKey", &mine, "commsPubKey"),
                "sigPubKey of node (line 15) is not the public half of",
                "skPriv of node",
            ),
            (
                mine.replacen(&key(&mine, "commsPubKey"), &ssh, 1),
                "commsPubKey of node (line 5) is not the public half of",
                "ckPriv of node",
            ),
            (
                mine.replacen("        name: xlReg\n", "name: xlReg\nname: xlreg\n", 1),
                "two names: name of node (line 3) is not",
                "name of node (line 4)",
            ),
            (
                mine.replacen(
                    "    node {",
                    "nodeID: 00112233445566778899aabbccddeeff00112233\n node {",
                    1,
                ),
                "two node IDs: nodeID of node",
                "nodeID of regNode (line 2)",
            ),
        ];
        for (text, one, two) in cases {
            let problem = said(&text).unwrap_err();
            assert!(problem.contains(one) && problem.contains(two), "{problem}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let mine = text("1.9.24");
        let without = |names: &[&str]| {
            names.iter().fold(mine.clone(), |text, name| text.replace(&format!("{name}: "), "x: "))
        };
        let ends_early = &mine[..mine.len() / 2];
        let cases = [
            (without(&["nodeID"]), "there is no node ID in it (no nodeID)"),
            (without(&["  name"]), "there is no name in it"),
            (without(&["ckPriv"]), "there is no private comms key in it (no ckPriv)"),
            (without(&["skPriv"]), "there is no private sig key in it (no skPriv)"),
            (mine.replacen("nodeID: 72", "nodeID: ", 1), "nodeID of node (line 4): "),
            (mine.replacen("name: xlReg", "name: xl Reg", 1), "name of node (line 3): "),
            (
                mine.replacen("MIIE", "!!!!", 1),
                "ckPriv of node (line 29): the PEM block is not base64",
            ),
            (mine.replacen("MIIE", "MIIF", 1), "ckPriv of node (line 29): not an RSA private key"),
            (mine.replacen("MIIB", "MIIC", 1), "commsPubKey of node (line 5): "),
            (mine.replacen("ckPriv: -----BEGIN -----", "ckPriv: x", 1), "is expected"),
            (mine.replacen("    node {", "    nude {", 1), "there is no 'node {'"),
            (
                mine.replacen("        peers {", "    }\n    node {\n peers {", 1),
                "more than one 'node {'",
            ),
            (mine.replacen("regNode {", "regCred {", 1), "'regNode {' is expected first"),
            (ends_early.into(), "does not end"),
            (format!("{mine}\n{mine}"), "nothing is expected behind"),
        ];
        for (text, expected) in cases {
            let problem = said(&text).map(|_| expected).unwrap_err();
            assert!(problem.contains(expected), "{problem}, not {expected}");
        }
    }

    /// Flips every bit of a file: the file is refused, or has the same keys.
    #[test]
    fn no_flipped_bit_changes_a_key() {
        for version in DEPLOYED {
            let (text, known) = (text(version), credential(version));
            let mut taken = 0;
            for at in (0..text.len()).step_by(7) {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << (at % 7);
                let Ok(other) = String::from_utf8(bytes) else { continue };
                if let Ok(said) = said(&other) {
                    assert_eq!(said.2, known.2, "byte {at}");
                    // All numbers of a key are checked, even those that could be computed.
                    let inside = text[..at].rfind("-----BEGIN") > text[..at].rfind("-----END");
                    assert!(!inside, "byte {at}");
                    taken += 1;
                }
            }
            println!("{version}: {taken} of {} taken", text.len() / 7);
            assert!((30..100).contains(&taken), "{taken}");
        }
    }
}
