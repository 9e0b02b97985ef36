//! A Hello on its way to the registry's comms key and back: what a session hands to its caller.

use alloc::boxed::Box;
use core::fmt;

use rand_core::CryptoRng;

use super::rsa::{self, Hello};
use crate::crypto::{Open, Secret};

/// A Hello as it came over the wire, to be opened with the registry's comms key on whatever thread
/// there is time.
///
/// Dropping it refuses the client: its session stays silent until the deadline of the handshake.
pub struct SealedHello(Box<[u8]>);

impl SealedHello {
    pub(super) fn new(ciphertext: &[u8]) -> Self {
        Self(ciphertext.into())
    }

    /// Opens it: the one private-key operation of a session. `rng` blinds it, and must not be the
    /// session's own.
    ///
    /// Whether it could be opened shows only in what the session says of the result, so that
    /// nothing between here and there can treat the two cases differently.
    pub fn open(&self, key: &dyn Open, rng: &mut dyn CryptoRng) -> OpenedHello {
        let plaintext = key.open(&self.0, rng).ok();
        OpenedHello::from_plaintext(plaintext.as_ref().map(Secret::expose))
    }

    /// The ciphertext itself, for a key that is not behind [`Open`]; see
    /// [`OpenedHello::from_plaintext`].
    pub fn ciphertext(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SealedHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedHello({} bytes)", self.0.len())
    }
}

/// The outcome of opening a Hello; only the session can look inside.
pub struct OpenedHello(Option<Hello>);

impl OpenedHello {
    /// A Hello that was opened elsewhere, in a key vault that takes its time for instance; `None`
    /// if it could not be.
    pub fn from_plaintext(plaintext: Option<&[u8]>) -> Self {
        Self(plaintext.and_then(rsa::parse))
    }

    /// What the Hello says; `None` if it could not be opened or says nothing.
    pub(super) fn into_hello(self) -> Option<Hello> {
        self.0
    }
}

impl fmt::Debug for OpenedHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenedHello")
    }
}
