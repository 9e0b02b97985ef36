//! A client accepts a reply only if a registry would have written the same bytes. A registry
//! accepts all that protobuf accepts (PROTOCOL 4.1).

use rand_core::Rng;
use xlreg::identity::{ClusterAttrs, MemberAttrs, NodeId, Token};
use xlreg::message::{
    ClusterInfo, Create, GetCluster, MemberList, MemberSet, Op, Reason, Refusal, Reply, Request,
};
use xlreg::session::{ClientEvent, Dialect, EofAt, Error, Server, Session};
use xlreg_testkit::mutants::{overdressed, respelt};
use xlreg_testkit::scenario::{
    self, DIALECTS, Msg, NOW, Peer, Scenario, drain, feed, next_request,
};
use xlreg_testkit::{Seeded, captures, pair};

fn id(n: u8) -> NodeId {
    NodeId::from_bytes(&[n; 32]).unwrap()
}

/// The request for a reply. An Error answers any request.
fn ask_of(op: Op) -> Op {
    (1..=13).filter_map(Op::from_tag).find(|ask| ask.answer() == Some(op)).unwrap_or(Op::Member)
}

/// The result of a client that waits for the answer to `ask` and gets these bytes. It sends
/// nothing.
fn hear(dialect: Dialect, ask: Op, message: &[u8]) -> Result<Reply, Error> {
    let (mut client, mut peer) = Scenario::client(dialect).asking(ask);
    feed(&mut client, &peer.seal(message));
    let event = client.poll_event();
    assert!(client.output().is_empty());
    match event? {
        Some(ClientEvent::Reply { reply, .. }) => Ok(reply),
        Some(ClientEvent::Refused { reason, .. }) => Ok(Reply::Error(reason)),
        Some(other) => panic!("{other:?}"),
        // A length has grown.
        None => Err(Error::Eof(EofAt::Record)),
    }
}

/// A registry's session in which this request may come next.
fn ready_for(dialect: Dialect, request: Op) -> (Session<Server>, Peer) {
    match request {
        Op::Member => Scenario::server(dialect).open(),
        _ => Scenario::server(dialect).registered(),
    }
}

/// The result of a registry for these bytes.
fn heed(dialect: Dialect, ask: Op, message: &[u8]) -> Request {
    let (mut server, mut peer) = ready_for(dialect, ask);
    feed(&mut server, &peer.seal(message));
    next_request(&mut server).1
}

/// The bytes that a registry writes for a reply.
fn written(dialect: Dialect, reply: &Reply) -> Vec<u8> {
    let ask = ask_of(reply.op());
    let (mut server, mut peer) = ready_for(dialect, ask);
    let request = match ask {
        Op::Member => scenario::member(),
        Op::Create => scenario::create(),
        _ => Msg::op(ask),
    };
    feed(&mut server, &peer.seal(&request.encode()));
    let (id, _) = next_request(&mut server);
    match reply {
        Reply::Error(reason) => server.reject(NOW, reason).unwrap(),
        _ => server.reply(NOW, id, reply).unwrap(),
    }
    peer.open(&drain(&mut server))
}

/// The bytes that a client writes for a request.
fn asked(dialect: Dialect, request: Request) -> Vec<u8> {
    let (mut client, mut peer) = Scenario::client(dialect).open();
    if request.op() != Op::Member {
        client.register(NOW, scenario::token()).unwrap();
        peer.open(&drain(&mut client));
        feed(&mut client, &peer.seal(&scenario::member_ok().encode()));
        assert!(matches!(client.poll_event(), Ok(Some(ClientEvent::Reply { .. }))));
    }
    pair::command(&mut client, NOW, request).unwrap();
    peer.open(&drain(&mut client))
}

/// One reply of each kind, and the fields that it may have.
fn replies() -> Vec<(Reply, &'static [u64])> {
    let info = ClusterInfo {
        id: id(9),
        max_size: 64,
        attrs: ClusterAttrs::from_bits(0x1_0000_0000),
        end_point_count: 2,
    };
    let members = |which: u64, served: &[Token]| {
        let list = MemberList::new(id(9), MemberSet::from_bits(which), served.into()).unwrap();
        (Reply::Members(list), &[1, 13, 20, 21][..])
    };
    let served = |n: u8, attrs| Token {
        id: Some(id(n)),
        attrs: MemberAttrs::from_bits(attrs),
        ..scenario::token()
    };
    let of_cluster = &[1, 13, 15, 16, 17];
    vec![
        (Reply::RegCred(scenario::registry().credential().clone()), &[1, 6, 11]),
        (Reply::MemberOk { id: id(1), attrs: MemberAttrs::NONE }, &[1, 9, 10]),
        (Reply::MemberOk { id: id(1), attrs: MemberAttrs::from_bits(0x1ff) }, &[1, 9, 10]),
        (Reply::Create(info), of_cluster),
        (Reply::Join(info), of_cluster),
        members(0, &[]),
        members(1 << 63, &[served(1, 0)]),
        members(0b110, &[served(2, 300), Token { end_points: vec![], ..served(3, 1) }]),
        (Reply::Ack, &[1]),
        (Reply::Error(Refusal::ClusterFull.into()), &[1, 23]),
        (Reply::Error(Reason::new("")), &[1, 23]),
    ]
}

/// One request of each kind.
fn requests() -> Vec<Request> {
    let create = Create { attrs: ClusterAttrs::from_bits(300), ..pair::cluster("c", 3, 1) };
    let which = Some(MemberSet::from_bits(0x1234_5678));
    vec![
        Request::RegCred,
        Request::Member(scenario::token()),
        Request::Create(create),
        Request::Join(id(2).into()),
        Request::GetCluster(GetCluster { cluster: id(2).into(), which }),
        Request::Bye,
    ]
}

/// All messages that deployed clients and servers were seen to send. Each side accepts those for
/// it, and would write the same bytes.
#[test]
fn every_captured_message_is_taken_and_written_so_again() {
    let counts = captures::all().map(|capture| {
        let steps = capture.sessions.iter().flat_map(|session| session.steps.iter().skip(2));
        let mut counts = [0, 0];
        for step in steps {
            let op = Op::from_tag(step.plain[1].into()).unwrap();
            let again = match step.from_client {
                true => asked(capture.dialect, heed(capture.dialect, op, &step.plain)),
                false => {
                    let reply = hear(capture.dialect, ask_of(op), &step.plain).unwrap();
                    written(capture.dialect, &reply)
                }
            };
            assert_eq!(again, step.plain, "{}", step.kind);
            counts[usize::from(step.from_client)] += 1;
        }
        counts
    });
    assert_eq!(counts, [[31, 31], [19, 19]], "62 and 38 messages, half of them replies");
}

#[test]
fn a_reply_that_is_spelt_otherwise_is_refused() {
    let mut count = 0;
    for (at, (reply, own)) in replies().into_iter().enumerate() {
        // One dialect is enough, because the records make no difference.
        let dialect = DIALECTS[at % 2];
        let (ask, message) = (ask_of(reply.op()), written(dialect, &reply));
        assert_eq!(hear(dialect, ask, &message).as_ref(), Ok(&reply));
        for (what, bytes) in respelt(&message).into_iter().chain(overdressed(&message, own)) {
            assert_ne!(bytes, message, "{what}");
            assert_eq!(
                hear(dialect, ask, &bytes),
                Err(Error::BadRecord),
                "{:?}: {what}",
                reply.op()
            );
            count += 1;
        }
    }
    println!("{count} refused");
    assert!(count > 2_000, "{count}");
}

/// A registry skips and merges like protobuf. It accepts messages that a client must refuse.
#[test]
fn a_request_may_be_spelt_otherwise() {
    let mut count = 0;
    for (at, request) in requests().into_iter().enumerate() {
        let dialect = DIALECTS[at % 2];
        let message = asked(dialect, request.clone());
        assert_eq!(heed(dialect, request.op(), &message), request);
        for (what, bytes) in respelt(&message) {
            let heard = heed(dialect, request.op(), &bytes);
            assert_eq!(heard, request, "{:?}: {what}", request.op());
            count += 1;
        }
    }
    println!("{count} taken");
    assert!(count > 1_000, "{count}");
}

/// After any change to a reply, a client accepts it only if a registry would write the same bytes.
#[test]
fn what_a_client_takes_is_what_a_registry_writes() {
    let mut rng = Seeded::new(11);
    let (mut taken, mut refused) = (0, 0);
    for (reply, own) in replies() {
        let dialect = DIALECTS[rng.next_u32() as usize % 2];
        let (ask, message) = (ask_of(reply.op()), written(dialect, &reply));
        let others: Vec<_> =
            respelt(&message).into_iter().chain(overdressed(&message, own)).collect();
        for round in 0..400 {
            let mut below = |limit: usize| rng.next_u32() as usize % limit;
            let mut bytes = match round % 4 {
                0 => others[below(others.len())].1.clone(),
                _ => message.clone(),
            };
            for _ in 0..below(3) {
                // The changes that bits flipped on the way can make: those bits, and one block
                // before them.
                let (at, block) = (below(bytes.len()), below(bytes.len()));
                bytes[at] ^= 1 << below(8);
                if round % 2 == 0 {
                    bytes.iter_mut().skip(block).take(16).for_each(|byte| *byte = below(256) as u8);
                }
            }
            match hear(dialect, ask, &bytes) {
                Ok(reply) => {
                    // An Error without a text lacks the field for it.
                    let bare = reply == Reply::Error(Reason::new("")) && bytes == [8, 13];
                    assert!(bare || written(dialect, &reply) == bytes, "{bytes:02x?}");
                    taken += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    println!("{taken} taken, {refused} refused");
    assert!(taken > 500 && refused > 1_000, "{taken} taken, {refused} refused");
}
