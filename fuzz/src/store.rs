//! The store on SQLite under random changes, kills and damage. What was committed is there when it
//! is opened again, or it is refused; it is never another state, and never a panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use xlreg::identity::{NodeId, Token};
use xlreg::message::{ClusterInfo, MemberIndex};
use xlreg::registry::{Change, Day, Registry, RegistryLimits};
use xlreg_server::store::{CounterTrust, Log, Sqlite};
use xlreg_testkit::captures::credential;
use xlreg_testkit::pair::token;

use crate::input::Input;

/// The number of operations in a script.
const MOST: usize = 48;

/// The parts of a store on disk, by what their names end in. The file `-shm` is made anew.
const PARTS: [&str; 3] = ["", "-wal", ".commits"];

/// A script of operations of one byte with their operands.
pub fn store(data: &[u8]) {
    let input = &mut Input::new(data);
    let place = Place::new();
    let path = place.path("store");
    Sqlite::create(&path, credential().id, []).unwrap();
    let mut state = Registry::new(credential(), RegistryLimits::NONE);
    let mut log = open(&path, &state).expect("it was just made");
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        match input.byte() % 10 {
            0..=4 => commit(&mut log, &mut state, input),
            // A stop and a start.
            5 => {
                drop(log);
                log = open(&path, &state).expect("nothing has happened to it");
            }
            // The log is moved into the file.
            6 => log.tidy(),
            7 => killed_in_a_commit(&place, &mut log, &mut state, input),
            8 => killed_in_a_checkpoint(&place, &mut log, &state, input),
            _ => damaged(&place, &state, input),
        }
    }
    // A kill leaves what is there now.
    let copy = place.copy("store", "last");
    open(&copy, &state).expect("a kill loses nothing");
}

/// A folder of one script, which goes with it.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // In memory, so that a script takes little time.
        let shared = Path::new("/dev/shm");
        let root = if shared.is_dir() { shared.into() } else { std::env::temp_dir() };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = root.join(format!("xlreg-fuzz-{}-{number}", std::process::id()));
        fs::create_dir(&place).unwrap();
        Self(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Copies a store as a kill at this moment would leave it.
    fn copy(&self, from: &str, to: &str) -> PathBuf {
        for part in PARTS {
            let to = self.path(&format!("{to}{part}"));
            match fs::read(self.path(&format!("{from}{part}"))) {
                Ok(bytes) => fs::write(to, bytes).unwrap(),
                Err(_) => drop(fs::remove_file(to)),
            }
        }
        let _ = fs::remove_file(self.path(&format!("{to}-shm")));
        self.path(to)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_default()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Opens a store. It is refused, or it has this state.
fn open(path: &Path, state: &Registry) -> Option<Sqlite> {
    open_one_of(path, &[state])
}

/// Opens a store. It is refused, or it has one of these states.
fn open_one_of(path: &Path, states: &[&Registry]) -> Option<Sqlite> {
    let mut registry = Registry::new(credential(), RegistryLimits::NONE);
    let log = match Sqlite::open(path, &mut registry, CounterTrust::Needed) {
        Ok(log) => log,
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 4096 && text.contains(path.to_str().unwrap()), "{text}");
            return None;
        }
    };
    let same = states.iter().find(|state| ***state == registry).expect("it has another state");
    assert_eq!(same.size(), registry.size(), "it counts otherwise");
    Some(log)
}

/// Commits some changes that follow from the state.
fn commit(log: &mut Sqlite, state: &mut Registry, input: &mut Input<'_>) {
    let mut changes = Vec::new();
    for _ in 0..=input.byte() % 4 {
        let change = change(state, input);
        if state.apply(&change).is_ok() {
            changes.push(change);
        }
    }
    log.commit(&changes).expect("the disk is fine");
}

/// A kill while the system calls of a commit are made: of what they write, some bytes are there and
/// others are not. The commit is there whole, or not at all.
fn killed_in_a_commit(
    place: &Place,
    log: &mut Sqlite,
    state: &mut Registry,
    input: &mut Input<'_>,
) {
    let before = state.clone();
    place.copy("store", "killed");
    let old = place.read("store-wal");
    commit(log, state, input);
    let mut new = place.read("store-wal");
    // What was in the log before was flushed, unless the log begins anew.
    let begins_anew = new.len() <= old.len();
    let written = new.iter().zip(&old).position(|(new, old)| new != old);
    let from = if begins_anew { written.unwrap_or(new.len()) } else { old.len() };
    let at = from + input.short() % (new.len() - from + 1);
    match input.byte() % 3 {
        // The end is missing.
        0 => new.truncate(at.max(from)),
        // Something else is there, as a file system leaves it.
        1 => new[at..].fill(0),
        // A block in the middle is missing.
        _ => {
            let end = new.len().min(at + 512);
            new[at..end].fill(0);
        }
    }
    if begins_anew {
        // The rest of the old log is still there.
        new.extend(old.get(new.len()..).unwrap_or_default());
    }
    place.write("killed-wal", &new);
    assert!(open_one_of(&place.path("killed"), &[&before, state]).is_some(), "a kill ends it");
}

/// A kill while the log is moved into the file: some blocks are moved and others are not.
fn killed_in_a_checkpoint(
    place: &Place,
    log: &mut Sqlite,
    state: &Registry,
    input: &mut Input<'_>,
) {
    place.copy("store", "killed");
    let mut file = place.read("killed");
    log.checkpoint_at(0);
    log.tidy();
    let moved = place.read("store");
    file.resize(moved.len().max(file.len()), 0);
    let pattern = input.byte();
    for (n, (block, moved)) in file.chunks_mut(512).zip(moved.chunks(512)).enumerate() {
        if pattern >> (n % 8) & 1 == 1 {
            block[..moved.len()].copy_from_slice(moved);
        }
    }
    place.write("killed", &file);
    open(&place.path("killed"), state).expect("the log has all that was being moved");
}

/// Damage to one file: it is refused, or it makes no difference.
fn damaged(place: &Place, state: &Registry, input: &mut Input<'_>) {
    let copy = place.copy("store", "damaged");
    let name = format!("damaged{}", PARTS[usize::from(input.byte()) % PARTS.len()]);
    let mut bytes = place.read(&name);
    for _ in 0..=input.byte() % 3 {
        let at = input.short() * 31 % (bytes.len() + 1);
        match input.byte() % 4 {
            0 => bytes.truncate(at),
            1 => bytes.extend(input.sized()),
            kind => {
                let end = bytes.len().min(at + if kind == 2 { 1 } else { 4096 });
                let with = input.byte();
                bytes[at..end].iter_mut().for_each(|byte| *byte ^= with);
            }
        }
    }
    place.write(&name, &bytes);
    open(&copy, state);
}

fn node_id(n: u8) -> NodeId {
    [n % 4; 20].into()
}

fn cluster_id(n: u8) -> NodeId {
    [n % 4; 32].into()
}

/// The members' tokens: the first number is of the key, the second one of what else they say.
fn member(n: u8, variant: u8) -> Token {
    static TOKENS: OnceLock<Vec<Token>> = OnceLock::new();
    let tokens = TOKENS.get_or_init(|| {
        let ends = ["h:1", "a.longer.host.example:65535", "127.0.0.1:1"];
        let made =
            (0..4_usize).flat_map(|key| ends.map(|end| token(&format!("n{key}"), key, &[end])));
        made.collect()
    });
    let token = &tokens[usize::from(n % 4) * 3 + usize::from(variant % 3)];
    Token { id: Some(node_id(n)), ..token.clone() }
}

/// A change, which may not follow from the state.
fn change(state: &Registry, input: &mut Input<'_>) -> Change {
    let (kind, n, m) = (input.byte(), input.byte(), input.byte());
    let cluster = cluster_id(m);
    match kind % 8 {
        0 | 1 => {
            let day = (m % 2 == 1).then(|| Day::new(m.into()));
            Change::NodeBound { id: node_id(n), key: member(n, 0).sig_key.fingerprint(), day }
        }
        2 => Change::NodeUsed { id: node_id(n), day: Day::new(m.into()) },
        3 => Change::ClusterCreated {
            name: format!("cluster{}", n % 3).parse().unwrap(),
            info: ClusterInfo {
                id: cluster,
                max_size: u32::from(n % 3) + 1,
                attrs: Default::default(),
                end_point_count: 1,
            },
            created_by: (n % 2 == 1).then(|| member(n, 0).sig_key.fingerprint()),
        },
        4 => Change::ClusterDeleted { cluster },
        5 => {
            let parts = (0..n % 4).map(|_| change(state, input));
            Change::All(parts.collect())
        }
        _ => {
            let joined = state.cluster(&cluster).map(|it| it.join(&member(n, kind).into()));
            match joined {
                Some(Ok(joined)) if joined.change.is_some() => joined.change.unwrap(),
                _ => Change::MemberJoined {
                    cluster,
                    index: MemberIndex::new(u32::from(n % 64)).unwrap(),
                    member: member(n, kind).into(),
                },
            }
        }
    }
}
