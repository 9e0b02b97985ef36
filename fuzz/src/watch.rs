//! The checks that hold for any session at any time.
use std::fmt::Debug;
use std::time::Duration;

use xlreg::session::{Instant, Machine, Role, Session, State, TimerKind};

/// Watches a session for the promises to a caller, with any input from the peer.
pub(crate) struct Watch<E> {
    now: Instant,
    failed: Option<E>,
    was: State,
}

impl<E: Clone + Debug + PartialEq> Watch<E> {
    pub(crate) fn new() -> Self {
        Self { now: Instant::EPOCH, failed: None, was: State::Handshake }
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// The error, if the session has failed.
    pub(crate) fn failure(&self) -> Option<&E> {
        self.failed.as_ref()
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, time: Duration) -> Instant {
        self.now = self.now.saturating_add(time);
        self.now
    }

    /// Gives the session bytes, in pieces of this length or, for 0, at once. Bytes that it does not
    /// take are lost.
    pub(crate) fn feed<R: Role>(&self, session: &mut Session<R>, bytes: &[u8], piece: usize) {
        for piece in bytes.chunks(if piece == 0 { usize::MAX } else { piece }) {
            let room = session.recv_room();
            let taken = session.receive(self.now, piece);
            assert_eq!(taken, room.min(piece.len()), "it takes what it has room for");
            assert_eq!(session.recv_room(), room - taken, "and has so much less room");
        }
    }

    /// Polls once, and checks everything that is always true.
    pub(crate) fn poll<R: Role>(&mut self, session: &mut Session<R>) -> Option<R::Event>
    where
        Session<R>: Machine<Event = R::Event, Error = E>,
    {
        let polled = Machine::poll_event(session);
        let state = session.state();
        assert!(rank(state) >= rank(self.was), "no way back from {:?} to {state:?}", self.was);
        self.was = state;
        if state == State::Closed {
            assert_eq!(session.recv_room(), 0, "it is over, and takes nothing");
            assert!(!session.output().is_empty() || session.is_finished());
            assert!(matches!(session.poll_timeout(), None | Some((_, TimerKind::Drain))));
        } else {
            assert!(!session.is_finished());
            let due = session.poll_timeout().filter(|(at, _)| *at <= self.now);
            assert!(due.is_none() || !matches!(polled, Ok(None)), "{due:?} has passed");
        }
        match (polled, &self.failed) {
            (Ok(event), None) => event,
            (Ok(_), Some(error)) => panic!("went on after {error:?}"),
            (Err(error), Some(first)) => {
                assert_eq!(*first, error, "an error stays the same");
                None
            }
            (Err(error), None) => {
                assert_eq!(state, State::Closed, "an error is the end");
                self.failed = Some(error);
                None
            }
        }
    }

    /// Checks, after the end of the script, that the session ends within its own deadlines,
    /// whatever happens.
    pub(crate) fn end<R: Role>(&mut self, session: &mut Session<R>)
    where
        Session<R>: Machine<Event = R::Event, Error = E>,
    {
        for _ in 0..8 {
            while self.poll(session).is_some() {}
            let Some((deadline, _)) = session.poll_timeout() else { break };
            self.now = self.now.max(deadline);
            session.handle_timeout(self.now);
        }
        session.consume_output(usize::MAX);
    }
}

fn rank(state: State) -> u8 {
    match state {
        State::Handshake => 0,
        State::Open => 1,
        State::Closed => 2,
    }
}
