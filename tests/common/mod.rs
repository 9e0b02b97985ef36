//! What the tests share: the captures, generators with known draws, keys that need not be
//! generated.

#![allow(dead_code, unused_imports, reason = "each test crate uses its own part of this")]

pub mod key_forms;
pub mod mutants;
mod no_rsa;
pub mod pair;
pub mod raw;
mod seeded;
pub mod spellings;
pub mod vectors;
pub mod wire;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use rand_core::{TryCryptoRng, TryRng};
use xlreg::adapter::{DriveError, Driver, Timer, Transport};
#[cfg(feature = "aws-lc-rs")]
use xlreg::crypto::AwsLc;
use xlreg::crypto::{Provider, RustCrypto};
use xlreg::identity::{CommsKeyPair, Identity, SigKeyPair};
use xlreg::session::Machine;

pub use seeded::Seeded;

/// Hands out given bytes and nothing else: a test that draws more, or in another order, fails.
pub struct Script(VecDeque<u8>);

impl Script {
    pub fn new(bytes: impl IntoIterator<Item = u8>) -> Self {
        Self(bytes.into_iter().collect())
    }
}

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            *byte = self.0.pop_front().expect("a draw beyond the captured ones");
        }
        Ok(())
    }
}

impl TryCryptoRng for Script {}

/// Every event of a machine, and how it ended.
type Told<M, T> = (
    Vec<<M as Machine>::Event>,
    Result<(), DriveError<<M as Machine>::Error, <T as Transport>::Error>>,
);

/// Drives a machine until it ends.
pub fn to_the_end<M: Machine, T: Transport, C: Timer>(mut driver: Driver<M, T, C>) -> Told<M, T> {
    let mut events = Vec::new();
    loop {
        match driver.next_event() {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, Ok(())),
            Err(error) => return (events, Err(error)),
        }
    }
}

/// Every provider of RSA there is.
pub fn providers() -> Vec<&'static dyn Provider> {
    vec![
        &RustCrypto,
        #[cfg(feature = "aws-lc-rs")]
        {
            static AWS_LC: LazyLock<AwsLc> = LazyLock::new(|| AwsLc::new().unwrap());
            &*AWS_LC
        },
    ]
}

/// Every 2048-bit key pair of the captures, so that tests need not generate any.
pub struct Keys {
    pub comms: Vec<CommsKeyPair>,
    pub sig: Vec<SigKeyPair>,
}

pub static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let mut keys = Keys { comms: Vec::new(), sig: Vec::new() };
    for capture in vectors::all() {
        for identity in capture.identities.into_values().chain([capture.server]) {
            keys.comms.push(identity.comms);
            keys.sig.push(identity.sig);
        }
    }
    keys
});

/// An identity with the `n`-th key pairs of the captures, without an ID.
pub fn identity(name: &str, n: usize) -> Identity {
    Identity {
        name: name.parse().unwrap(),
        id: None,
        comms: KEYS.comms[n % KEYS.comms.len()].clone(),
        sig: KEYS.sig[n % KEYS.sig.len()].clone(),
    }
}

/// What a tool says that is run in a directory; `None`, loudly, where there is none. CI has them
/// all. A word `''` is empty.
pub fn run_tool(dir: &Path, command: &str) -> Option<String> {
    let mut words = command.split(' ').map(|word| word.trim_matches('\''));
    let mut tool = Command::new(words.next()?);
    match tool.args(words).current_dir(dir).output() {
        Ok(output) => {
            assert!(output.status.success(), "{command}: {output:?}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{command}: {error}; ci/install installs it");
            // Past the capture of the test harness, so that it shows when the test passes.
            let skipped = format!("SKIPPED: not here: {command}: {error}\n");
            std::io::stderr().write_all(skipped.as_bytes()).unwrap();
            None
        }
    }
}
