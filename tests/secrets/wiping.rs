//! Key material stays where it is: it is not in a `Debug` text, and its memory is wiped before it
//! is freed.
//!
//! A test can see the wiping of the heap: an allocator examines every freed block. docs/bounds.md,
//! "What is wiped", says what it cannot see.

use std::fmt::Debug;

use crate::watching::freed_with;
use base64ct::{Base64Unpadded, Encoding};
use rand_core::{CryptoRng, Rng};
use xlreg::adapter::blocking::{Clock, Driver, Untimed};
use xlreg::crypto::{Open, OpenError, PublicComponents, RustCrypto, Seal, SealError, Secret};
use xlreg::enroll::{Enroll, Plan};
use xlreg::identity::{CommsKeyPair, Identity, PublicKey, SigKeyPair, Version};
use xlreg::message::{Reply, Request};
use xlreg::session::{
    Client, ClientConfig, ClientEvent, Dialect, Error, Limits, OpenedHello, Server, ServerConfig,
    ServerEvent, Session,
};
use xlreg_testkit::scenario::{DIALECTS, NOW, drain};
use xlreg_testkit::spellings::{spellings, without_blanks};
use xlreg_testkit::{KEYS, Seeded, identity, pair};

/// A replacement for RSA: the ciphertext has no part of the plaintext, and nothing is left behind.
struct Masked;

const MASK: u8 = 0x5c;

impl Seal for Masked {
    fn seal(
        &self,
        _: PublicComponents<'_>,
        plaintext: &[u8],
        _: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        Ok(plaintext.iter().map(|byte| byte ^ MASK).collect())
    }
}

impl Open for Masked {
    fn open(&self, ciphertext: &[u8], _: &mut dyn CryptoRng) -> Result<Secret, OpenError> {
        Ok(Secret::new(ciphertext.iter().map(|byte| byte ^ MASK).collect()))
    }
}

/// The seeds of the two sessions of a conversation. Each test has its own, so that none finds the
/// keys of another.
#[derive(Clone, Copy)]
struct Seeds {
    client: u64,
    server: u64,
}

impl Seeds {
    const fn of(test: u64) -> Self {
        Self { client: 2 * test, server: 2 * test + 1 }
    }
}

/// The draws of both sides for the handshake (PROTOCOL 3.3): the one-shot key, the session key, and
/// the salts.
struct Draws {
    keys: [Vec<u8>; 2],
    salts: [Vec<u8>; 2],
}

fn draws(dialect: Dialect, seeds: Seeds) -> Draws {
    let of = |seed| {
        let mut rng = Seeded::new(seed);
        if dialect == Dialect::Chained {
            rng.fill_bytes(&mut [0; 16]);
        }
        let (mut key, mut salt) = (vec![0; 32], vec![0; 8]);
        rng.fill_bytes(&mut key);
        rng.fill_bytes(&mut salt);
        (key, salt)
    };
    let ((key1, salt1), (key2, salt2)) = (of(seeds.client), of(seeds.server));
    Draws { keys: [key1, key2], salts: [salt1, salt2] }
}

fn client_config(dialect: Dialect) -> ClientConfig {
    ClientConfig {
        registry_key: identity("registry", 0).comms.public_key().clone(),
        dialect,
        version: Version::ZERO,
        limits: Limits::client(),
        provider: &Masked,
    }
}

fn new_client(dialect: Dialect, seeds: Seeds) -> Session<Client> {
    Session::<Client>::new(NOW, client_config(dialect), Seeded::new(seeds.client)).unwrap()
}

fn new_server(dialect: Dialect, seeds: Seeds) -> Session<Server> {
    let hello_len = if dialect == Dialect::Chained { 60 } else { 44 };
    let (version, limits) = (Version::REFERENCE, Limits::server());
    let config = ServerConfig { hello_len, version, limits };
    Session::<Server>::new(NOW, config, Seeded::new(seeds.server))
}

// Stages of a conversation, each seen by whoever watches it.

/// The steps of a whole conversation. There are four, and the last one is Bye.
const STEPS: usize = 4;

/// Runs a number of steps of a conversation with both ends on the heap, shows every state, and
/// gives both ends.
fn play(
    dialect: Dialect,
    seeds: Seeds,
    steps: usize,
    look: &mut dyn FnMut(&dyn Debug),
) -> (Box<Session<Client>>, Box<Session<Server>>) {
    let mut client = Box::new(new_client(dialect, seeds));
    let mut server = Box::new(new_server(dialect, seeds));
    look(&client);
    for _ in 0..steps {
        let up = drain(&mut *client);
        assert_eq!(server.receive(NOW, &up), up.len());
        look(&server);
        let event = server.poll_event().unwrap().expect("a Hello or request");
        look(&event);
        look(&server);
        match event {
            ServerEvent::Hello(hello) => {
                let opened = hello.open(&Masked, &mut Seeded::new(1));
                look(&opened);
                server.open_hello(NOW, opened).unwrap();
            }
            ServerEvent::Request { id, request } => {
                let reply = match request {
                    Request::Member(token) => {
                        Reply::MemberOk { id: pair::id(1), attrs: token.attrs }
                    }
                    Request::Bye => Reply::Ack,
                    _ => Reply::RegCred(pair::credential(dialect)),
                };
                server.reply(NOW, id, &reply).unwrap();
            }
            other => panic!("{other:?}"),
        }
        look(&server);
        let down = drain(&mut *server);
        assert_eq!(client.receive(NOW, &down), down.len());
        look(&client);
        let event = client.poll_event().unwrap().expect("a reply");
        look(&event);
        let asked = match event {
            ClientEvent::Connected { .. } => client.register(NOW, pair::token("m", 1, &["h:1"])),
            ClientEvent::Reply { reply: Reply::MemberOk { .. }, .. } => {
                client.registry_credential(NOW)
            }
            ClientEvent::Reply { reply: Reply::RegCred(_), .. } => client.bye(NOW),
            _ => break,
        };
        asked.unwrap();
        look(&client);
    }
    look(&client);
    look(&server);
    (client, server)
}

/// Makes an open session fail: noise instead of a record.
fn fail<R: xlreg::session::Role>(session: &mut Session<R>) -> Option<Error> {
    // As much as there is room for, so that the session does not wait for a length that the noise
    // declares.
    let noise = vec![0x5a; session.recv_room()];
    session.receive(NOW, &noise);
    session.poll_event().err()
}

// (a) `Debug`.

/// The `Debug` text of a value, without blanks.
fn texts(what: &dyn Debug) -> String {
    let texts = format!("{what:?}{what:#?}{what:x?}{what:#X?}");
    without_blanks(&texts)
}

fn says_nothing(text: &str, secrets: &[String]) {
    let said = secrets.iter().find(|secret| text.contains(*secret));
    assert_eq!(said, None, "in {text}");
}

/// The `Debug` text of a value, and nothing if its type has none. So a type that gets a `Debug` is
/// checked.
macro_rules! debug_of {
    ($value:expr) => {{
        #[allow(unused_imports, reason = "one or the other")]
        use probe::WithoutDebug as _;
        (&probe::Probe(&$value)).text()
    }};
}

mod probe {
    use std::fmt::Debug;

    pub struct Probe<'a, T>(pub &'a T);

    impl<T: Debug> Probe<'_, T> {
        pub fn text(&self) -> String {
            super::texts(self.0)
        }
    }

    pub trait WithoutDebug {
        fn text(&self) -> String {
            String::new()
        }
    }

    impl<T> WithoutDebug for &Probe<'_, T> {}
}

/// Otherwise nothing would ever be found.
#[test]
fn a_key_in_a_debug_text_is_found() {
    #[derive(Debug)]
    #[allow(dead_code, reason = "for its Debug text")]
    struct Leak(Vec<u8>);
    let key: Vec<u8> = (200..232).collect();
    let secrets = spellings(&key);
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = Base64Unpadded::encode_string(&[&[1], &key[..]].concat());
    let leaks = [
        format!("{key:?}"),
        format!("{:#?}", Leak(key.clone())),
        format!("{:x?}", Leak(key.clone())),
        format!("{:#X?}", Leak(key.clone())),
        format!("{:?}", Leak(key[5..13].into())),
        hex.to_uppercase(),
        hex,
        base64,
        key.escape_ascii().to_string(),
    ];
    for leak in leaks {
        let leak = without_blanks(&leak);
        assert!(secrets.iter().any(|secret| leak.contains(secret)), "{leak}");
    }
    assert!(!debug_of!(Leak(key.clone())).is_empty());
    assert!(debug_of!(Secret::new(key)).is_empty(), "it has no Debug");
}

#[test]
fn no_debug_text_of_a_session_has_its_keys() {
    let seeds = Seeds::of(1);
    for dialect in DIALECTS {
        let Draws { keys, salts } = draws(dialect, seeds);
        let secrets: Vec<String> =
            keys.iter().chain(&salts).flat_map(|secret| spellings(secret)).collect();
        let mut looks = 0;
        let mut look = |what: &dyn Debug| {
            looks += 1;
            says_nothing(&texts(what), &secrets);
        };
        let (client, server) = play(dialect, seeds, STEPS, &mut look);
        assert!(client.is_finished() && server.is_finished());
        let (mut client, mut server) = play(dialect, seeds, 2, &mut look);
        look(&fail(&mut client));
        look(&fail(&mut server));
        look(&(client, server));
        assert!(looks > 40, "{looks}");

        // A Hello that was opened elsewhere, and the drivers of sessions.
        let plain = [&keys[0][..], &salts[0], &[0; 4]].concat();
        says_nothing(&debug_of!(OpenedHello::from_plaintext(Some(&plain))), &secrets);
        says_nothing(&debug_of!(Secret::new(plain)), &secrets);
        says_nothing(&debug_of!(client_config(dialect)), &secrets);
        let plan = Plan::join(pair::token("m", 1, &["h:1"]), pair::cluster("c", 2, 1).name.into());
        let rng = Seeded::new(seeds.client);
        let enroll = Enroll::new(NOW, client_config(dialect), plan, rng).unwrap();
        says_nothing(&debug_of!(enroll), &secrets);
        let transport = Untimed(std::io::Cursor::new(Vec::new()));
        let driver = Driver::new(new_client(dialect, seeds), transport, Clock::start());
        let text = debug_of!(driver);
        assert!(!text.is_empty());
        says_nothing(&text, &secrets);
        #[cfg(feature = "tokio")]
        {
            use xlreg::adapter::tokio::{Clock, Driver};
            let session = new_client(dialect, seeds);
            let stream = tokio::io::empty();
            // A clock of tokio can start without a runtime.
            says_nothing(&debug_of!(Driver::new(session, stream, Clock::start())), &secrets);
        }
    }
}

/// The private numbers of a key, in the order of its DER: d, p, q, d mod p-1, d mod q-1, 1/q mod p.
fn private_numbers(der: &[u8], key: &PublicKey) -> [Vec<u8>; 6] {
    let modulus = key.components().modulus;
    let at = der.windows(modulus.len()).position(|window| window == modulus).unwrap();
    // After the modulus comes the public exponent, 65537.
    let mut rest = &der[at + modulus.len() + 5..];
    [(); 6].map(|()| {
        let (len, header) = match rest[1] {
            0x82 => (usize::from(rest[2]) << 8 | usize::from(rest[3]), 4),
            0x81 => (usize::from(rest[2]), 3),
            len => (usize::from(len), 2),
        };
        let number = rest[header..header + len].to_vec();
        rest = &rest[header + len..];
        number
    })
}

#[test]
fn no_debug_text_of_a_key_pair_has_its_private_half() {
    let node = Identity { id: Some(pair::id(3)), ..identity("node", 1) };
    let (comms, sig) = (node.comms.to_pkcs8_der().unwrap(), node.sig.to_pkcs8_der().unwrap());
    let mut secrets = Vec::new();
    for (der, public) in [(&comms, node.comms.public_key()), (&sig, node.sig.public_key())] {
        let numbers = private_numbers(der.expose(), public);
        assert_eq!(numbers.each_ref().map(|n| n.len() / 100), [2, 1, 1, 1, 1, 1]);
        secrets.extend(numbers.iter().flat_map(|number| spellings(number)));
        // Big numbers may be written in reverse.
        secrets.extend(numbers.iter().flat_map(|number| {
            let words = number.rchunks(8).filter(|word| word.len() == 8);
            let words = words.map(|word| u64::from_be_bytes(word.try_into().unwrap()));
            words.flat_map(|word| [word.to_string(), format!("{word:016x}"), format!("{word:X}")])
        }));
    }
    let pems = [node.comms.to_pem().unwrap(), node.sig.to_pem().unwrap()];
    // The modulus is in the first seven lines.
    secrets.extend(pems.iter().flat_map(|pem| pem.expose().lines().skip(7).map(String::from)));
    assert!(secrets.iter().any(|secret| texts(&comms.expose()).contains(secret)));
    let [pem, other] = pems;
    let shown = [
        debug_of!(node.comms),
        debug_of!(node.sig),
        debug_of!(node),
        debug_of!(Some([node.clone()])),
        debug_of!(comms),
        debug_of!(pem),
        debug_of!(other),
        debug_of!(RustCrypto),
        debug_of!(CommsKeyPair::from_pem("no key")),
        debug_of!(SigKeyPair::from_pem(&pem.expose()[..600])),
        debug_of!(CommsKeyPair::from_pkcs8_der(&comms.expose()[..600])),
    ];
    shown.iter().for_each(|text| says_nothing(text, &secrets));
    assert_eq!(shown.iter().filter(|text| !text.is_empty()).count(), 8, "the others have no Debug");
}

// (c) Wiping.

/// These types show that the wiping of expanded keys and private keys is compiled in.
#[test]
fn ciphers_and_private_keys_wipe_themselves() {
    fn wiped<T: zeroize::ZeroizeOnDrop>() {}
    wiped::<aes::Aes256Enc>();
    wiped::<aes::Aes256Dec>();
    wiped::<cbc::Encryptor<aes::Aes256Enc>>();
    wiped::<cbc::Decryptor<aes::Aes256Dec>>();
    wiped::<rsa::PrivateKey>();
    wiped::<zeroize::Zeroizing<[u8; 32]>>();
    // And not because another crate of this build turns it on.
    let manifest = include_str!("../../Cargo.toml");
    for cipher in ["aes = ", "cbc = "] {
        let line = manifest.lines().find(|line| line.starts_with(cipher)).unwrap();
        assert!(line.contains("\"zeroize\""), "{line}");
    }
}

/// Otherwise nothing would ever be found.
#[test]
fn a_key_in_a_freed_block_is_found() {
    let key = vec![0x77; 32];
    let buried = || drop([&[1u8, 2, 3][..], &[0x77; 32], &[4]].concat());
    assert_eq!(freed_with(std::slice::from_ref(&key), buried), (1, Some(0)));
    let wiped = || drop(Secret::new(vec![0x77; 40]));
    assert_eq!(freed_with(&[key], wiped), (0, None));
}

fn keeps(what: &str, needles: &[Vec<u8>], run: impl FnOnce()) {
    let (blocks, which) = freed_with(needles, run);
    assert_eq!((blocks, which), (0, None), "{what}: blocks freed with a key in them, and which");
}

#[test]
fn no_block_is_freed_with_a_session_s_key_in_it() {
    let seeds = Seeds::of(2);
    for dialect in DIALECTS {
        let keys = draws(dialect, seeds).keys;
        for steps in 0..=STEPS {
            let what = format!("{dialect}, dropped after {steps} steps");
            keeps(&what, &keys, || drop(play(dialect, seeds, steps, &mut |_| ())));
        }
        keeps("failed", &keys, || {
            let (mut client, mut server) = play(dialect, seeds, 2, &mut |_| ());
            assert!(fail(&mut client).is_some() && fail(&mut server).is_some());
        });
        keeps("moved, a list that grows", &keys, || {
            drop((0..9).map(|_| new_client(dialect, seeds)).collect::<Vec<_>>());
            let mut open = Vec::new();
            (0..9).for_each(|_| open.push(play(dialect, seeds, 1, &mut |_| ())));
            let open: Vec<_> =
                open.into_iter().map(|(client, server)| (*client, *server)).collect();
            drop(open);
        });
        keeps("a Hello opened on another thread", &keys, || {
            let (mut client, mut server) =
                (new_client(dialect, seeds), Box::new(new_server(dialect, seeds)));
            server.receive(NOW, &drain(&mut client));
            let Ok(Some(ServerEvent::Hello(hello))) = server.poll_event() else {
                panic!("no Hello")
            };
            // A task or channel does this with the values that pass through it.
            let opened = Box::new(hello.open(&Masked, &mut Seeded::new(1)));
            server.open_hello(NOW, *opened).unwrap();
        });
        keeps("a Hello opened and dropped", &keys, || {
            let plain = [0; 16].iter().chain(&keys[0]).copied().chain([0; 12]).collect();
            let plain = Secret::new(plain);
            drop(Box::new(OpenedHello::from_plaintext(Some(plain.expose()))));
        });
    }
}

/// The PEM and DER of private keys that this library writes and reads. The numbers that the crate
/// `rsa` computes are its own matter.
#[test]
fn no_block_is_freed_with_the_text_of_a_private_key_in_it() {
    let node = identity("node", 2);
    let key = &node.comms;
    let (der, pem) = (key.to_pkcs8_der().unwrap(), key.to_pem().unwrap());
    let numbers = private_numbers(der.expose(), key.public_key());
    let mut needles: Vec<Vec<u8>> =
        numbers.iter().map(|n| n[n.len() - 40..][..32].into()).collect();
    needles.extend(pem.expose().lines().skip(8).step_by(5).map(|line| line.as_bytes().into()));
    let sealed = key.public_key().seal(&[9; 44], &mut Seeded::new(1)).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let run: [(&str, &dyn Fn()); 7] = [
        ("from_pem", &|| drop(CommsKeyPair::from_pem(pem.expose()).unwrap())),
        ("from_pkcs8_der", &|| drop(CommsKeyPair::from_pkcs8_der(der.expose()).unwrap())),
        ("to_pem", &|| drop(key.to_pem().unwrap())),
        ("to_pkcs8_der", &|| drop(key.to_pkcs8_der().unwrap())),
        ("open", &|| drop(key.open(&sealed, &mut Seeded::new(2)).unwrap())),
        ("save", &|| node.save(temp.path()).unwrap()),
        ("load", &|| drop(Identity::load(temp.path()).unwrap())),
    ];
    for (what, run) in run {
        keeps(what, &needles, run);
    }
    let turned: Vec<Vec<u8>> =
        needles[..6].iter().map(|n| n.iter().rev().copied().collect()).collect();
    for (what, run) in run {
        println!(
            "{what}: {} blocks freed with private numbers of rsa's",
            freed_with(&turned, run).0
        );
    }
}

/// Sealed and opened bytes do not stay behind either, with any RSA provider.
#[test]
fn no_block_is_freed_with_the_plaintext_of_a_hello_in_it() {
    let plain: Vec<u8> = (1..=44).map(|n| n * 5).collect();
    let needles = [plain[..32].to_vec(), plain[..32].iter().rev().copied().collect()];
    let key = &KEYS.comms[4];
    let sealed = key.public_key().seal(&plain, &mut Seeded::new(1)).unwrap();
    keeps("seal", &needles, || drop(key.public_key().seal(&plain, &mut Seeded::new(1)).unwrap()));
    keeps("open", &needles, || drop(key.open(&sealed, &mut Seeded::new(2)).unwrap()));
}

/// Only one test looks at a time, because another one has copies of the bytes it sees.
#[cfg(target_os = "linux")]
static LOOKING: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// The number of places where bytes are in this process's memory: elsewhere, and on this thread's
/// stack. They are given masked, so that they are not found themselves.
#[cfg(target_os = "linux")]
fn copies_in_memory(masked: &[u8]) -> (usize, usize) {
    use std::os::unix::fs::FileExt;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let mut page = [0; 4096 + 32];
    let own = page.as_ptr().addr() as u64;
    let (mut elsewhere, mut on_stack) = (0, 0);
    let writable = maps.lines().filter_map(|line| {
        let (range, mode) = line.split_once(' ')?;
        let (start, end) = range.split_once('-').filter(|_| mode.starts_with("rw"))?;
        Some([start, end].map(|at| u64::from_str_radix(at, 16).unwrap()))
    });
    for [start, end] in writable {
        let is_stack = (start..end).contains(&own);
        for at in (start..end).step_by(4096) {
            // Memory that cannot be read is not ours. The last page of a range is read without the
            // next one.
            let len = memory.read_at(&mut page, at).unwrap_or(0);
            // Few pages have all of these bytes anywhere, and the others need no closer look.
            if !masked.iter().all(|byte| page[..len].contains(&(byte ^ MASK))) {
                continue;
            }
            let found = page[..len].windows(masked.len()).enumerate().filter(|(offset, bytes)| {
                let place = at + *offset as u64;
                *offset < 4096
                    && !(own..own + 4096 + 32).contains(&place)
                    && bytes.iter().zip(masked).all(|(byte, masked)| byte ^ MASK == *masked)
            });
            *if is_stack { &mut on_stack } else { &mut elsewhere } += found.count();
        }
    }
    std::hint::black_box(&mut page).fill(0);
    std::hint::black_box(&page);
    (elsewhere, on_stack)
}

/// The whole process, while sessions are open and after they are gone. Bytes that calls leave on
/// the stack are reported, but no error: the language does not control them.
#[cfg(target_os = "linux")]
#[test]
fn nothing_of_a_session_s_keys_is_left_in_memory() {
    let _looking = LOOKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let seeds = Seeds::of(3);
    for dialect in DIALECTS {
        let mut keys = draws(dialect, seeds).keys;
        keys.iter_mut().flatten().for_each(|byte| *byte ^= MASK);
        let copies = || {
            let copies = keys.each_ref().map(|key| copies_in_memory(key));
            println!("{dialect}: on the stack {:?}", copies.map(|(_, on_stack)| on_stack));
            copies.map(|(elsewhere, _)| elsewhere)
        };
        let end_points = play(dialect, seeds, 2, &mut |_| ());
        // Each side has the session key once, and no one-shot key.
        assert_eq!(copies(), [0, 2], "{dialect}, open");
        drop(end_points);
        assert_eq!(copies(), [0, 0], "{dialect}, gone");
        // The caller keeps a failed session as long as it likes, but the keys are gone.
        let (mut client, mut server) = play(dialect, seeds, 2, &mut |_| ());
        assert!(fail(&mut client).is_some() && fail(&mut server).is_some());
        assert_eq!(copies(), [0, 0], "{dialect}, failed");
        drop((client, server));
    }
}

/// No provider leaves the plaintext of a Hello in memory, not even the one in C.
#[cfg(target_os = "linux")]
#[test]
fn nothing_of_a_hello_s_plaintext_is_left_in_memory() {
    let _looking = LOOKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let pairs = xlreg_testkit::providers().into_iter().zip([41, 42]);
    for (provider, seed) in pairs {
        let der = KEYS.comms[5].to_pkcs8_der().unwrap();
        let opener = provider.opener(der.expose()).unwrap();
        let mut plain = vec![0; 44];
        Seeded::new(seed).fill_bytes(&mut plain);
        let sealed = KEYS.comms[5].public_key().seal(&plain, &mut Seeded::new(1)).unwrap();
        plain.iter_mut().for_each(|byte| *byte ^= MASK);
        let turned: Vec<u8> = plain.iter().rev().copied().collect();
        let opened = opener.open(&sealed, &mut Seeded::new(2)).unwrap();
        assert_eq!(copies_in_memory(&plain[..32]).0, 1, "{}: opened", provider.name());
        drop(opened);
        for (form, masked) in [("as it is", &plain), ("turned", &turned)] {
            let (elsewhere, on_stack) = copies_in_memory(&masked[..32]);
            println!("{}, {form}: on the stack {on_stack}", provider.name());
            assert_eq!(elsewhere, 0, "{}, {form}", provider.name());
        }
    }
}
