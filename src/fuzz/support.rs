//! What the bodies share: a captured registry and member, and what must hold of any session at any
//! time.

use alloc::vec::Vec;
use core::fmt::Debug;
use core::time::Duration;
use std::sync::LazyLock;

use super::input::Input;
pub(crate) use super::seeded::Seeded;
use crate::credential::Credential;
use crate::identity::{ClusterAttrs, MemberAttrs, NodeId, Token};
use crate::message::{
    ClusterInfo, MemberList, MemberSet, MessageLimits, Op, Refusal, Reply, Request, decode_token,
};
use crate::session::{
    Client, CommandError, Dialect, Instant, Limits, Machine, RequestId, Role, Session, State,
    TimerKind,
};

/// What the captured registry's own text says.
pub(super) static CREDENTIAL: LazyLock<Credential> =
    LazyLock::new(|| include_str!("fixtures/regcred.txt").parse().expect("a captured credential"));

pub(crate) fn credential() -> Credential {
    CREDENTIAL.clone()
}

/// A captured member's token.
pub(crate) fn token() -> Token {
    static TOKEN: LazyLock<Token> = LazyLock::new(|| {
        let token = include_bytes!("fixtures/token.bin");
        decode_token(token, &MessageLimits::default()).expect("a captured token")
    });
    TOKEN.clone()
}

pub(super) fn dialect(input: &mut Input<'_>) -> Dialect {
    if input.byte() & 1 == 0 { Dialect::Prefixed } else { Dialect::Chained }
}

/// Limits small enough for a fuzzer to reach them.
pub(super) fn limits(usual: Limits) -> Limits {
    Limits { record: 2048, requests: 20, in_flight: 3, output: 1024, ..usual }
}

/// A reply of the kind that answers this request, or a refusal.
pub(super) fn reply(op: Op, input: &mut Input<'_>) -> Reply {
    let id = NodeId::from_bytes(&[7; 20]).expect("20 bytes");
    let attrs = ClusterAttrs::NONE;
    let info = ClusterInfo { id, max_size: 3, attrs, end_point_count: 1 };
    match (input.byte(), op) {
        (255, _) => Reply::Error(Refusal::WrongState.into()),
        (_, Op::RegCredRequest) => Reply::RegCred(credential()),
        (_, Op::Member) => Reply::MemberOk { id, attrs: MemberAttrs::NONE },
        (_, Op::Create) => Reply::Create(info),
        (_, Op::Join) => Reply::Join(info),
        (n, Op::GetCluster) => {
            let member = Token { id: Some(id), signature: None, ..token() };
            let which = MemberSet::first(u32::from(n % 4));
            let tokens: Vec<_> = core::iter::repeat_n(member, usize::from(n % 4)).collect();
            Reply::Members(MemberList::new(id, which, tokens).expect("as many as which says"))
        }
        _ => Reply::Ack,
    }
}

/// The command that makes this request.
pub(crate) fn command(
    client: &mut Session<Client>,
    now: Instant,
    request: Request,
) -> Result<RequestId, CommandError> {
    match request {
        Request::RegCred => client.registry_credential(now),
        Request::Member(token) => client.register(now, token),
        Request::Create(create) => client.create(now, create),
        Request::Join(cluster) => client.join(now, cluster),
        Request::GetCluster(get) => client.get_members(now, get),
        Request::Bye => client.bye(now),
    }
}

/// Watches a session: what a caller relies on, whatever the peer sends.
pub(super) struct Watch<E> {
    now: Instant,
    failed: Option<E>,
    was: State,
}

impl<E: Clone + Debug + PartialEq> Watch<E> {
    pub(super) fn new() -> Self {
        Self { now: Instant::EPOCH, failed: None, was: State::Handshake }
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// Why the session ended, if it has failed.
    pub(super) fn failure(&self) -> Option<&E> {
        self.failed.as_ref()
    }

    /// Lets time pass.
    pub(super) fn wait(&mut self, time: Duration) -> Instant {
        self.now = self.now.saturating_add(time);
        self.now
    }

    /// Gives the session bytes, in pieces of so many or, for 0, at once; what it does not take is
    /// lost.
    pub(super) fn feed<R: Role>(&self, session: &mut Session<R>, bytes: &[u8], piece: usize) {
        for piece in bytes.chunks(if piece == 0 { usize::MAX } else { piece }) {
            let room = session.recv_room();
            let taken = session.receive(self.now, piece);
            assert_eq!(taken, room.min(piece.len()), "it takes what it has room for");
            assert_eq!(session.recv_room(), room - taken, "and has so much less room");
        }
    }

    /// Polls once, and checks what is always true.
    pub(super) fn poll<R: Role>(&mut self, session: &mut Session<R>) -> Option<R::Event>
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

    /// The script has ended: within the session's own deadlines it ends as well, whatever else
    /// happens.
    pub(super) fn end<R: Role>(&mut self, session: &mut Session<R>)
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
