//! What the daemon writes at its most verbose, and what `join` does, holds no private key, session
//! key or salt.
//!
//! The daemon makes its own keys and its own draws, so the test reads the first from its directory,
//! and decrypts the HelloReply for the second: the one-shot key it knows, because the client is
//! driven from here with known draws.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rand_core::Rng;
use tempfile::tempdir;
use xlreg::credential::Credential;
use xlreg::identity::{Identity, MemberAttrs, Name};
use xlreg::message::{ClusterRef, Create, GetCluster};
use xlreg::session::{Client, ClientConfig, ClientEvent, Dialect, Instant, Session, State};
use xlreg_testkit::spellings::{spellings, without_blanks};
use xlreg_testkit::wait::{HANG, until};
use xlreg_testkit::{Seeded, identity};

use crate::common::{binary, serve};

/// Everything private of an identity: the numbers of both keys, and the lines of their PEM.
fn private(identity: &Identity) -> Vec<String> {
    let pairs = [
        (identity.comms.to_pem().unwrap(), identity.comms.to_pkcs8_der().unwrap()),
        (identity.sig.to_pem().unwrap(), identity.sig.to_pkcs8_der().unwrap()),
    ];
    let all = pairs.iter().flat_map(|(pem, der)| {
        // Modulus and public exponent come first, in DER and PEM alike.
        let lines = pem.expose().lines().filter(|line| !line.starts_with("-----")).skip(7);
        lines.map(String::from).chain(spellings(&der.expose()[320..])).collect::<Vec<_>>()
    });
    all.collect()
}

// AES-256, decryption only, as FIPS 197 tells it: tests of this package have no cipher.

fn times(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b > 0 {
        product ^= if b & 1 == 1 { a } else { 0 };
        a = a << 1 ^ if a & 0x80 > 0 { 0x1b } else { 0 };
        b >>= 1;
    }
    product
}

fn s_box(byte: u8) -> u8 {
    let inverse = (1..=255).find(|other| times(byte, *other) == 1).unwrap_or(0);
    (1..5).fold(inverse, |sum, turn| sum ^ inverse.rotate_left(turn)) ^ 0x63
}

/// CBC over whole blocks.
fn decrypt(key: &[u8], iv: &[u8], sealed: &[u8]) -> Vec<u8> {
    let forward: Vec<u8> = (0..=255).map(s_box).collect();
    let mut backward = [0; 256];
    (0..=255u8).for_each(|byte| backward[usize::from(forward[usize::from(byte)])] = byte);
    let mut words: Vec<[u8; 4]> = key.chunks(4).map(|word| word.try_into().unwrap()).collect();
    let mut constant = 1;
    for n in 8..60 {
        let mut word = words[n - 1];
        if n % 8 == 0 {
            word.rotate_left(1);
        }
        if n % 4 == 0 {
            word = word.map(|byte| forward[usize::from(byte)]);
        }
        if n % 8 == 0 {
            word[0] ^= constant;
            constant = times(constant, 2);
        }
        words.push([0, 1, 2, 3].map(|at| word[at] ^ words[n - 8][at]));
    }
    let add = |state: &mut [u8; 16], round: usize| {
        let key = words[4 * round..][..4].as_flattened();
        state.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    };
    let block = |block: &[u8]| {
        let mut state: [u8; 16] = block.try_into().unwrap();
        add(&mut state, 14);
        for round in (0..14).rev() {
            let shifted: [usize; 16] = std::array::from_fn(|at| (at + 16 - 4 * (at % 4)) % 16);
            state = shifted.map(|at| backward[usize::from(state[at])]);
            add(&mut state, round);
            if round > 0 {
                let mixed = |at: usize| {
                    let column = &state[at / 4 * 4..][..4];
                    let factors = [14, 11, 13, 9];
                    (0..4).fold(0, |sum, n| sum ^ times(column[(at + n) % 4], factors[n]))
                };
                state = std::array::from_fn(mixed);
            }
        }
        state
    };
    let chain = [iv, sealed].concat();
    let blocks = sealed.chunks(16).map(block).zip(chain.chunks(16));
    blocks
        .flat_map(|(plain, before)| std::array::from_fn::<_, 16, _>(|n| plain[n] ^ before[n]))
        .collect()
}

// A session, driven by hand.

struct Conversation {
    session: Session<Client>,
    stream: TcpStream,
    /// All that was read.
    read: Vec<u8>,
}

impl Conversation {
    fn new(config: &ClientConfig, address: &str, seed: u64) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        let session = Session::<Client>::new(Instant::EPOCH, config.clone(), Seeded(seed)).unwrap();
        Self { session, stream, read: Vec::new() }
    }

    /// Writes what is to be written and reads until there is an event, or the end.
    fn event(&mut self) -> Option<ClientEvent> {
        loop {
            if let Some(event) = self.session.poll_event().ok()? {
                return Some(event);
            }
            let output = self.session.output();
            self.stream.write_all(output).unwrap();
            let written = output.len();
            self.session.consume_output(written);
            let mut buffer = [0; 4096];
            let room = self.session.recv_room().min(buffer.len());
            match self.stream.read(&mut buffer[..room]).unwrap_or(0) {
                0 => self.session.receive_eof(Instant::EPOCH),
                n => {
                    self.read.extend_from_slice(&buffer[..n]);
                    self.session.receive(Instant::EPOCH, &buffer[..n]);
                }
            }
        }
    }

    /// Takes it to its end.
    fn finish(mut self) {
        while self.session.state() != State::Closed && self.event().is_some() {}
    }
}

/// A connected client, and every secret of its handshake: both keys and both salts.
fn connect(config: &ClientConfig, address: &str, seed: u64) -> (Conversation, Vec<u8>) {
    let mut conversation = Conversation::new(config, address, seed);
    assert!(matches!(conversation.event(), Some(ClientEvent::Connected { .. })));
    // PROTOCOL 3: the draws of the client, and what the registry sent under its one-shot key.
    let (mut iv1, mut key1, mut salt1) = ([0; 16], [0; 32], [0; 8]);
    let mut draws = Seeded(seed);
    if config.dialect == Dialect::Chained {
        draws.fill_bytes(&mut iv1);
    }
    draws.fill_bytes(&mut key1);
    draws.fill_bytes(&mut salt1);
    let reply = &conversation.read;
    let secrets = match config.dialect {
        Dialect::Prefixed => {
            let plain = decrypt(&key1, &reply[..16], &reply[16..64]);
            assert_eq!(plain[44..], [4; 4], "decrypted as it should be");
            plain[..40].to_vec()
        }
        Dialect::Chained => {
            let plain = decrypt(&key1, &iv1, &reply[..80]);
            assert_eq!((&plain[56..64], &plain[68..]), (&salt1[..], &[12; 12][..]));
            plain[..56].to_vec()
        }
    };
    (conversation, [&key1[..], &salt1, &secrets].concat())
}

/// A daemon that writes all it writes into files.
struct Daemon {
    process: Child,
    dir: std::path::PathBuf,
}

impl Daemon {
    fn start(dir: &Path, format: &str) -> Self {
        let node = dir.join("registry");
        let mut command = serve(&node, &["--listen", "127.0.0.1:0", "--log-format", format]);
        let file = |name: &str| File::create(dir.join(name)).unwrap();
        command.env("RUST_LOG", "trace").stdout(file("stdout")).stderr(file("stderr"));
        Self { process: command.spawn().unwrap(), dir: dir.into() }
    }

    fn wrote(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap()
    }

    fn address(&self) -> String {
        let address = || {
            let stdout = self.wrote("stdout");
            let line = stdout.split_once('\n')?.0.to_owned();
            Some(line.strip_prefix("listening on ").unwrap().to_owned())
        };
        until("it listens", || address().is_some());
        address().unwrap()
    }

    /// SIGTERM; all it has written.
    fn stop(&mut self) -> String {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let process = &mut self.process;
        until("it ends", || process.try_wait().unwrap().is_some());
        self.wrote("stdout") + &self.wrote("stderr")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A whole enrolment, one that is refused, one that fails, and a Hello that is none; the secrets of
/// all handshakes.
fn sessions(credential: &Credential, address: &str, dialect: Dialect) -> Vec<u8> {
    let config = ClientConfig { dialect, ..ClientConfig::new(credential) };
    let token = identity("node", 1);
    let token =
        token.token(MemberAttrs::NONE, vec!["h:1".parse().unwrap()], &mut Seeded(1)).unwrap();
    let (now, name) = (Instant::EPOCH, |name: &str| name.parse::<Name>().unwrap());
    let mut all = Vec::new();

    let (mut good, secrets) = connect(&config, address, 11);
    all.extend(secrets);
    good.session.register(now, token.clone()).unwrap();
    let create =
        Create { name: name("alpha"), max_size: 3, attrs: Default::default(), end_point_count: 1 };
    good.session.create(now, create).unwrap();
    good.session.join(now, ClusterRef::CURRENT).unwrap();
    good.session.get_members(now, GetCluster::default()).unwrap();
    good.session.bye(now).unwrap();
    good.finish();

    let (mut refused, secrets) = connect(&config, address, 12);
    all.extend(secrets);
    refused.session.register(now, token).unwrap();
    refused.session.join(now, name("nowhere").into()).unwrap();
    refused.finish();

    let (mut broken, secrets) = connect(&config, address, 13);
    all.extend(secrets);
    broken.stream.write_all(&[0x2a; 20_000]).unwrap();
    broken.finish();

    let mut hello = TcpStream::connect(address).unwrap();
    hello.write_all(&[7; 256]).unwrap();
    let _ = hello.read(&mut [0; 64]);
    all
}

fn holds_none(what: &str, text: &str, secrets: &[String]) {
    assert!(!text.contains("PRIVATE KEY"), "{what}");
    let text = without_blanks(text);
    let said = secrets.iter().find(|secret| text.contains(*secret));
    assert_eq!(said, None, "in what {what} wrote");
}

#[test]
fn the_daemon_writes_no_secrets_whatever_happens() {
    for format in ["text", "json"] {
        let temp = tempdir().unwrap();
        let mut daemon = Daemon::start(temp.path(), format);
        let address = daemon.address();
        let credential = fs::read_to_string(temp.path().join("registry/regCred.dat")).unwrap();
        let credential: Credential = credential.parse().unwrap();
        let mut secrets = private(&Identity::load(&temp.path().join("registry")).unwrap());
        for dialect in [Dialect::Prefixed, Dialect::Chained] {
            secrets.extend(spellings(&sessions(&credential, &address, dialect)));
        }
        let text = daemon.stop();
        // It told of all that happened.
        for sign in
            ["connected", "a record is not a message", "the handshake failed", "refused", "done"]
        {
            assert!(text.contains(sign), "{sign}: {text}");
        }
        holds_none(&format!("the daemon, {format},"), &text, &secrets);
        println!("{format}: {} bytes, none of {} pieces of secrets", text.len(), secrets.len());
    }
}

#[test]
fn join_writes_no_secrets() {
    let temp = tempdir().unwrap();
    let daemon = Daemon::start(temp.path(), "text");
    daemon.address();
    let mut command = binary();
    command.args([
        "join",
        "alpha",
        "--name",
        "node",
        "--end-point",
        "h:1",
        "--create",
        "1",
        "--json",
    ]);
    command.arg("--registry").arg(temp.path().join("registry/regCred.dat"));
    command.arg("--node").arg(temp.path().join("node")).args(["--timeout", "60"]);
    let output = command.env("RUST_LOG", "trace").stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let node = Identity::load(&temp.path().join("node")).unwrap();
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(text.contains("\"complete\""), "{text}");
    holds_none("join", &text, &private(&node));
}

/// Else nothing would ever be found.
#[test]
fn a_secret_in_a_line_is_found() {
    let node = identity("node", 2);
    let secrets = private(&node);
    let der = node.comms.to_pkcs8_der().unwrap();
    let leaks = [
        format!("{:?}", der.expose()),
        format!("{:#x?}", der.expose()).replace('\n', ""),
        der.expose()[900..].iter().map(|byte| format!("{byte:02X}")).collect(),
        node.sig.to_pem().unwrap().expose().lines().nth(20).unwrap().into(),
    ];
    for leak in leaks {
        let leak = without_blanks(&leak);
        assert!(secrets.iter().any(|secret| leak.contains(secret)), "{leak}");
    }
}
