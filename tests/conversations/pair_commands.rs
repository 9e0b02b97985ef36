//! Commands at the wrong time: each returns an error, changes nothing visible, and the session
//! still works.

use xlreg::message::{ClusterRef, GetCluster, Op, Reason, Refusal, Reply, Request};
use xlreg::registry::ClientState;
use xlreg::session::{CommandError, Limits, OpenedHello, RequestId, State};
use xlreg_testkit::pair::{
    Backend, DIALECTS, Pair, Seen, Setup, cluster, connected, credential, info, replied, token,
    view,
};
use xlreg_testkit::{Seeded, pair::registry_identity};

fn requests() -> [Request; 6] {
    [
        Request::RegCred,
        Request::Member(token("alice", 0, &["h:1"])),
        Request::Create(cluster("trio", 3, 1)),
        Request::Join(ClusterRef::CURRENT),
        Request::GetCluster(GetCluster::default()),
        Request::Bye,
    ]
}

/// Checks that none of these commands of a client works now, and none changes anything.
#[track_caller]
fn client_declines(pair: &mut Pair, why: impl Fn(Op) -> Option<CommandError>) {
    for request in requests() {
        let Some(why) = why(request.op()) else { continue };
        let (client, server) = (view(&pair.client), view(&pair.server));
        assert_eq!(pair.ask(request), Err(why));
        assert!(!pair.poll());
        assert_eq!((view(&pair.client), view(&pair.server)), (client, server));
    }
}

/// Checks that the rest of an enrollment works. IDs count the requests.
#[track_caller]
fn works_on(mut pair: Pair, from: usize) {
    let mut registry = pair.registry.clone();
    let mut state = pair.state.clone();
    for request in requests().into_iter().skip(from) {
        let answer = registry.answer(&mut state, request.clone());
        assert!(!matches!(answer, Reply::Error(_)), "{answer:?}");
        assert_eq!(pair.exchange(request), answer);
    }
    pair.assert_over();
}

#[test]
fn a_client_whose_handshake_is_not_complete_declines_everything() {
    for dialect in DIALECTS {
        let mut pair = Setup::new(dialect).pair();
        client_declines(&mut pair, |_| Some(CommandError::NotOpen));
        pair.wire.hold_down = true;
        pair.settle();
        pair.expect([], [Ok(Seen::Hello)]);
        client_declines(&mut pair, |_| Some(CommandError::NotOpen));
        pair.wire.carry_down(63);
        client_declines(&mut pair, |_| Some(CommandError::NotOpen));
        pair.release();
        pair.expect([Ok(connected(dialect))], []);
        works_on(pair, 0);
    }
}

#[test]
fn a_client_nobody_knows_declines_what_needs_a_member() {
    for dialect in DIALECTS {
        let mut pair = Setup::new(dialect).open();
        let needs_member = |op| match op {
            Op::Create | Op::Join | Op::GetCluster => Some(CommandError::WrongState(op)),
            _ => None,
        };
        client_declines(&mut pair, needs_member);
        works_on(pair, 0);
    }
}

#[test]
fn a_client_that_has_said_who_it_is_does_not_say_it_again() {
    for dialect in DIALECTS {
        let mut pair = Setup::new(dialect).open();
        let twice = |op| (op == Op::Member).then_some(CommandError::WrongState(op));
        // The phase changes when Member is sent, not when it is answered.
        pair.wire.hold_up = true;
        let [_, member, ..] = requests();
        let id = pair.ask(member.clone()).unwrap();
        client_declines(&mut pair, twice);
        pair.release();
        let (node, alice) = pair.state.member().unwrap();
        let told = replied(id, Reply::MemberOk { id: node, attrs: alice.attrs });
        pair.expect([told], [Ok(Seen::Request(0, member))]);
        client_declines(&mut pair, twice);
        works_on(pair, 2);
    }
}

#[test]
fn after_bye_a_client_declines_everything() {
    for dialect in DIALECTS {
        let mut pair = Setup::new(dialect).open();
        pair.wire.answers = false;
        let id = pair.ask(Request::Bye).unwrap();
        client_declines(&mut pair, |op| Some(CommandError::WrongState(op)));
        pair.settle();
        pair.expect([], [Ok(Seen::Request(0, Request::Bye))]);
        client_declines(&mut pair, |op| Some(CommandError::WrongState(op)));
        assert_eq!(pair.server.recv_room(), 0, "nothing may follow a Bye");
        pair.answer();
        pair.settle();
        pair.expect([replied(id, Reply::Ack)], []);
        client_declines(&mut pair, |_| Some(CommandError::Closed));
        pair.assert_over();
    }
}

#[test]
fn a_client_at_the_limit_in_flight_declines_until_a_reply_comes() {
    for dialect in DIALECTS {
        let client = Limits { in_flight: 1, ..Limits::client() };
        let mut pair = Setup { client, ..Setup::new(dialect) }.open();
        let id = pair.ask(Request::RegCred).unwrap();
        pair.wire.hold_down = true;
        pair.settle();
        pair.expect([], [Ok(Seen::Request(0, Request::RegCred))]);
        client_declines(&mut pair, |op| match op {
            Op::Create | Op::Join | Op::GetCluster => Some(CommandError::WrongState(op)),
            _ => Some(CommandError::TooManyInFlight),
        });
        pair.release();
        pair.expect([replied(id, Reply::RegCred(credential(dialect)))], []);
        works_on(pair, 1);
    }
}

/// Checks that this command of a server is refused and changes nothing.
#[track_caller]
fn server_declines(
    pair: &mut Pair,
    why: CommandError,
    command: impl Fn(&mut Pair) -> Result<(), CommandError>,
) {
    let (client, server) = (view(&pair.client), view(&pair.server));
    assert_eq!(command(pair), Err(why));
    assert!(!pair.poll());
    assert_eq!((view(&pair.client), view(&pair.server)), (client, server));
}

/// A Hello of another session that could be answered.
fn opened(pair: &Pair) -> OpenedHello {
    let mut other = Setup::new(pair.server.dialect().unwrap_or(DIALECTS[0])).pair();
    other.wire.opens = false;
    other.settle();
    let hello = other.wire.sealed.take().unwrap();
    hello.open(&registry_identity().comms, &mut Seeded::new(2))
}

/// The IDs of the first requests of any session.
fn ids<const N: usize>() -> [RequestId; N] {
    let mut other = Setup::new(DIALECTS[0]).open();
    [(); N].map(|()| other.ask(Request::RegCred).unwrap())
}

fn open_again(pair: &mut Pair) -> Result<(), CommandError> {
    let (now, opened) = (pair.now, opened(pair));
    pair.server.open_hello(now, opened)
}

fn reply(id: RequestId, reply: Reply) -> impl Fn(&mut Pair) -> Result<(), CommandError> {
    move |pair| {
        let now = pair.now;
        pair.server.reply(now, id, &reply)
    }
}

#[test]
fn a_server_opens_a_hello_only_when_one_is_waiting() {
    for dialect in DIALECTS {
        let mut pair = Setup::new(dialect).pair();
        pair.wire.opens = false;
        server_declines(&mut pair, CommandError::NoHello, open_again);
        pair.wire.carry_up(255);
        server_declines(&mut pair, CommandError::NoHello, open_again);
        pair.settle();
        pair.expect([], [Ok(Seen::Hello)]);
        pair.wire.open_hello().unwrap();
        server_declines(&mut pair, CommandError::NoHello, open_again);
        pair.settle();
        pair.expect([Ok(connected(dialect))], []);
        server_declines(&mut pair, CommandError::NoHello, open_again);
        works_on(pair, 0);
    }
}

#[test]
fn a_server_whose_handshake_is_not_complete_declines_to_reply() {
    for dialect in DIALECTS {
        let [id] = ids();
        let mut pair = Setup::new(dialect).pair();
        pair.wire.opens = false;
        for answer in [Reply::Ack, Reply::Error(Refusal::Unavailable.into())] {
            server_declines(&mut pair, CommandError::NotOpen, reply(id, answer));
        }
        pair.settle();
        pair.expect([], [Ok(Seen::Hello)]);
        server_declines(&mut pair, CommandError::NotOpen, reply(id, Reply::Ack));
        pair.wire.open_hello().unwrap();
        pair.settle();
        pair.expect([Ok(connected(dialect))], []);
        works_on(pair, 0);
    }
}

#[test]
fn a_server_replies_to_nothing_that_is_not_next() {
    for dialect in DIALECTS {
        let [first, second, third] = ids();
        let cred = Reply::RegCred(credential(dialect));
        let refusal = Reply::Error(Refusal::Unavailable.into());
        let mut pair = Setup::new(dialect).open();
        pair.wire.answers = false;
        server_declines(&mut pair, CommandError::NotNext, reply(first, cred.clone()));
        server_declines(&mut pair, CommandError::NotNext, reply(first, refusal.clone()));
        let asked = [(); 2].map(|()| pair.ask(Request::RegCred).unwrap());
        pair.settle();
        let seen = |n| Ok(Seen::Request(n, Request::RegCred));
        pair.expect([], [seen(0), seen(1)]);
        for later in [second, third] {
            server_declines(&mut pair, CommandError::NotNext, reply(later, cred.clone()));
            server_declines(&mut pair, CommandError::NotNext, reply(later, refusal.clone()));
        }
        pair.answer();
        server_declines(&mut pair, CommandError::NotNext, reply(first, cred.clone()));
        pair.answer();
        server_declines(&mut pair, CommandError::NotNext, reply(second, cred.clone()));
        pair.settle();
        pair.expect(asked.map(|id| replied(id, cred.clone())), []);
        pair.wire.answers = true;
        works_on(pair, 1);
    }
}

#[test]
fn a_server_gives_no_answer_of_another_kind() {
    for dialect in DIALECTS {
        let trio = info(credential(dialect).id, &cluster("trio", 3, 1));
        let answers = {
            let mut registry = Setup::new(dialect).registry();
            let mut state = ClientState::new();
            requests().map(|request| registry.answer(&mut state, request))
        };
        assert!(matches!(answers[2], Reply::Create(_)));
        let mut pair = Setup::new(dialect).open();
        for request in requests() {
            pair.wire.answers = false;
            let id = pair.ask(request.clone()).unwrap();
            pair.settle();
            pair.expect([], [Ok(Seen::Request(id.index(), request.clone()))]);
            for wrong in answers.iter().cloned().chain([Reply::Create(trio), Reply::Join(trio)]) {
                let (request, got) = (request.op(), wrong.op());
                if request.answer() != Some(got) {
                    let why = CommandError::WrongReply { request, got };
                    server_declines(&mut pair, why, reply(id, wrong));
                }
            }
            pair.answer();
            pair.settle();
            assert_eq!(pair.wire.client_saw.drain(..).count(), 1);
        }
        pair.assert_over();
    }
}

#[test]
fn a_server_declines_a_refusal_of_many_words() {
    for dialect in DIALECTS {
        let long = Reason::new("x".repeat(1025));
        let why = CommandError::ReasonTooLong { bytes: 1025, limit: 1024 };
        let mut pair = Setup::new(dialect).open();
        pair.wire.answers = false;
        let reject = |pair: &mut Pair| {
            let now = pair.now;
            pair.server.reject(now, &Reason::new("x".repeat(1025)))
        };
        server_declines(&mut pair, why, reject);
        let id = pair.ask(Request::RegCred).unwrap();
        pair.settle();
        pair.expect([], [Ok(Seen::Request(0, Request::RegCred))]);
        server_declines(&mut pair, why, reject);
        server_declines(&mut pair, why, reply(id, Reply::Error(long)));
        pair.answer();
        pair.settle();
        pair.expect([replied(id, Reply::RegCred(credential(dialect)))], []);
        pair.wire.answers = true;
        works_on(pair, 1);
    }
}

#[test]
fn after_its_end_a_server_declines_everything() {
    for dialect in DIALECTS {
        let [id] = ids();
        let mut pair = Setup::new(dialect).open();
        pair.exchange(Request::Bye);
        server_declines(&mut pair, CommandError::Closed, open_again);
        server_declines(&mut pair, CommandError::Closed, reply(id, Reply::Ack));
        let refusal = Reply::Error(Refusal::Unavailable.into());
        server_declines(&mut pair, CommandError::Closed, reply(id, refusal));
        server_declines(&mut pair, CommandError::Closed, |pair| {
            let now = pair.now;
            pair.server.reject(now, &Refusal::Unavailable.into())
        });
        pair.assert_over();
    }
}

#[test]
fn a_server_may_reject_before_the_handshake_and_says_nothing_then() {
    for dialect in DIALECTS {
        for opening in [false, true] {
            let mut pair = Setup::new(dialect).pair();
            pair.wire.opens = false;
            if opening {
                pair.settle();
                pair.expect([], [Ok(Seen::Hello)]);
            }
            let now = pair.now;
            pair.server.reject(now, &Refusal::Unavailable.into()).unwrap();
            assert_eq!(pair.server.state(), State::Closed);
            pair.settle();
            let silence = xlreg::session::Error::Eof(xlreg::session::EofAt::Handshake);
            pair.expect([Err(silence)], []);
            assert!(pair.down.is_empty());
            pair.assert_over();
        }
    }
}
