//! A Hello that the session has handed to its caller, sealed and opened.

use alloc::boxed::Box;
use core::fmt;

use rand_core::CryptoRng;

use super::rsa::{self, Hello};
use crate::crypto::{Open, Secret};

/// A Hello as it came over the wire. Open it with the registry's comms key, on any thread.
///
/// To refuse the client, drop it: the session stays silent until the deadline of the handshake.
pub struct SealedHello(Box<[u8]>);

impl SealedHello {
    pub(super) fn new(ciphertext: &[u8]) -> Self {
        Self(ciphertext.into())
    }

    /// Opens the Hello: the one private-key operation of a session. `rng` blinds the operation, and
    /// must not be the session's own.
    ///
    /// The result does not show whether the Hello could be opened: only the session tells, so that
    /// nothing before it can treat the two cases differently.
    pub fn open(&self, key: &dyn Open, rng: &mut dyn CryptoRng) -> OpenedHello {
        let plaintext = key.open(&self.0, rng).ok();
        OpenedHello::from_plaintext(plaintext.as_ref().map(Secret::expose))
    }

    /// The ciphertext, for a key that is not behind [`Open`]; see [`OpenedHello::from_plaintext`].
    pub fn ciphertext(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SealedHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedHello({} bytes)", self.0.len())
    }
}

/// The result of opening a Hello. Only the session can look inside.
pub struct OpenedHello(Option<Hello>);

impl OpenedHello {
    /// A Hello that was opened elsewhere, for instance in a key vault; `None` if it could not be
    /// opened.
    pub fn from_plaintext(plaintext: Option<&[u8]>) -> Self {
        Self(plaintext.and_then(rsa::parse))
    }

    /// The contents of the Hello; `None` if it could not be opened or has no valid form.
    pub(super) fn into_hello(self) -> Option<Hello> {
        self.0
    }
}

impl fmt::Debug for OpenedHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenedHello")
    }
}
