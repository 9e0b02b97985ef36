//! What both roles have in common: buffers, clock, records, and the end of it all.

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::buffer::Buffer;
use super::cipher;
use super::error::{CommandError, EofAt, Error};
use super::handshake::{Dialect, Established};
use super::limits::Limits;
use super::record::{RecordReader, RecordWriter};
use super::time::{Instant, TimerKind};
use crate::identity::Version;

/// One end of a connection, role aside.
pub struct Engine {
    pub(super) limits: Limits,
    pub(super) rng: Box<dyn CryptoRng + Send>,
    /// The latest time heard of.
    pub(super) now: Instant,
    pub(super) input: Buffer,
    pub(super) output: Buffer,
    pub(super) eof: bool,
    /// The record layer, once the handshake is complete.
    pub(super) channel: Option<Channel>,
    /// When the session ended, if it has.
    over: Option<Instant>,
    failure: Option<Error>,
    /// When the handshake must be complete.
    hello_deadline: Instant,
}

/// Both directions after the handshake.
pub(super) struct Channel {
    pub(super) reader: RecordReader,
    writer: RecordWriter,
    pub(super) dialect: Dialect,
    pub(super) peer_version: Version,
}

impl Engine {
    pub(super) fn new(now: Instant, limits: Limits, rng: Box<dyn CryptoRng + Send>) -> Self {
        Self {
            hello_deadline: now.saturating_add(limits.hello_time),
            limits,
            rng,
            now,
            input: Buffer::default(),
            output: Buffer::default(),
            eof: false,
            channel: None,
            over: None,
            failure: None,
        }
    }

    /// Time moves on; a time before the latest heard of is taken for that one.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if let Some((deadline, TimerKind::Drain)) = self.drain_deadline()
            && self.now >= deadline
        {
            self.output.clear();
        }
    }

    /// The handshake is complete: records from here on.
    pub(super) fn establish(&mut self, established: Established) {
        let Established { dialect, key2, iv2, peer_version } = established;
        let writer_key = cipher::key(&key2);
        self.channel = Some(Channel {
            reader: RecordReader::new(dialect, key2, iv2, self.limits.record),
            writer: RecordWriter::new(dialect, writer_key, iv2),
            dialect,
            peer_version,
        });
    }

    /// Appends one record to the output, if the handshake is complete. `room` is about how long its
    /// message will be.
    pub(super) fn send(&mut self, room: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        if let Some(channel) = &mut self.channel {
            channel.writer.write(&mut *self.rng, self.output.tail(), room, encode);
        }
    }

    /// The session ends in good order. What is in the output still goes out.
    pub(super) fn finish(&mut self) {
        self.over = self.over.or(Some(self.now));
        self.input.clear();
        // The keys are wiped as soon as nothing needs them.
        self.channel = None;
    }

    pub(super) fn fail(&mut self, error: Error) {
        self.failure = Some(error);
        self.finish();
    }

    pub(super) const fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.over.is_some()
    }

    /// The channel for a command; a command before or after its time changes nothing.
    pub(super) fn require_open(&self) -> Result<(), CommandError> {
        match (self.is_closed(), &self.channel) {
            (true, _) => Err(CommandError::Closed),
            (false, None) => Err(CommandError::NotOpen),
            (false, Some(_)) => Ok(()),
        }
    }

    /// Whether so much output waits that no more input is taken.
    pub(super) fn is_congested(&self) -> bool {
        self.output.len() > self.limits.output
    }

    /// Bytes of input that have a use now: as many as complete a record, or `handshake` before
    /// there are records.
    pub(super) fn room(&self, handshake: usize) -> usize {
        if self.is_closed() || self.eof {
            return 0;
        }
        let capacity = self.channel.as_ref().map_or(handshake, |channel| channel.reader.room());
        capacity.saturating_sub(self.input.len())
    }

    pub(super) const fn hello_deadline(&self) -> (Instant, TimerKind) {
        (self.hello_deadline, TimerKind::Hello)
    }

    pub(super) fn idle_deadline(&self, since: Instant) -> (Instant, TimerKind) {
        (since.saturating_add(self.limits.idle_time), TimerKind::Idle)
    }

    /// When output that is left at the end is given up.
    pub(super) fn drain_deadline(&self) -> Option<(Instant, TimerKind)> {
        let over = self.over.filter(|_| !self.output.is_empty())?;
        Some((over.saturating_add(self.limits.idle_time), TimerKind::Drain))
    }

    /// Where the end of the input lies, seen from the records; `between` where it lies between two
    /// of them.
    pub(super) fn eof_at(&self, between: EofAt) -> EofAt {
        match &self.channel {
            None => EofAt::Handshake,
            Some(channel) if channel.reader.at_boundary(&self.input) => between,
            Some(_) => EofAt::Record,
        }
    }
}
