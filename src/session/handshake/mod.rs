//! The handshake: from the first byte of a connection to its record layer (PROTOCOL 3).
//!
//! Each dialect has a file here, and implements [`Handshake`] for both sides. A client chooses the
//! dialect by its configuration ([`start`]), a registry by the first bytes that arrive
//! ([`Listen`]). No other module asks which dialect it is.
//!
//! The two deployed dialects share their steps ([`rsa`]): the client seals a one-shot key to the
//! registry's comms key, and the registry sends the session key under the one-shot key.

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

/// The handshake of one side, in one dialect.
pub(super) trait Handshake: Send {
    /// How many bytes of input are of use now.
    fn room(&self) -> usize;

    /// Takes one step with what has arrived, and appends what is to be sent.
    ///
    /// # Errors
    ///
    /// [`Error::Handshake`]; the peer is told nothing.
    fn advance(&mut self, wire: Wire<'_>) -> Result<Progress, Error>;

    /// Continues with the Hello that it has handed out.
    ///
    /// # Errors
    ///
    /// [`CommandError::NoHello`] if it waits for no Hello; then nothing has changed.
    fn open(&mut self, _: OpenedHello, _: Wire<'_>) -> Result<Progress, CommandError> {
        Err(CommandError::NoHello)
    }
}

/// What a handshake reads, writes and draws from.
pub(super) struct Wire<'a> {
    pub(super) input: &'a mut Buffer,
    /// Everything that one step appends goes out as one record.
    pub(super) output: &'a mut Vec<u8>,
    pub(super) rng: &'a mut dyn CryptoRng,
    /// The largest message of the record layer, in bytes.
    pub(super) limit: usize,
}

/// The result of one step of a handshake.
pub(super) enum Progress {
    /// The handshake waits for more input, or for its caller.
    Waiting,
    /// The caller is to open a Hello.
    Hello(SealedHello),
    /// The first bytes have shown the dialect, and its handshake takes over.
    Dialect(Box<dyn Handshake>),
    /// The handshake is complete.
    Complete(Channel),
}

/// The result of a complete handshake.
pub struct Channel {
    pub(super) dialect: Dialect,
    pub(super) peer_version: Version,
    pub(super) records: Box<dyn RecordLayer>,
    /// A value that both sides share with no other session. A signature over it is valid in this
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

/// A registry's handshake. The first bytes choose the dialect.
pub(super) struct Listen {
    config: ServerConfig,
    /// The handshake that no first bytes choose. It takes no input before its Hello is all there.
    rsa: RsaServer,
}

/// A dialect that is known by its first bytes. All other bytes begin a Hello for RSA, whose dialect
/// shows when it is opened.
struct Opening {
    magic: &'static [u8],
    listen: fn(&ServerConfig) -> Box<dyn Handshake>,
}

/// All dialects that are known by their first bytes.
const OPENINGS: &[Opening] = &[
    #[cfg(test)]
    trial::OPENING,
];

impl Listen {
    pub(super) const fn new(config: ServerConfig) -> Self {
        Self { rsa: RsaServer::new(&config), config }
    }
}

impl Handshake for Listen {
    fn room(&self) -> usize {
        let magics = OPENINGS.iter().filter(|_| self.rsa.awaits_hello());
        magics.map(|opening| opening.magic.len()).fold(self.rsa.room(), usize::max)
    }

    fn advance(&mut self, wire: Wire<'_>) -> Result<Progress, Error> {
        let first = wire.input.as_slice();
        for opening in OPENINGS.iter().filter(|_| self.rsa.awaits_hello()) {
            if first.starts_with(opening.magic) {
                return Ok(Progress::Dialect((opening.listen)(&self.config)));
            }
            if opening.magic.starts_with(first) {
                return Ok(Progress::Waiting);
            }
        }
        self.rsa.advance(wire)
    }

    fn open(&mut self, opened: OpenedHello, wire: Wire<'_>) -> Result<Progress, CommandError> {
        self.rsa.open(opened, wire)
    }
}
