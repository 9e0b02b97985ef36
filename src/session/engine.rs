//! The lifecycle of a session: its stages, each with the data that it alone has.
//!
//! ```text
//!                    the handshake is complete
//!   +-----------+ ------------------------------> +--------+
//!   | Handshake |                                 |  Open  |
//!   +-----------+                                 +--------+
//!         |                                           |
//!         | an error, reject, abandon                 | Bye and Ack, a refusal, an error,
//!         |                                           | reject, abandon
//!         |              +----------+                 |
//!         +------------> | Draining | <---------------+     output is left
//!         |              +----------+                 |
//!         |                   | all is written, or    |
//!         |                   | the peer took too long|
//!         |                   v                       |
//!         |              +----------+                 |
//!         +------------> |  Closed  | <---------------+     no output is left
//!                        +----------+
//! ```
//!
//! A stage is left only along these arrows. Which requests are allowed in the stage Open is a table
//! of its own: [`phase`](super::phase).

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::buffer::Buffer;
use super::error::{CommandError, EofAt, Error};
use super::handshake::{Channel, Handshake, OpenedHello, Progress, Wire};
use super::limits::Limits;
use super::outbox::Outbox;
use super::role::Behaviour;
use super::time::{Instant, TimerKind};
use crate::message::Reason;

/// One side of a connection.
pub struct Engine<R: Behaviour> {
    pub(super) core: Core,
    stage: Stage<R>,
}

/// The data of every stage.
pub struct Core {
    pub(super) limits: Limits,
    pub(super) rng: Box<dyn CryptoRng + Send>,
    /// The latest time that the caller has given.
    pub(super) now: Instant,
    pub(super) input: Buffer,
    pub(super) output: Outbox,
    /// Whether the peer will send no more.
    eof: bool,
}

/// The stage of a session.
enum Stage<R: Behaviour> {
    /// The two sides agree on keys.
    Handshake {
        handshake: Box<dyn Handshake>,
        /// When the handshake must be complete.
        deadline: Instant,
    },
    /// The two sides exchange messages.
    Open(Open<R>),
    /// The session has ended, and some output is still to be written.
    Draining {
        end: End,
        /// When the rest of the output is dropped.
        deadline: Instant,
    },
    /// The session has ended, and no output is left.
    Closed(End),
}

/// The data of the stage Open.
pub struct Open<R: Behaviour> {
    pub(super) channel: Channel,
    pub(super) conversation: R::Conversation,
}

/// How a session ended.
enum End {
    /// In order.
    Done,
    /// By an error, which the caller is told from then on.
    Failed(Error),
}

/// The result of one step of a stage.
enum Next<R: Behaviour> {
    /// The stage goes on. There may be an event; without one the session waits.
    Stay(Option<R::Event>),
    /// Another handshake takes over and continues at once.
    Again(Box<dyn Handshake>),
    /// The handshake is complete.
    Open(Channel),
    /// The conversation has ended in order, perhaps with an event.
    End(Option<R::Event>),
}

/// Whether a conversation goes on after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// More messages may follow.
    GoOn,
    /// It was the last message.
    End,
}

/// The record layer of an open session, with what it takes to write a record.
pub(super) struct Writer<'a> {
    pub(super) core: &'a mut Core,
    pub(super) channel: &'a mut Channel,
}

impl Writer<'_> {
    /// Queues one record. `room` is about the length of its message, in bytes.
    pub(super) fn send(&mut self, room: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        let Core { output, rng, .. } = &mut *self.core;
        let mut encode = Some(encode);
        output.append(|out| {
            self.channel.records.write(&mut **rng, out, room, &mut |out| {
                debug_assert!(encode.is_some(), "a record is encoded once");
                if let Some(encode) = encode.take() {
                    encode(out);
                }
            });
        });
        debug_assert!(encode.is_none(), "a record has its message");
    }
}

impl Core {
    /// Sets the time. A time before the latest one is ignored.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Whether more output is waiting than allowed. Then no more input is taken.
    pub(super) fn is_congested(&self) -> bool {
        self.output.len() > self.limits.output
    }

    /// The deadline of a peer that has had the turn since `since`.
    pub(super) fn idle_deadline(&self, since: Instant) -> Instant {
        since.saturating_add(self.limits.idle_time)
    }

    /// The error for an end of the input in the middle of a conversation: `between` if it lies
    /// between two messages.
    pub(super) fn eof_at(&self, channel: &Channel, between: EofAt) -> Error {
        Error::Eof(match channel.records.at_boundary(&self.input) {
            true => between,
            false => EofAt::Record,
        })
    }

    /// Lets a handshake work. What it appends counts as one record.
    fn with_wire<T>(&mut self, work: impl FnOnce(Wire<'_>) -> T) -> T {
        let Self { input, output, rng, limits, .. } = self;
        let (rng, limit) = (&mut **rng, limits.record);
        output.append(|output| work(Wire { input, output, rng, limit }))
    }
}

impl<R: Behaviour> Engine<R> {
    /// An engine at the start of its handshake.
    pub(super) fn new(
        now: Instant,
        limits: Limits,
        rng: Box<dyn CryptoRng + Send>,
        output: Outbox,
        handshake: Box<dyn Handshake>,
    ) -> Self {
        let deadline = now.saturating_add(limits.hello_time);
        let core = Core { limits, rng, now, input: Buffer::default(), output, eof: false };
        Self { core, stage: Stage::Handshake { handshake, deadline } }
    }

    // Inputs.

    pub(super) fn receive(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.advance(now);
        let room = self.room();
        let (taken, _) = bytes.split_at(bytes.len().min(room));
        self.core.input.push(taken);
        debug_assert!(taken.len() <= room, "no more is taken than there is room for");
        taken.len()
    }

    pub(super) fn receive_eof(&mut self, now: Instant) {
        self.advance(now);
        self.core.eof = true;
    }

    /// Sets the time. Output that the peer does not take is dropped at the deadline.
    pub(super) fn advance(&mut self, now: Instant) {
        self.core.advance(now);
        if let Stage::Draining { deadline, .. } = &self.stage
            && self.core.now >= *deadline
        {
            self.core.output.clear();
            self.settle();
        }
    }

    // Outputs.

    /// Steps until there is an event or nothing to do. Parses at most one message.
    pub(super) fn poll_event(&mut self) -> Result<Option<R::Event>, Error> {
        let polled = loop {
            let next = match &mut self.stage {
                Stage::Handshake { handshake, .. } => {
                    Self::poll_handshake(&mut self.core, &mut **handshake)
                }
                Stage::Open(open) => Self::poll_open(&mut self.core, open),
                Stage::Draining { end, .. } | Stage::Closed(end) => return end.outcome(),
            };
            match next {
                Ok(Next::Stay(event)) => break Ok(event),
                Ok(Next::Again(handshake)) => self.go_on_with(handshake),
                Ok(Next::Open(channel)) => match self.open(channel) {
                    None => {}
                    event => break Ok(event),
                },
                Ok(Next::End(event)) => {
                    self.finish();
                    break Ok(event);
                }
                Err(error) => break Err(error),
            }
        };
        match polled {
            Ok(Some(event)) => Ok(Some(event)),
            Ok(None) => self.stalled().map_or(Ok(None), |error| Err(self.fail(error))),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// One step of the stage Handshake.
    fn poll_handshake(core: &mut Core, handshake: &mut dyn Handshake) -> Result<Next<R>, Error> {
        Ok(match core.with_wire(|wire| handshake.advance(wire))? {
            Progress::Waiting => Next::Stay(None),
            Progress::Hello(hello) => Next::Stay(Some(R::on_hello(hello)?)),
            Progress::Dialect(handshake) => Next::Again(handshake),
            Progress::Complete(channel) => Next::Open(channel),
        })
    }

    /// One step of the stage Open.
    fn poll_open(core: &mut Core, open: &mut Open<R>) -> Result<Next<R>, Error> {
        Ok(match R::poll(core, open)? {
            (event, Then::GoOn) => Next::Stay(event),
            (event, Then::End) => Next::End(event),
        })
    }

    /// Another handshake takes over. Its deadline stays the same.
    fn go_on_with(&mut self, other: Box<dyn Handshake>) {
        debug_assert!(matches!(self.stage, Stage::Handshake { .. }), "a handshake is going on");
        if let Stage::Handshake { handshake, .. } = &mut self.stage {
            *handshake = other;
        }
    }

    /// From Handshake to Open, perhaps with an event.
    fn open(&mut self, channel: Channel) -> Option<R::Event> {
        debug_assert!(matches!(self.stage, Stage::Handshake { .. }), "only a handshake opens");
        let (conversation, event) = R::begin(&self.core, &channel);
        self.stage = Stage::Open(Open { channel, conversation });
        event
    }

    /// The error that ends the session now, if its peer has gone or has taken too long.
    fn stalled(&self) -> Option<Error> {
        let ended = match &self.stage {
            _ if !self.core.eof => None,
            Stage::Handshake { .. } => Some(Error::Eof(EofAt::Handshake)),
            Stage::Open(open) => R::eof(&self.core, open),
            Stage::Draining { .. } | Stage::Closed(_) => None,
        };
        ended.or_else(|| {
            let (deadline, kind) = self.poll_timeout()?;
            (self.core.now >= deadline).then_some(Error::Timeout(kind))
        })
    }

    pub(super) fn poll_timeout(&self) -> Option<(Instant, TimerKind)> {
        match &self.stage {
            Stage::Handshake { deadline, .. } => Some((*deadline, TimerKind::Hello)),
            Stage::Open(open) => {
                let deadline = R::deadline(&self.core, &open.conversation)?;
                Some((deadline, TimerKind::Idle))
            }
            Stage::Draining { deadline, .. } => Some((*deadline, TimerKind::Drain)),
            Stage::Closed(_) => None,
        }
    }

    pub(super) fn consume_output(&mut self, n: usize) {
        self.core.output.consume(n);
        self.settle();
    }

    // For commands.

    /// The data of the stage Open. In any other stage a command changes nothing.
    pub(super) fn require_open(&mut self) -> Result<(&mut Core, &mut Open<R>), CommandError> {
        match &mut self.stage {
            Stage::Handshake { .. } => Err(CommandError::NotOpen),
            Stage::Open(open) => Ok((&mut self.core, open)),
            Stage::Draining { .. } | Stage::Closed(_) => Err(CommandError::Closed),
        }
    }

    /// Continues the handshake with a Hello that the caller has opened.
    pub(super) fn open_hello(
        &mut self,
        now: Instant,
        opened: OpenedHello,
    ) -> Result<(), CommandError> {
        let progress = match &mut self.stage {
            Stage::Handshake { handshake, .. } => {
                self.core.with_wire(|wire| handshake.open(opened, wire))?
            }
            Stage::Open(_) => return Err(CommandError::NoHello),
            Stage::Draining { .. } | Stage::Closed(_) => return Err(CommandError::Closed),
        };
        self.advance(now);
        match progress {
            Progress::Complete(channel) => {
                let event = self.open(channel);
                debug_assert!(event.is_none(), "a command tells nothing");
            }
            Progress::Waiting | Progress::Hello(_) | Progress::Dialect(_) => {}
        }
        Ok(())
    }

    /// Sends a refusal to the peer, if the session is open.
    pub(super) fn refuse(&mut self, reason: Reason) {
        if let Stage::Open(open) = &mut self.stage {
            R::refuse(&mut self.core, open, reason);
        }
    }

    // Towards the end.

    /// Ends in order. The output is still written.
    pub(super) fn finish(&mut self) {
        self.end(End::Done);
    }

    /// Ends by an error and returns it.
    fn fail(&mut self, error: Error) -> Error {
        if let Some(refusal) = R::alert(&error) {
            self.refuse(refusal.into());
        }
        if R::DROPS_OUTPUT {
            self.core.output.drop_unbegun();
        }
        self.end(End::Failed(error.clone()));
        error
    }

    /// Ends at once. A record that has not been begun is not sent.
    pub(super) fn abandon(&mut self, now: Instant) {
        self.advance(now);
        self.core.output.drop_unbegun();
        self.finish();
        self.settle();
        debug_assert!(self.is_closed(), "nothing is said after this");
    }

    /// To Draining, and on to Closed if no output is left. The keys are wiped, since nothing needs
    /// them.
    fn end(&mut self, end: End) {
        if self.is_closed() {
            return;
        }
        self.core.input.clear();
        let deadline = self.core.idle_deadline(self.core.now);
        self.stage = Stage::Draining { end, deadline };
        self.settle();
        debug_assert!(self.is_closed(), "a session ends once");
        debug_assert_eq!(
            self.is_finished(),
            self.core.output.is_empty(),
            "output is written first"
        );
    }

    /// From Draining to Closed, if no output is left.
    fn settle(&mut self) {
        if let Stage::Draining { end, .. } = &mut self.stage
            && self.core.output.is_empty()
        {
            self.stage = Stage::Closed(core::mem::replace(end, End::Done));
        }
    }

    // Getters.

    pub(super) fn room(&self) -> usize {
        let room = match &self.stage {
            _ if self.core.eof => 0,
            Stage::Handshake { handshake, .. } => handshake.room(),
            Stage::Open(open) if R::is_reading(&self.core, &open.conversation) => {
                open.channel.records.room()
            }
            Stage::Open(_) | Stage::Draining { .. } | Stage::Closed(_) => 0,
        };
        // After its last read a session may hold more input than it would take now.
        room.saturating_sub(self.core.input.len())
    }

    pub(super) const fn channel(&self) -> Option<&Channel> {
        match &self.stage {
            Stage::Open(open) => Some(&open.channel),
            Stage::Handshake { .. } | Stage::Draining { .. } | Stage::Closed(_) => None,
        }
    }

    /// Whether the session has ended.
    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Draining { .. } | Stage::Closed(_))
    }

    /// Whether the session has ended and no output is left.
    pub(super) const fn is_finished(&self) -> bool {
        matches!(self.stage, Stage::Closed(_))
    }
}

impl End {
    /// The answer to every later call of `poll_event`.
    fn outcome<E>(&self) -> Result<Option<E>, Error> {
        match self {
            Self::Done => Ok(None),
            Self::Failed(error) => Err(error.clone()),
        }
    }
}
