//! A dialect for [a test](crate::session::trial), which differs from the deployed ones in
//! everything that may differ: it has a magic, a handshake of three messages, and a value that both
//! sides share with no other session. It protects nothing.
//!
//! ```text
//! Hello:       magic[8] | nonce1[32] | version1[4]
//! HelloReply:  nonce2[32] | version2[4] | tag[16]
//! Finish:      tag[16]
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};

use super::{Channel, Dialect, Handshake, Opening, Progress, Start, Wire};
use crate::identity::Version;
use crate::session::client::ClientConfig;
use crate::session::error::Error;
use crate::session::record::trial::Trial as Records;
use crate::session::server::ServerConfig;

/// The first bytes of a Hello of this dialect.
const MAGIC: &[u8; 8] = b"trial\0\r\n";
const HELLO_LEN: usize = 44;
const REPLY_LEN: usize = 52;
const FINISH_LEN: usize = 16;

/// The row by which a registry knows this dialect.
pub(super) const OPENING: Opening = Opening {
    magic: MAGIC,
    listen: |config| {
        Box::new(TrialServer { version: config.version, limits: config.clone(), step: Step::Hello })
    },
};

/// A digest of these parts.
fn digest(label: &str, transcript: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(label).chain_update(transcript).finalize().into()
}

fn tag(label: &str, transcript: &[u8]) -> Option<[u8; 16]> {
    digest(label, transcript).first_chunk().copied()
}

/// The channel that follows from the first two messages.
fn channel(transcript: &[u8], peer: Version, sends: [&str; 2], limit: usize) -> Channel {
    let [ours, theirs] = sends.map(|direction| digest(direction, transcript));
    Channel {
        dialect: Dialect::Trial,
        peer_version: peer,
        records: Box::new(Records::new(ours, theirs, limit)),
        binding: Some(digest("binding", transcript)),
    }
}

/// A client's side.
pub(super) struct TrialClient {
    transcript: Vec<u8>,
}

impl TrialClient {
    pub(super) fn start(config: &ClientConfig, rng: &mut dyn CryptoRng) -> Start {
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let transcript = [&MAGIC[..], &nonce, &config.version.to_bytes()].concat();
        (transcript.clone(), Box::new(Self { transcript }))
    }
}

impl Handshake for TrialClient {
    fn room(&self) -> usize {
        REPLY_LEN
    }

    fn advance(&mut self, wire: Wire<'_>) -> Result<Progress, Error> {
        let Some(reply) = wire.input.as_slice().first_chunk::<REPLY_LEN>() else {
            return Ok(Progress::Waiting);
        };
        let (said, proof) = reply.split_first_chunk::<36>().ok_or(Error::Handshake)?;
        self.transcript.extend_from_slice(said);
        let version = Version::from_bytes(*said.last_chunk().ok_or(Error::Handshake)?);
        if tag("reply", &self.transcript).ok_or(Error::Handshake)? != *proof {
            return Err(Error::Handshake);
        }
        wire.input.consume(REPLY_LEN);
        wire.output.extend_from_slice(&tag("finish", &self.transcript).ok_or(Error::Handshake)?);
        let sends = ["client", "server"];
        Ok(Progress::Complete(channel(&self.transcript, version, sends, wire.limit)))
    }
}

/// A registry's side.
struct TrialServer {
    version: Version,
    limits: ServerConfig,
    step: Step,
}

/// The client's next message.
enum Step {
    Hello,
    Finish { transcript: Vec<u8>, version: Version },
}

impl Handshake for TrialServer {
    fn room(&self) -> usize {
        match self.step {
            Step::Hello => HELLO_LEN,
            // A message may follow in the same flight.
            Step::Finish { .. } => FINISH_LEN.max(self.limits.limits.record),
        }
    }

    fn advance(&mut self, wire: Wire<'_>) -> Result<Progress, Error> {
        match &self.step {
            Step::Hello => {
                let Some(hello) = wire.input.as_slice().first_chunk::<HELLO_LEN>() else {
                    return Ok(Progress::Waiting);
                };
                let version = Version::from_bytes(*hello.last_chunk().ok_or(Error::Handshake)?);
                let mut transcript = hello.to_vec();
                wire.input.consume(HELLO_LEN);
                let mut nonce = [0; 32];
                wire.rng.fill_bytes(&mut nonce);
                transcript.extend_from_slice(&nonce);
                transcript.extend_from_slice(&self.version.to_bytes());
                wire.output.extend_from_slice(&nonce);
                wire.output.extend_from_slice(&self.version.to_bytes());
                let proof = tag("reply", &transcript).ok_or(Error::Handshake)?;
                wire.output.extend_from_slice(&proof);
                self.step = Step::Finish { transcript, version };
                Ok(Progress::Waiting)
            }
            Step::Finish { transcript, version } => {
                let Some(proof) = wire.input.as_slice().first_chunk::<FINISH_LEN>() else {
                    return Ok(Progress::Waiting);
                };
                if tag("finish", transcript).ok_or(Error::Handshake)? != *proof {
                    return Err(Error::Handshake);
                }
                wire.input.consume(FINISH_LEN);
                let sends = ["server", "client"];
                Ok(Progress::Complete(channel(transcript, *version, sends, wire.limit)))
            }
        }
    }
}
