//! The handshake: from the first byte of a connection to its record layer (PROTOCOL 3).
//!
//! A dialect has a file here, and implements [`Handshake`] for each side. A client picks by its
//! configuration ([`start`]), a registry by the first bytes that arrive ([`Listen`]). Nobody else
//! asks which one it is.
//!
//! The two deployed dialects share the way ([`rsa`]): the client seals a one-shot key to the
//! registry's comms key, the registry answers with the session key under it.

mod chained;
mod dialect;
mod hello;
mod prefixed;
mod rsa;
#[cfg(test)]
pub(super) mod trial;

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::CryptoRng;

pub use dialect::{Dialect, UnknownDialect};
pub use hello::{OpenedHello, SealedHello};

use rsa::{RsaClient, RsaServer};

use super::buffer::Buffer;
use super::client::ClientConfig;
use super::error::{CommandError, Error};
use super::record::RecordLayer;
use super::server::ServerConfig;
use crate::crypto::SealError;
use crate::identity::Version;

/// One side's handshake, in one dialect.
pub(super) trait Handshake: Send {
    /// Bytes of input that have a use now.
    fn room(&self) -> usize;

    /// Goes one step, with what has arrived, and appends what is to be said.
    ///
    /// # Errors
    ///
    /// [`Error::Handshake`]; the peer is told nothing.
    fn advance(&mut self, wire: Wire<'_>) -> Result<Progress, Error>;

    /// Goes on with the Hello that it has handed out.
    ///
    /// # Errors
    ///
    /// [`CommandError::NoHello`] if it waits for none; nothing has changed then.
    fn open(&mut self, _: OpenedHello, _: Wire<'_>) -> Result<Progress, CommandError> {
        Err(CommandError::NoHello)
    }
}

/// What a handshake works with.
pub(super) struct Wire<'a> {
    pub(super) input: &'a mut Buffer,
    /// What is appended here goes out as one message.
    pub(super) output: &'a mut Vec<u8>,
    pub(super) rng: &'a mut dyn CryptoRng,
    /// Bytes in one message, once there are records.
    pub(super) limit: usize,
}

/// How far a handshake has come by one step.
pub(super) enum Progress {
    /// It waits: for more input, or for its caller.
    Waiting,
    /// A Hello is to be opened by the caller.
    Hello(SealedHello),
    /// The dialect is known by the first bytes: this handshake goes on with them.
    Dialect(Box<dyn Handshake>),
    /// It is complete.
    Complete(Channel),
}

/// What a handshake makes.
pub struct Channel {
    pub(super) dialect: Dialect,
    pub(super) peer_version: Version,
    pub(super) records: Box<dyn RecordLayer>,
    /// A value that both sides have, and no other session: what is signed over it holds in this
    /// session only. The deployed dialects have none.
    #[cfg_attr(not(test), allow(dead_code, reason = "for the dialect `noise` (PROTOCOL-2 9.2)"))]
    pub(super) binding: Option<[u8; 32]>,
}

/// A client's first message and the handshake after it.
type Start = (Vec<u8>, Box<dyn Handshake>);

/// Starts a client's handshake.
pub(super) fn start(config: &ClientConfig, rng: &mut dyn CryptoRng) -> Result<Start, SealError> {
    match config.dialect {
        Dialect::Prefixed => RsaClient::start(&prefixed::Prefixed, config, rng),
        Dialect::Chained => RsaClient::start(&chained::Chained, config, rng),
        #[cfg(test)]
        Dialect::Trial => Ok(trial::TrialClient::start(config, rng)),
    }
}

/// A registry's handshake, which the first bytes choose.
pub(super) enum Listen {
    /// They have not come.
    FirstBytes(ServerConfig),
    /// They are those of a Hello for RSA.
    Rsa(RsaServer),
}

/// A dialect that is known by its first bytes. Whatever starts otherwise is a Hello for RSA, whose
/// dialect shows when it is opened.
struct Opening {
    magic: &'static [u8],
    listen: fn(&ServerConfig) -> Box<dyn Handshake>,
}

/// The dialects that are known by their first bytes.
const OPENINGS: &[Opening] = &[
    #[cfg(test)]
    trial::OPENING,
];

impl Handshake for Listen {
    fn room(&self) -> usize {
        match self {
            Self::FirstBytes(config) => {
                let magics = OPENINGS.iter().map(|opening| opening.magic.len());
                magics.fold(config.hello_len, usize::max)
            }
            Self::Rsa(rsa) => rsa.room(),
        }
    }

    fn advance(&mut self, wire: Wire<'_>) -> Result<Progress, Error> {
        let config = match self {
            Self::FirstBytes(config) => config,
            Self::Rsa(rsa) => return rsa.advance(wire),
        };
        let first = wire.input.as_slice();
        for opening in OPENINGS {
            if first.starts_with(opening.magic) {
                return Ok(Progress::Dialect((opening.listen)(config)));
            }
            if opening.magic.starts_with(first) {
                return Ok(Progress::Waiting);
            }
        }
        *self = Self::Rsa(RsaServer::new(config));
        self.advance(wire)
    }

    fn open(&mut self, opened: OpenedHello, wire: Wire<'_>) -> Result<Progress, CommandError> {
        match self {
            Self::FirstBytes(_) => Err(CommandError::NoHello),
            Self::Rsa(rsa) => rsa.open(opened, wire),
        }
    }
}
