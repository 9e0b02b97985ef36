//! One connection of a deployed server, which takes the bytes of each read for one record.

use xlreg::session::Dialect;

use super::{Cause, DeployedServer, Member};
use crate::peer::{Msg, Peer, unpad};

/// The largest number of bytes in one read.
pub const READ: usize = 16 * 1024;

/// The result of one read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server writes these bytes with one write, and reads again.
    Reply(Vec<u8>),
    /// The server writes these bytes, if any, and closes the connection.
    Close(Vec<u8>),
    /// The process ends, with all connections and clusters.
    Died(Cause),
}

/// The stage of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Hello,
    Open,
    Known,
    Created,
    Joined,
    Bye,
    Over,
}

/// The reason why a message gets no answer.
pub(super) enum End {
    /// The server sends a refusal and closes.
    Refused(String),
    /// The server closes without a message.
    Closed,
    Died(Cause),
}

impl From<Cause> for End {
    fn from(cause: Cause) -> Self {
        Self::Died(cause)
    }
}

/// The server's side of one connection.
pub struct Connection {
    pub(super) number: usize,
    life: usize,
    pub(super) stage: Stage,
    peer: Option<Peer>,
    pub(super) member: Option<Member>,
    /// The ID of the cluster that this session has made.
    pub(super) made: Option<Vec<u8>>,
}

impl Connection {
    pub(super) fn new(number: usize, life: usize) -> Self {
        Self { number, life, stage: Stage::Hello, peer: None, member: None, made: None }
    }

    /// Handles the bytes of one read.
    pub fn segment(&mut self, server: &mut DeployedServer, bytes: &[u8]) -> Outcome {
        assert!((1..=READ).contains(&bytes.len()), "no read brings {} bytes", bytes.len());
        if self.stage == Stage::Over || self.life != server.life() {
            return Outcome::Close(Vec::new());
        }
        let (reply, is_last) = match self.take(server, bytes) {
            Ok(reply) => (reply, false),
            Err(End::Refused(words)) => {
                (self.seal(&Msg::new().varint(1, 13).bytes(23, words)), true)
            }
            Err(End::Closed) => {
                self.stage = Stage::Over;
                return Outcome::Close(Vec::new());
            }
            Err(End::Died(cause)) => {
                server.die(cause.clone());
                return Outcome::Died(cause);
            }
        };
        let (goes_out, goes_on) = server.reply();
        let reply = if goes_out { reply } else { Vec::new() };
        if is_last || !goes_on {
            self.stage = Stage::Over;
            return Outcome::Close(reply);
        }
        Outcome::Reply(reply)
    }

    fn take(&mut self, server: &mut DeployedServer, bytes: &[u8]) -> Result<Vec<u8>, End> {
        match self.stage {
            Stage::Hello => self.hello(server, bytes),
            Stage::Bye => Err(Cause::AfterBye.into()),
            _ => {
                let message = self.open(server, bytes)?;
                let reply = self.answer(server, &message)?;
                Ok(self.seal(&reply))
            }
        }
    }

    fn hello(&mut self, server: &mut DeployedServer, bytes: &[u8]) -> Result<Vec<u8>, End> {
        let Some(plain) = server.open_hello(bytes) else { return Err(End::Closed) };
        let dialect = server.dialect();
        let hello = match dialect {
            // A chained Hello is longer. The rest is ignored.
            Dialect::Prefixed => plain.get(..44).ok_or(End::Closed)?,
            Dialect::Chained => plain.get(..60).ok_or(Cause::ShortHello { bytes: plain.len() })?,
        };
        let (version, secrets) = (server.ways.version, server.secrets());
        let (peer, reply) = Peer::answering_with(dialect, hello, version, &secrets);
        self.peer = Some(peer);
        self.stage = Stage::Open;
        Ok(reply)
    }

    /// Decrypts a read. Two records in one read are decrypted as one.
    fn open(&mut self, server: &DeployedServer, bytes: &[u8]) -> Result<Msg, End> {
        if !bytes.len().is_multiple_of(16) {
            return Err(Cause::NotWholeBlocks { bytes: bytes.len() }.into());
        }
        let has_data = bytes.len() > 16 || server.dialect() == Dialect::Chained;
        let blocks = if has_data { self.peer().open_blocks(bytes) } else { Vec::new() };
        let unlucky = |cause: Cause| match server.ways.unlucky {
            true => End::Died(cause),
            false => End::Closed,
        };
        let message = unpad(&blocks).ok_or_else(|| unlucky(Cause::NoPadding))?;
        Msg::try_decode(message).ok_or_else(|| unlucky(Cause::NoMessage))
    }

    fn seal(&mut self, message: &Msg) -> Vec<u8> {
        self.peer().seal(&message.encode())
    }

    fn peer(&mut self) -> &mut Peer {
        self.peer.as_mut().expect("records come after the handshake")
    }
}
