//! The identity of a deployed registry, from its `.xlattice/reg.config`.
//!
//! What is known of that file: it is text, its private keys are PKCS#1 in PEM blocks headed `-----BEGIN
//! -----`, the comms key before the sig key, and its name and ID are fields with a colon. Whatever else is in
//! it is passed over; what is needed and not found is an error, and so are keys whose label says the opposite
//! of their place.

use std::fmt::Display;
use std::fs;
use std::path::Path;

use base64ct::{Base64, Encoding};
use xlreg::identity::{CommsKeyPair, Identity, Name, NodeId, SigKeyPair};

use crate::failure::Failure;

const BEGIN: &str = "-----BEGIN";
const END: &str = "-----END";

/// Reads the identity of a deployed registry.
pub fn identity(path: &Path) -> Result<Identity, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
    parse(&text).map_err(|problem| {
        Failure::new(format!("{}: {problem}", path.display()))
            .advise("--import-config takes the reg.config of a deployed registry, in its .xlattice directory")
    })
}

fn parse(text: &str) -> Result<Identity, String> {
    let blocks = blocks(text)?;
    let [comms, sig] = blocks.as_slice() else {
        return Err(format!("two private keys expected, {} found", blocks.len()));
    };
    let swapped = |label: &str, other: [&str; 2]| other.iter().any(|it| label.contains(it));
    if swapped(&comms.label, ["sk", "sig"]) || swapped(&sig.label, ["ck", "comms"]) {
        return Err("the comms key is expected before the sig key".into());
    }
    let name = field(text, &["name"]).ok_or("no name found")?;
    let id = field(text, &["nodeid", "id"]).ok_or("no node ID found")?;
    let wrong = |what: &'static str| move |error: &dyn Display| format!("{what}: {error}");
    Ok(Identity {
        name: name.parse::<Name>().map_err(|e| wrong("the name")(&e))?,
        id: Some(id.parse::<NodeId>().map_err(|e| wrong("the node ID")(&e))?),
        comms: CommsKeyPair::from_pkcs1_der(&comms.der).map_err(|e| wrong("the comms key")(&e))?,
        sig: SigKeyPair::from_pkcs1_der(&sig.der).map_err(|e| wrong("the sig key")(&e))?,
    })
}

/// A PEM block, and what stands before it on its line, in lower case.
struct Block {
    label: String,
    der: Vec<u8>,
}

fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((before, block)) = rest.split_once(BEGIN) {
        let mut lines = before.lines().rev().map(str::trim);
        let label = lines.find(|line| !line.is_empty()).unwrap_or_default().to_lowercase();
        let (_, body) = block.split_once("-----").ok_or("a PEM header does not end")?;
        let (body, after) = body.split_once(END).ok_or("a PEM block does not end")?;
        let body: String = body.split_ascii_whitespace().collect();
        let der = Base64::decode_vec(&body).map_err(|_| "a PEM block is not base64")?;
        blocks.push(Block { label, der });
        rest = after;
    }
    Ok(blocks)
}

/// The first value of a field with one of these names.
fn field<'a>(text: &'a str, names: &[&str]) -> Option<&'a str> {
    let mut fields = text.lines().filter_map(|line| line.trim().split_once(':'));
    let (_, value) =
        fields.find(|(name, _)| names.iter().any(|it| name.trim().eq_ignore_ascii_case(it)))?;
    Some(value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file as deployed registries have it, with captured keys turned into PKCS#1.
    fn config(first: &str, second: &str) -> String {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/prefixed-1.9.24.json");
        let json: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let block = |field: &str| {
            let pem = json["server"][field].as_str().unwrap();
            let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
            // PKCS#8 is a head of 26 bytes around PKCS#1, for keys of 2048 bits.
            let pkcs1 = Base64::decode_vec(&body).unwrap().split_off(26);
            let text = Base64::encode_string(&pkcs1);
            let lines: Vec<_> =
                text.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
            format!("-----BEGIN -----\n{}\n-----END -----", lines.join("\n"))
        };
        format!(
            "regNode {{\n    node {{\n        name: xlReg\n        nodeID: {}\n        lfs: /var/app/xlReg\n        \
             {first}: {}\n        {second}: {}\n        endPoints {{\n             TcpEndPoint: 127.0.0.1:45678\n        }}\n    }}\n}}\n",
            "105f1a9aab6ed41d1de4bfefa074c824bd05e3d4",
            block("comms_key"),
            block("sig_key"),
        )
    }

    #[test]
    fn a_deployed_registry_keeps_its_identity() {
        let identity = parse(&config("ckPriv", "skPriv")).unwrap();
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/prefixed-1.9.24.json");
        let json: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let credential: xlreg::credential::Credential =
            json["regcred"].as_str().unwrap().parse().unwrap();
        assert_eq!(identity.comms.public_key(), &credential.comms_key);
        assert_eq!(identity.sig.public_key(), &credential.sig_key);
        assert_eq!(identity.id, Some(credential.id));
        assert_eq!(identity.name, credential.name);
    }

    #[test]
    fn what_is_missing_is_named() {
        let text = config("ckPriv", "skPriv");
        let problem = |text: &str| parse(text).map(|_| ()).unwrap_err();
        assert!(problem(&text.replace("nodeID:", "what:")).contains("node ID"));
        assert!(problem(&text.replace("name:", "what:")).contains("name"));
        assert!(problem(&text.replacen(BEGIN, "", 1)).contains("two private keys"));
        assert!(problem(&text.replacen("MII", "!!!", 1)).contains("base64"));
        assert!(problem(&config("skPriv", "ckPriv")).contains("before the sig key"));
    }
}
