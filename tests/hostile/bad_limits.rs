//! Input above the limits is refused by the name of its field, on the declared size, before it is
//! stored.

use xlreg::identity::{EndPointError, NameError};
use xlreg::message::{Field, MessageError, Op, Refusal, Request};
use xlreg::session::{ClientEvent, Dialect, Error, Limits};
use xlreg_testkit::scenario::{
    self, DIALECTS, Msg, NOW, Scenario, bad, client_refuses, create, feed, is_over, member,
    members, next_request, served, server_refuses,
};

fn name_error(field: Field, source: NameError) -> Error {
    bad(MessageError::Name { field, source })
}

#[test]
fn a_name_must_be_within_its_limits_and_rules() {
    let name = |field: u32, op, text: &str| match op {
        Op::Member => member().with_token(11, |token| token.set(1, text)).encode(),
        Op::Create => create().set(14, text).encode(),
        op => Msg::op(op).bytes(field, text).encode(),
    };
    let long = "x".repeat(256);
    let table = [
        (&long[..], NameError::TooLong { bytes: 256, limit: 255 }),
        ("", NameError::Empty),
        (".x", NameError::Start('.')),
        ("a b", NameError::Character(' ')),
        ("a\u{e9}", NameError::Character('\u{e9}')),
    ];
    for (text, source) in table {
        server_refuses(
            &name(1, Op::Member, text),
            &name_error(Field::TokenName, source),
            Some(Refusal::BadName),
        );
        for op in [Op::Create, Op::Join, Op::GetCluster] {
            server_refuses(
                &name(14, op, text),
                &name_error(Field::ClusterName, source),
                Some(Refusal::BadName),
            );
        }
        let reply = members(1, &[served(1).set(1, text)]).encode();
        client_refuses(Op::GetCluster, &reply, &name_error(Field::TokenName, source));
    }
    let (mut server, mut peer) = Scenario::server(Dialect::Prefixed).registered();
    feed(&mut server, &peer.seal(&name(14, Op::Create, &long[1..])));
    let Request::Create(create) = next_request(&mut server).1 else { panic!("no Create") };
    assert_eq!(create.name.as_str(), &long[1..]);
}

#[test]
fn ends_must_be_within_their_limits_and_rules() {
    let with_ends = |end_points: &[&str]| {
        member()
            .with_token(11, |token| {
                end_points.iter().fold(token.without(6), |token, end| token.bytes(6, end))
            })
            .encode()
    };
    let told = Some(Refusal::BadEnd);
    let many = bad(MessageError::TooMany { field: Field::TokenMyEnds, limit: 8 });
    server_refuses(&with_ends(&["h:1"; 9]), &many, told);
    // Protobuf merges a repeated message, so its end points add up.
    let again =
        member().msg(11, &["h:1"; 7].iter().fold(Msg::new(), |token, end| token.bytes(6, end)));
    server_refuses(&again.encode(), &many, told);
    let end = |index, source| bad(MessageError::End { index, source });
    server_refuses(&with_ends(&["h:1", "h"]), &end(1, EndPointError::NoPort), told);
    server_refuses(&with_ends(&["h:65536"]), &end(0, EndPointError::Port), told);
    server_refuses(&with_ends(&["h:1", "h:2", "-:3"]), &end(2, EndPointError::Host), told);
    for dialect in DIALECTS {
        let (mut server, mut peer) = Scenario::server(dialect).open();
        feed(&mut server, &peer.seal(&with_ends(&["h:0"; 8])));
        let Request::Member(token) = next_request(&mut server).1 else { panic!("no Member") };
        assert_eq!(token.end_points.len(), 8);
    }
}

#[test]
fn more_tokens_than_a_cluster_can_have_are_refused() {
    let error = bad(MessageError::TooMany { field: Field::Tokens, limit: 64 });
    client_refuses(Op::GetCluster, &members(u64::MAX, &vec![served(1); 65]).encode(), &error);
    // They are counted before anything is checked: these are not tokens.
    client_refuses(Op::GetCluster, &members(0, &vec![Msg::new(); 100_000]).encode(), &error);
    let tokens: Vec<Msg> = (1..=64).map(served).collect();
    let (mut client, mut peer) = Scenario::client(Dialect::Chained).asking(Op::GetCluster);
    feed(&mut client, &peer.seal(&members(u64::MAX, &tokens).encode()));
    assert!(matches!(client.poll_event(), Ok(Some(ClientEvent::Reply { .. }))));
}

/// The start of a record, in whole blocks. Its second field has this number and makes the message
/// this long.
fn declares(number: u32, total: u64) -> Vec<u8> {
    let head =
        [Msg::op(Op::Create).encode(), scenario::varint(u64::from(number) << 3 | 2)].concat();
    let fits = |len: &u64| (head.len() + scenario::varint(*len).len()) as u64 + len == total;
    let len = (total - 20..total).find(fits).unwrap_or(total);
    let mut start = [head, scenario::varint(len)].concat();
    start.resize(start.len().next_multiple_of(16), b'x');
    start
}

#[test]
fn a_length_over_the_limit_is_refused_as_soon_as_it_is_read() {
    let limits = (Limits::server().record as u64, Limits::client().record as u64);
    for number in [14, 11, 21, 7, 0x1fff_ffff] {
        for dialect in DIALECTS {
            // A message that just fits is waited for, and one byte more is refused.
            for (over, refused) in
                [(0, false), (1, true), (1 << 30, true), (u64::MAX - limits.1, true)]
            {
                let (mut server, mut peer) = Scenario::server(dialect).registered();
                feed(&mut server, &peer.seal_blocks(&declares(number, limits.0 + over)));
                match refused {
                    true => is_over(&mut server, &mut peer, &Error::BadRecord, None),
                    false => assert!(server.poll_event().unwrap().is_none()),
                }
                let (mut client, mut peer) = Scenario::client(dialect).asking(Op::Member);
                feed(&mut client, &peer.seal_blocks(&declares(number, limits.1 + over)));
                let expected = if refused { Err(Error::BadRecord) } else { Ok(None) };
                assert_eq!(client.poll_event(), expected, "field {number}, {over} over");
                assert!(client.output().is_empty());
            }
        }
    }
}

#[test]
fn a_message_as_long_as_the_limit_is_read_and_a_longer_one_is_not() {
    let limit = Limits::server().record;
    for dialect in DIALECTS {
        // Key and length of the field take four bytes, and the field before takes two.
        for (len, fits) in [(limit - 6, true), (limit - 5, false)] {
            let message = Msg::op(Op::RegCredRequest).bytes(300, vec![1; len]).encode();
            assert_eq!(message.len() <= limit, fits);
            let (mut server, mut peer) = Scenario::server(dialect).open();
            let record = peer.seal(&message);
            server.receive(NOW, &record);
            match fits {
                true => assert_eq!(next_request(&mut server).1, Request::RegCred),
                false => is_over(&mut server, &mut peer, &Error::BadRecord, None),
            }
            // Many small fields count like one large field.
            let mut small = Msg::op(Op::RegCredRequest).encode();
            small.extend([7 << 3, 0].repeat((limit - 2) / 2 + usize::from(!fits)));
            let (mut server, mut peer) = Scenario::server(dialect).open();
            server.receive(NOW, &peer.seal(&small));
            match fits {
                true => assert_eq!(next_request(&mut server).1, Request::RegCred),
                false => is_over(&mut server, &mut peer, &Error::BadRecord, None),
            }
        }
    }
}
