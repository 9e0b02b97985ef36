//! The identity of a node: the bounds of every type, key pairs in all their forms, identities in a
//! directory, and no secrets in `Debug` texts.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use xlreg::crypto::{Open, Sign};
use xlreg::identity::directory::DirectoryError;
use xlreg::identity::{
    ClusterAttrs, CommsKeyPair, EndPoint, EndPointError, Identity, KeyError, KeyForm, KeyPairError,
    MemberAttrs, Name, NameError, NodeId, NodeIdError, OpenSshError, PublicKey, SigKeyPair,
    Version, VersionError,
};
use xlreg::message::{MemberIndex, MemberSet};
use xlreg::session::{ServerConfig, ServerEvent, Session};
use xlreg_testkit::scenario::{self, DIALECTS, Scenario};
use xlreg_testkit::spellings::{spellings, without_blanks};
use xlreg_testkit::{KEYS, Seeded, captures, identity, run_tool};

// The small types.

#[test]
fn a_node_id_has_20_or_32_bytes() {
    for len in 0..=70 {
        let bytes: Vec<u8> = (0..len as u8).map(|n| n.wrapping_mul(37)).collect();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match (NodeId::from_bytes(&bytes), len) {
            (Ok(id), 20 | 32) => {
                assert_eq!((id.as_bytes(), id.to_string()), (&bytes[..], hex.clone()));
                assert_eq!((hex.parse(), hex.to_uppercase().parse()), (Ok(id), Ok(id)));
                for damaged in [
                    hex.replacen('0', "g", 1),
                    hex.replacen('0', " ", 1),
                    hex.replacen('0', "+", 1),
                ] {
                    assert_eq!(damaged.parse::<NodeId>(), Err(NodeIdError::NotHex));
                }
                assert_eq!(format!("{hex} ").parse::<NodeId>(), Err(NodeIdError::NotHex));
            }
            (got, _) => {
                assert_eq!(got, Err(NodeIdError::Length { bytes: len }));
                assert_eq!(hex.parse::<NodeId>(), Err(NodeIdError::NotHex));
            }
        }
    }
    let random = |seed| NodeId::random(&mut Seeded::new(seed));
    assert_eq!((random(1).as_bytes().len(), random(1)), (32, random(1)));
    assert_ne!(random(1), random(2));
    // A text of 40 bytes and fewer characters.
    assert_eq!("\u{e9}".repeat(20).parse::<NodeId>(), Err(NodeIdError::NotHex));
}

#[test]
fn a_name_keeps_its_rules() {
    let long = "n".repeat(255);
    for good in ["a", "_", "0", "A.b-c_9", "9-.", &long] {
        let name: Name = good.parse().unwrap();
        assert_eq!((name.as_str(), name.to_string()), (good, good.to_string()));
        assert_eq!(Name::new(good), Ok(name));
    }
    let table = [
        ("", NameError::Empty),
        (".a", NameError::Start('.')),
        ("-a", NameError::Start('-')),
        (" a", NameError::Start(' ')),
        ("\u{e9}", NameError::Start('\u{e9}')),
        ("a b", NameError::Character(' ')),
        ("a\n", NameError::Character('\n')),
        ("a\0", NameError::Character('\0')),
        ("a/b", NameError::Character('/')),
        ("a\u{0660}", NameError::Character('\u{0660}')),
    ];
    for (text, error) in table {
        assert_eq!(text.parse::<Name>(), Err(error), "{text:?}");
        assert_eq!(Name::new(text), Err(error), "{text:?}");
    }
    assert_eq!("n".repeat(256).parse::<Name>(), Err(NameError::TooLong { bytes: 256, limit: 255 }));
    for byte in 0..=127u8 {
        let c = char::from(byte);
        let word = c.is_ascii_alphanumeric() || c == '_';
        assert_eq!(Name::new(c.to_string()).is_ok(), word, "{c:?} first");
        assert_eq!(Name::new(format!("a{c}")).is_ok(), word || c == '.' || c == '-', "{c:?} later");
    }
}

#[test]
fn an_end_point_is_a_host_and_a_port() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}:65535", &label[..61]);
    assert_eq!(longest.len(), EndPoint::MAX_LEN);
    for (text, host, port) in [
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("h:65535", "h", 65535),
        ("a-b.c_d.example:80", "a-b.c_d.example", 80),
        ("4.example:1", "4.example", 1),
        // A whole name: resolvers append no domain.
        ("registry.example.:1", "registry.example.", 1),
        ("[::1]:4000", "::1", 4000),
        ("[2001:db8::7.8.9.1]:1", "2001:db8::7.8.9.1", 1),
        (&longest, &longest[..253], 65535),
    ] {
        let end: EndPoint = text.parse().unwrap();
        assert_eq!((end.as_str(), end.host(), end.port()), (text, host, port));
        assert_eq!(end.to_string(), text);
    }
    let (port, host) = (EndPointError::Port, EndPointError::Host);
    for (error, texts) in [
        (EndPointError::NoPort, &["", "h", "127.0.0.1"][..]),
        (
            port,
            &[
                "h:",
                "h:65536",
                "h:-1",
                "h:+1",
                "h:1 ",
                "h: 1",
                "h:0x1",
                "h:99999999999999999999",
                "h:\u{661}",
            ],
        ),
        (
            host,
            &[
                ":1", " :1", "-h:1", "h-:1", "h..i:1", ".h:1", "h..:1", ".:1", "a b:1", "\u{e9}:1",
                "h/:1",
            ],
        ),
        (host, &["256.0.0.1:1", "1.2.3:1", "1.2.3.4.5:1", "127.1:1", "1:1", "h.1:1"]),
        (
            host,
            &[
                "::1:1",
                "[::1:1",
                "::1]:1",
                "[]:1",
                "[1.2.3.4]:1",
                "[h]:1",
                "[::g]:1",
                "[::1]x:1",
                "[fe80::1%0]:1",
            ],
        ),
    ] {
        for text in texts {
            assert_eq!(text.parse::<EndPoint>(), Err(error), "{text:?}");
        }
    }
}

#[test]
fn an_end_point_has_a_label_a_host_and_a_whole_of_bounded_length() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}:65535", &label[..61]);
    let long_label = format!("{label}a:1");
    assert_eq!(long_label.parse::<EndPoint>(), Err(EndPointError::Host));
    let too_long = longest.replacen('a', "aa", 1);
    assert_eq!(too_long.parse::<EndPoint>(), Err(EndPointError::TooLong { bytes: 260 }));
    // The host has 254 bytes. With its port the text is not too long.
    let host_too_long = format!("{label}.{label}.{label}.{}:1", &label[..62]);
    assert_eq!(host_too_long.parse::<EndPoint>(), Err(EndPointError::Host));
}

#[test]
fn a_version_drops_trailing_zeros_but_keeps_two_fields() {
    for (bytes, text) in [
        ([1, 9, 24, 0], "1.9.24"),
        ([0, 5, 0, 0], "0.5"),
        ([1, 2, 3, 4], "1.2.3.4"),
        ([0, 0, 0, 0], "0.0"),
        ([1, 0, 0, 1], "1.0.0.1"),
        ([255, 255, 255, 255], "255.255.255.255"),
        ([0, 0, 1, 0], "0.0.1"),
    ] {
        let version = Version::from_bytes(bytes);
        assert_eq!((version.to_string(), version.to_bytes()), (text.to_string(), bytes));
        assert_eq!(text.parse(), Ok(version));
    }
    assert_eq!("1.9.0.0".parse(), Ok(Version::FIRST_PREFIXED));
    for text in [
        "",
        "1",
        "1.",
        ".1",
        "1..2",
        "1.2.3.4.5",
        "256.0",
        "1.256",
        "1.-2",
        "1.+2",
        "1.2 ",
        " 1.2",
        "a.b",
        "1.2.",
        "1.9.24-x",
    ] {
        assert_eq!(text.parse::<Version>(), Err(VersionError), "{text:?}");
    }
    assert!(Version::new(1, 8, 255, 255) < Version::FIRST_PREFIXED);
    assert!(Version::new(1, 10, 0, 0) > Version::REFERENCE);
}

#[test]
fn a_member_set_has_64_members() {
    for count in [0, 1, 2, 63, 64, 65, u32::MAX] {
        let set = MemberSet::first(count);
        let members: Vec<u32> = set.iter().map(MemberIndex::get).collect();
        assert_eq!(members, (0..count.min(64)).collect::<Vec<_>>());
        assert_eq!((set.count(), set.is_empty()), (count.min(64), count == 0));
    }
    for index in 0..64 {
        let index = MemberIndex::new(index).unwrap();
        let one = MemberSet::NONE.with(index);
        assert_eq!(one.bits(), 1 << index.get());
        assert!(one.contains(index) && !MemberSet::ALL.without(one).contains(index));
        assert_eq!(MemberSet::ALL.without(one).count(), 63);
        assert_eq!(MemberSet::ALL.and(one), one);
    }
    assert_eq!([64, u32::MAX].map(MemberIndex::new), [None; 2], "no member can have it");
    assert_eq!(MemberSet::from_bits(u64::MAX), MemberSet::ALL);
}

#[test]
fn attrs_keep_all_64_bits() {
    let member = [MemberAttrs::EPHEMERAL, MemberAttrs::ADMIN, MemberAttrs::SOLO];
    assert_eq!(member.map(MemberAttrs::bits), [1, 2, 4]);
    assert_eq!([ClusterAttrs::EPHEMERAL, ClusterAttrs::DELETED].map(ClusterAttrs::bits), [1, 2]);
    assert_eq!(MemberAttrs::from_bits(u64::MAX).bits(), u64::MAX);
    let both = MemberAttrs::ADMIN.union(MemberAttrs::SOLO);
    assert!(both.contains(MemberAttrs::SOLO) && !both.contains(MemberAttrs::EPHEMERAL));
    assert!(!MemberAttrs::SOLO.contains(both) && both.contains(MemberAttrs::NONE));
}

// Keys.

#[test]
fn key_pairs_go_through_pem_and_der_and_back() {
    for (comms, sig) in KEYS.comms.iter().zip(&KEYS.sig) {
        let again = CommsKeyPair::from_pem(comms.to_pem().unwrap().expose()).unwrap();
        assert_eq!(again.public_key(), comms.public_key());
        let again = CommsKeyPair::from_pkcs8_der(comms.to_pkcs8_der().unwrap().expose()).unwrap();
        let sealed = comms.public_key().seal(b"secret", &mut Seeded::new(1)).unwrap();
        assert_eq!(again.open(&sealed, &mut Seeded::new(2)).unwrap().expose(), b"secret");
        let again = SigKeyPair::from_pem(sig.to_pem().unwrap().expose()).unwrap();
        assert_eq!(again.public_key(), sig.public_key());
        let again = SigKeyPair::from_pkcs8_der(sig.to_pkcs8_der().unwrap().expose()).unwrap();
        assert_eq!(again.to_pkcs8_der().unwrap().expose(), sig.to_pkcs8_der().unwrap().expose());
    }
    let pem = KEYS.sig[0].to_pem().unwrap();
    assert!(pem.expose().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    for text in [pem.expose().replace('\n', "\r\n"), format!("\n{}\n\n", pem.expose())] {
        assert_eq!(SigKeyPair::from_pem(&text).unwrap().public_key(), KEYS.sig[0].public_key());
    }
}

#[test]
fn what_is_no_private_key_is_refused() {
    let key = &KEYS.sig[0];
    let (pem, der) = (key.to_pem().unwrap(), key.to_pkcs8_der().unwrap());
    let (pem, der) = (pem.expose(), der.expose());
    let pkcs1 = KeyPairError::Encoding(KeyForm::Pkcs1);
    for (text, error) in [
        ("", KeyPairError::NoKey),
        ("x", KeyPairError::NoKey),
        (&pem[..pem.len() / 2], KeyPairError::Armor),
        (&pem.replace("PRIVATE", "PUBLIC"), KeyPairError::PublicKey),
        (&pem.replace("PRIVATE", "RSA PRIVATE"), pkcs1),
    ] {
        assert_eq!(SigKeyPair::from_pem(text).err(), Some(error));
    }
    // The parts of a key must fit together. Damage that is not noticed must be harmless: with a
    // wrong CRT part anyone could compute the key from a signature.
    let signature = key.sign(b"message", &mut Seeded::new(1)).unwrap();
    for at in (0..der.len()).step_by(3) {
        let mut damaged = der.to_vec();
        damaged[at] ^= 1 << (at % 8);
        if let Ok(other) = SigKeyPair::from_pkcs8_der(&damaged) {
            assert_eq!(other.public_key(), key.public_key(), "byte {at}");
            let signed = other.sign(b"message", &mut Seeded::new(1));
            assert!(signed.is_err() || signed == Ok(signature.clone()), "byte {at}");
        }
    }
    assert_eq!(
        SigKeyPair::from_pkcs8_der(&der[..der.len() - 1]).err(),
        Some(KeyPairError::Encoding(KeyForm::Pkcs8))
    );
    assert_eq!(
        SigKeyPair::from_pkcs8_der(key.public_key().spki_der()).err(),
        Some(KeyPairError::PublicKey)
    );
    for bits in [0, 512, 1023, 8193] {
        let made = CommsKeyPair::generate(bits, &mut Seeded::new(1)).err();
        assert_eq!(made, Some(KeyPairError::Public(KeyError::Bits(bits))));
    }
    let made = CommsKeyPair::generate(1024, &mut Seeded::new(1)).unwrap();
    assert_eq!(made.public_key().bits(), 1024);
}

#[test]
fn openssh_text_and_fingerprint_are_those_of_ssh_keygen() {
    let dir = tempfile::tempdir().unwrap();
    for (comms, sig) in KEYS.comms.iter().zip(&KEYS.sig) {
        let saved = Identity { comms: comms.clone(), sig: sig.clone(), ..identity("n", 0) };
        saved.save(dir.path()).unwrap();
        for (file, key) in
            [("comms_key.pem", comms.public_key()), ("sig_key.pem", sig.public_key())]
        {
            let text = key.to_openssh();
            assert_eq!(PublicKey::from_openssh(&text).as_ref(), Ok(key));
            let theirs = run_tool(dir.path(), &format!("ssh-keygen -y -f {file}"));
            let Some(theirs) = theirs else { return };
            assert_eq!(theirs.trim_end(), text);
            fs::write(dir.path().join("key.pub"), &text).unwrap();
            let theirs = run_tool(dir.path(), "ssh-keygen -l -f key.pub").unwrap();
            let words: Vec<&str> = theirs.split(' ').collect();
            assert_eq!(words[..2], [key.bits().to_string(), key.fingerprint().to_string()]);
        }
    }
}

/// OpenSSH text whose base64 holds these strings.
fn openssh(strings: &[&[u8]]) -> String {
    use base64ct::{Base64, Encoding};
    let blob = strings.iter().flat_map(|s| [&(s.len() as u32).to_be_bytes()[..], s].concat());
    format!("ssh-rsa {}", Base64::encode_string(&blob.collect::<Vec<_>>()))
}

#[test]
fn malformed_openssh_text_says_what_is_wrong() {
    let key = KEYS.comms[0].public_key();
    let n = [&[0][..], key.components().modulus].concat();
    let (name, e) = (&b"ssh-rsa"[..], &[1, 0, 1][..]);
    let good = openssh(&[name, e, &n]);
    assert_eq!(good, key.to_openssh());
    for text in [format!("{good} a comment"), format!("{good}\tme@host"), format!("{good}\r\n")] {
        assert_eq!(PublicKey::from_openssh(&text).as_ref(), Ok(key));
    }
    let even = [&n[..256], &[2]].concat();
    let table = [
        (String::new(), OpenSshError::Algorithm),
        ("ssh-rsa".into(), OpenSshError::Algorithm),
        ("ssh-rsa ".into(), OpenSshError::Algorithm),
        (good.replace("ssh-rsa", "ssh-ed25519"), OpenSshError::Algorithm),
        (good.replace("ssh-rsa ", "ssh-rsa"), OpenSshError::Algorithm),
        (good["ssh-rsa ".len()..].into(), OpenSshError::Algorithm),
        (format!("{good}!"), OpenSshError::Base64),
        (good[..good.len() - 1].into(), OpenSshError::Base64),
        (format!("{}\u{e9}", &good[..40]), OpenSshError::Base64),
        ("ssh-rsa AAAA".into(), OpenSshError::Encoding),
        (good[..good.len() - 4].into(), OpenSshError::Encoding),
        (openssh(&[name, e]), OpenSshError::Encoding),
        (openssh(&[name, e, &n, e]), OpenSshError::Encoding),
        (openssh(&[b"ssh-dss", e, &n]), OpenSshError::Encoding),
        (openssh(&[name, e, &n[1..]]), OpenSshError::Encoding),
        (openssh(&[name, &[0, 1, 0, 1], &n]), OpenSshError::Encoding),
        (openssh(&[name, e, &[&[0], &n[..]].concat()]), OpenSshError::Encoding),
        (openssh(&[name, &[], &n]), OpenSshError::Encoding),
        (openssh(&[name, e, &[]]), OpenSshError::Encoding),
        (openssh(&[name, &[2], &n]), OpenSshError::Key(KeyError::Exponent)),
        (openssh(&[name, e, &even]), OpenSshError::Key(KeyError::EvenModulus)),
        (openssh(&[name, e, &[0x7f; 64]]), OpenSshError::Key(KeyError::Bits(511))),
        (openssh(&[name, e, &[0x7f; 1025]]), OpenSshError::Key(KeyError::Bits(8199))),
    ];
    for (text, error) in table {
        assert_eq!(PublicKey::from_openssh(&text), Err(error), "{text}");
    }
}

// Identities in a directory.

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn assert_same(left: &Identity, right: &Identity) {
    assert_eq!((&left.name, left.id), (&right.name, right.id));
    assert_eq!(left.comms.public_key(), right.comms.public_key());
    assert_eq!(left.sig.public_key(), right.sig.public_key());
}

#[test]
fn an_identity_is_saved_and_loaded_privately_and_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("a/b");
    let saved = Identity { id: NodeId::from_bytes(&[7; 20]).ok(), ..identity("node", 1) };
    saved.save(&dir).unwrap();
    assert_same(&Identity::load(&dir).unwrap(), &saved);
    assert_eq!(names(&dir), ["comms_key.pem", "id", "manifest", "name", "sig_key.pem"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(dir.join("comms_key.pem")), 0o600);
        assert_eq!(mode(dir.join("sig_key.pem")), 0o600);
        assert_eq!(mode(dir.clone()), 0o700);
    }
    // Another identity replaces the whole directory. Without an ID no ID is left.
    let other = identity("other", 2);
    other.save(&dir).unwrap();
    assert_same(&Identity::load(&dir).unwrap(), &other);
    assert_eq!(names(&dir), ["comms_key.pem", "manifest", "name", "sig_key.pem"]);
}

#[test]
fn what_is_missing_or_damaged_in_a_directory_is_named() {
    let root = tempfile::tempdir().unwrap();
    let absent = Identity::load(root.path());
    assert!(matches!(absent, Err(DirectoryError::Absent { path }) if path == root.path()));
    let saved = Identity { id: NodeId::from_bytes(&[7; 20]).ok(), ..identity("node", 1) };
    let file = |name: &str| {
        saved.save(root.path()).unwrap();
        root.path().join(name)
    };
    for name in ["comms_key.pem", "sig_key.pem", "name", "id"] {
        let missing = file(name);
        fs::remove_file(&missing).unwrap();
        // A new identity over the rest would lose it.
        for error in [
            Identity::load(root.path()).unwrap_err(),
            Identity::load_or_generate(root.path(), saved.name.clone(), &mut Seeded::new(1))
                .unwrap_err(),
        ] {
            let text = error.to_string();
            // The error has the lost line, which is enough to restore it.
            let named = match error {
                DirectoryError::Incomplete { path } => name.ends_with(".pem") && path == missing,
                DirectoryError::Lost { path, line } => {
                    let held = [saved.name.to_string(), saved.id.unwrap().to_string()];
                    path == missing && held[usize::from(name == "id")] == line
                }
                _ => false,
            };
            assert!(named && text.contains(name), "{text}");
        }
    }
    for (name, content) in [
        ("comms_key.pem", &b"x"[..]),
        ("sig_key.pem", b""),
        ("name", b"two words"),
        ("name", b""),
        ("id", b"abc\n"),
        ("id", b""),
        ("name", &[0xff]),
        ("comms_key.pem", &[0xff]),
    ] {
        let damaged = file(name);
        fs::write(&damaged, content).unwrap();
        let error = Identity::load(root.path()).unwrap_err();
        let text = error.to_string();
        let path = match error {
            DirectoryError::Key { path, .. } | DirectoryError::Name { path, .. } => path,
            DirectoryError::Id { path, .. } | DirectoryError::Io { path, .. } => path,
            _ => panic!("{text}"),
        };
        assert_eq!(path, damaged, "{text}");
        assert!(text.contains(name), "{text}");
    }
    let not_a_directory = file("name");
    assert!(matches!(saved.save(&not_a_directory), Err(DirectoryError::Io { .. })));
}

#[test]
fn many_that_load_or_generate_at_once_get_one_identity() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("node");
    let made: Vec<Identity> = std::thread::scope(|scope| {
        let make = |n: u64| {
            let dir = &dir;
            let name = format!("node_{n}").parse().unwrap();
            move || Identity::load_or_generate(dir, name, &mut Seeded::new(n)).unwrap()
        };
        let threads: Vec<_> = (0..6).map(|n| scope.spawn(make(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    made.iter().for_each(|identity| assert_same(identity, &made[0]));
    assert_same(&Identity::load(&dir).unwrap(), &made[0]);
    assert!(names(&dir).iter().all(|name| !name.contains("tmp")), "{:?}", names(&dir));
    assert_eq!(made[0].comms.public_key().bits(), Identity::KEY_BITS);
    assert_ne!(made[0].comms.public_key(), made[0].sig.public_key());
}

// Secrets.

fn says_nothing(what: &dyn Debug, secrets: &[String]) {
    let text = without_blanks(&format!("{what:?}{what:#?}"));
    let said = secrets.iter().find(|secret| text.contains(*secret));
    assert_eq!(said, None, "in {text}");
}

/// The private bytes of a key: its DER without the modulus and what comes before.
fn private_bytes(der: &[u8], key: &PublicKey) -> Vec<u8> {
    let modulus = key.components().modulus;
    let at = der.windows(modulus.len()).position(|window| window == modulus).unwrap();
    der[at + modulus.len() + 5..].into()
}

#[test]
fn debug_text_of_keys_and_identities_has_nothing_private() {
    let node = identity("node", 1);
    let (comms, sig) = (node.comms.to_pkcs8_der().unwrap(), node.sig.to_pkcs8_der().unwrap());
    let mut secrets = spellings(&private_bytes(comms.expose(), node.comms.public_key()));
    secrets.extend(spellings(&private_bytes(sig.expose(), node.sig.public_key())));
    for pem in [node.comms.to_pem().unwrap(), node.sig.to_pem().unwrap()] {
        secrets.extend(pem.expose().lines().skip(7).map(String::from));
    }
    // The check finds a secret if there is one.
    let leak = without_blanks(&format!("{:?}", comms.expose()));
    assert!(secrets.iter().any(|secret| leak.contains(secret)));
    says_nothing(&node.comms, &secrets);
    says_nothing(&node.sig, &secrets);
    says_nothing(&node, &secrets);
    says_nothing(&Some([&node]), &secrets);
}

#[test]
fn debug_text_of_sessions_has_no_session_key() {
    for dialect in DIALECTS {
        let (client, peer) = Scenario::client(dialect).open();
        says_nothing(&client, &spellings(&peer.key2));
        let (server, peer) = Scenario::server(dialect).open();
        says_nothing(&server, &spellings(&peer.key2));
    }
    for capture in captures::all() {
        let step = &capture.sessions[0].steps[0];
        let secrets = spellings(&step.plain);
        let config = ServerConfig::new(capture.server.comms.public_key());
        let mut server =
            Session::<xlreg::session::Server>::new(scenario::NOW, config, Seeded::new(1));
        scenario::feed(&mut server, &step.wire);
        let event = server.poll_event().unwrap().unwrap();
        says_nothing(&event, &secrets);
        let ServerEvent::Hello(hello) = event else { panic!("no Hello") };
        says_nothing(&hello.open(&capture.server.comms, &mut Seeded::new(2)), &secrets);
        says_nothing(&server, &secrets);
    }
}
