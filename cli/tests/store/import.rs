//! `serve --import-config` with the files of deployed servers: their regCreds stay good, or nothing
//! is done.

#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::tempdir;
use xlreg::credential::Credential;

use crate::common::{Daemon, Failed, furnish, serve};

const DEPLOYED: [&str; 2] = ["1.8.4", "1.9.24"];

fn deployed(name: &str, version: &str) -> PathBuf {
    let folder = xlreg_testkit::captures::folder().join("deployed");
    folder.join(format!("{name}-{version}"))
}

/// Starts a registry in this directory with the identity of this file.
fn import(dir: &Path, config: &Path) -> Result<Daemon, Failed> {
    let mut command = serve(dir, &["--listen", "127.0.0.1:0"]);
    Daemon::launch(
        {
            command.arg("--import-config").arg(config);
            command
        },
        dir,
        1,
    )
}

/// What clients know a registry by.
fn known(credential: &Credential) -> impl PartialEq + std::fmt::Debug + use<> {
    let Credential { name, id, comms_key, sig_key, .. } = credential.clone();
    (name, id, comms_key, sig_key)
}

/// All that is in a directory; `None` if it is not there.
fn contents(dir: &Path) -> Option<BTreeMap<PathBuf, Vec<u8>>> {
    let entries = fs::read_dir(dir).ok()?.map(|entry| entry.unwrap().path());
    Some(entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect())
}

#[test]
fn deployed_regcreds_stay_good() {
    for version in DEPLOYED {
        let temp = tempdir().unwrap();
        let dir = temp.path().join("registry");
        let text = fs::read_to_string(deployed("regCred.dat", version)).unwrap();
        let given: Credential = text.parse().unwrap();
        let config = deployed("reg.config", version);
        let first = import(&dir, &config).unwrap();
        assert_eq!(known(&first.credential()), known(&given), "{version}");
        drop(first);
        // Once more, and without: nothing changes.
        let again = import(&dir, &config).unwrap();
        assert_eq!(known(&again.credential()), known(&given), "{version}");
        drop(again);
        assert_eq!(known(&Daemon::start(&dir, &[]).credential()), known(&given), "{version}");
    }
}

#[test]
fn a_refused_import_says_why_and_leaves_nothing() {
    let temp = tempdir().unwrap();
    let other = fs::read_to_string(deployed("reg.config", "1.8.4")).unwrap();
    let text = fs::read_to_string(deployed("reg.config", "1.9.24")).unwrap();
    let key = |text: &str| {
        text[text.rfind("    ckPriv").unwrap()..text.rfind("    skPriv").unwrap()].to_owned()
    };
    let cases = [
        (
            "two-keys",
            text.replacen(&key(&text), &key(&other), 1),
            "ckPriv of node (line 29) is not ckPriv of regNode",
        ),
        (
            "damaged",
            text.replacen("MIIE", "MIIF", 1),
            "ckPriv of node (line 29): not an RSA private key",
        ),
        ("cut", text[..text.len() - 40].into(), "does not end"),
        ("empty", String::new(), "ends inside a block"),
        ("large", text.clone() + &" \n".repeat(200_000), "more than 262144 bytes"),
        (
            "credential",
            fs::read_to_string(deployed("regCred.dat", "1.9.24")).unwrap(),
            "'regNode {' is expected first",
        ),
    ];
    let mut configs = Vec::from(cases.map(|(name, text, problem)| {
        let path = temp.path().join(name);
        fs::write(&path, text).unwrap();
        (path, problem)
    }));
    fs::write(temp.path().join("bytes"), [0xff; 100]).unwrap();
    configs.push((temp.path().join("bytes"), "it is not text"));
    configs.push((temp.path().join("absent"), "cannot read"));
    configs.push((temp.path().into(), "cannot read"));
    for (config, problem) in configs {
        let fresh = temp.path().join("new").join("dir");
        let empty = tempdir().unwrap();
        for dir in [fresh.as_path(), empty.path()] {
            let before = contents(dir);
            let refused = import(dir, &config).unwrap_err();
            assert_eq!(refused.code, Some(1), "{refused:?}");
            assert!(refused.stderr.contains(problem), "{problem}: {refused:?}");
            assert!(refused.stderr.contains(config.to_str().unwrap()), "{refused:?}");
            assert!(contents(dir) == before, "{problem}: something is left in {dir:?}");
        }
        assert!(!temp.path().join("new").exists());
    }
}

/// An identity that is there is not overwritten, by another one as little as by one with the same
/// ID and another key.
#[test]
fn an_import_into_another_registry_s_directory_changes_nothing() {
    let temp = tempdir().unwrap();
    let [dir, config] = ["dir", "config"].map(|name| temp.path().join(name));
    furnish(&dir);
    let text = fs::read_to_string(deployed("reg.config", "1.9.24")).unwrap();
    let (_, id) = text.split_once("nodeID: ").unwrap();
    fs::write(&config, text.replacen(&id[..40], &"5e".repeat(32), 1)).unwrap();
    let before = contents(&dir);
    for config in [config, deployed("reg.config", "1.8.4")] {
        let refused = import(&dir, &config).unwrap_err();
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains("holds another registry's identity"), "{refused:?}");
        assert!(contents(&dir) == before, "it was changed");
    }
}
