//! A client of a deployed server that says whatever a test makes up.

use super::{Cause, Connection, DeployedServer, Outcome};
use crate::peer::{Msg, Peer, hello};

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Reply(Msg),
    /// Closed, with a last message or without.
    Closed(Option<Msg>),
    Died(Cause),
}

/// One connection, from its client.
pub struct Visit {
    connection: Connection,
    pub peer: Peer,
}

impl Visit {
    /// Connects to a server whose key does nothing, and completes the handshake.
    pub fn new(server: &mut DeployedServer) -> Self {
        let mut connection = server.accept().expect("a living server");
        let dialect = server.dialect();
        let Outcome::Reply(reply) = connection.segment(server, hello(dialect)) else {
            panic!("no HelloReply")
        };
        Self { connection, peer: Peer::of_reply(dialect, hello(dialect), &reply) }
    }

    /// The same, and says these, which must be answered.
    pub fn that_said(server: &mut DeployedServer, messages: &[Msg]) -> Self {
        let mut visit = Self::new(server);
        for message in messages {
            let told = visit.say(server, message);
            assert!(matches!(told, Told::Reply(_)), "{told:?} to {message:?}");
        }
        visit
    }

    /// Sends a message as one segment.
    pub fn say(&mut self, server: &mut DeployedServer, message: &Msg) -> Told {
        let record = self.peer.seal(&message.encode());
        self.send(server, &record)
    }

    /// Sends a segment.
    pub fn send(&mut self, server: &mut DeployedServer, segment: &[u8]) -> Told {
        let mut open = |record: Vec<u8>| Msg::decode(&self.peer.open(&record));
        match self.connection.segment(server, segment) {
            Outcome::Reply(record) => Told::Reply(open(record)),
            Outcome::Close(record) if record.is_empty() => Told::Closed(None),
            Outcome::Close(record) => Told::Closed(Some(open(record))),
            Outcome::Died(cause) => Told::Died(cause),
        }
    }
}
