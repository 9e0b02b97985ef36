//! A client's session and a registry's, connected: the conversations that succeed, with the bytes
//! in any pieces.

use xlreg::message::{ClusterRef, GetCluster, MemberList, MemberSet, Refusal, Reply, Request};
use xlreg::registry::ClientState;
use xlreg::session::{ClientEvent, CommandError, Dialect, Error, Instant, Limits, State};
use xlreg_testkit::pair::{
    DIALECTS, Pair, Seen, Setup, TestRegistry, cluster, connected, credential, info, replied,
    served, token,
};

/// A member's whole enrollment, and the replies of a new registry.
fn enrollment() -> Vec<Request> {
    let create = cluster("trio", 3, 1);
    let get = GetCluster { cluster: ClusterRef::CURRENT, which: Some(MemberSet::first(3)) };
    vec![
        Request::RegCred,
        Request::Member(token("alice", 0, &["10.0.0.1:7000"])),
        Request::Create(create.clone()),
        Request::Join(create.name.into()),
        Request::GetCluster(get),
        Request::Bye,
    ]
}

fn answers(dialect: Dialect) -> Vec<Reply> {
    // The replies of a separate registry to the same requests, without sessions.
    let mut registry = Setup::new(dialect).registry();
    let mut state = ClientState::new();
    let replies: Vec<_> = enrollment()
        .into_iter()
        .map(|request| xlreg_testkit::pair::Backend::answer(&mut registry, &mut state, request))
        .collect();
    let (id, token) = state.member().unwrap();
    let cluster = registry.rules.clusters().next().unwrap().info().id;
    let trio = info(cluster, &xlreg_testkit::pair::cluster("trio", 3, 1));
    let members = MemberList::new(cluster, MemberSet::first(1), vec![served(token, id)]).unwrap();
    let expected = [
        Reply::RegCred(credential(dialect)),
        Reply::MemberOk { id, attrs: token.attrs },
        Reply::Create(trio),
        Reply::Join(trio),
        Reply::Members(members),
        Reply::Ack,
    ];
    assert_eq!(replies, expected);
    replies
}

fn seen(requests: Vec<Request>) -> Vec<Result<Seen, Error>> {
    (0..).zip(requests).map(|(index, request)| Ok(Seen::Request(index, request))).collect()
}

#[test]
fn an_enrollment_goes_well_step_by_step() {
    for dialect in DIALECTS {
        let mut pair = Setup::new(dialect).pair();
        assert_eq!(pair.client.state(), State::Handshake);
        pair.settle();
        pair.expect([Ok(connected(dialect))], [Ok(Seen::Hello)]);
        assert_eq!((pair.client.dialect(), pair.server.dialect()), (Some(dialect), Some(dialect)));
        for (request, answer) in enrollment().into_iter().zip(answers(dialect)) {
            assert_eq!((pair.client.state(), pair.server.state()), (State::Open, State::Open));
            assert_eq!(pair.exchange(request), answer);
        }
        pair.assert_over();
    }
}

#[test]
fn a_whole_enrollment_in_one_flight_is_answered_in_order_in_any_pieces() {
    for dialect in DIALECTS {
        for chunk in [1, 2, 15, 16, 17, 255, 256, 257, 1400, usize::MAX] {
            let mut pair = Setup { chunk, ..Setup::new(dialect) }.open();
            let ids: Vec<_> = enrollment().into_iter().map(|it| pair.ask(it).unwrap()).collect();
            pair.settle();
            let replies = ids.into_iter().zip(answers(dialect)).map(|(id, it)| replied(id, it));
            pair.expect(replies, seen(enrollment()));
            pair.assert_over();
        }
    }
}

#[test]
fn the_bytes_do_not_depend_on_how_they_are_cut() {
    for dialect in DIALECTS {
        let carried = [usize::MAX, 1, 33].map(|chunk| {
            let mut pair = Setup { chunk, ..Setup::new(dialect) }.open();
            for request in enrollment() {
                pair.exchange(request);
            }
            (pair.wire.up, pair.wire.down)
        });
        assert_eq!(carried[0], carried[1]);
        assert_eq!(carried[0], carried[2]);
    }
}

/// Makes a cluster of 64 members without sessions.
fn full_house(dialect: Dialect) -> TestRegistry {
    let create = cluster("house", 64, 2);
    let mut registry = Setup::new(dialect).registry();
    for n in 0..64 {
        let (ours, clients) = (format!("10.1.0.{n}:7000"), format!("10.1.0.{n}:7001"));
        registry.enroll_member(token(&format!("member-{n}"), n, &[&ours, &clients]), &create);
    }
    registry
}

#[test]
fn sixty_four_members_arrive_in_any_pieces() {
    for dialect in DIALECTS {
        let full = full_house(dialect);
        let house = full.rules.clusters().next().unwrap().clone();
        let ids: std::collections::BTreeSet<_> =
            house.members().iter().map(|token| token.id).collect();
        assert_eq!((ids.len(), house.members().len()), (64, 64));
        for chunk in [usize::MAX, 1, 1400] {
            let setup = Setup { chunk, ..Setup::new(dialect) };
            let mut pair = setup.open_at(full.clone());
            pair.register(token("onlooker", 0, &[]));
            let before = pair.down.len();
            let get = GetCluster { cluster: house.name().clone().into(), which: None };
            let Reply::Members(list) = pair.exchange(Request::GetCluster(get)) else { panic!() };
            let carried = pair.down.len() - before;
            assert!((41_000..47_000).contains(&carried), "{carried} bytes");
            assert_eq!((list.cluster(), list.which()), (house.info().id, MemberSet::ALL));
            assert_eq!(list.members(), house.members());
            assert_eq!(pair.exchange(Request::Bye), Reply::Ack);
        }
    }
}

#[test]
fn a_bad_message_is_answered_after_the_good_ones_before_it() {
    for dialect in DIALECTS {
        let mut pair = Setup::new(dialect).open();
        pair.wire.answers = false;
        let cred = pair.ask(Request::RegCred).unwrap();
        let member = token("alice", 0, &[]);
        let identify = pair.ask(Request::Member(member.clone())).unwrap();
        pair.settle();
        // A message without an operation. No client session sends one.
        pair.inject(&[]);
        pair.settle();
        let good = [Request::RegCred, Request::Member(member)];
        pair.expect([], seen(good.to_vec()));
        assert_eq!((pair.server.output(), pair.server.recv_room()), (&[][..], 0));
        pair.answer();
        pair.settle();
        pair.expect([replied(cred, Reply::RegCred(credential(dialect)))], []);
        pair.answer();
        pair.settle();
        let (id, token) = pair.state.member().unwrap();
        let told = replied(identify, Reply::MemberOk { id, attrs: token.attrs });
        let reason = Refusal::UnknownOp.into();
        let wrong = Error::BadMessage(xlreg::message::MessageError::NoOp);
        let error = Ok(ClientEvent::Refused { request: None, reason });
        pair.expect([told, error], [Err(wrong)]);
        pair.assert_over();
    }
}

/// A pair with a registry that lets two requests wait, and with three requests on their way.
fn three_asked(dialect: Dialect, limits: Limits) -> (Pair, Vec<xlreg::session::RequestId>) {
    let mut pair = Setup { server: limits, ..Setup::new(dialect) }.open();
    let ids = (0..3).map(|_| pair.ask(Request::RegCred).unwrap()).collect();
    pair.wire.answers = false;
    pair.settle();
    (pair, ids)
}

#[test]
fn at_the_limit_of_requests_in_flight_there_is_no_room_until_one_is_answered() {
    for dialect in DIALECTS {
        let limits = Limits { in_flight: 2, ..Limits::server() };
        let (mut pair, ids) = three_asked(dialect, limits);
        let room = Setup::new(dialect).open().server.recv_room();
        pair.expect([], seen(vec![Request::RegCred; 2]));
        assert_eq!(pair.server.recv_room(), 0);
        let now = pair.now;
        assert_eq!(pair.server.receive(now, &[1, 2, 3]), 0);
        let cred = Reply::RegCred(credential(dialect));
        pair.answer();
        pair.settle();
        let third = Ok(Seen::Request(2, Request::RegCred));
        pair.expect([replied(ids[0], cred.clone())], [third]);
        assert_eq!(pair.server.recv_room(), 0);
        pair.answer();
        pair.answer();
        pair.settle();
        pair.expect([replied(ids[1], cred.clone()), replied(ids[2], cred)], []);
        assert_eq!(pair.server.recv_room(), room);
    }
}

#[test]
fn a_client_asks_no_more_than_may_wait() {
    for dialect in DIALECTS {
        let client = Limits { in_flight: 2, ..Limits::client() };
        let mut pair = Setup { client, ..Setup::new(dialect) }.open();
        pair.ask(Request::RegCred).unwrap();
        pair.ask(Request::RegCred).unwrap();
        assert_eq!(pair.ask(Request::RegCred), Err(CommandError::TooManyInFlight));
        pair.settle();
        assert_eq!(pair.client_saw.len(), 2);
        pair.ask(Request::RegCred).unwrap();
    }
}

#[test]
fn output_that_waits_holds_requests_back_until_it_is_taken() {
    for dialect in DIALECTS {
        let limits = Limits { output: 100, ..Limits::server() };
        let mut pair = Setup { server: limits, ..Setup::new(dialect) }.open();
        pair.wire.hold_down = true;
        let ids: Vec<_> = (0..3).map(|_| pair.ask(Request::RegCred).unwrap()).collect();
        pair.settle();
        // The first reply is over the limit, and one may be.
        pair.expect([], seen(vec![Request::RegCred]));
        let waiting = pair.server.output().len();
        assert!(waiting > 100);
        assert_eq!(pair.server.recv_room(), 0);
        let taken = pair.wire.carry_down(waiting - 101);
        assert_eq!(taken, waiting - 101);
        assert!(!pair.poll());
        pair.wire.carry_down(1);
        assert!(pair.poll());
        pair.expect([], [Ok(Seen::Request(1, Request::RegCred))]);
        pair.wire.hold_down = false;
        pair.settle();
        let cred = Reply::RegCred(credential(dialect));
        let replies = ids.into_iter().map(|id| replied(id, cred.clone()));
        pair.expect(replies, [Ok(Seen::Request(2, Request::RegCred))]);
    }
}

#[test]
fn time_that_goes_back_changes_nothing() {
    for dialect in DIALECTS {
        let mut pair = Setup::new(dialect).open();
        pair.register(token("alice", 0, &["h:1"]));
        let due = pair.server.poll_timeout();
        pair.wire.advance(Instant::EPOCH);
        assert_eq!(pair.server.poll_timeout(), due);
        let (asked, late) = (pair.wire.now, due.unwrap().0);
        let id = pair.ask(Request::RegCred).unwrap();
        assert!(asked < pair.client.poll_timeout().unwrap().0);
        assert!(pair.client.poll_timeout().unwrap().0 > Instant::from_micros(1_000_000));
        pair.settle();
        pair.expect(
            [replied(id, Reply::RegCred(credential(dialect)))],
            [Ok(Seen::Request(1, Request::RegCred))],
        );
        // The reply counts from the latest time known, not from the epoch.
        assert_eq!(pair.server.poll_timeout().unwrap().0, late);
        assert_eq!(pair.exchange(Request::Bye), Reply::Ack);
    }
}

#[test]
fn handling_timeouts_early_or_twice_does_no_harm() {
    for dialect in DIALECTS {
        let mut pair = Setup::new(dialect).pair();
        let (due, _) = pair.next_timeout().unwrap();
        let early = Instant::from_micros(due.as_micros() - 1);
        for to in [early, early, Instant::EPOCH, early] {
            pair.wire.advance(to);
            assert!(!pair.poll());
        }
        pair.wire.now = early;
        pair.settle();
        pair.expect([Ok(connected(dialect))], [Ok(Seen::Hello)]);
        for (request, answer) in enrollment().into_iter().zip(answers(dialect)) {
            let now = pair.now;
            pair.wire.advance(now);
            pair.wire.advance(now);
            assert_eq!(pair.exchange(request), answer);
        }
        pair.assert_over();
    }
}

#[test]
fn a_registry_sees_who_comes_back() {
    for dialect in DIALECTS {
        let setup = Setup::new(dialect);
        let create = cluster("trio", 3, 1);
        let alice = token("alice", 0, &["h:1"]);
        let mut pair = setup.open();
        let id = pair.register(alice.clone());
        let trio = pair.create(&create);
        let joined = Reply::Join(info(trio, &create));
        assert_eq!(pair.exchange(Request::Join(ClusterRef::CURRENT)), joined);
        assert_eq!(pair.exchange(Request::Join(trio.into())), joined, "joining again");
        let mut again = setup.open_at(pair.registry);
        let moved = xlreg::identity::Token { id: Some(id), ..token("alice", 0, &["h:2"]) };
        assert_eq!(again.register(moved.clone()), id);
        assert_eq!(again.create(&cluster("trio", 5, 2)), trio, "the proposal is ignored");
        assert_eq!(again.exchange(Request::Join(ClusterRef::CURRENT)), joined);
        let members = MemberList::new(trio, MemberSet::first(1), vec![served(&moved, id)]).unwrap();
        let get = Request::GetCluster(GetCluster::default());
        assert_eq!(again.exchange(get), Reply::Members(members));
    }
}
