//! Keys for tests, identities with them, and all RSA providers.

pub mod forms;

use std::sync::LazyLock;

#[cfg(feature = "aws-lc-rs")]
use xlreg::crypto::AwsLc;
use xlreg::crypto::{Provider, RustCrypto};
use xlreg::identity::{CommsKeyPair, Identity, SigKeyPair};

use crate::captures;

/// All RSA providers.
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

/// All 2048-bit key pairs of the captures, so that tests need not generate any.
pub struct Keys {
    pub comms: Vec<CommsKeyPair>,
    pub sig: Vec<SigKeyPair>,
}

/// The key pairs of the captures, read once.
pub static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let mut keys = Keys { comms: Vec::new(), sig: Vec::new() };
    for capture in captures::all() {
        for identity in capture.identities.into_values().chain([capture.server]) {
            keys.comms.push(identity.comms);
            keys.sig.push(identity.sig);
        }
    }
    keys
});

/// Makes an identity with the `n`-th key pairs of the captures, and without an ID.
pub fn identity(name: &str, n: usize) -> Identity {
    Identity {
        name: name.parse().unwrap(),
        id: None,
        comms: KEYS.comms[n % KEYS.comms.len()].clone(),
        sig: KEYS.sig[n % KEYS.sig.len()].clone(),
    }
}
