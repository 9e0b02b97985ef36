//! Every refusal of PROTOCOL 6 that a client can cause: the client sees it, the session is over on
//! both sides, and the registry is unchanged.

use xlreg::identity::{EndPointError, KeyError, NameError, NodeId, NodeIdError, Token};
use xlreg::message::{ClusterRef, Field, GetCluster, MessageError, Op, Refusal, Reply, Request};
use xlreg::registry::RegistryLimits;
use xlreg::session::{EofAt, Error, Limits};
use xlreg_testkit::captures;
use xlreg_testkit::pair::{DIALECTS, Seen, Setup, TestRegistry, cluster, refused, replied, token};
use xlreg_testkit::scenario::{self, Msg};

const END_POINTS: [&str; 2] = ["h:1", "h:2"];

/// Checks that a registry prepared by `ready` refuses `last` after the requests in `before`.
#[track_caller]
fn registry_refuses(
    setup: impl Fn(Setup) -> Setup,
    ready: impl Fn(&mut TestRegistry),
    before: &[Request],
    last: impl Fn(&TestRegistry) -> Request,
    refusal: Refusal,
) {
    for dialect in DIALECTS {
        let setup = setup(Setup::new(dialect));
        let mut registry = setup.registry();
        ready(&mut registry);
        let mut pair = setup.open_at(registry);
        for request in before {
            pair.exchange(request.clone());
        }
        let (last, registry) = (last(&pair.registry), pair.registry.rules.clone());
        let id = pair.ask(last.clone()).unwrap();
        pair.settle();
        pair.expect([refused(Some(id), refusal)], [Ok(Seen::Request(id.index(), last))]);
        pair.assert_over();
        assert_eq!(pair.registry.rules, registry);
    }
}

fn usual(setup: Setup) -> Setup {
    setup
}

fn nobody(_: &mut TestRegistry) {}

fn member() -> Request {
    Request::Member(token("alice", 0, &END_POINTS))
}

fn create(size: u32, end_points: u32) -> Request {
    Request::Create(cluster("trio", size, end_points))
}

fn join(name: &str) -> Request {
    Request::Join(ClusterRef::from(name.parse::<xlreg::identity::Name>().unwrap()))
}

/// Bob, with other keys, is in the cluster.
fn bob_is_there(size: u32, end_points: u32) -> impl Fn(&mut TestRegistry) {
    move |registry| {
        registry.enroll_member(token("bob", 1, &END_POINTS), &cluster("trio", size, end_points));
    }
}

#[test]
fn an_id_that_is_bound_to_another_key_is_refused() {
    let as_bob = |registry: &TestRegistry| {
        let bob = registry.rules.clusters().next().unwrap().members()[0].id;
        Request::Member(Token { id: bob, ..token("bob", 0, &END_POINTS) })
    };
    registry_refuses(usual, bob_is_there(3, 1), &[], as_bob, Refusal::IdInUse);
}

#[test]
fn the_id_of_a_cluster_or_of_the_registry_is_refused() {
    let as_cluster = |registry: &TestRegistry| {
        let id = registry.rules.clusters().next().unwrap().info().id;
        Request::Member(Token { id: Some(id), ..token("alice", 0, &END_POINTS) })
    };
    registry_refuses(usual, bob_is_there(3, 1), &[], as_cluster, Refusal::IdInUse);
    let as_registry = |registry: &TestRegistry| {
        let id = Some(registry.rules.credential().id);
        Request::Member(Token { id, ..token("alice", 0, &END_POINTS) })
    };
    registry_refuses(usual, nobody, &[], as_registry, Refusal::IdInUse);
}

#[test]
fn an_unknown_cluster_id_is_refused() {
    let id = NodeId::from_bytes(&[7; 20]).unwrap();
    let join = |_: &TestRegistry| Request::Join(id.into());
    registry_refuses(usual, bob_is_there(3, 1), &[member()], join, Refusal::NoClusterWithId);
    let get =
        |_: &TestRegistry| Request::GetCluster(GetCluster { cluster: id.into(), which: None });
    registry_refuses(usual, bob_is_there(3, 1), &[member()], get, Refusal::NoClusterWithId);
}

#[test]
fn an_unknown_cluster_id_is_refused_even_beside_a_known_name() {
    for dialect in DIALECTS {
        let setup = Setup::new(dialect);
        let mut registry = setup.registry();
        bob_is_there(3, 1)(&mut registry);
        let mut pair = setup.open_at(registry);
        pair.exchange(member());
        let id = NodeId::from_bytes(&[7; 32]).unwrap();
        let both = ClusterRef { id: Some(id), name: Some("trio".parse().unwrap()) };
        let asked = pair.ask(Request::Join(both)).unwrap();
        pair.settle();
        // The name beside an ID is not examined.
        let seen = Ok(Seen::Request(1, Request::Join(id.into())));
        pair.expect([refused(Some(asked), Refusal::NoClusterWithId)], [seen]);
        pair.assert_over();
    }
}

#[test]
fn an_unknown_cluster_name_is_refused() {
    let unknown = |_: &TestRegistry| join("quartet");
    registry_refuses(usual, bob_is_there(3, 1), &[member()], unknown, Refusal::NoClusterWithName);
    let get = |_: &TestRegistry| {
        let cluster = "quartet".parse::<xlreg::identity::Name>().unwrap().into();
        Request::GetCluster(GetCluster { cluster, which: None })
    };
    registry_refuses(usual, bob_is_there(3, 1), &[member()], get, Refusal::NoClusterWithName);
}

#[test]
fn a_member_name_that_is_taken_is_refused() {
    let second_bob = [Request::Member(token("bob", 0, &END_POINTS))];
    let trio = |_: &TestRegistry| join("trio");
    registry_refuses(usual, bob_is_there(3, 1), &second_bob, trio, Refusal::MemberNameInUse);
}

#[test]
fn a_member_without_the_ends_a_cluster_wants_is_refused() {
    let trio = |_: &TestRegistry| join("trio");
    let with = |end_points| [Request::Member(token("alice", 0, end_points))];
    registry_refuses(usual, bob_is_there(3, 1), &with(&[]), trio, Refusal::NoEnd);
    registry_refuses(usual, bob_is_there(3, 2), &with(&["h:1"]), trio, Refusal::TooFewEnds);
    registry_refuses(usual, bob_is_there(3, 2), &with(&[]), trio, Refusal::TooFewEnds);
}

#[test]
fn a_cluster_of_nobody_is_refused() {
    registry_refuses(usual, nobody, &[member()], |_| create(0, 1), Refusal::EmptyCluster);
}

#[test]
fn a_cluster_that_wants_no_end_or_three_is_refused() {
    for end_points in [0, 3, u32::MAX] {
        let create = |_: &TestRegistry| create(3, end_points);
        registry_refuses(usual, nobody, &[member()], create, Refusal::EndPointCount);
    }
}

#[test]
fn no_cluster_given_is_refused() {
    let current = |_: &TestRegistry| Request::Join(ClusterRef::CURRENT);
    registry_refuses(usual, bob_is_there(3, 1), &[member()], current, Refusal::NoClusterGiven);
    let get = |_: &TestRegistry| Request::GetCluster(GetCluster::default());
    registry_refuses(usual, bob_is_there(3, 1), &[member()], get, Refusal::NoClusterGiven);
}

#[test]
fn a_full_cluster_is_refused() {
    let trio = |_: &TestRegistry| join("trio");
    registry_refuses(usual, bob_is_there(1, 1), &[member()], trio, Refusal::ClusterFull);
}

#[test]
fn a_signature_by_another_key_or_over_other_words_is_refused() {
    let alice = || token("alice", 0, &END_POINTS);
    let forged = [
        Token { signature: token("alice", 1, &END_POINTS).signature, ..alice() },
        Token { signature: Some(vec![]), ..alice() },
        Token { signature: alice().signature.map(|s| s[1..].to_vec()), ..alice() },
        Token { name: "alicf".parse().unwrap(), ..alice() },
        Token { attrs: xlreg::identity::MemberAttrs::ADMIN, ..alice() },
        Token { comms_key: token("alice", 1, &END_POINTS).comms_key, ..alice() },
        Token { end_points: vec!["h:1".parse().unwrap()], ..alice() },
        Token { end_points: vec!["h:2".parse().unwrap(), "h:1".parse().unwrap()], ..alice() },
    ];
    for token in forged {
        let member = |_: &TestRegistry| Request::Member(token.clone());
        registry_refuses(usual, nobody, &[], member, Refusal::BadSignature);
    }
}

#[test]
fn a_full_registry_is_told() {
    let full = |nodes, clusters, memberships| {
        move |setup| Setup {
            registry_limits: RegistryLimits {
                nodes,
                clusters,
                memberships,
                ..RegistryLimits::NONE
            },
            ..setup
        }
    };
    registry_refuses(full(0, 9, 9), nobody, &[], |_| member(), Refusal::RegistryFull);
    registry_refuses(full(9, 0, 9), nobody, &[member()], |_| create(3, 1), Refusal::RegistryFull);
    let trio = |_: &TestRegistry| join("trio");
    registry_refuses(full(9, 9, 1), bob_is_there(3, 1), &[member()], trio, Refusal::RegistryFull);
}

#[test]
fn one_request_too_many_is_refused() {
    for dialect in DIALECTS {
        let server = Limits { requests: 2, ..Limits::server() };
        let mut pair = Setup { server, ..Setup::new(dialect) }.open();
        pair.exchange(Request::RegCred);
        // The last request that is allowed and the first that is not, in one flight.
        let second = pair.ask(member()).unwrap();
        let third = pair.ask(create(3, 1)).unwrap();
        pair.settle();
        let (id, alice) = pair.state.member().unwrap();
        let told = replied(second, Reply::MemberOk { id, attrs: alice.attrs });
        pair.expect(
            [told, refused(Some(third), Refusal::TooManyRequests)],
            [Ok(Seen::Request(1, member())), Err(Error::TooManyRequests { limit: 2 })],
        );
        pair.assert_over();
        assert_eq!(
            (pair.registry.rules.size().nodes, pair.registry.rules.clusters().len()),
            (1, 0)
        );
    }
}

/// Checks that the registry's session refuses, with `error`, a message that no client session
/// sends, after the requests in `before`.
#[track_caller]
fn session_refuses(before: &[Request], message: &Msg, refusal: Refusal, error: &Error) {
    for dialect in DIALECTS {
        let mut pair = Setup::new(dialect).open();
        for request in before {
            pair.exchange(request.clone());
        }
        let registry = pair.registry.rules.clone();
        pair.inject(&message.encode());
        pair.settle();
        pair.expect([refused(None, refusal)], [Err(error.clone())]);
        pair.assert_over();
        assert_eq!(pair.registry.rules, registry);
    }
}

#[test]
fn what_needs_a_member_is_refused_before_member() {
    for (op, message) in [
        (Op::Create, scenario::create()),
        (Op::Join, Msg::op(Op::Join).bytes(14, "trio")),
        (Op::GetCluster, Msg::op(Op::GetCluster)),
    ] {
        session_refuses(&[], &message, Refusal::WrongState, &Error::WrongState(op));
    }
}

#[test]
fn a_second_member_is_refused() {
    let wrong = Error::WrongState(Op::Member);
    session_refuses(&[member()], &scenario::member(), Refusal::WrongState, &wrong);
}

/// The other errors. `bad_input.rs` and `bad_tokens.rs` have all their causes.
#[test]
fn every_other_refusal_reaches_the_client() {
    let ec =
        [captures::hex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"), vec![0x55; 64]];
    let alter = |change: &dyn Fn(Msg) -> Msg| scenario::member().with_token(11, change);
    let cases = [
        (Msg::new(), MessageError::NoOp, Refusal::UnknownOp),
        (Msg::new().varint(1, 14), MessageError::UnknownOp(14), Refusal::UnknownOp),
        (Msg::op(Op::Ack), MessageError::WrongSide(Op::Ack), Refusal::WrongState),
        (
            alter(&|token| token.without(2)),
            MessageError::Missing(Field::TokenAttrs),
            Refusal::BadAttrs,
        ),
        (
            alter(&|token| token.without(7)),
            MessageError::Missing(Field::TokenDigSig),
            Refusal::BadSignature,
        ),
        (
            alter(&|token| token.set(5, ec.concat())),
            MessageError::Key { field: Field::TokenSigKey, source: KeyError::NotRsa },
            Refusal::BadKey,
        ),
        (
            alter(&|token| token.set(6, "h")),
            MessageError::End { index: 0, source: EndPointError::NoPort },
            Refusal::BadEnd,
        ),
        (
            alter(&|token| token.bytes(3, [7; 3])),
            MessageError::Id { field: Field::TokenId, source: NodeIdError::Length { bytes: 3 } },
            Refusal::IdLength,
        ),
        (
            alter(&|token| token.set(1, "")),
            MessageError::Name { field: Field::TokenName, source: NameError::Empty },
            Refusal::BadName,
        ),
    ];
    for (message, error, refusal) in cases {
        session_refuses(&[], &message, refusal, &error.into());
    }
}

#[test]
fn what_is_no_message_is_answered_with_silence() {
    // Field 0; and a length of 1 MB, which is refused before its bytes come.
    let cases: [&[u8]; 2] = [&[0x00], &[0x08, 3, 0x5A, 0x80, 0x80, 0x40]];
    for (dialect, case) in DIALECTS.into_iter().flat_map(|it| cases.map(|case| (it, case))) {
        let mut pair = Setup::new(dialect).open();
        pair.inject(case);
        let before = pair.down.len();
        pair.settle();
        pair.expect([Err(Error::Eof(EofAt::Idle))], [Err(Error::BadRecord)]);
        assert_eq!(pair.down.len(), before, "silence");
        pair.assert_over();
    }
}

#[test]
fn what_comes_after_bye_is_ignored() {
    for dialect in DIALECTS {
        let mut pair = Setup::new(dialect).open();
        pair.wire.answers = false;
        let bye = pair.ask(Request::Bye).unwrap();
        pair.wire.carry_up(usize::MAX);
        pair.inject(&Msg::op(Op::RegCredRequest).encode());
        pair.inject(&[0x00]);
        pair.settle();
        pair.expect([], [Ok(Seen::Request(0, Request::Bye))]);
        assert_eq!(pair.server.recv_room(), 0);
        pair.answer();
        pair.settle();
        pair.expect([replied(bye, Reply::Ack)], []);
        pair.assert_over();
    }
}

#[test]
fn the_caller_s_own_refusal_is_told_in_its_own_words() {
    for dialect in DIALECTS {
        let mut pair = Setup::new(dialect).open();
        pair.wire.answers = false;
        let ids = [Request::RegCred, member()].map(|request| pair.ask(request).unwrap());
        pair.settle();
        let now = pair.now;
        let reason = xlreg::message::Reason::new("closed for the night");
        pair.server.reject(now, &reason).unwrap();
        pair.settle();
        let seen = [Ok(Seen::Request(0, Request::RegCred)), Ok(Seen::Request(1, member()))];
        let request = Some(ids[0]);
        pair.expect([Ok(xlreg::session::ClientEvent::Refused { request, reason })], seen);
        pair.assert_over();
    }
}
