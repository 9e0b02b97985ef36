//! The handshake of the deployed dialects, both sides (PROTOCOL 3).
//!
//! 1. The client draws a one-shot key. It seals the key and its own version to the registry's comms
//!    key: the Hello ([`RsaClient::start`]), as long as the key's modulus.
//! 2. The registry opens the Hello. That is the one expensive step, so the session leaves it to its
//!    caller ([`SealedHello::open`]). The length of the plaintext tells the dialect ([`parse`]).
//! 3. The registry draws the session key and sends it under the one-shot key: the HelloReply.
//! 4. The client checks the HelloReply. Both sides have the session key now.

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    Channel, Handshake, OpenedHello, Progress, SealedHello, Start, Wire, chained, prefixed,
};
use crate::crypto::SealError;
use crate::identity::Version;
use crate::session::cipher::Key;
use crate::session::client::ClientConfig;
use crate::session::error::{CommandError, Error};
use crate::session::server::ServerConfig;

/// Bytes that are wiped when dropped.
pub(super) type Plain = Zeroizing<Vec<u8>>;

/// The contents of Hello and HelloReply in one deployed dialect.
pub(super) trait Form: Sync {
    /// The length of a HelloReply, in bytes.
    fn reply_len(&self) -> usize;

    /// Draws the one-shot secrets, in the order of PROTOCOL 3.3. Writes them and the client's
    /// version as the plaintext of a Hello.
    fn draw_hello(&self, version: Version, rng: &mut dyn CryptoRng) -> (OneShot, Plain);

    /// Reads the plaintext of a Hello; `None` if it is not of this dialect.
    fn parse_hello(&self, plain: &[u8]) -> Option<(OneShot, Version)>;

    /// Draws the session key, in the order of PROTOCOL 3.3, and appends the HelloReply.
    fn answer(&self, hello: Hello, version: Version, wire: Wire<'_>) -> Channel;

    /// Reads a HelloReply of [`reply_len`](Self::reply_len) bytes; `None` if it is not valid.
    /// `limit` is the largest message of the record layer, in bytes.
    fn accept(&self, secrets: &OneShot, reply: &[u8], limit: usize) -> Option<Channel>;
}

/// The forms of all deployed dialects.
const FORMS: [&dyn Form; 2] = [&prefixed::Prefixed, &chained::Chained];

/// The secrets of one handshake.
pub(super) struct OneShot {
    /// The IV of the HelloReply; zero in the prefixed dialect, whose Hello has none.
    pub(super) iv1: [u8; 16],
    pub(super) key1: Key,
    pub(super) salt1: [u8; 8],
}

/// A Hello that was opened.
pub(super) struct Hello {
    form: &'static dyn Form,
    pub(super) secrets: OneShot,
    pub(super) version: Version,
}

/// Reads the plaintext of a Hello. Its length shows the dialect (PROTOCOL 3).
pub(super) fn parse(plain: &[u8]) -> Option<Hello> {
    FORMS.into_iter().find_map(|form| {
        let (secrets, version) = form.parse_hello(plain)?;
        Some(Hello { form, secrets, version })
    })
}

/// A client's side, from Hello to HelloReply.
pub(in crate::session) struct RsaClient {
    form: &'static dyn Form,
    secrets: OneShot,
}

impl RsaClient {
    /// Draws the secrets, and seals them into a Hello.
    pub(super) fn start(
        form: &'static dyn Form,
        config: &ClientConfig,
        rng: &mut dyn CryptoRng,
    ) -> Result<Start, SealError> {
        let (secrets, plain) = form.draw_hello(config.version, rng);
        let hello = config.provider.seal(config.registry_key.components(), &plain, rng)?;
        Ok((hello, Box::new(Self { form, secrets })))
    }
}

impl Handshake for RsaClient {
    fn room(&self) -> usize {
        // Nothing may follow a HelloReply unasked, so no more than its length is taken.
        self.form.reply_len()
    }

    fn advance(&mut self, wire: Wire<'_>) -> Result<Progress, Error> {
        let len = self.form.reply_len();
        let Some(reply) = wire.input.as_slice().get(..len) else { return Ok(Progress::Waiting) };
        let channel = self.form.accept(&self.secrets, reply, wire.limit);
        wire.input.consume(len);
        channel.map(Progress::Complete).ok_or(Error::Handshake)
    }
}

/// A registry's side, from Hello to HelloReply.
pub(in crate::session) struct RsaServer {
    hello_len: usize,
    version: Version,
    step: Step,
}

/// The step of a registry's side.
enum Step {
    /// The Hello has not arrived.
    Awaited,
    /// The caller has the Hello.
    Opening,
    /// The Hello could not be opened.
    Refused,
    /// The HelloReply is queued.
    Answered,
}

impl RsaServer {
    pub(super) const fn new(config: &ServerConfig) -> Self {
        Self { hello_len: config.hello_len, version: config.version, step: Step::Awaited }
    }

    /// Whether the Hello has not arrived.
    pub(super) const fn awaits_hello(&self) -> bool {
        matches!(self.step, Step::Awaited)
    }
}

impl Handshake for RsaServer {
    fn room(&self) -> usize {
        match self.step {
            Step::Awaited => self.hello_len,
            // The client does not know the session key yet, so it can send nothing of use.
            Step::Opening | Step::Refused | Step::Answered => 0,
        }
    }

    fn advance(&mut self, wire: Wire<'_>) -> Result<Progress, Error> {
        match self.step {
            Step::Awaited => {
                let input = wire.input.as_slice();
                let Some(hello) = input.get(..self.hello_len) else { return Ok(Progress::Waiting) };
                let hello = SealedHello::new(hello);
                wire.input.consume(self.hello_len);
                self.step = Step::Opening;
                Ok(Progress::Hello(hello))
            }
            Step::Opening => Ok(Progress::Waiting),
            Step::Refused => Err(Error::Handshake),
            Step::Answered => {
                debug_assert!(false, "a handshake that is complete is not asked again");
                Err(Error::Internal("the handshake is complete"))
            }
        }
    }

    fn open(&mut self, opened: OpenedHello, wire: Wire<'_>) -> Result<Progress, CommandError> {
        if !matches!(self.step, Step::Opening) {
            return Err(CommandError::NoHello);
        }
        Ok(match opened.into_hello() {
            // The client is told nothing. `advance` tells the caller.
            None => {
                self.step = Step::Refused;
                Progress::Waiting
            }
            Some(hello) => {
                self.step = Step::Answered;
                Progress::Complete(hello.form.answer(hello, self.version, wire))
            }
        })
    }
}
