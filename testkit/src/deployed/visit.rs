//! A client of a deployed server that sends any messages.

use super::{Cause, Connection, DeployedServer, Outcome};
use crate::peer::{Msg, Peer, hello};

/// The answer that a client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Reply(Msg),
    /// The server closed, with a last message or without.
    Closed(Option<Msg>),
    Died(Cause),
}

/// The client's side of one connection.
pub struct Visit {
    connection: Connection,
    pub peer: Peer,
}

impl Visit {
    /// Connects to a server with a key that does nothing, and completes the handshake.
    pub fn new(server: &mut DeployedServer) -> Self {
        let mut connection = server.accept().expect("a living server");
        let dialect = server.dialect();
        let Outcome::Reply(reply) = connection.segment(server, hello(dialect)) else {
            panic!("no HelloReply")
        };
        Self { connection, peer: Peer::of_reply(dialect, hello(dialect), &reply) }
    }

    /// Does the same, and sends these messages, which must be answered.
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
