//! What differs between the roles. The module is private, so that there are only two.

use super::engine::{Core, Open, Then};
use super::handshake::{Channel, SealedHello};
use super::{Error, Instant};
use crate::message::{Reason, Refusal};

pub trait Behaviour: Sized {
    /// An event of a session of this role.
    type Event;

    /// The data of this role while a session is open.
    type Conversation;

    /// Whether an error drops the output that is not begun.
    const DROPS_OUTPUT: bool;

    /// In the handshake: the event for a Hello that is to be opened.
    fn on_hello(hello: SealedHello) -> Result<Self::Event, Error>;

    /// When the handshake is complete: the first data, and an event.
    fn begin(core: &Core, channel: &Channel) -> (Self::Conversation, Option<Self::Event>);

    /// Open: parses and steps at most one message.
    fn poll(core: &mut Core, open: &mut Open<Self>) -> Result<(Option<Self::Event>, Then), Error>;

    /// Open: whether the session reads input now.
    fn is_reading(core: &Core, conversation: &Self::Conversation) -> bool;

    /// Open: the peer's deadline, if it is its turn.
    fn deadline(core: &Core, conversation: &Self::Conversation) -> Option<Instant>;

    /// Open: the error for an end of the input where no whole message is left; `None` if it can
    /// wait.
    fn eof(core: &Core, open: &Open<Self>) -> Option<Error>;

    /// What the peer is told of an error, if anything.
    fn alert(error: &Error) -> Option<Refusal>;

    /// Open: queues a refusal. Nothing is answered after it.
    fn refuse(core: &mut Core, open: &mut Open<Self>, reason: Reason);
}
