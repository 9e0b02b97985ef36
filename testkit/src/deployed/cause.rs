//! The causes of a deployed server's death.

/// The cause of death: one for each item of the list in PROTOCOL section 6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// One read gave bytes that are not whole blocks: stray bytes, or a record that its sender or
    /// the network has cut.
    NotWholeBlocks { bytes: usize },
    /// The blocks have no padding: they are random, or a record was cut between two blocks. Only an
    /// [`unlucky`](super::Ways::unlucky) server dies. Others close the connection.
    NoPadding,
    /// The padded blocks are not a message. A record cut between two blocks can look like that.
    /// Only an unlucky server dies.
    NoMessage,
    /// The message has no Op.
    NoOp,
    /// The Op is not a varint.
    OpWireType,
    /// The Op is 0, 1 (RegCredRequest), 13 (Error) or more.
    BadOp(u64),
    /// A Join has a name that no cluster has.
    JoinOfUnknownName(String),
    /// A Join has an ID that no cluster has.
    JoinOfUnknownId(Vec<u8>),
    /// A Join has an ID of an illegal length.
    JoinOfBadId { bytes: usize },
    /// A Join has an empty ID.
    JoinOfEmptyId,
    /// A Join has an empty name.
    JoinOfEmptyName,
    /// A Join has neither, and the session has made no cluster.
    JoinOfNothing,
    /// A message came after Bye.
    AfterBye,
    /// A comms key is not RSA.
    CommsKeyNotRsa,
    /// A sig key is not RSA.
    SigKeyNotRsa,
    /// On 1.8.4: the Hello is shorter than one of the chained dialect.
    ShortHello { bytes: usize },
    /// There were more connections than descriptors. The server never frees one.
    TooManyConnections,
}
