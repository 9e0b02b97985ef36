//! Private-key files: real files of OpenSSL and OpenSSH (`testkit/vectors/keys/make`) in every form
//! that is read, and other files, each with an error that names its content.

use std::fs;
use std::path::Path;

use base64ct::{Base64, Encoding};
use xlreg::crypto::{RustCrypto, Sign, Verify};
use xlreg::identity::directory::DirectoryError;
use xlreg::identity::{
    CommsKeyPair, Identity, KeyAlgorithm, KeyError, KeyForm, KeyPairError, PublicKey, SigKeyPair,
};
use xlreg_testkit::keys::forms::{NULL, OpenSshFile, RSA, der_numbers, pem, pkcs8, string, tlv};
use xlreg_testkit::{KEYS, Seeded, captures, identity, run_tool};

/// The usable forms of one key.
const FORMS: [&str; 4] = ["rsa.pkcs8", "rsa.pkcs1", "rsa.openssh", "rsa.text"];

/// The files without a usable key, and their content.
const UNUSABLE: [(&str, KeyPairError); 22] = [
    ("encrypted.pkcs8", KeyPairError::Encrypted),
    ("encrypted.pkcs1", KeyPairError::Encrypted),
    ("encrypted.openssh", KeyPairError::Encrypted),
    ("ec.pkcs8", KeyPairError::NotRsa(KeyAlgorithm::Ec)),
    ("ec.sec1", KeyPairError::NotRsa(KeyAlgorithm::Ec)),
    ("ec.openssh", KeyPairError::NotRsa(KeyAlgorithm::Ec)),
    ("ed25519.pkcs8", KeyPairError::NotRsa(KeyAlgorithm::Ed25519)),
    ("ed25519.openssh", KeyPairError::NotRsa(KeyAlgorithm::Ed25519)),
    // A passphrase would not help.
    ("ed25519.encrypted", KeyPairError::NotRsa(KeyAlgorithm::Ed25519)),
    ("ed448.pkcs8", KeyPairError::NotRsa(KeyAlgorithm::Ed448)),
    ("x25519.pkcs8", KeyPairError::NotRsa(KeyAlgorithm::X25519)),
    ("dsa.pkcs8", KeyPairError::NotRsa(KeyAlgorithm::Dsa)),
    ("dsa.traditional", KeyPairError::NotRsa(KeyAlgorithm::Dsa)),
    ("dsa.openssh", KeyPairError::NotRsa(KeyAlgorithm::Dsa)),
    ("pss.pkcs8", KeyPairError::Restricted(KeyAlgorithm::RsaPss)),
    ("primes.pkcs8", KeyPairError::MultiPrime),
    ("short.pkcs8", KeyPairError::Public(KeyError::Bits(512))),
    ("rsa.certificate", KeyPairError::Certificate),
    ("rsa.request", KeyPairError::Foreign),
    ("rsa.public.spki", KeyPairError::PublicKey),
    ("rsa.public.pkcs1", KeyPairError::PublicKey),
    ("rsa.public.openssh", KeyPairError::PublicKey),
];

const DAMAGED: KeyPairError = KeyPairError::Encoding(KeyForm::OpenSsh);

fn file(name: &str) -> String {
    let folder = captures::folder().join("keys");
    fs::read_to_string(folder.join(name)).unwrap()
}

/// The error of a text, which is the same for both uses.
fn error(text: impl AsRef<[u8]>) -> Option<KeyPairError> {
    let sig = SigKeyPair::from_pem(&text).err();
    assert_eq!(CommsKeyPair::from_pem(&text).err(), sig);
    sig
}

/// The one key of the usable files.
fn public() -> PublicKey {
    file("rsa.public.openssh").parse().unwrap()
}

fn assert_usable(text: impl AsRef<[u8]>, public: &PublicKey) {
    let key = SigKeyPair::from_pem(&text).unwrap();
    assert_eq!(key.public_key(), public);
    let signature = key.sign(b"message", &mut Seeded::new(1)).unwrap();
    assert_eq!(RustCrypto.verify(public.components(), b"message", &signature), Ok(()));
    // A key is always written in the same form, whatever form it was read from.
    let again = SigKeyPair::from_pem(key.to_pem().unwrap().expose()).unwrap();
    assert!(again.to_pkcs8_der().unwrap().expose() == key.to_pkcs8_der().unwrap().expose());
}

#[test]
fn a_key_is_read_from_every_form_and_is_the_same() {
    for form in FORMS {
        let text = file(form);
        assert_usable(&text, &public());
        let changed = [
            text.replace('\n', "\r\n"),
            text.replace('\n', "\r"),
            text.replace('\n', "\n\n"),
            text.replace('\n', " \t\n    "),
            text.trim_end().into(),
            format!("\u{feff}{text}"),
            format!("# the registry's key: do not touch\n\nBag Attributes\n  x: y\n{text}"),
            format!("{text}and words behind it\n"),
        ];
        for text in changed {
            assert_usable(&text, &public());
        }
        // Comments in Latin-1.
        assert_usable([b"# cl\xe9\n", text.as_bytes()].concat(), &public());
        // Other blocks beside the key are not a second key.
        for beside in ["rsa.certificate", "rsa.public.spki"] {
            assert_usable(text.clone() + &file(beside), &public());
            assert_usable(file(beside) + &text, &public());
        }
    }
    // One line of base64, as in an environment variable or a JSON file.
    let lines: Vec<_> = FORMS[0..3].iter().map(|form| file(form)).collect();
    for text in lines {
        let (begin, rest) = text.split_once('\n').unwrap();
        let (body, end) = rest.trim_end().rsplit_once('\n').unwrap();
        assert_usable(format!("{begin}\n{}\n{end}", body.replace('\n', "")), &public());
    }
}

#[test]
fn what_can_not_be_used_is_named_for_what_it_is() {
    use KeyPairError::*;
    for (name, expected) in UNUSABLE {
        assert_eq!(error(file(name)), Some(expected), "{name}");
    }
    let labelled = |label: &str| file("rsa.pkcs8").replace("PRIVATE KEY", label);
    for (text, expected) in [
        (String::new(), NoKey),
        ("\n \n".into(), NoKey),
        ("a sheet of music\n".into(), NoKey),
        ("PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\n".into(), Putty),
        ("---- BEGIN SSH2 PUBLIC KEY ----\n".into(), PublicKey),
        ("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n".into(), Foreign),
        ("# comment\necdsa-sha2-nistp256 AAAA\n".into(), PublicKey),
        (labelled("PGP PRIVATE KEY BLOCK"), Foreign),
        (labelled("TSS2 PRIVATE KEY"), Foreign),
        (labelled("TRUSTED CERTIFICATE"), Certificate),
        (labelled("DH PARAMETERS"), Foreign),
        // As deployed registries have them.
        (labelled(""), Foreign),
        (labelled("private key"), Foreign),
        (file("rsa.pkcs8") + &file("rsa.pkcs8"), Several),
        (file("rsa.pkcs8") + &file("ec.sec1"), Several),
        (file("ec.sec1") + &file("rsa.pkcs8"), Several),
        (file("encrypted.pkcs8") + &file("rsa.openssh"), Several),
        (file("rsa.certificate") + &file("encrypted.pkcs8"), Encrypted),
        ("x".repeat(65_537), TooLong),
    ] {
        assert_eq!(error(&text), Some(expected), "{text:.80}");
    }
    let utf16: Vec<u8> = file("rsa.pkcs8").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let der = der("rsa.pkcs8");
    for binary in [&utf16[..], &der, &[0]] {
        assert_eq!(error(binary), Some(NotText));
    }
}

/// Each error says what to do, on one line that fits a terminal.
#[test]
fn what_is_wrong_is_said_in_a_line() {
    use KeyPairError::*;
    let all = [
        TooLong,
        NotText,
        NoKey,
        Armor,
        Base64,
        Encoding(KeyForm::OpenSsh),
        Encrypted,
        Several,
        Certificate,
        PublicKey,
        Foreign,
        Putty,
        NotRsa(KeyAlgorithm::Ed25519),
        Restricted(KeyAlgorithm::RsaPss),
        MultiPrime,
        Inconsistent,
        Unbalanced,
        Public(KeyError::Bits(512)),
        Generate,
    ];
    let mut texts: Vec<_> = all.iter().map(ToString::to_string).collect();
    for text in &texts {
        assert!(text.len() <= 120 && !text.contains('\n'), "{text}");
    }
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), all.len());
}

#[test]
fn a_text_that_is_cut_or_damaged_is_never_half_read() {
    for form in &FORMS[..3] {
        let text = file(form);
        let name = text.lines().next().unwrap().trim_matches('-').strip_prefix("BEGIN ").unwrap();
        let body = text.find('\n').unwrap() + 1;
        let end = text.rfind("-----END").unwrap();
        for len in 0..text.trim_end().len() {
            let expected = match len {
                0..10 => KeyPairError::NoKey,
                _ => KeyPairError::Armor,
            };
            assert_eq!(error(&text[..len]), Some(expected), "{form}: {len} bytes");
        }
        // The start is missing.
        for at in 1..end {
            assert!(error(&text[at..]).is_some(), "{form}: from byte {at}");
        }
        let cases = [
            (text.replacen("-----BEGIN", "----BEGIN", 1), KeyPairError::Armor),
            (text.replacen("BEGIN ", "BEGIN", 1), KeyPairError::Armor),
            (text.replacen("KEY-----", "KEY----", 1), KeyPairError::Armor),
            (text.replacen("END ", "END X", 1), KeyPairError::Armor),
            (text[body..].into(), KeyPairError::Armor),
            (text.replacen('\n', "\n-----BEGIN CERTIFICATE-----\n", 1), KeyPairError::Armor),
            (text.clone() + "-----BEGIN CERTIFICATE-----\n", KeyPairError::Armor),
            (text.clone() + "-----END CERTIFICATE-----\n", KeyPairError::Armor),
            (text.replacen('\n', "\nComment: none\n", 1), KeyPairError::Base64),
            (text.replacen('\n', "\n=\n", 1), KeyPairError::Base64),
            (text.replacen('M', "*", 1).replacen('b', "*", 1), KeyPairError::Base64),
            (text.replace('\n', "\\n"), KeyPairError::Armor),
        ];
        for (text, expected) in cases {
            assert_eq!(error(&text), Some(expected), "{name}: {text:.100}");
        }
        let empty = format!("{}{}", &text[..body], &text[end..]);
        assert!(matches!(error(&empty), Some(KeyPairError::Encoding(_))), "{name}");
    }
}

/// The lines between BEGIN and END.
fn der(name: &str) -> Vec<u8> {
    let text = file(name);
    let lines = text.lines().skip_while(|line| !line.starts_with("-----BEGIN")).skip(1);
    let lines = lines.take_while(|line| !line.starts_with("-----"));
    Base64::decode_vec(&lines.collect::<String>()).unwrap()
}

/// Damages every number of a key in every place. No number is ignored because it could be computed.
#[test]
fn numbers_that_do_not_fit_together_are_refused() {
    let pkcs1 = der("rsa.pkcs1");
    assert!(SigKeyPair::from_pkcs1_der(&pkcs1).is_ok());
    let pkcs8 = der("rsa.pkcs8");
    let openssh = der("rsa.openssh");
    let forms = [
        ("PKCS#1", pkcs1, SigKeyPair::from_pkcs1_der as fn(&[u8]) -> _),
        ("PKCS#8", pkcs8, SigKeyPair::from_pkcs8_der),
    ];
    for (form, der, read) in forms {
        for (at, bit) in (0..der.len()).flat_map(|at| [(at, 1), (at, 0x80)]) {
            let mut damaged = der.clone();
            damaged[at] ^= bit;
            assert!(read(&damaged).is_err(), "{form}, byte {at}, {bit}");
        }
    }
    let mut accepted = Vec::new();
    for at in 0..openssh.len() {
        let mut damaged = openssh.clone();
        damaged[at] ^= 1;
        if SigKeyPair::from_pem(pem("OPENSSH PRIVATE KEY", &damaged)).is_ok() {
            accepted.push(at);
        }
    }
    // The comment does not matter.
    let comment = openssh.windows(9).rposition(|bytes| bytes == b"a comment").unwrap();
    assert_eq!(accepted, (comment..comment + 9).collect::<Vec<_>>());
}

/// The key of the files, with another comment.
fn openssh() -> OpenSshFile<'static> {
    let bytes = der("rsa.openssh");
    let name = string(b"ssh-rsa");
    let start = bytes.windows(name.len()).rposition(|bytes| bytes == name).unwrap();
    let mut rest = &bytes[start + name.len()..];
    let numbers = [(); 6].map(|()| {
        let (len, tail) = rest.split_first_chunk().unwrap();
        let (number, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
        rest = tail;
        number.strip_prefix(&[0]).unwrap_or(number)
    });
    // One of two comments makes padding necessary.
    let files = [&b""[..], b"x"].map(|comment| OpenSshFile::new(numbers, comment));
    files.into_iter().find(|file| !file.padding.is_empty()).unwrap()
}

fn openssh_text(file: &OpenSshFile<'_>) -> String {
    pem("OPENSSH PRIVATE KEY", &file.bytes())
}

#[test]
fn the_form_of_openssh_is_read_strictly() {
    assert_usable(openssh_text(&openssh()), &public());
    let with = |change: fn(&mut OpenSshFile<'static>)| {
        let mut file = openssh();
        change(&mut file);
        error(openssh_text(&file))
    };
    let damaged: [fn(&mut OpenSshFile<'static>); 14] = [
        |file| file.kdf = b"bcrypt",
        |file| file.options = b"x",
        |file| file.keys = 0,
        |file| file.checks[1] += 1,
        |file| file.behind = b"\0",
        |file| file.padding.push(1),
        |file| file.padding.extend(1..=8),
        |file| file.private.extend(1..=16),
        |file| file.padding.truncate(file.padding.len() - 1),
        |file| file.padding.iter_mut().for_each(|byte| *byte = 0),
        |file| file.public.push(0),
        |file| file.public.truncate(100),
        |file| file.private[10] ^= 1,
        |file| file.public.clear(),
    ];
    for (n, change) in damaged.into_iter().enumerate() {
        assert_eq!(with(change), Some(DAMAGED), "{n}");
    }
    assert_eq!(with(|file| file.cipher = b"aes256-ctr"), Some(KeyPairError::Encrypted));
    assert_eq!(with(|file| file.keys = 2), Some(KeyPairError::Several));
    assert_eq!(with(|file| file.keys = u32::MAX), Some(KeyPairError::Several));
    // The public half of another key, and one with another exponent.
    assert_eq!(with(|file| file.public[30] ^= 1), Some(KeyPairError::Inconsistent));
    assert_eq!(with(|file| file.public[17] ^= 2), Some(KeyPairError::Inconsistent));
    let named = |name: &[u8]| {
        let public = string(name);
        error(openssh_text(&OpenSshFile { public, ..openssh() }))
    };
    for (name, algorithm) in [
        (&b"sk-ssh-ed25519@openssh.com"[..], KeyAlgorithm::Ed25519),
        (b"sk-ecdsa-sha2-nistp256@openssh.com", KeyAlgorithm::Ec),
        (b"ssh-xmss@openssh.com", KeyAlgorithm::Other),
        (b"", KeyAlgorithm::Other),
    ] {
        assert_eq!(named(name), Some(KeyPairError::NotRsa(algorithm)));
    }
    for len in 0..der("rsa.openssh").len() {
        let cut = &der("rsa.openssh")[..len];
        assert_eq!(error(pem("OPENSSH PRIVATE KEY", cut)), Some(DAMAGED), "{len}");
    }
}

#[test]
fn what_pkcs8_says_of_a_key_is_heeded() {
    let key = der("rsa.pkcs1");
    let read = |der: &[u8]| {
        let text = pem("PRIVATE KEY", der);
        let error = error(&text);
        assert_eq!(SigKeyPair::from_pkcs8_der(der).err(), error);
        // No RSA provider is less strict.
        use xlreg::crypto::Provider;
        assert_eq!(RustCrypto.signer(der).is_err(), error.is_some());
        error
    };
    let encoding = Some(KeyPairError::Encoding(KeyForm::Pkcs8));
    assert_eq!(read(&pkcs8(0, RSA, NULL, &key, b"")), None);
    assert_eq!(pkcs8(0, RSA, NULL, &key, b""), der("rsa.pkcs8"));
    // For one padding only, with parameters and without.
    for parameters in [b"", NULL] {
        for (last, algorithm) in [(7, KeyAlgorithm::RsaOaep), (10, KeyAlgorithm::RsaPss)] {
            let oid = [&RSA[..8], &[last]].concat();
            let restricted = Some(KeyPairError::Restricted(algorithm));
            assert_eq!(read(&pkcs8(0, &oid, parameters, &key, b"")), restricted);
        }
    }
    let other = [&RSA[..8], &[11]].concat();
    let unknown = Some(KeyPairError::NotRsa(KeyAlgorithm::Other));
    assert_eq!(read(&pkcs8(0, &other, NULL, &key, b"")), unknown);
    assert_eq!(read(&pkcs8(0, RSA, b"", &key, b"")), encoding);
    assert_eq!(read(&pkcs8(0, RSA, NULL, &key[1..], b"")), encoding);
    assert_eq!(read(&pkcs8(2, RSA, NULL, &key, b"")), encoding);
    assert_eq!(read(&[&der("rsa.pkcs8")[..], &[0]].concat()), encoding);
    // Attributes, as Windows writes them: a set.
    assert_eq!(read(&pkcs8(0, RSA, NULL, &key, &tlv(0xa0, &tlv(0x30, &tlv(6, RSA))))), None);
    // With the public half beside it: of this key, or of another.
    let half = |key: &PublicKey| {
        let parts = key.components();
        tlv(0x81, &[&[0], &der_numbers([parts.modulus, parts.exponent])[..]].concat())
    };
    assert_eq!(read(&pkcs8(1, RSA, NULL, &key, &half(&public()))), None);
    let another = half(KEYS.comms[0].public_key());
    assert_eq!(read(&pkcs8(1, RSA, NULL, &key, &another)), Some(KeyPairError::Inconsistent));
    assert_eq!(read(&pkcs8(1, RSA, NULL, &key, &tlv(0x81, b"\0x"))), encoding);
    // DER of something else.
    for (name, expected) in [
        ("encrypted.pkcs8", KeyPairError::Encrypted),
        ("rsa.public.spki", KeyPairError::PublicKey),
        ("rsa.certificate", KeyPairError::Encoding(KeyForm::Pkcs8)),
        ("rsa.pkcs1", KeyPairError::Encoding(KeyForm::Pkcs8)),
    ] {
        assert_eq!(read(&der(name)), Some(expected), "{name}");
    }
}

/// Primes that fit together, but have very different sizes. The crate `rsa` accepts none, and the
/// error does not call the key damaged.
#[test]
fn primes_of_different_size_are_named() {
    assert_eq!(error(file("unbalanced")), Some(KeyPairError::Unbalanced));
}

// Files from the tools of this machine.

#[test]
fn what_openssl_makes_today_is_read() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let fresh = || {
        run_tool(dir, "openssl genrsa -out new 2048")?;
        run_tool(dir, "openssl rsa -in new -traditional -out old")?;
        run_tool(dir, "openssl rsa -in new -text -out text")?;
        run_tool(dir, "openssl genrsa -3 -out three 1032")?;
        run_tool(dir, "openssl rsa -in new -aes256 -passout pass:secret -out locked")?;
        run_tool(dir, "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out ec")
    };
    if fresh().is_none() {
        return;
    }
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let key = SigKeyPair::from_pem(read("new")).unwrap();
    for name in ["new", "old", "text"] {
        assert_usable(read(name), key.public_key());
    }
    let three = SigKeyPair::from_pem(read("three")).unwrap();
    assert_eq!(
        (three.public_key().bits(), three.public_key().components().exponent),
        (1032, &[3][..])
    );
    assert_eq!(error(read("locked")), Some(KeyPairError::Encrypted));
    assert_eq!(error(read("ec")), Some(KeyPairError::NotRsa(KeyAlgorithm::Ec)));
}

#[test]
fn what_ssh_keygen_makes_today_is_read() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let fresh = || {
        // All lengths of padding, by a comment of each length.
        for len in 0..8 {
            let comment = &"'comment"[..=len];
            run_tool(
                dir,
                &format!("ssh-keygen -q -t rsa -b 1024 -N '' -C {comment}' -f key{len}"),
            )?;
        }
        run_tool(dir, "ssh-keygen -q -t rsa -b 2048 -m PKCS8 -N '' -f pkcs8")?;
        run_tool(dir, "ssh-keygen -q -t rsa -b 2048 -m PEM -N '' -f pkcs1")?;
        run_tool(dir, "ssh-keygen -q -t rsa -b 2048 -N secret -f locked")
    };
    if fresh().is_none() {
        return;
    }
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let names = (0..8).map(|len| format!("key{len}")).chain(["pkcs8".into(), "pkcs1".into()]);
    for name in names {
        assert_usable(read(&name), &read(&format!("{name}.pub")).parse().unwrap());
        assert_eq!(error(read(&format!("{name}.pub"))), Some(KeyPairError::PublicKey));
    }
    assert_eq!(error(read("locked")), Some(KeyPairError::Encrypted));
}

// Directories.

/// Bytes, inode and mode of a file.
#[cfg(unix)]
fn seen(path: &Path) -> (Vec<u8>, u64, u32) {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path).unwrap();
    (fs::read(path).unwrap(), metadata.ino(), metadata.mode())
}

/// The files of a directory, without the lock.
#[cfg(unix)]
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != ".lock").collect();
    names.sort();
    names
}

/// A directory made by a person: two keys and a name.
fn give(dir: &Path, text: &str) {
    fs::create_dir(dir).unwrap();
    fs::write(dir.join("comms_key.pem"), text).unwrap();
    fs::write(dir.join("sig_key.pem"), text).unwrap();
    fs::write(dir.join("name"), "node\n").unwrap();
}

/// A text with all that people have around their keys.
fn dressed(form: &str) -> String {
    format!("# mine\r\n{}", file(form).replace('\n', "\r\n"))
}

/// A key file of a person stays as it is, whatever else is saved.
#[cfg(unix)]
#[test]
fn a_key_file_in_another_form_is_left_as_it_was_given() {
    use std::os::unix::fs::PermissionsExt;
    for form in FORMS {
        let temp = tempfile::tempdir().unwrap();
        let dir = &temp.path().join("given");
        give(dir, &dressed(form));
        let keys = ["comms_key.pem", "sig_key.pem"].map(|name| dir.join(name));
        for key in &keys {
            fs::set_permissions(key, fs::Permissions::from_mode(0o400)).unwrap();
        }
        let before = keys.each_ref().map(|key| seen(key));
        let unchanged = || keys.each_ref().map(|key| seen(key)) == before;
        let mut node =
            Identity::load_or_generate(dir, "other".parse().unwrap(), &mut Seeded::new(1)).unwrap();
        assert_eq!((node.name.as_str(), node.sig.public_key()), ("node", &public()));
        node.name = "renamed".parse().unwrap();
        node.save(dir).unwrap();
        assert!(unchanged(), "{form}");
        assert_eq!(names(dir), ["comms_key.pem", "manifest", "name", "sig_key.pem"]);
        assert_eq!(Identity::load(dir).unwrap().name, node.name);
        // A manifest has the key and not the text, so the same key in another form is the same.
        fs::remove_file(&keys[1]).unwrap();
        fs::write(&keys[1], file("rsa.pkcs1")).unwrap();
        assert_eq!(Identity::load(dir).unwrap().sig.public_key(), &public());
        node.save(dir).unwrap();
        assert_eq!(fs::read_to_string(&keys[1]).unwrap(), file("rsa.pkcs1"));
    }
}

/// A person's key, or a file that a person took for one, is never overwritten or removed, even if
/// the making was interrupted.
#[cfg(unix)]
#[test]
fn what_somebody_put_there_is_not_replaced_by_another_key() {
    let all = FORMS.map(dressed).into_iter();
    let unusable = UNUSABLE.map(|(name, _)| file(name)).into_iter();
    for (text, unfinished) in
        all.chain(unusable).flat_map(|text| [(text.clone(), false), (text, true)])
    {
        let temp = tempfile::tempdir().unwrap();
        let dir = &temp.path().join("given");
        give(dir, &text);
        if unfinished {
            fs::write(dir.join("manifest"), "xlreg directory 1\nunfinished\n").unwrap();
        }
        let before = (names(dir), seen(&dir.join("comms_key.pem")), seen(&dir.join("sig_key.pem")));
        let error = identity("node", 1).save(dir).unwrap_err();
        assert!(matches!(error, DirectoryError::Given { .. }), "{error}: {text:.80}");
        let after = (names(dir), seen(&dir.join("comms_key.pem")), seen(&dir.join("sig_key.pem")));
        assert!(before == after, "{text:.80}");
    }
}

/// With one given key and one unusable one nothing is made: no manifest, no name, no other key.
#[cfg(unix)]
#[test]
fn nothing_is_half_accepted() {
    for (name, expected) in UNUSABLE {
        for unusable in ["comms_key.pem", "sig_key.pem"] {
            let temp = tempfile::tempdir().unwrap();
            let dir = &temp.path().join("given");
            give(dir, &dressed("rsa.pkcs1"));
            fs::write(dir.join(unusable), file(name)).unwrap();
            let before = names(dir);
            let made =
                Identity::load_or_generate(dir, "other".parse().unwrap(), &mut Seeded::new(1));
            let error = made.unwrap_err();
            assert_eq!(error.to_string(), format!("{}: {expected}", dir.join(unusable).display()));
            assert!(matches!(error, DirectoryError::Key { source, .. } if source == expected));
            assert_eq!(names(dir), before, "{name}");
            assert_eq!(fs::read_to_string(dir.join(unusable)).unwrap(), file(name));
        }
    }
}

#[test]
fn a_key_file_that_can_not_be_used_is_named_with_its_reason() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    for (name, expected) in [
        ("encrypted.openssh", KeyPairError::Encrypted),
        ("rsa.certificate", KeyPairError::Certificate),
        ("ec.sec1", KeyPairError::NotRsa(KeyAlgorithm::Ec)),
    ] {
        identity("node", 1).save(dir).unwrap();
        let path = dir.join("comms_key.pem");
        fs::write(&path, file(name)).unwrap();
        let error = Identity::load(dir).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: {expected}", path.display()));
        assert!(matches!(error, DirectoryError::Key { source, .. } if source == expected));
        fs::remove_dir_all(dir).unwrap();
    }
    // A file without an end is not read to its end.
    #[cfg(target_os = "linux")]
    {
        identity("node", 1).save(dir).unwrap();
        fs::remove_file(dir.join("comms_key.pem")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", dir.join("comms_key.pem")).unwrap();
        let error = Identity::load(dir).unwrap_err();
        assert!(matches!(error, DirectoryError::Key { source: KeyPairError::TooLong, .. }));
    }
}
