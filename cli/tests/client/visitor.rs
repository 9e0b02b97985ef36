//! Looking leaves nothing behind: who asks without a node of their own is one node to a registry,
//! however often they ask.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::{TempDir, tempdir};
use xlreg::credential::Credential;
use xlreg::identity::{Identity, MemberAttrs, Name, Token, Version};
use xlreg::session::{
    Client, ClientConfig, ClientEvent, Instant, Server, ServerConfig, ServerEvent, Session,
};
use xlreg_testkit::http::Samples;
use xlreg_testkit::{KEYS, Seeded};

use crate::common::{Daemon, command, furnish};

const CREATE: &str = "create alpha --size 3";
const MEMBERS: &str = "members alpha";

/// A registry whose nodes are counted, and a user with a home.
struct Place {
    temp: TempDir,
    daemon: Daemon,
    metrics: String,
}

impl Place {
    fn new() -> Self {
        let temp = tempdir().unwrap();
        let registry = temp.path().join("registry");
        furnish(&registry);
        let daemon = Daemon::start(&registry, &["--metrics", "127.0.0.1:0"]);
        let metrics = daemon.metrics();
        Self { temp, daemon, metrics }
    }

    fn credential(&self) -> PathBuf {
        self.temp.path().join("registry/regCred.dat")
    }

    /// A command line of a user whose state is there.
    fn command(&self, line: &str, state: &Path) -> Command {
        let mut command = command(&line.split(' ').collect::<Vec<_>>());
        command.arg("--registry").arg(self.credential()).current_dir(&self.temp);
        command.env("XDG_STATE_HOME", state).env("HOME", "/dev/null/none");
        command
    }

    fn state(&self) -> PathBuf {
        self.temp.path().join("state")
    }

    fn nodes(&self) -> f64 {
        // The gauge is set when it is asked for.
        Samples::of(&self.metrics).value("xlreg_nodes", &[])
    }
}

/// It was done, and this was told on stderr.
fn told(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The identities kept for this user, one for each registry.
fn kept(state: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(state.join("xlreg/visitors")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn looking_again_and_again_adds_one_node() {
    let place = Place::new();
    for line in [CREATE, MEMBERS, MEMBERS, CREATE, "members alpha --json", "create beta --size 1"] {
        assert_eq!(told(place.command(line, &place.state())), "", "{line}");
    }
    assert_eq!(place.nodes(), 1.0);
    let kept = kept(&place.state());
    let [dir] = kept.iter().collect::<Vec<_>>()[..] else { panic!("{kept:?}") };
    let fingerprint = place.daemon.credential().sig_key.fingerprint().to_bytes();
    let name: String = fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(dir.file_name().unwrap(), name.as_str());
    assert_eq!(fs::metadata(dir).unwrap().mode() & 0o777, 0o700);
    // A given one is another one, and it too is one.
    for line in [MEMBERS, CREATE] {
        assert_eq!(told(place.command(&format!("{line} --node given"), &place.state())), "");
    }
    assert_eq!(place.nodes(), 2.0);
}

#[test]
fn many_that_look_for_the_first_time_at_once_are_one_node() {
    let place = Place::new();
    told(place.command(&format!("{CREATE} --node given"), &place.state()));
    let looks: Vec<_> =
        (0..4).map(|_| place.command(MEMBERS, &place.state()).spawn().unwrap()).collect();
    for look in looks {
        let output = look.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        // Who had to wait was told what for.
        for line in String::from_utf8(output.stderr).unwrap().lines() {
            assert!(line.contains("another command is making this user's identity"), "{line}");
        }
    }
    assert_eq!(place.nodes(), 2.0);
}

#[test]
fn each_registry_is_shown_an_identity_of_its_own() {
    let (place, other) = (Place::new(), tempdir().unwrap());
    let daemon = Daemon::start(other.path(), &[]);
    told(place.command(CREATE, &place.state()));
    let mut elsewhere = command(&CREATE.split(' ').collect::<Vec<_>>());
    elsewhere.arg("--registry").arg(other.path().join("regCred.dat"));
    elsewhere.env("XDG_STATE_HOME", place.state());
    told(elsewhere);
    let identities: Vec<_> =
        kept(&place.state()).iter().map(|dir| Identity::load(dir).unwrap()).collect();
    let [a, b] = &identities[..] else { panic!("{identities:?}") };
    assert_ne!(a.id, b.id);
    assert_ne!(a.sig.public_key(), b.sig.public_key());
    drop(daemon);
}

/// What could not be kept is told, and somebody who wants to look may look.
#[test]
fn what_can_not_be_kept_is_told() {
    let place = Place::new();
    told(place.command(&format!("{CREATE} --node given"), &place.state()));
    fs::write(place.temp.path().join("file"), "").unwrap();
    // No home at all: neither a variable nor a home that the system knows of.
    let homeless = {
        let mut inner = place.command(MEMBERS, Path::new("relative"));
        inner.env_remove("HOME");
        somebody(&place, &inner, "54321").map(|mut command| {
            command.env_remove("HOME").env("XDG_STATE_HOME", "relative");
            (command, "no home directory is known")
        })
    };
    let mut nowhere = place.command(MEMBERS, Path::new(""));
    nowhere.env("HOME", place.temp.path().join("file"));
    let cases = [
        (nowhere, "file/.local/state"),
        (place.command(MEMBERS, &place.temp.path().join("file")), "file/xlreg"),
    ];
    let mut nodes = place.nodes();
    for (command, why) in cases.into_iter().chain(homeless) {
        let told = told(command);
        assert!(told.contains("identity cannot be kept: ") && told.contains(why), "{why}: {told}");
        assert!(told.contains("for this command only") && told.contains("--node DIR"), "{told}");
        nodes += 1.0;
        assert_eq!(place.nodes(), nodes, "{why}");
    }
}

#[test]
fn a_home_that_can_only_be_read_is_enough_if_it_is_known_there() {
    let place = Place::new();
    told(place.command(CREATE, &place.state()));
    for (state, known) in [(place.state(), true), (place.temp.path().join("empty"), false)] {
        fs::create_dir_all(&state).unwrap();
        let Some(command) = reader(&place, &place.command(MEMBERS, &state), &state) else { return };
        let told = told(command);
        assert_eq!(told.is_empty(), known, "{told}");
        assert_eq!(told.contains("for this command only"), !known, "{told}");
    }
    assert_eq!(place.nodes(), 2.0);
}

/// The command as somebody else, who may get at everything that it needs; `None` where that can't
/// be had.
fn somebody(place: &Place, inner: &Command, user: &str) -> Option<Command> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("SKIPPED: another user's command, for want of root's rights");
        return None;
    }
    fs::set_permissions(&place.temp, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(place.temp.path().join("registry"), fs::Permissions::from_mode(0o755))
        .unwrap();
    let binary = place.temp.path().join("xlreg");
    if !binary.exists() {
        fs::copy(inner.get_program(), &binary).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--clear-groups"]).arg(binary);
    Some(like(inner, command))
}

/// The command as somebody who may read this directory and no more.
fn reader(place: &Place, inner: &Command, dir: &Path) -> Option<Command> {
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()) {
            match entry.is_dir() {
                true => dirs.push(entry),
                false => fs::set_permissions(entry, fs::Permissions::from_mode(0o444)).unwrap(),
            }
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o555)).unwrap();
    }
    match fs::metadata("/proc/self").unwrap().uid() {
        0 => somebody(place, inner, "65534"),
        _ => Some(like(inner, Command::new(inner.get_program()))),
    }
}

/// With the same arguments and surroundings.
fn like(inner: &Command, mut command: Command) -> Command {
    command.args(inner.get_args()).envs(inner.get_envs().filter_map(|(k, v)| Some((k, v?))));
    command.current_dir(inner.get_current_dir().unwrap());
    command
}

#[test]
fn a_damaged_identity_is_not_replaced_in_silence() {
    let place = Place::new();
    told(place.command(CREATE, &place.state()));
    let dir = kept(&place.state()).pop_first().unwrap();
    fs::remove_file(dir.join("id")).unwrap();
    let output = place.command(MEMBERS, &place.state()).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(&format!("{}/id", dir.display())), "{message}");
    assert!(message.contains(&format!("if {} cannot be restored, remove it", dir.display())));
    assert_eq!(place.nodes(), 1.0);
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(told(place.command(MEMBERS, &place.state())), "");
}

/// It is also what asks a registry whose kind is not known, and to those every record must be one
/// segment.
#[test]
fn its_member_record_fits_into_a_segment() {
    const SEGMENT: usize = 1200;
    let place = Place::new();
    told(place.command(CREATE, &place.state()));
    let identity = Identity::load(&kept(&place.state()).pop_first().unwrap()).unwrap();
    for name in [name(), "n".repeat(Name::MAX_LEN).parse().unwrap()] {
        let identity = Identity { name, ..identity.clone() };
        let token = identity.token(MemberAttrs::EPHEMERAL, Vec::new(), &mut Seeded(1)).unwrap();
        let record = member_record(token);
        assert!(record <= SEGMENT, "{record} bytes");
    }
}

fn name() -> Name {
    "guest".parse().unwrap()
}

/// The size of the record in which a client presents this token.
fn member_record(token: Token) -> usize {
    let keys = &KEYS.comms[0];
    let now = Instant::EPOCH;
    let mut server = Session::<Server>::new(now, ServerConfig::new(keys.public_key()), Seeded(2));
    let credential = Credential {
        name: name(),
        id: token.id.unwrap(),
        comms_key: keys.public_key().clone(),
        sig_key: token.sig_key.clone(),
        end_points: Vec::new(),
        version: Version::REFERENCE,
    };
    let config = ClientConfig::new(&credential);
    let mut client = Session::<Client>::new(now, config, Seeded(3)).unwrap();
    let hello = client.output().to_vec();
    client.consume_output(hello.len());
    server.receive(now, &hello);
    let Ok(Some(ServerEvent::Hello(hello))) = server.poll_event() else { panic!("no Hello") };
    server.open_hello(now, hello.open(keys, &mut Seeded(4))).unwrap();
    client.receive(now, server.output());
    assert!(matches!(client.poll_event(), Ok(Some(ClientEvent::Connected { .. }))));
    client.register(now, token).unwrap();
    client.output().len()
}
