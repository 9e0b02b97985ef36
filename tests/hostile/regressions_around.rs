//! Faults around the sessions that a review found. Each test says what holds now, and the comment
//! above it says what happened before.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::time::Duration;
use xlreg::adapter::blocking::{Clock, DriveError, Driver, Untimed};
use xlreg::adapter::{Transfer, Transport};
use xlreg::credential::{Credential, CredentialError, CredentialProblem};
use xlreg::enroll::{Enroll, EnrollError, EnrollEvent, Plan};
use xlreg::identity::directory::{DirectoryError, DirectoryLock};
use xlreg::identity::{Identity, NodeId, Token};
use xlreg::message::{ClusterRef, GetCluster, Op, Reason, Refusal, Reply, Request};
use xlreg::registry::{Change, ClientState, Outcome, Registry};
use xlreg::session::{
    ClientConfig, Dialect, EofAt, Error, Limits, Machine, Server, ServerConfig, ServerEvent,
    Session, TimerKind,
};
use xlreg_testkit::pair::enrollment::{
    Odd, START, alice, alice_s_plan, enroll, enroll_member, tick,
};
use xlreg_testkit::pair::{self, Backend, Setup, TestRegistry, after, at, cluster, served};
use xlreg_testkit::scenario::{self, DIALECTS, Msg, NOW, NoRsa, Scenario, drain, feed};
use xlreg_testkit::{Seeded, identity, to_the_end};

// Texts.

// Any number of end points was read, and written where at most eight are accepted.
#[test]
fn a_regcred_has_eight_end_points_at_most() {
    let with = |count: u16| {
        let end_points = (1..=count).map(|port| format!("h:{port}").parse().unwrap()).collect();
        Credential { end_points, ..pair::credential(Dialect::Prefixed) }
    };
    assert_eq!(with(8).to_string().parse(), Ok(with(8)));
    for count in [9, 10, 100] {
        // After the eighth end point, on line 14, the list must close.
        let (expected, found) = ("}", "TcpEndPoint: h:9".into());
        let problem = CredentialProblem::Unexpected { expected, found };
        let refused = with(count).to_string().parse::<Credential>();
        assert_eq!(refused, Err(CredentialError { line: 15, problem }));
    }
}

// Only control characters were escaped, so a registry could reverse a line or begin a new one.
#[test]
fn the_words_of_a_registry_are_shown_on_one_line_and_otherwise_as_they_are() {
    let controls = ('\0'..'\u{20}').chain('\u{7f}'..='\u{9f}');
    let bidi = ['\u{61c}', '\u{200e}', '\u{200f}'].into_iter();
    let bidi = bidi.chain('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
    for c in controls.chain(bidi).chain(['\u{2028}', '\u{2029}', '\u{feff}']) {
        let reason = Reason::new(format!("a{c}b"));
        let shown = reason.to_string();
        assert_eq!(shown, format!("a{}b", c.escape_debug()));
        assert!(!shown.contains(c) && shown.is_ascii(), "{shown:?}");
        assert_eq!(reason.as_str(), format!("a{c}b"), "the text itself stays");
    }
    let plain = r#"can't open "C:\xlReg\été.dat": Übergröße, 名前 – ñ"#;
    assert_eq!(Reason::new(plain).to_string(), plain);
    for refusal in Refusal::ALL {
        assert_eq!(Reason::from(*refusal).to_string(), refusal.as_str());
    }
}

// Registry and roster.

/// A registry, its changes, and a check of each outcome's revision.
struct Journal {
    registry: Registry,
    rng: Seeded,
    changes: Vec<Change>,
}

impl Journal {
    fn ask(&mut self, state: &mut ClientState, request: Request) -> Outcome {
        let outcome = self.registry.handle(state, request, &mut self.rng);
        self.changes.extend(outcome.change.clone());
        let counted = u64::try_from(self.changes.len()).unwrap();
        assert_eq!((outcome.revision, self.registry.revision()), (counted, counted));
        outcome
    }
}

// An outcome knew only its own change. A reply could tell of another session's change that was not
// durable yet.
#[test]
fn a_reply_that_tells_of_another_s_change_has_no_lower_revision() {
    let mut journal =
        Journal { registry: scenario::registry(), rng: Seeded::new(3), changes: Vec::new() };
    let (mut alice_s, mut bob_s, mut again) =
        (ClientState::new(), ClientState::new(), ClientState::new());
    let trio = cluster("trio", 3, 1);
    let all = || Request::GetCluster(GetCluster { cluster: trio.name.clone().into(), which: None });
    let join = || Request::Join(trio.name.clone().into());
    let bob = journal.ask(&mut bob_s, Request::Member(pair::token("bob", 1, &["h:2"])));
    let known = journal.ask(&mut alice_s, Request::Member(alice()));
    assert_eq!((bob.revision, known.revision), (1, 2));
    let created = journal.ask(&mut alice_s, Request::Create(trio.clone()));
    let found = journal.ask(&mut bob_s, Request::Create(trio.clone()));
    assert_eq!((found.change, found.reply), (None, created.reply));
    assert!(found.revision >= created.revision);

    let end_points = |outcome: &Outcome| match &outcome.reply {
        Reply::Members(list) => list.members()[0].end_points[0].port(),
        other => panic!("{other:?}"),
    };
    let joined = journal.ask(&mut alice_s, join());
    let told = journal.ask(&mut bob_s, all());
    assert_eq!((end_points(&told), told.change.is_none()), (1, true));
    assert!(told.revision >= joined.revision);

    let id = alice_s.member().unwrap().0;
    let moved = Token { id: Some(id), ..pair::token("alice", 0, &["h:7"]) };
    let known = journal.ask(&mut again, Request::Member(moved));
    assert_eq!((known.change.clone(), known.revision), (None, told.revision));
    let updated = journal.ask(&mut again, join());
    assert!(matches!(updated.change, Some(Change::MemberUpdated { .. })));
    let told = journal.ask(&mut bob_s, all());
    assert_eq!(end_points(&told), 7);
    assert!(told.revision >= updated.revision && updated.revision > joined.revision);

    // Refusals change nothing, but tell of the present state too.
    let unsigned = Token { signature: None, ..alice() };
    for (client, request) in [
        (&mut ClientState::new(), Request::Member(unsigned)),
        (&mut bob_s, Request::Join(NodeId::from_bytes(&[5; 32]).unwrap().into())),
        (&mut ClientState::new(), Request::Join(ClusterRef::CURRENT)),
    ] {
        let refused = journal.ask(client, request);
        assert!(matches!(refused.reply, Reply::Error(_)) && refused.change.is_none());
    }

    let mut replayed = scenario::registry();
    for (before, change) in (0..).zip(&journal.changes) {
        assert_eq!(replayed.revision(), before);
        replayed.apply(change).unwrap();
        assert!(replayed.apply(change).is_err(), "once is all");
    }
    assert_eq!(replayed, journal.registry);
    assert_eq!(replayed.revision(), journal.registry.revision());
}

// Twice zero is zero: the registry was asked as fast as it answered.
#[test]
fn a_first_pause_of_nothing_grows_like_any_other() {
    let plan = Plan { first_pause: Duration::ZERO, ..alice_s_plan() };
    let longest = plan.longest_pause;
    let setup = Setup::new(DIALECTS[0]);
    let mut polls = 0;
    let mut backend = Odd(setup.registry(), |request: &Request, usual| {
        polls += u32::from(request.op() == Op::GetCluster);
        assert!(polls < 40, "a flood");
        usual
    });
    let mut wire = enroll(&setup, plan, 1);
    wire.settle(&mut backend);
    assert_eq!(wire.now, START);
    for round in 0..2 {
        let mut pause = Plan::SHORTEST_PAUSE;
        for _ in 0..12 {
            let due = after(wire.now, pause.min(longest));
            assert_eq!(wire.client.poll_timeout(), Some((due, TimerKind::Poll)));
            assert_eq!(tick(&mut wire, &mut backend), TimerKind::Poll);
            pause = (pause * 2).min(longest);
        }
        // News start the pause again.
        if round == 0 {
            enroll_member(&mut backend.0, "bob", 1);
            tick(&mut wire, &mut backend);
        }
    }
}

// Identities in a directory.

// Only the making of an identity was locked, not the time until its ID was kept. Two processes
// could get one ID each.
#[test]
fn a_locked_directory_is_busy_until_the_lock_is_dropped() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("node");
    let busy = || match DirectoryLock::try_now(&dir) {
        Err(DirectoryError::Busy { path }) => path == dir,
        Err(other) => panic!("{other}"),
        Ok(_) => false,
    };
    for lock in [DirectoryLock::try_now, DirectoryLock::wait] {
        let held = lock(&dir).unwrap();
        assert!(busy() && busy());
        // The owner of the lock can keep an identity there.
        identity("node", 1).save(&dir).unwrap();
        let kept = held.load_or_generate("other".parse().unwrap(), &mut Seeded::new(1)).unwrap();
        assert_eq!(kept.name.as_str(), "node");
        drop(held);
    }
    drop(DirectoryLock::try_now(&dir).unwrap());
    let elsewhere = DirectoryLock::try_now(&root.path().join("another")).unwrap();
    assert!(DirectoryLock::try_now(&dir).is_ok(), "a lock is of one directory");
    drop(elsewhere);
}

const FILES: [&str; 4] = ["comms_key.pem", "id", "name", "sig_key.pem"];

/// The files that were replaced since the last look, by inode. A file that is written is renamed
/// into place.
#[cfg(unix)]
fn rewritten(dir: &Path, seen: &mut [u64; 4]) -> Vec<&'static str> {
    use std::os::unix::fs::MetadataExt;
    let now = FILES.map(|file| {
        let metadata = fs::metadata(dir.join(file)).unwrap();
        if file.ends_with(".pem") {
            assert_eq!(metadata.mode() & 0o777, 0o600, "{file}");
        }
        metadata.ino()
    });
    let last = std::mem::replace(seen, now);
    (0..4).filter(|i| last[*i] != now[*i]).map(|i| FILES[i]).collect()
}

// Every save wrote both private keys, only because of an ID.
#[cfg(unix)]
#[test]
fn saving_rewrites_what_has_changed_and_leaves_the_rest_alone() {
    let root = tempfile::tempdir().unwrap();
    let (dir, mut seen) = (root.path(), [0; 4]);
    let mut node = Identity { id: NodeId::from_bytes(&[7; 32]).ok(), ..identity("node", 1) };
    let mut save = |node: &Identity| {
        node.save(dir).unwrap();
        let loaded = Identity::load(dir).unwrap();
        assert_eq!((&loaded.name, loaded.id), (&node.name, node.id));
        assert_eq!(loaded.comms.public_key(), node.comms.public_key());
        assert_eq!(loaded.sig.public_key(), node.sig.public_key());
        rewritten(dir, &mut seen)
    };
    assert_eq!(save(&node), FILES);
    assert_eq!(save(&node), [""; 0]);
    for id in [&[8; 32][..], &[8; 20]] {
        node.id = NodeId::from_bytes(id).ok();
        assert_eq!(save(&node), ["id"]);
    }
    node.sig = identity("node", 2).sig;
    assert_eq!(save(&node), ["sig_key.pem"]);
    node.comms = identity("node", 2).comms;
    node.name = "renamed".parse().unwrap();
    assert_eq!(save(&node), ["comms_key.pem", "name"]);
    assert_eq!(save(&node), [""; 0]);
}

// The blocking adapter.

/// A registry at the other end of a line in memory, with faults.
struct Line {
    server: Session<Server>,
    state: ClientState,
    registry: TestRegistry,
    /// All bytes from the client.
    up: Vec<u8>,
    /// The largest number of bytes in one call.
    chunk: usize,
    /// Whether every call is interrupted once before it does anything.
    interrupts: bool,
    interrupted: bool,
    /// The refusal for every client, as soon as it can be sent.
    refusal: Option<Refusal>,
    /// The request whose answer is the last one.
    last: Option<Op>,
    /// The error of a write after that. Without an error the bytes are lost.
    write_fails: Option<ErrorKind>,
    /// The error of a read after all was read. Without an error the stream ends.
    read_fails: Option<ErrorKind>,
    gone: bool,
}

impl Line {
    fn new() -> Self {
        let credential = pair::credential(Dialect::Prefixed);
        let config = ServerConfig { hello_len: 44, ..ServerConfig::new(&credential.comms_key) };
        Self {
            server: Session::<Server>::new(NOW, config, Seeded::new(5)),
            state: ClientState::new(),
            registry: TestRegistry::usual(),
            up: Vec::new(),
            chunk: usize::MAX,
            interrupts: false,
            interrupted: false,
            refusal: None,
            last: None,
            write_fails: None,
            read_fails: None,
            gone: false,
        }
    }

    /// Opens and answers until the end, or until there is nothing to answer.
    fn work(&mut self) {
        while let (false, Some(event)) = (self.gone, self.server.poll_event().unwrap()) {
            match (event, self.refusal) {
                (ServerEvent::Hello(hello), refusal) => {
                    let opened = hello.open(&NoRsa, &mut Seeded::new(6));
                    self.server.open_hello(NOW, opened).unwrap();
                    if let Some(refusal) = refusal {
                        self.server.reject(NOW, &refusal.into()).unwrap();
                        self.gone = true;
                    }
                }
                (ServerEvent::Request { id, request }, _) => {
                    self.gone = self.last == Some(request.op());
                    let reply = self.registry.answer(&mut self.state, request);
                    self.server.reply(NOW, id, &reply).unwrap();
                }
                (other, _) => panic!("{other:?}"),
            }
        }
    }

    fn interrupt(&mut self) -> io::Result<()> {
        self.interrupted = self.interrupts && !self.interrupted;
        if self.interrupted { Err(ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

impl Read for &mut Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupt()?;
        let n = buffer.len().min(self.chunk).min(self.server.output().len());
        buffer[..n].copy_from_slice(&self.server.output()[..n]);
        self.server.consume_output(n);
        let over = self.gone || self.server.is_finished();
        match self.read_fails {
            Some(kind) if n == 0 && over => Err(kind.into()),
            _ if n > 0 || over => Ok(n),
            _ => panic!("this read would never return"),
        }
    }
}

impl Write for &mut Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.interrupt()?;
        let bytes = &bytes[..bytes.len().min(self.chunk)];
        match self.write_fails {
            Some(ErrorKind::WriteZero) => return Ok(0),
            Some(kind) if self.gone => return Err(kind.into()),
            _ if self.gone => {}
            _ => assert_eq!(self.server.receive(NOW, bytes), bytes.len()),
        }
        self.up.extend(bytes);
        self.work();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.interrupt()
    }
}

impl Transport for &mut Line {
    type Error = io::Error;

    fn read(&mut self, buffer: &mut [u8], longest: Option<Duration>) -> io::Result<Transfer> {
        assert_ne!(longest, Some(Duration::ZERO), "a socket does not take that");
        Transport::read(&mut Untimed(&mut **self), buffer, longest)
    }

    fn write(&mut self, bytes: &[u8], longest: Option<Duration>) -> io::Result<Transfer> {
        assert_ne!(longest, Some(Duration::ZERO), "a socket does not take that");
        Transport::write(&mut Untimed(&mut **self), bytes, longest)
    }
}

type Told = (Vec<EnrollEvent>, Result<(), DriveError<EnrollError>>);

/// Alice creates a cluster of her own, on this line.
fn enrollment(line: &mut Line) -> Told {
    let (clock, credential) = (Clock::start(), pair::credential(Dialect::Prefixed));
    let config = ClientConfig { provider: &NoRsa, ..ClientConfig::new(&credential) };
    let plan = Plan::create_and_join(alice(), cluster("solo", 1, 1));
    let enroll = Enroll::new(clock.now(), config, plan, Seeded::new(4)).unwrap();
    to_the_end(Driver::new(enroll, line, clock))
}

/// Alice's events and bytes if there is no fault.
fn undisturbed() -> (Vec<EnrollEvent>, Vec<u8>) {
    let mut line = Line::new();
    let (events, outcome) = enrollment(&mut line);
    outcome.unwrap();
    let id = line.state.member().unwrap().0;
    let ending =
        [EnrollEvent::Member { index: at(0), token: served(&alice(), id) }, EnrollEvent::Done];
    assert_eq!((events.len(), &events[4..]), (6, &ending[..]));
    (events, line.up)
}

const GONE: [ErrorKind; 3] =
    [ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted, ErrorKind::BrokenPipe];

// A reset instead of the Ack failed the enrollment, although all was known.
#[test]
fn a_registry_that_is_gone_after_the_last_members_ends_an_enrollment_well() {
    let (events, _) = undisturbed();
    for kind in GONE {
        for write_fails in [None, Some(kind)] {
            let last = Some(Op::GetCluster);
            let mut line = Line { last, write_fails, read_fails: Some(kind), ..Line::new() };
            let (told, outcome) = enrollment(&mut line);
            assert!(outcome.is_ok(), "{kind}: {outcome:?}");
            assert_eq!(told, events);
        }
        // If the peer goes earlier, the machine decides.
        let mut line = Line { last: Some(Op::Join), read_fails: Some(kind), ..Line::new() };
        let (told, outcome) = enrollment(&mut line);
        let expected = EnrollError::Session(Error::Eof(EofAt::Reply));
        assert!(matches!(outcome, Err(DriveError::Machine(error)) if error == expected));
        assert_eq!(told, events[..4]);
    }
}

// The write failed first, and the registry's last bytes were never read.
#[test]
fn a_refusal_is_heard_though_nothing_can_be_written_any_more() {
    for kind in GONE {
        for read_fails in [None, Some(kind)] {
            let (refusal, write_fails) = (Some(Refusal::RegistryFull), Some(kind));
            let mut line = Line { refusal, write_fails, read_fails, ..Line::new() };
            let (told, outcome) = enrollment(&mut line);
            let reason = Refusal::RegistryFull.into();
            let expected = EnrollError::Refused { request: Some(Op::Member), reason };
            let refused = matches!(&outcome, Err(DriveError::Machine(error)) if *error == expected);
            assert!(refused, "{kind}: {outcome:?}");
            assert!(matches!(told[..], [EnrollEvent::Connected { .. }]));
        }
    }
}

// An interrupted flush ended the conversation.
#[test]
fn calls_that_are_interrupted_or_move_little_lose_nothing() {
    let (events, up) = undisturbed();
    for (chunk, interrupts) in [(1, false), (usize::MAX, true), (1, true), (7, true)] {
        let mut line = Line { chunk, interrupts, ..Line::new() };
        let (told, outcome) = enrollment(&mut line);
        assert!(outcome.is_ok(), "{chunk} at once: {outcome:?}");
        assert_eq!((told, &line.up), (events.clone(), &up), "{chunk} at once");
    }
}

// The counterpart of the test above: the machine does not decide about every failure.
#[test]
fn a_transport_that_takes_nothing_or_fails_otherwise_is_an_io_error() {
    let of = |outcome: Told| match outcome {
        (told, Err(DriveError::Io(error))) => (told.len(), error.kind()),
        other => panic!("{other:?}"),
    };
    let mut line = Line { write_fails: Some(ErrorKind::WriteZero), ..Line::new() };
    assert_eq!((of(enrollment(&mut line)), line.up.len()), ((0, ErrorKind::WriteZero), 0));
    for kind in [ErrorKind::PermissionDenied, ErrorKind::UnexpectedEof, ErrorKind::OutOfMemory] {
        let last = Some(Op::Member);
        let mut line = Line { last, read_fails: Some(kind), ..Line::new() };
        assert_eq!(of(enrollment(&mut line)), (2, kind));
        let mut line = Line { last, write_fails: Some(kind), ..Line::new() };
        assert_eq!(of(enrollment(&mut line)), (2, kind));
    }
}

// A deadline that passed between two calls set a socket timeout of zero, which the system refuses.
#[test]
fn a_transport_is_not_armed_with_a_deadline_that_has_passed() {
    let (clock, shortest) = (Clock::start(), Duration::from_micros(1));
    while clock.now() <= after(NOW, shortest) {}
    // A client that has not sent its Hello in time.
    let credential = pair::credential(Dialect::Prefixed);
    let limits = Limits { hello_time: shortest, ..Limits::client() };
    let config = ClientConfig { provider: &NoRsa, limits, ..ClientConfig::new(&credential) };
    let enroll = Enroll::new(
        NOW,
        config,
        Plan::join(alice(), cluster("trio", 3, 1).name.into()),
        Seeded::new(4),
    );
    let mut line = Line::new();
    let error = Driver::new(enroll.unwrap(), &mut line, clock).next_event().unwrap_err();
    let expected = EnrollError::Session(Error::Timeout(TimerKind::Hello));
    assert!(matches!(error, DriveError::Machine(error) if error == expected));
    // A registry with last bytes that nobody has read in time.
    let limits = Limits { idle_time: shortest, ..Limits::server() };
    let (mut server, mut peer) = Scenario::server(Dialect::Prefixed).limits(limits).open();
    feed(&mut server, &peer.seal(&Msg::op(Op::Create).encode()));
    let mut driver = Driver::new(server, &mut line, clock);
    let error = driver.next_event().unwrap_err();
    assert!(matches!(error, DriveError::Machine(Error::WrongState(Op::Create))), "{error:?}");
    assert!(driver.machine().is_finished() && drain(driver.machine()).is_empty());
    assert!(line.up.is_empty());
}
