//! What tells the roles apart. In a private module, so that there are only two.

use super::engine::{Core, Open, Then};
use super::handshake::{Channel, SealedHello};
use super::{Error, Instant};
use crate::message::{Reason, Refusal};

pub trait Behaviour: Sized {
    /// What a session of this role tells its caller.
    type Event;

    /// What it keeps while it is open.
    type Conversation;

    /// Whether an error makes the output worthless that is not begun.
    const DROPS_OUTPUT: bool;

    /// In the handshake: a Hello is to be opened.
    fn on_hello(hello: SealedHello) -> Result<Self::Event, Error>;

    /// The handshake is complete.
    fn begin(core: &Core, channel: &Channel) -> (Self::Conversation, Option<Self::Event>);

    /// Open: parses and steps at most one message.
    fn poll(core: &mut Core, open: &mut Open<Self>) -> Result<(Option<Self::Event>, Then), Error>;

    /// Open: whether input has a use now.
    fn is_reading(core: &Core, conversation: &Self::Conversation) -> bool;

    /// Open: by when the peer must have done its part, if it is its turn.
    fn deadline(core: &Core, conversation: &Self::Conversation) -> Option<Instant>;

    /// Open: what the end of the input means where no whole message is left; `None` if it can
    /// wait.
    fn eof(core: &Core, open: &Open<Self>) -> Option<Error>;

    /// What the peer is told of an error, if anything.
    fn alert(error: &Error) -> Option<Refusal>;

    /// Open: queues a refusal. Nothing is answered after it.
    fn refuse(core: &mut Core, open: &mut Open<Self>, reason: Reason);
}
