//! Bad input: each kind has one precise error for our caller, gives the peer the answer in
//! docs/protocol.md (an Error record, or silence), and ends the session. Nothing panics, and later
//! input is ignored.

use xlreg::identity::NodeIdError;
use xlreg::message::{
    Field, MemberListError, MemberSet, MessageError, Op, Reason, Refusal, Reply, Request,
};
use xlreg::session::{ClientEvent, EofAt, Error, Limits, State};
use xlreg_testkit::scenario::{
    DIALECTS, Msg, NOW, Scenario, Value, bad, client_refuses, conversation, create, drain, feed,
    is_over, member, member_ok, members, next_request, registry, served, server_refuses, token,
};

fn cluster_reply(op: Op) -> Msg {
    Msg::op(op).bytes(13, [9; 32]).varint(15, 3).varint(16, 0).varint(17, 1)
}

fn reg_cred_reply() -> Msg {
    Msg::op(Op::RegCredReply).varint(6, 0x0018_0901).msg(11, &served(4))
}

fn id_error(field: Field, bytes: usize) -> Error {
    bad(MessageError::Id { field, source: NodeIdError::Length { bytes } })
}

// The ten inputs that each end a deployed server (PROTOCOL 6.10).

#[test]
fn five_bytes_or_a_broken_block_and_the_end_are_an_end_inside_a_record() {
    for dialect in DIALECTS {
        let (_, mut peer) = Scenario::server(dialect).open();
        let record = peer.seal(&member().encode());
        for piece in [&[1, 2, 3, 4, 5][..], &record[..record.len() - 7], &record[..37]] {
            let (mut server, mut peer) = Scenario::server(dialect).open();
            feed(&mut server, piece);
            assert!(server.poll_event().unwrap().is_none());
            assert!(server.output().is_empty());
            server.receive_eof(NOW);
            is_over(&mut server, &mut peer, &Error::Eof(EofAt::Record), None);
        }
    }
}

#[test]
fn a_record_in_two_segments_works() {
    for dialect in DIALECTS {
        let (mut server, mut peer) = Scenario::server(dialect).open();
        let record = peer.seal(&member().encode());
        let (head, tail) = record.split_at(record.len() / 2);
        feed(&mut server, head);
        assert!(server.poll_event().unwrap().is_none());
        feed(&mut server, tail);
        assert_eq!(next_request(&mut server).1, Request::Member(token()));
    }
}

#[test]
fn an_op_that_is_none_or_absent_is_out_of_range() {
    for (tag, seen) in [(0, 0), (14, 14), (99, 99), (i32::MAX as u64, i32::MAX), (u64::MAX, -1)] {
        let error = bad(MessageError::UnknownOp(seen));
        let message = Msg::new().varint(1, tag).encode();
        server_refuses(&message, &error, Some(Refusal::UnknownOp));
        client_refuses(Op::Member, &message, &error);
    }
    for message in [Msg::new(), Msg::new().bytes(14, "c"), Msg::new().bytes(2, [0; 16])] {
        let error = bad(MessageError::NoOp);
        server_refuses(&message.encode(), &error, Some(Refusal::UnknownOp));
        client_refuses(Op::Member, &message.encode(), &error);
    }
    assert_eq!(Refusal::UnknownOp.as_str(), "message tag out of range");
}

#[test]
fn joining_a_cluster_that_is_not_there_is_refused_by_its_text() {
    let join = || Msg::op(Op::Join);
    let table = [
        (join().bytes(14, "nowhere"), "cannot find cluster with this name"),
        (join().bytes(13, [7; 20]), "cannot find cluster with this ID"),
        (join().bytes(13, [7; 32]).bytes(14, "c"), "cannot find cluster with this ID"),
        (join(), "missing cluster name or ID"),
    ];
    for dialect in DIALECTS {
        for (join, text) in &table {
            let (mut server, told) = conversation(dialect, &[member(), join.clone()]);
            assert_eq!(told[1], Msg::op(Op::Error).bytes(23, text));
            assert_eq!((server.state(), server.recv_room()), (State::Closed, 0));
            assert!(server.poll_event().unwrap().is_none());
        }
    }
}

#[test]
fn an_id_of_a_wrong_length_is_refused() {
    for len in [0, 3, 19, 21, 31, 33, 64] {
        let told = Some(Refusal::IdLength);
        for op in [Op::Join, Op::GetCluster] {
            let message = Msg::op(op).bytes(13, vec![1; len]).bytes(14, "c").encode();
            server_refuses(&message, &id_error(Field::ClusterId, len), told);
        }
        let message =
            Msg::op(Op::Member).msg(11, &served(1).set(3, vec![1; len]).bytes(7, [1; 256]));
        server_refuses(&message.encode(), &id_error(Field::TokenId, len), told);
        let reply = member_ok().set(9, vec![1; len]).encode();
        client_refuses(Op::Member, &reply, &id_error(Field::MemberId, len));
    }
    assert_eq!(Refusal::IdLength.as_str(), "bad length for nodeID");
}

#[test]
fn whatever_follows_a_bye_is_ignored() {
    for dialect in DIALECTS {
        for behind in [create().encode(), vec![], vec![0x0b; 31], Msg::op(Op::Bye).encode()] {
            let (mut server, mut peer) = Scenario::server(dialect).registered();
            let (bye, behind) = (peer.seal(&Msg::op(Op::Bye).encode()), peer.seal(&behind));
            feed(&mut server, &[&bye[..], &behind].concat());
            let (id, request) = next_request(&mut server);
            assert_eq!(request, Request::Bye);
            assert!(server.poll_event().unwrap().is_none());
            assert_eq!(server.receive(NOW, &behind), 0);
            server.reply(NOW, id, &Reply::Ack).unwrap();
            assert!(server.poll_event().unwrap().is_none());
            assert_eq!(peer.open(&drain(&mut server)), Msg::op(Op::Ack).encode());
            assert!(server.is_finished());
        }
    }
}

// Illegal requests.

#[test]
fn a_request_at_the_wrong_time_is_refused() {
    let join = Msg::op(Op::Join).bytes(14, "c");
    let get = Msg::op(Op::GetCluster).bytes(13, [2; 32]);
    for dialect in DIALECTS {
        for (early, op) in
            [(create(), Op::Create), (join.clone(), Op::Join), (get.clone(), Op::GetCluster)]
        {
            let (mut server, mut peer) = Scenario::server(dialect).open();
            feed(&mut server, &peer.seal(&early.encode()));
            is_over(&mut server, &mut peer, &Error::WrongState(op), Some(Refusal::WrongState));
        }
        let (mut server, mut peer) = Scenario::server(dialect).registered();
        feed(&mut server, &peer.seal(&member().encode()));
        is_over(&mut server, &mut peer, &Error::WrongState(Op::Member), Some(Refusal::WrongState));
    }
    assert_eq!(Refusal::WrongState.as_str(), "invalid msg type for current state");
}

#[test]
fn an_operation_of_the_own_side_is_refused() {
    let own = [
        reg_cred_reply(),
        member_ok(),
        cluster_reply(Op::CreateReply),
        cluster_reply(Op::JoinReply),
    ];
    let own = own.into_iter().chain([
        members(1, &[served(1)]),
        Msg::op(Op::Ack),
        Msg::error(Refusal::BadName),
    ]);
    let ops = [
        Op::RegCredReply,
        Op::MemberOk,
        Op::CreateReply,
        Op::JoinReply,
        Op::ClusterMembers,
        Op::Ack,
        Op::Error,
    ];
    for (message, op) in own.zip(ops) {
        assert_eq!(message.get(1), &Value::Varint(op.tag() as u64));
        let error = bad(MessageError::WrongSide(op));
        server_refuses(&message.encode(), &error, Some(Refusal::WrongState));
    }
    let requests = [
        (Msg::op(Op::RegCredRequest), Op::RegCredRequest),
        (member(), Op::Member),
        (create(), Op::Create),
        (Msg::op(Op::Join), Op::Join),
        (Msg::op(Op::GetCluster), Op::GetCluster),
        (Msg::op(Op::Bye), Op::Bye),
    ];
    for (message, op) in requests {
        client_refuses(Op::Member, &message.encode(), &bad(MessageError::WrongSide(op)));
    }
}

#[test]
fn a_required_field_that_is_missing_is_named_and_refused() {
    let without = |message: Msg, field| message.without(field).encode();
    let token = |field| member().with_token(11, |token| token.without(field)).encode();
    let table = [
        (without(member(), 11), Field::MemberSpecs, "not a valid name"),
        (token(1), Field::TokenName, "not a valid name"),
        (token(2), Field::TokenAttrs, "badly formed attrs line"),
        (token(4), Field::TokenCommsKey, "not an acceptable RSA key"),
        (token(5), Field::TokenSigKey, "not an acceptable RSA key"),
        (token(7), Field::TokenDigSig, "bad digital signature"),
        (without(create(), 14), Field::ClusterName, "not a valid name"),
        (without(create(), 15), Field::ClusterMaxSize, "cluster must have a member!"),
        (without(create(), 17), Field::EndPointCount, "cluster must have one or two endPoints"),
    ];
    for (message, field, text) in table {
        let told = Refusal::from_text(text);
        assert!(told.is_some());
        server_refuses(&message, &bad(MessageError::Missing(field)), told);
    }
    for dialect in DIALECTS {
        // Optional fields may be missing.
        let specs = |token: Msg| token.without(6);
        for message in
            [create().without(16), member().with_token(11, specs), Msg::op(Op::GetCluster)]
        {
            let fresh = message.get(1) == &Value::Varint(3);
            let (mut server, mut peer) = if fresh {
                Scenario::server(dialect).open()
            } else {
                Scenario::server(dialect).registered()
            };
            feed(&mut server, &peer.seal(&message.encode()));
            next_request(&mut server);
        }
    }
}

#[test]
fn a_required_field_that_is_missing_in_a_reply_is_named() {
    use Field::*;
    let info =
        &[(13, ClusterId), (15, ClusterMaxSize), (16, ClusterAttrs), (17, EndPointCount)][..];
    let table = [
        (Op::RegCredRequest, reg_cred_reply(), &[(6, Version), (11, MemberSpecs)][..]),
        (Op::Member, member_ok(), &[(9, MemberId), (10, MemberAttrs)]),
        (Op::Create, cluster_reply(Op::CreateReply), info),
        (Op::Join, cluster_reply(Op::JoinReply), info),
        (Op::GetCluster, members(1, &[served(1)]), &[(13, ClusterId), (20, Which)]),
    ];
    for (ask, reply, fields) in table {
        for (number, field) in fields {
            let reply = reply.clone().without(*number).encode();
            client_refuses(ask, &reply, &bad(MessageError::Missing(*field)));
        }
    }
    for (number, field) in [(1, TokenName), (4, TokenCommsKey), (5, TokenSigKey)] {
        let missing = bad(MessageError::Missing(field));
        let reply = reg_cred_reply().with_token(11, |token| token.without(number));
        client_refuses(Op::RegCredRequest, &reply.encode(), &missing);
        let reply = members(1, &[served(1).without(number)]);
        client_refuses(Op::GetCluster, &reply.encode(), &missing);
    }
    let reply = reg_cred_reply().with_token(11, |token| token.without(3));
    client_refuses(Op::RegCredRequest, &reply.encode(), &bad(MessageError::Missing(TokenId)));
}

/// PROTOCOL 5, tag 2: the registry's own token must have end points. A regCred has one or more
/// (PROTOCOL 7).
#[test]
fn a_registry_without_ends_is_no_registry() {
    let reply = reg_cred_reply().with_token(11, |token| token.without(6)).encode();
    client_refuses(Op::RegCredRequest, &reply, &bad(MessageError::Missing(Field::TokenMyEnds)));
}

// Illegal replies.

#[test]
fn a_reply_of_another_kind_or_unasked_is_unexpected() {
    let unexpected = |expected, got| Error::UnexpectedReply { expected, got };
    client_refuses(
        Op::Member,
        &Msg::op(Op::Ack).encode(),
        &unexpected(Some(Op::MemberOk), Op::Ack),
    );
    let join = cluster_reply(Op::JoinReply).encode();
    client_refuses(Op::Create, &join, &unexpected(Some(Op::CreateReply), Op::JoinReply));
    client_refuses(Op::GetCluster, &join, &unexpected(Some(Op::ClusterMembers), Op::JoinReply));
    for dialect in DIALECTS {
        let (mut client, mut peer) = Scenario::client(dialect).open();
        feed(&mut client, &peer.seal(&member_ok().encode()));
        assert_eq!(client.poll_event(), Err(unexpected(None, Op::MemberOk)));
        assert_eq!((client.output(), client.is_finished()), (&[][..], true));
    }
}

#[test]
fn an_error_is_heard_whenever_it_comes_and_whatever_it_says() {
    let long = "x".repeat(1024);
    for dialect in DIALECTS {
        for (message, text) in [
            (Msg::op(Op::Error).bytes(23, "no\nroom"), "no\nroom"),
            (Msg::op(Op::Error), ""),
            (Msg::op(Op::Error).bytes(23, &long), &long),
        ] {
            for asked in [true, false] {
                let (mut client, mut peer) = Scenario::client(dialect).open();
                let request = asked.then(|| client.register(NOW, token()).unwrap());
                drain(&mut client);
                feed(&mut client, &peer.seal(&message.encode()));
                let refused = ClientEvent::Refused { request, reason: Reason::new(text) };
                assert_eq!(client.poll_event(), Ok(Some(refused)));
                assert_eq!((client.poll_event(), client.is_finished()), (Ok(None), true));
            }
        }
    }
    let error = MessageError::TooLong { field: Field::ErrDesc, bytes: 1025, limit: 1024 };
    let message = Msg::op(Op::Error).bytes(23, "x".repeat(1025)).encode();
    client_refuses(Op::Member, &message, &bad(error));
}

#[test]
fn a_list_of_members_must_hold_together() {
    let count = |bits, tokens| bad(MessageError::Members(MemberListError::Count { bits, tokens }));
    let table = [
        (members(0b1, &[]), count(1, 0)),
        (members(0b11, &[served(1)]), count(2, 1)),
        (members(0, &[served(1)]), count(0, 1)),
        (members(u64::MAX, &[served(1), served(2)]), count(64, 2)),
        (members(0b1, &[served(1).without(3)]), bad(MessageError::Members(MemberListError::NoId))),
    ];
    for (message, error) in table {
        client_refuses(Op::GetCluster, &message.encode(), &error);
    }
    for (which, tokens) in [(0, vec![]), (1 << 63 | 1, vec![served(1), served(2)])] {
        for dialect in DIALECTS {
            let (mut client, mut peer) = Scenario::client(dialect).asking(Op::GetCluster);
            feed(&mut client, &peer.seal(&members(which, &tokens).encode()));
            let Ok(Some(ClientEvent::Reply { reply: Reply::Members(list), .. })) =
                client.poll_event()
            else {
                panic!("not accepted")
            };
            assert_eq!(
                (list.which(), list.members().len()),
                (MemberSet::from_bits(which), tokens.len())
            );
        }
    }
}

#[test]
fn the_registrys_own_credential_goes_over_the_wire_whole() {
    for dialect in DIALECTS {
        let (_, told) = conversation(dialect, &[Msg::op(Op::RegCredRequest), Msg::op(Op::Bye)]);
        let token = match told[0].get(11) {
            Value::Bytes(bytes) => Msg::decode(bytes),
            other => panic!("{other:?}"),
        };
        // 1.9.24.0, with the first number in the lowest byte.
        assert_eq!(
            (told[0].get(1), told[0].get(6)),
            (&Value::Varint(2), &Value::Varint(0x0018_0901))
        );
        let credential = registry().credential().clone();
        assert_eq!(token.get(1), &Value::Bytes(credential.name.as_str().into()));
        assert_eq!(token.get(3), &Value::Bytes(credential.id.as_bytes().into()));
        assert_eq!(token.get(4), &Value::Bytes(credential.comms_key.spki_der().into()));
        assert_eq!(token.get(5), &Value::Bytes(credential.sig_key.spki_der().into()));
        assert_eq!(token.get(6), &Value::Bytes(credential.end_points[0].as_str().into()));
        let (mut client, mut peer) = Scenario::client(dialect).asking(Op::RegCredRequest);
        feed(&mut client, &peer.seal(&told[0].encode()));
        let Ok(Some(ClientEvent::Reply { reply, .. })) = client.poll_event() else { panic!() };
        assert_eq!(reply, Reply::RegCred(credential));
    }
}

// Bytes that are not a message: silence, and one error without details.

#[test]
fn bytes_that_are_no_message_are_met_with_silence() {
    let group = |wire_type: u8| vec![7 << 3 | wire_type, 1, 1];
    let over_long = |number: u8| [&[number << 3][..], &[0x80; 10], &[0]].concat();
    let in_token = |bytes: &[u8]| {
        let token = [&Msg::token(&token()).encode()[..], bytes].concat();
        Msg::op(Op::Member).bytes(11, token).encode()
    };
    let mut table = vec![
        ("field 0, varint", vec![0, 1]),
        ("field 0, bytes", vec![2, 0]),
        ("a varint of eleven bytes", over_long(7)),
        ("a tenth byte over 1", [&[7 << 3][..], &[0xff; 9], &[2]].concat()),
        ("a key over 32 bits", vec![0xff, 0xff, 0xff, 0xff, 0x7f, 0]),
        ("a length of eleven bytes", [&[7 << 3 | 2][..], &[0x80; 10], &[0]].concat()),
        ("Op as bytes", Msg::new().bytes(1, [3]).encode()),
        ("Op as fixed32", Msg::new().field(1, Value::Fixed32(3)).encode()),
        ("Op as fixed64", Msg::new().field(1, Value::Fixed64(3)).encode()),
        ("a name as a number", Msg::op(Op::Create).varint(14, 3).encode()),
        ("a token as a number", Msg::op(Op::Member).varint(11, 3).encode()),
        ("a number as bytes", Msg::op(Op::Create).bytes(15, [3]).encode()),
        ("a name that is not UTF-8", Msg::op(Op::Create).bytes(14, [0xff, 0xfe]).encode()),
        ("an Error that is not UTF-8", Msg::op(Op::Error).bytes(23, [b'a', 0xc3]).encode()),
        ("a token's name that is not UTF-8", in_token(&[0x0a, 1, 0xff])),
        ("a token's end that is not UTF-8", in_token(&[0x32, 2, 0xc0, 0x80])),
        ("a token with field 0", in_token(&[0, 1])),
        ("a token with a group", in_token(&[0x0b, 0x0c])),
        ("a token with attrs as bytes", in_token(&[0x12, 1, 1])),
        ("a token cut in a field", in_token(&[0x0a, 5, b'a'])),
        ("a token cut in a varint", in_token(&[0x10, 0x80])),
        ("a token with an over-long varint", in_token(&over_long(7))),
    ];
    table.extend([3, 4, 6, 7].map(|wire_type| ("a group or no wire type", group(wire_type))));
    for (what, bytes) in table {
        // After a legal field, so that the start does not show the fault.
        let message = if bytes[0] == 8 {
            bytes
        } else {
            [&Msg::op(Op::RegCredRequest).encode()[..], &bytes].concat()
        };
        println!("{what}: {message:02x?}");
        server_refuses(&message, &Error::BadRecord, None);
        client_refuses(Op::Member, &message, &Error::BadRecord);
    }
}

/// PROTOCOL 4.1: unknown fields with valid wire types are skipped, in a token too.
#[test]
fn unknown_fields_are_skipped() {
    let noise = |msg: Msg| {
        let msg = msg.varint(7, 1).field(12, Value::Fixed64(2)).bytes(18, "x");
        msg.field(19, Value::Fixed32(3)).varint(0x1fff_ffff, u64::MAX).bytes(500, [0xff; 30])
    };
    for dialect in DIALECTS {
        let (mut server, mut peer) = Scenario::server(dialect).open();
        let token_noise =
            |token: Msg| token.varint(8, 1).bytes(9, [0xff]).field(15, Value::Fixed32(1));
        let message = noise(member().with_token(11, token_noise)).bytes(2, [0; 16]);
        feed(&mut server, &peer.seal(&message.encode()));
        assert_eq!(next_request(&mut server).1, Request::Member(token()));
    }
}

/// A record under another key, or without a key, decrypts to noise. (A flipped bit may decode,
/// because CBC has no MAC. See `bad_records.rs`.)
#[test]
fn a_record_under_another_key_is_met_with_silence() {
    for dialect in DIALECTS {
        for fill in 0..=255 {
            let (mut server, mut peer) = Scenario::server(dialect).open();
            // Enough of it, so that the session does not wait for a length that the noise declares.
            feed(&mut server, &vec![fill; Limits::server().record + 32]);
            let error = server.poll_event().expect_err("noise is no request");
            let known = matches!(error, Error::BadRecord | Error::BadMessage(MessageError::NoOp));
            assert!(known, "{error:?}");
            let told = matches!(error, Error::BadMessage(_)).then_some(Refusal::UnknownOp);
            is_over(&mut server, &mut peer, &error, told);
        }
    }
}
