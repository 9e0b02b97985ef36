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
//! No stage is left but by the arrows. What a request may be in the stage Open, and when, is a
//! table of its own: [`phase`](super::phase).

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

/// One end of a connection.
pub struct Engine<R: Behaviour> {
    pub(super) core: Core,
    stage: Stage<R>,
}

/// What every stage has.
pub struct Core {
    pub(super) limits: Limits,
    pub(super) rng: Box<dyn CryptoRng + Send>,
    /// The latest time that the caller has told.
    pub(super) now: Instant,
    pub(super) input: Buffer,
    pub(super) output: Outbox,
    /// Whether the peer will send no more.
    eof: bool,
}

/// How far a session has come.
enum Stage<R: Behaviour> {
    /// The peers agree on keys.
    Handshake {
        handshake: Box<dyn Handshake>,
        /// When it must be complete.
        deadline: Instant,
    },
    /// Messages come and go.
    Open(Open<R>),
    /// Nothing more happens; output is left to be written.
    Draining {
        end: End,
        /// When the output is given up.
        deadline: Instant,
    },
    /// Nothing more happens, and nothing is left.
    Closed(End),
}

/// The data of the stage Open.
pub struct Open<R: Behaviour> {
    pub(super) channel: Channel,
    pub(super) conversation: R::Conversation,
}

/// How a session ended.
enum End {
    /// In good order.
    Done,
    /// By an error, which the caller is told from then on.
    Failed(Error),
}

/// What one step of a stage comes to.
enum Next<R: Behaviour> {
    /// The stage goes on. There may be an event; without one it waits.
    Stay(Option<R::Event>),
    /// The handshake goes on in another form, at once.
    Again(Box<dyn Handshake>),
    /// The handshake is complete.
    Open(Channel),
    /// The conversation has come to its end, in good order, with this event.
    End(Option<R::Event>),
}

/// How a conversation goes on after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Messages come and go.
    GoOn,
    /// That was the last one.
    End,
}

/// The records of an open session, with what writing one needs.
pub(super) struct Writer<'a> {
    pub(super) core: &'a mut Core,
    pub(super) channel: &'a mut Channel,
}

impl Writer<'_> {
    /// Queues one record. `room` is about how long its message will be.
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
    /// Time moves on; a time before the latest told is taken for that one.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Whether so much output waits that no more input is taken.
    pub(super) fn is_congested(&self) -> bool {
        self.output.len() > self.limits.output
    }

    /// When a peer whose turn it is since then has taken too long.
    pub(super) fn idle_deadline(&self, since: Instant) -> Instant {
        since.saturating_add(self.limits.idle_time)
    }

    /// What the end of the input means for a conversation that it may not end: `between` where it
    /// lies between two messages.
    pub(super) fn eof_at(&self, channel: &Channel, between: EofAt) -> Error {
        Error::Eof(match channel.records.at_boundary(&self.input) {
            true => between,
            false => EofAt::Record,
        })
    }

    /// What a handshake works with. Whatever it appends counts as one record.
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
        let (taken, _) = bytes.split_at(bytes.len().min(self.room()));
        self.core.input.push(taken);
        taken.len()
    }

    pub(super) fn receive_eof(&mut self, now: Instant) {
        self.advance(now);
        self.core.eof = true;
    }

    /// Time moves on. Output that nobody takes is given up in the end.
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

    /// Steps until there is something to tell or to wait for; parses at most one message.
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

    /// The stage Handshake: one step of it.
    fn poll_handshake(core: &mut Core, handshake: &mut dyn Handshake) -> Result<Next<R>, Error> {
        Ok(match core.with_wire(|wire| handshake.advance(wire))? {
            Progress::Waiting => Next::Stay(None),
            Progress::Hello(hello) => Next::Stay(Some(R::on_hello(hello)?)),
            Progress::Dialect(handshake) => Next::Again(handshake),
            Progress::Complete(channel) => Next::Open(channel),
        })
    }

    /// The stage Open: one step of it.
    fn poll_open(core: &mut Core, open: &mut Open<R>) -> Result<Next<R>, Error> {
        Ok(match R::poll(core, open)? {
            (event, Then::GoOn) => Next::Stay(event),
            (event, Then::End) => Next::End(event),
        })
    }

    /// The handshake goes on with another one, within the same time.
    fn go_on_with(&mut self, other: Box<dyn Handshake>) {
        debug_assert!(matches!(self.stage, Stage::Handshake { .. }), "a handshake is going on");
        if let Stage::Handshake { handshake, .. } = &mut self.stage {
            *handshake = other;
        }
    }

    /// From Handshake to Open. There may be an event to tell of it.
    fn open(&mut self, channel: Channel) -> Option<R::Event> {
        debug_assert!(matches!(self.stage, Stage::Handshake { .. }), "only a handshake opens");
        let (conversation, event) = R::begin(&self.core, &channel);
        self.stage = Stage::Open(Open { channel, conversation });
        event
    }

    /// Why nothing more will come, if nothing will.
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

    // What commands need.

    /// The stage Open; a command before or after its time changes nothing.
    pub(super) fn require_open(&mut self) -> Result<(&mut Core, &mut Open<R>), CommandError> {
        match &mut self.stage {
            Stage::Handshake { .. } => Err(CommandError::NotOpen),
            Stage::Open(open) => Ok((&mut self.core, open)),
            Stage::Draining { .. } | Stage::Closed(_) => Err(CommandError::Closed),
        }
    }

    /// Goes on with a Hello that was handed out.
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

    /// Tells the peer of a refusal, if there are records to tell it by.
    pub(super) fn refuse(&mut self, reason: Reason) {
        if let Stage::Open(open) = &mut self.stage {
            R::refuse(&mut self.core, open, reason);
        }
    }

    // To the end.

    /// Ends in good order. What is in the output still goes out.
    pub(super) fn finish(&mut self) {
        self.end(End::Done);
    }

    /// Ends by an error, which it gives back.
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

    /// Ends here and now: what is not begun is not sent.
    pub(super) fn abandon(&mut self, now: Instant) {
        self.advance(now);
        self.core.output.drop_unbegun();
        self.finish();
        self.settle();
    }

    /// To Draining, and on if nothing is left. The keys are wiped, since nothing needs them.
    fn end(&mut self, end: End) {
        if self.is_closed() {
            return;
        }
        self.core.input.clear();
        let deadline = self.core.idle_deadline(self.core.now);
        self.stage = Stage::Draining { end, deadline };
        self.settle();
    }

    /// From Draining to Closed, if nothing is left.
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
        // A session that reads no more keeps what it has, which may be more than it takes.
        room.saturating_sub(self.core.input.len())
    }

    pub(super) const fn channel(&self) -> Option<&Channel> {
        match &self.stage {
            Stage::Open(open) => Some(&open.channel),
            Stage::Handshake { .. } | Stage::Draining { .. } | Stage::Closed(_) => None,
        }
    }

    /// Whether nothing more happens.
    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Draining { .. } | Stage::Closed(_))
    }

    /// Whether nothing more happens and nothing is left.
    pub(super) const fn is_finished(&self) -> bool {
        matches!(self.stage, Stage::Closed(_))
    }
}

impl End {
    /// What the caller is told from now on.
    fn outcome<E>(&self) -> Result<Option<E>, Error> {
        match self {
            Self::Done => Ok(None),
            Self::Failed(error) => Err(error.clone()),
        }
    }
}
