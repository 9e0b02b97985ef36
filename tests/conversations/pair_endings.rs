//! Early ends of a session: deadlines and ends of stream at each point of the conversation, on each
//! side, and Hellos that do not open.

use std::time::Duration;

use xlreg::message::{Refusal, Reply, Request};
use xlreg::session::{
    Client, ClientConfig, CommandError, Dialect, EofAt, Error, Instant, Limits, Session, State,
    TimerKind,
};
use xlreg_testkit::pair::{
    DIALECTS, Pair, Seen, Setup, after, connected, credential, refused, registry_identity, replied,
    token,
};
use xlreg_testkit::{KEYS, Seeded};

const HELLO: Duration = Duration::from_secs(7);
const IDLE: Duration = Duration::from_secs(20);

/// The watched side has short deadlines, and the other side has long ones.
fn impatient(server: bool, dialect: Dialect) -> Setup {
    let setup = Setup::new(dialect);
    let (hello_time, idle_time) = (HELLO, IDLE);
    let day = Duration::from_secs(86_400);
    let watched = |limits| Limits { hello_time, idle_time, ..limits };
    let other = |limits| Limits { hello_time: day, idle_time: day, ..limits };
    if server {
        Setup { server: watched(setup.server), client: other(setup.client), ..setup }
    } else {
        Setup { server: other(setup.server), client: watched(setup.client), ..setup }
    }
}

/// Checks that everything stands still until `time` after `since`, and that nothing happens a
/// microsecond before.
#[track_caller]
fn runs_out(pair: &mut Pair, kind: TimerKind, since: Instant, time: Duration) {
    let due = after(since, time);
    assert_eq!(pair.next_timeout(), Some((due, kind)));
    pair.wire.advance(Instant::from_micros(due.as_micros() - 1));
    assert!(!pair.poll());
    assert_eq!(pair.next_timeout(), Some((due, kind)));
    pair.wire.advance(due);
}

fn later(pair: &mut Pair, time: Duration) -> Instant {
    let now = after(pair.now, time);
    pair.wire.advance(now);
    now
}

#[test]
fn a_server_waits_for_the_hello_only_so_long() {
    for dialect in DIALECTS {
        for carried in [0, 1, 255] {
            let mut pair = impatient(true, dialect).pair();
            let start = pair.now;
            pair.wire.hold_up = true;
            later(&mut pair, Duration::from_secs(3));
            assert_eq!(pair.wire.carry_up(carried), carried);
            pair.settle();
            runs_out(&mut pair, TimerKind::Hello, start, HELLO);
            pair.release();
            let silence = Err(Error::Eof(EofAt::Handshake));
            pair.expect([silence], [Err(Error::Timeout(TimerKind::Hello))]);
            assert!(pair.down.is_empty());
            pair.assert_over();
        }
    }
}

#[test]
fn a_server_waits_for_the_opening_of_the_hello_only_so_long() {
    for dialect in DIALECTS {
        let mut pair = impatient(true, dialect).pair();
        pair.wire.opens = false;
        let start = pair.now;
        later(&mut pair, Duration::from_secs(3));
        pair.settle();
        pair.expect([], [Ok(Seen::Hello)]);
        runs_out(&mut pair, TimerKind::Hello, start, HELLO);
        pair.settle();
        let silence = Err(Error::Eof(EofAt::Handshake));
        pair.expect([silence], [Err(Error::Timeout(TimerKind::Hello))]);
        assert_eq!(pair.wire.open_hello(), Err(CommandError::Closed));
        assert!(pair.down.is_empty());
        pair.assert_over();
    }
}

#[test]
fn a_server_waits_for_the_next_request_only_so_long() {
    for dialect in DIALECTS {
        let mut pair = impatient(true, dialect).open();
        let opened = pair.now;
        assert_eq!(pair.next_timeout(), Some((after(opened, IDLE), TimerKind::Idle)));
        let asked = later(&mut pair, Duration::from_secs(5));
        pair.exchange(Request::RegCred);
        runs_out(&mut pair, TimerKind::Idle, asked, IDLE);
        pair.settle();
        let ended = Err(Error::Eof(EofAt::Idle));
        pair.expect([ended], [Err(Error::Timeout(TimerKind::Idle))]);
        pair.assert_over();
    }
}

#[test]
fn bytes_that_make_no_message_do_not_extend_a_server_s_patience() {
    for dialect in DIALECTS {
        let mut pair = impatient(true, dialect).open();
        let turn = pair.now;
        pair.wire.hold_up = true;
        let id = pair.ask(Request::Member(token("alice", 0, &[]))).unwrap();
        let len = pair.client.output().len();
        for _ in 0..10 {
            later(&mut pair, Duration::from_secs(1));
            assert_eq!(pair.wire.carry_up(len / 11), len / 11);
            assert!(!pair.poll());
        }
        runs_out(&mut pair, TimerKind::Idle, turn, IDLE);
        pair.release();
        let ended = Err(Error::Eof(EofAt::Reply));
        pair.expect([ended], [Err(Error::Timeout(TimerKind::Idle))]);
        assert_eq!(id.index(), 0);
        pair.assert_over();
    }
}

#[test]
fn a_server_that_owes_a_reply_does_not_blame_the_client() {
    for dialect in DIALECTS {
        let mut pair = impatient(true, dialect).open();
        pair.wire.answers = false;
        let id = pair.ask(Request::RegCred).unwrap();
        pair.settle();
        assert_eq!(pair.server.poll_timeout(), None);
        let answered = later(&mut pair, IDLE * 3);
        assert!(!pair.poll());
        pair.answer();
        assert_eq!(pair.server.poll_timeout(), Some((after(answered, IDLE), TimerKind::Idle)));
        pair.settle();
        let cred = replied(id, Reply::RegCred(credential(dialect)));
        pair.expect([cred], [Ok(Seen::Request(0, Request::RegCred))]);
    }
}

#[test]
fn output_at_the_end_waits_only_so_long_on_either_side() {
    for dialect in DIALECTS {
        let mut pair = impatient(true, dialect).open();
        pair.wire.hold_down = true;
        let over = later(&mut pair, Duration::from_secs(2));
        pair.ask(Request::Bye).unwrap();
        pair.settle();
        assert_eq!(pair.server.state(), State::Closed);
        assert!(!pair.server.is_finished() && !pair.server.output().is_empty());
        runs_out(&mut pair, TimerKind::Drain, over, IDLE);
        assert!(pair.server.output().is_empty());
        assert!(pair.server.is_finished());
        assert_eq!(pair.server.poll_timeout(), None);
        pair.poll();
        pair.expect([], [Ok(Seen::Request(0, Request::Bye))]);

        let mut pair = impatient(false, dialect).open();
        let mut forged = token("alice", 0, &[]);
        forged.signature = Some(vec![]);
        let id = pair.ask(Request::Member(forged.clone())).unwrap();
        pair.wire.carry_up(usize::MAX);
        pair.ask(Request::Bye).unwrap();
        pair.wire.hold_up = true;
        pair.settle();
        let seen = [Ok(Seen::Request(0, Request::Member(forged)))];
        pair.expect([refused(Some(id), Refusal::BadSignature)], seen);
        assert_eq!(pair.client.state(), State::Closed);
        assert!(!pair.client.is_finished());
        let over = pair.now;
        runs_out(&mut pair, TimerKind::Drain, over, IDLE);
        assert!(pair.client.is_finished());
        assert_eq!(pair.client.poll_timeout(), None);
    }
}

#[test]
fn a_client_waits_for_the_hello_reply_only_so_long() {
    for dialect in DIALECTS {
        for carried in [0, 1, 63] {
            let mut pair = impatient(false, dialect).pair();
            let start = pair.now;
            pair.wire.hold_down = true;
            later(&mut pair, Duration::from_secs(3));
            pair.settle();
            assert_eq!(pair.wire.carry_down(carried), carried);
            pair.settle();
            pair.expect([], [Ok(Seen::Hello)]);
            runs_out(&mut pair, TimerKind::Hello, start, HELLO);
            pair.settle();
            let left = Err(Error::Eof(EofAt::Idle));
            pair.expect([Err(Error::Timeout(TimerKind::Hello))], [left]);
        }
    }
}

#[test]
fn a_client_waits_for_a_reply_only_so_long_even_if_it_trickles() {
    for dialect in DIALECTS {
        let mut pair = impatient(false, dialect).open();
        assert_eq!(
            pair.client.poll_timeout(),
            None,
            "nothing is due to a client that asks nothing"
        );
        let asked = later(&mut pair, IDLE * 2);
        pair.ask(Request::RegCred).unwrap();
        pair.wire.hold_down = true;
        pair.settle();
        for _ in 0..10 {
            later(&mut pair, Duration::from_secs(1));
            assert_eq!(pair.wire.carry_down(40), 40);
            assert!(pair.client_saw.is_empty());
            pair.poll();
        }
        pair.expect([], [Ok(Seen::Request(0, Request::RegCred))]);
        runs_out(&mut pair, TimerKind::Idle, asked, IDLE);
        pair.settle();
        let left = Err(Error::Eof(EofAt::Idle));
        pair.expect([Err(Error::Timeout(TimerKind::Idle))], [left]);
        assert_eq!(pair.client.state(), State::Closed);
    }
}

#[test]
fn the_patience_of_a_client_starts_anew_with_each_reply() {
    for dialect in DIALECTS {
        let mut pair = impatient(false, dialect).open();
        pair.wire.answers = false;
        let ids = [(); 2].map(|()| pair.ask(Request::RegCred).unwrap());
        pair.settle();
        let first = later(&mut pair, Duration::from_secs(19));
        pair.answer();
        pair.settle();
        let cred = Reply::RegCred(credential(dialect));
        let seen = |n| Ok(Seen::Request(n, Request::RegCred));
        pair.expect([replied(ids[0], cred.clone())], [seen(0), seen(1)]);
        runs_out(&mut pair, TimerKind::Idle, first, IDLE);
        pair.answer();
        // Bytes that have arrived go before a deadline that has passed.
        pair.wire.carry_down(usize::MAX);
        pair.settle();
        pair.expect([replied(ids[1], cred)], []);
        assert_eq!(pair.client.poll_timeout(), None);
    }
}

#[test]
fn an_end_of_stream_in_the_hello_ends_the_server_in_silence() {
    for dialect in DIALECTS {
        for carried in [0, 1, 255] {
            let mut pair = Setup::new(dialect).pair();
            pair.wire.hold_up = true;
            assert_eq!(pair.wire.carry_up(carried), carried);
            pair.wire.close_up();
            pair.release();
            let ended = Error::Eof(EofAt::Handshake);
            pair.expect([Err(ended.clone())], [Err(ended)]);
            assert!(pair.down.is_empty());
            pair.assert_over();
        }
    }
}

#[test]
fn an_end_of_stream_while_the_hello_is_being_opened_ends_the_server_in_silence() {
    for dialect in DIALECTS {
        let mut pair = Setup::new(dialect).pair();
        pair.wire.opens = false;
        pair.wire.carry_up(usize::MAX);
        pair.wire.close_up();
        pair.settle();
        let ended = Error::Eof(EofAt::Handshake);
        pair.expect([Err(ended.clone())], [Ok(Seen::Hello), Err(ended)]);
        assert_eq!(pair.wire.open_hello(), Err(CommandError::Closed));
        assert!(pair.down.is_empty());
    }
}

#[test]
fn an_end_of_stream_between_records_or_inside_one_is_told_apart() {
    for dialect in DIALECTS {
        for (carried, at) in [
            (0, EofAt::Idle),
            (1, EofAt::Record),
            (15, EofAt::Record),
            (16, EofAt::Record),
            (17, EofAt::Record),
            (600, EofAt::Record),
        ] {
            let mut pair = Setup::new(dialect).open();
            pair.exchange(Request::RegCred);
            let id = pair.ask(Request::Member(token("alice", 0, &[]))).unwrap();
            pair.wire.hold_up = true;
            assert_eq!(pair.wire.carry_up(carried), carried);
            pair.poll();
            pair.wire.close_up();
            pair.release();
            assert_eq!(id.index(), 1);
            pair.expect([Err(Error::Eof(EofAt::Reply))], [Err(Error::Eof(at))]);
            pair.assert_over();
        }
    }
}

#[test]
fn replies_that_are_owed_come_out_after_an_end_of_stream() {
    for dialect in DIALECTS {
        // It makes no difference whether the requests were polled before the stream ends.
        for told in [false, true] {
            let mut pair = Setup::new(dialect).open();
            pair.wire.answers = false;
            let ids = [(); 2].map(|()| pair.ask(Request::RegCred).unwrap());
            pair.wire.carry_up(usize::MAX);
            assert_eq!(told && pair.poll(), told);
            pair.wire.close_up();
            pair.settle();
            let seen = |n| Ok(Seen::Request(n, Request::RegCred));
            pair.expect([], [seen(0), seen(1)]);
            assert_eq!(pair.server.recv_room(), 0);
            pair.answer();
            pair.settle();
            let cred = Reply::RegCred(credential(dialect));
            pair.expect([replied(ids[0], cred.clone())], []);
            pair.answer();
            pair.settle();
            let end = Error::Eof(EofAt::Idle);
            pair.expect([replied(ids[1], cred), Err(end.clone())], [Err(end)]);
            pair.assert_over();
        }
    }
}

#[test]
fn requests_behind_output_that_waits_are_answered_after_an_end_of_stream() {
    for dialect in DIALECTS {
        let mut setup = Setup::new(dialect);
        setup.server.output = 100;
        let mut pair = setup.open();
        pair.wire.hold_down = true;
        let ids = [(); 3].map(|()| pair.ask(Request::RegCred).unwrap());
        pair.wire.carry_up(usize::MAX);
        pair.wire.close_up();
        pair.settle();
        let seen = |n| Ok(Seen::Request(n, Request::RegCred));
        pair.expect([], [seen(0)]);
        pair.release();
        let cred = Reply::RegCred(credential(dialect));
        let end = Error::Eof(EofAt::Idle);
        let replies = ids.into_iter().map(|id| replied(id, cred.clone()));
        pair.expect(replies.chain([Err(end.clone())]), [seen(1), seen(2), Err(end)]);
        pair.assert_over();
    }
}

#[test]
fn a_bye_before_the_end_of_stream_is_acknowledged() {
    for dialect in DIALECTS {
        let mut pair = Setup::new(dialect).open();
        let bye = pair.ask(Request::Bye).unwrap();
        pair.wire.carry_up(usize::MAX);
        pair.wire.close_up();
        pair.settle();
        pair.expect([replied(bye, Reply::Ack)], [Ok(Seen::Request(0, Request::Bye))]);
        pair.assert_over();
    }
}

#[test]
fn a_client_tells_where_the_registry_closed() {
    for dialect in DIALECTS {
        for (asks, carried, at) in [
            (false, 0, EofAt::Idle),
            (true, 0, EofAt::Reply),
            (true, 1, EofAt::Record),
            (true, 16, EofAt::Record),
            (true, 500, EofAt::Record),
        ] {
            let mut pair = Setup::new(dialect).open();
            pair.wire.hold_down = true;
            if asks {
                pair.ask(Request::RegCred).unwrap();
            }
            pair.settle();
            assert_eq!(pair.wire.carry_down(carried), carried);
            pair.wire.close_down();
            pair.poll();
            assert_eq!(pair.client_saw, [Err(Error::Eof(at))]);
            assert!(pair.client.is_finished());
        }
        for carried in [0, 1, 63] {
            let mut pair = Setup::new(dialect).pair();
            pair.wire.hold_down = true;
            pair.settle();
            assert_eq!(pair.wire.carry_down(carried), carried);
            pair.wire.close_down();
            pair.poll();
            assert_eq!(pair.client_saw, [Err(Error::Eof(EofAt::Handshake))]);
        }
    }
}

#[test]
fn replies_before_the_end_of_stream_are_told_first() {
    for dialect in DIALECTS {
        let mut pair = Setup::new(dialect).open();
        pair.wire.hold_down = true;
        let ids = [(); 2].map(|()| pair.ask(Request::RegCred).unwrap());
        pair.settle();
        pair.wire.carry_down(usize::MAX);
        pair.wire.close_down();
        pair.settle();
        let cred = Reply::RegCred(credential(dialect));
        let told = ids.map(|id| replied(id, cred.clone()));
        let seen = |n| Ok(Seen::Request(n, Request::RegCred));
        pair.expect(
            told.into_iter().chain([Err(Error::Eof(EofAt::Idle))]),
            [seen(0), seen(1), Err(Error::Eof(EofAt::Idle))],
        );
    }
}

/// The server's error for these bytes as a Hello. The client gets nothing.
#[track_caller]
fn does_not_open(pair: &mut Pair, hello: &[u8]) {
    let now = pair.now;
    assert_eq!(pair.server.receive(now, hello), hello.len());
    pair.poll();
    pair.expect([], [Ok(Seen::Hello), Err(Error::Handshake)]);
    assert!(pair.server.output().is_empty() && pair.server.is_finished());
    assert_eq!(pair.server.dialect(), None);
    pair.settle();
    pair.expect([Err(Error::Eof(EofAt::Handshake))], []);
    assert!(pair.down.is_empty());
}

#[test]
fn a_hello_that_does_not_open_is_silence() {
    for dialect in DIALECTS {
        let registry = registry_identity();
        let key = registry.comms.public_key();
        let sealed = |key: &xlreg::identity::PublicKey, len| {
            key.seal(&vec![7; len], &mut Seeded::new(5)).unwrap()
        };
        let hellos = [
            vec![0; 256],
            vec![0xFF; 256],
            sealed(key, 0),
            sealed(key, 43),
            sealed(key, 45),
            sealed(key, 59),
            sealed(key, 61),
            sealed(KEYS.comms[0].public_key(), 44),
        ];
        for hello in hellos {
            does_not_open(&mut Setup::new(dialect).pair(), &hello);
        }
    }
}

#[test]
fn a_client_with_another_registry_s_key_hears_nothing() {
    for dialect in DIALECTS {
        let setup = Setup::new(dialect);
        let mut pair = setup.pair();
        let registry_key = KEYS.comms[0].public_key().clone();
        let config = ClientConfig { registry_key, ..setup.client_config() };
        let now = pair.now;
        pair.wire.client = Session::<Client>::new(now, config, Seeded::new(3)).unwrap();
        pair.settle();
        let silence = Err(Error::Eof(EofAt::Handshake));
        pair.expect([silence], [Ok(Seen::Hello), Err(Error::Handshake)]);
        assert!(pair.down.is_empty());
        pair.assert_over();
    }
}

#[test]
fn a_hello_reply_that_proves_nothing_is_refused_by_the_client() {
    for dialect in DIALECTS {
        let mut pair = Setup::new(dialect).pair();
        pair.wire.hold_down = true;
        pair.settle();
        let mut reply = pair.server.output().to_vec();
        *reply.last_mut().unwrap() ^= 1;
        let now = pair.now;
        assert_eq!(pair.client.receive(now, &reply), reply.len());
        pair.poll();
        assert_eq!(pair.client_saw, [Err(Error::Handshake)]);
        assert!(pair.client.is_finished());
    }
}

#[test]
fn after_an_error_nothing_moves_any_more() {
    for dialect in DIALECTS {
        let mut pair = Setup::new(dialect).open();
        pair.inject(&[0]);
        pair.settle();
        let (ended, bad) = (Error::Eof(EofAt::Idle), Error::BadRecord);
        pair.expect([Err(ended.clone())], [Err(bad.clone())]);
        let far = after(pair.now, IDLE * 100);
        pair.wire.advance(far);
        for _ in 0..3 {
            assert_eq!(pair.client.poll_event(), Err(ended.clone()));
            assert_eq!(pair.server.poll_event().unwrap_err(), bad);
            assert_eq!((pair.client.receive(far, &[1]), pair.server.receive(far, &[1])), (0, 0));
            pair.client.receive_eof(far);
            pair.server.receive_eof(far);
            pair.client.consume_output(99);
            pair.server.consume_output(99);
            assert_eq!(pair.ask(Request::RegCred), Err(CommandError::Closed));
            // It has ended already, and not in order.
            pair.wire.client.abandon(far);
            pair.assert_over();
        }
    }
}

#[test]
fn a_handshake_at_the_last_moment_still_counts() {
    for dialect in DIALECTS {
        let mut pair = impatient(true, dialect).pair();
        let (due, _) = pair.server.poll_timeout().unwrap();
        // The Hello and its deadline come together. The Hello goes first.
        pair.wire.now = due;
        pair.wire.carry_up(usize::MAX);
        pair.wire.advance(due);
        pair.settle();
        pair.expect([Ok(connected(dialect))], [Ok(Seen::Hello)]);
        assert_eq!(pair.server.poll_timeout(), Some((after(due, IDLE), TimerKind::Idle)));
    }
}
