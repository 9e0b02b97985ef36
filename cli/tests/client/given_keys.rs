//! Keys that somebody gives, in `--dir` and in `--node`: used in the form they have, left as they
//! are, and named for what they are where they can't be used.

use std::fs;

use crate::common::Daemon;
use crate::common::place::{Place, code, json, stderr, stdout};

fn vector(name: &str) -> String {
    let folder = xlreg_testkit::captures::folder().join("keys");
    fs::read_to_string(folder.join(name)).unwrap()
}

/// A directory with these two key files, and a name.
fn give(place: &Place, dir: &str, comms: &str, sig: &str) {
    fs::create_dir(place.path(dir)).unwrap();
    fs::write(place.path(dir).join("name"), format!("{dir}\n")).unwrap();
    fs::write(place.path(dir).join("comms_key.pem"), vector(comms)).unwrap();
    fs::write(place.path(dir).join("sig_key.pem"), vector(sig).replace('\n', "\r\n")).unwrap();
}

fn assert_kept(place: &Place, dir: &str, comms: &str, sig: &str) {
    let kept = |file| fs::read_to_string(place.path(dir).join(file)).unwrap();
    assert_eq!(kept("comms_key.pem"), vector(comms));
    assert_eq!(kept("sig_key.pem"), vector(sig).replace('\n', "\r\n"));
}

#[test]
fn a_registry_and_a_node_use_the_keys_that_they_are_given() {
    let place = Place::bare();
    give(&place, "registry", "rsa.pkcs1", "rsa.openssh");
    fs::write(place.path("registry/id"), "07".repeat(32)).unwrap();
    {
        let _registry = Daemon::start(&place.path("registry"), &[]);
        fs::copy(place.path("registry/regCred.dat"), place.path("regCred.dat")).unwrap();
        let public = vector("rsa.public.openssh");
        let credential = fs::read_to_string(place.path("regCred.dat")).unwrap();
        assert_eq!(credential.matches(public.split(' ').nth(1).unwrap().trim_end()).count(), 2);

        give(&place, "node", "rsa.openssh", "rsa.text");
        for _ in 0..2 {
            let output =
                place.run("register --registry regCred.dat --node node --name other --json");
            assert_eq!(code(&output), 0, "{}", stderr(&output));
            let id = fs::read_to_string(place.path("node/id")).unwrap();
            assert_eq!(json(&output)["id"], id.trim_end());
        }
        let output = place.run(
            "join alpha --registry regCred.dat --node node --name other --create 2 \
             --end-point 10.0.0.1:4000 --no-wait",
        );
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert_kept(&place, "node", "rsa.openssh", "rsa.text");
    }
    assert_kept(&place, "registry", "rsa.pkcs1", "rsa.openssh");
}

#[test]
fn what_can_not_be_used_is_named_and_left_alone() {
    let place = Place::new();
    let ec = "a key of another algorithm (EC); ";
    let ed25519 = "a key of another algorithm (Ed25519); ";
    let dsa = "a key of another algorithm (DSA); ";
    let encrypted = "encrypted; take the passphrase off a copy";
    let public = "the public half of a key; ";
    for (given, reason) in [
        ("encrypted.pkcs8", encrypted),
        ("encrypted.pkcs1", encrypted),
        ("encrypted.openssh", encrypted),
        ("ec.pkcs8", ec),
        ("ec.sec1", ec),
        ("ec.openssh", ec),
        ("ed25519.pkcs8", ed25519),
        ("ed25519.openssh", ed25519),
        ("ed25519.encrypted", ed25519),
        ("dsa.pkcs8", dsa),
        ("dsa.traditional", dsa),
        ("dsa.openssh", dsa),
        ("pss.pkcs8", "an RSA key that may be used with PSS padding alone"),
        ("rsa.certificate", "a certificate; "),
        ("rsa.public.spki", public),
        ("rsa.public.pkcs1", public),
        ("rsa.public.openssh", public),
        ("short.pkcs8", "the key has 512 bits; 1024 to 8192 are accepted"),
    ] {
        give(&place, given, "rsa.pkcs8", given);
        let before = fs::read_dir(place.path(given)).unwrap().count();
        let commands = [
            format!(
                "join alpha --registry regCred.dat --node {given} --name host1 --create 2 \
                 --end-point 10.0.0.1:4000 --no-wait"
            ),
            format!("register --registry regCred.dat --node {given} --name host1"),
            format!("serve --listen 127.0.0.1:0 --dir {given}"),
        ];
        for command in commands {
            let output = place.run(&command);
            assert_eq!((code(&output), stdout(&output).as_str()), (1, ""), "{command}");
            let said = stderr(&output);
            let expected = format!("{given}/sig_key.pem: {reason}");
            assert!(said.contains(&expected), "{command}: {said}");
        }
        assert_kept(&place, given, "rsa.pkcs8", given);
        // A lock may be there now, but nothing that was made in place of what was given.
        let files = fs::read_dir(place.path(given)).unwrap();
        let made = files.filter(|file| file.as_ref().unwrap().file_name() != ".lock").count();
        assert_eq!(made, before, "{given}");
    }
}
