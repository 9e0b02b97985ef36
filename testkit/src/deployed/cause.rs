//! What ends a deployed server.

/// Why the process died: one for each item of the list in PROTOCOL section 6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// One read brought what is not whole blocks: stray bytes, or a record that was cut, by its
    /// sender or by the network.
    NotWholeBlocks { bytes: usize },
    /// Blocks without padding: random ones, or a record that was cut between two. Only of a server
    /// that is [`unlucky`](super::Ways::unlucky); most times it only closes.
    NoPadding,
    /// Padded blocks that are no message, which a record cut between two blocks can seem to be.
    /// Only of an unlucky one.
    NoMessage,
    /// A message without an Op.
    NoOp,
    /// An Op that is no varint.
    OpWireType,
    /// An Op of 0, 1 (RegCredRequest), 13 (Error) or more.
    BadOp(u64),
    /// A Join by a name that no cluster has.
    JoinOfUnknownName(String),
    /// A Join by an ID that no cluster has.
    JoinOfUnknownId(Vec<u8>),
    /// A Join by an ID of a length that no ID has.
    JoinOfBadId { bytes: usize },
    /// A Join by an ID that is there and empty.
    JoinOfEmptyId,
    /// A Join by a name that is there and empty.
    JoinOfEmptyName,
    /// A Join with neither, in a session that has made no cluster itself.
    JoinOfNothing,
    /// Anything after Bye.
    AfterBye,
    /// A comms key that is not RSA.
    CommsKeyNotRsa,
    /// A sig key that is not RSA.
    SigKeyNotRsa,
    /// On 1.8.4: a Hello with less in it than the chained dialect has.
    ShortHello { bytes: usize },
    /// More connections than it has descriptors, of which it gives none back.
    TooManyConnections,
}
