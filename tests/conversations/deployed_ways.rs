//! The behaviour of the model of a deployed server that does not end it: everything in PROTOCOL
//! section 6, and the captures.

use std::collections::VecDeque;

use xlreg::session::Dialect;
use xlreg_testkit::captures::{self, Capture, Captured, hex};
use xlreg_testkit::deployed::{DeployedServer, Fault, Outcome, Told, Visit, Ways};
use xlreg_testkit::pair::{self, DIALECTS, credential};
use xlreg_testkit::peer::Secrets;
use xlreg_testkit::peer::hello;
use xlreg_testkit::scenario::{Msg, NoRsa, Peer, Value, create, member};

fn server(dialect: Dialect) -> DeployedServer {
    let ways = Ways { unlucky: false, ..Ways::of(credential(dialect).version) };
    DeployedServer::new(ways, NoRsa)
}

fn op(op: u64) -> Msg {
    Msg::new().varint(1, op)
}

fn bye() -> Msg {
    op(11)
}

/// A Join by name.
fn join(name: &str) -> Msg {
    op(7).bytes(14, name)
}

fn get(id: &[u8], which: u64) -> Msg {
    op(9).bytes(13, id).varint(20, which)
}

/// A Member of this name with the `n`-th keys.
fn named(name: &str, n: usize) -> Msg {
    op(3).msg(11, &Msg::token(&pair::token(name, n, &["h:1"])))
}

/// Closed with this refusal.
fn refused(words: &str) -> Told {
    Told::Closed(Some(op(13).bytes(23, words)))
}

/// A field of a reply.
fn field(told: &Told, number: u32) -> Value {
    match told {
        Told::Reply(msg) => msg.get(number).clone(),
        other => panic!("{other:?}"),
    }
}

fn bytes(told: &Told, number: u32) -> Vec<u8> {
    match field(told, number) {
        Value::Bytes(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

/// The names in a ClusterMembers.
fn names(told: &Told) -> Vec<String> {
    let Told::Reply(Msg(fields)) = told else { panic!("{told:?}") };
    let tokens = fields.iter().filter_map(|(n, value)| match value {
        Value::Bytes(token) if *n == 21 => Some(Msg::decode(token)),
        _ => None,
    });
    let name = |token: Msg| match token.get(1) {
        Value::Bytes(name) => String::from_utf8(name.clone()).unwrap(),
        other => panic!("{other:?}"),
    };
    tokens.map(name).collect()
}

const WRONG_STATE: &str = "invalid msg type for current state";

#[test]
fn it_refuses_these_and_lives() {
    let bad_signature = member().with_token(11, |token| token.set(7, [1; 256]));
    let no_signature = member().with_token(11, |token| token.without(7));
    let id_of_3 = member().with_token(11, |token| token.bytes(3, [1; 3]));
    let garbage = member().with_token(11, |token| token.set(4, [1; 20]));
    let known = vec![member()];
    let made = vec![member(), create()];
    let joined = vec![member(), create(), join("c")];
    let table: Vec<(Vec<Msg>, Msg, &str)> = vec![
        (vec![], create(), WRONG_STATE),
        (vec![], join("nope"), WRONG_STATE),
        (vec![], get(&[1; 20], 1), WRONG_STATE),
        (vec![], bye(), WRONG_STATE),
        (known.clone(), member(), WRONG_STATE),
        // Not before a Join of this session, for any cluster.
        (known.clone(), get(&[1; 20], 0), WRONG_STATE),
        (known, op(9).bytes(14, "c").varint(20, 0), WRONG_STATE),
        (made.clone(), get(&[1; 20], 1), WRONG_STATE),
        (made.clone(), create(), WRONG_STATE),
        (made, member(), WRONG_STATE),
        // A second Join, even of an unknown cluster.
        (joined.clone(), join("c"), WRONG_STATE),
        (joined.clone(), join("nope"), WRONG_STATE),
        (joined.clone(), op(7), WRONG_STATE),
        (joined.clone(), create(), WRONG_STATE),
        (joined.clone(), op(9).bytes(14, "c").varint(20, 1), "nil key parameter"),
        (joined, op(9), "nil key parameter"),
        (vec![], bad_signature, "crypto/rsa: verification error"),
        (vec![], no_signature, "crypto/rsa: verification error"),
        (vec![], id_of_3, "bad length for nodeID"),
        (vec![], garbage, "asn1: structure error"),
        // A Member without specs.
        (vec![], op(2), "unexpected message type"),
        (vec![], op(3), "unexpected message type"),
    ];
    for dialect in DIALECTS {
        for (before, message, words) in &table {
            let mut server = server(dialect);
            let mut visit = Visit::that_said(&mut server, before);
            assert_eq!(visit.say(&mut server, message), refused(words), "{message:?}");
            // After any Error it closes, and reads nothing more.
            assert_eq!(visit.say(&mut server, &op(1)), Told::Closed(None));
            assert_eq!(visit.send(&mut server, &[7; 5]), Told::Closed(None));
            Visit::that_said(&mut server, &[named("bob", 2), create(), join("c"), bye()]);
            assert_eq!(server.deaths, []);
        }
    }
}

#[test]
fn it_takes_these() {
    let odd = create().set(14, "");
    let nine_ends = create().without(17).varint(17, 9);
    let no_ends = create().without(17).varint(17, 0);
    let without_ends = op(3).msg(11, &Msg::token(&pair::token("bare", 3, &[])));
    for dialect in DIALECTS {
        for create in [&odd, &nine_ends, &no_ends] {
            Visit::that_said(&mut server(dialect), &[member(), create.clone(), op(7)]);
        }
        Visit::that_said(&mut server(dialect), &[without_ends.clone(), create(), join("c")]);
        // Even Ops count as their odd neighbours.
        let evenly = |msg: Msg, op| msg.without(1).varint(1, op);
        let odd = [evenly(member(), 4), evenly(create(), 6), evenly(join("c"), 8), op(12)];
        Visit::that_said(&mut server(dialect), &odd);
        let mut server = server(dialect);
        let mut visit = Visit::that_said(&mut server, &[evenly(member(), 2), create(), join("c")]);
        let id = server.clusters[0].id.clone();
        let told = visit.say(&mut server, &evenly(get(&id, 1), 10));
        assert_eq!(names(&told), ["m"]);
        assert_eq!(server.deaths, []);
    }
}

#[test]
fn create_answers_what_exists() {
    for dialect in DIALECTS {
        let mut server = server(dialect);
        for (proposed, made) in [(0, 2), (1, 2), (3, 3), (64, 64), (65, 64)] {
            let name = format!("of-{proposed}");
            let create = |size, attrs| {
                op(5).bytes(14, &name).varint(15, size).varint(16, attrs).varint(17, 1)
            };
            let told =
                Visit::that_said(&mut server, &[member()]).say(&mut server, &create(proposed, 9));
            assert_eq!(field(&told, 15), Value::Varint(made));
            let id = bytes(&told, 13);
            assert_eq!(id.len(), 20);
            // The attrs are echoed but not kept. The rest is that of the cluster.
            let again = create(7, 5).without(17).varint(17, 2);
            let mut visit = Visit::that_said(&mut server, &[member()]);
            let told = visit.say(&mut server, &again);
            let kept = op(6).bytes(13, &id).varint(15, made).varint(16, 5).varint(17, 1);
            assert_eq!(told, Told::Reply(kept));
            let told = visit.say(&mut server, &op(7).bytes(13, &id));
            let kept = op(8).bytes(13, &id).varint(15, made).varint(16, 0).varint(17, 1);
            assert_eq!(told, Told::Reply(kept));
        }
    }
}

#[test]
fn a_name_is_taken_and_a_node_is_not() {
    for dialect in DIALECTS {
        let mut server = server(dialect);
        Visit::that_said(&mut server, &[named("bob", 2), create(), join("c"), bye()]);
        for n in [2, 3] {
            // The same node as well as another one.
            let mut visit = Visit::that_said(&mut server, &[named("bob", n), create()]);
            let told = visit.say(&mut server, &join("c"));
            assert_eq!(told, refused("cluster member name already in use"));
        }
        // The same node under another name; and ten in a cluster of three.
        for n in 0..9 {
            let name = format!("bob-{n}");
            Visit::that_said(&mut server, &[named(&name, 2), create(), join("c"), bye()]);
        }
        assert_eq!(server.clusters[0].members.len(), 10);
        assert_eq!(server.clusters[0].max_size, 3);
    }
}

#[test]
fn members_are_told_by_id_and_which() {
    for dialect in DIALECTS {
        let mut server = server(dialect);
        for (name, n) in [("alice", 1), ("bob", 2), ("carol", 3)] {
            Visit::that_said(&mut server, &[named(name, n), create(), join("c"), bye()]);
        }
        let id = server.clusters[0].id.clone();
        let other = create().set(14, "other");
        // After a Join of any cluster a client may ask for every one.
        let mut visit = Visit::that_said(&mut server, &[member(), other, op(7)]);
        let told = visit.say(&mut server, &get(&id, 0b101));
        assert_eq!(
            (names(&told), field(&told, 20)),
            (vec!["alice".into(), "carol".into()], Value::Varint(5))
        );
        let told = visit.say(&mut server, &get(&id, u64::MAX));
        assert_eq!((names(&told).len(), field(&told, 20)), (3, Value::Varint(7)));
        // The name beside the ID is not read.
        let told = visit.say(&mut server, &get(&id, 2).bytes(14, "nope"));
        assert_eq!(names(&told), ["bob"]);
        for none in [get(&id, 0), get(&id, 0).without(20)] {
            let told = visit.say(&mut server, &none);
            assert_eq!((names(&told).len(), field(&told, 20)), (0, Value::Varint(0)));
        }
        let words = format!("doGetMsg: can't find cluster with ID {}", "08".repeat(20));
        assert_eq!(visit.say(&mut server, &get(&[8; 20], 1)), refused(&words));
    }
}

#[test]
fn anybody_s_id_is_taken_with_any_key() {
    for dialect in DIALECTS {
        let mut server = server(dialect);
        for (n, len) in [(1, 20), (2, 20), (3, 32)] {
            let member = named("m", n).with_token(11, |token| token.bytes(3, vec![9; len]));
            let told = Visit::new(&mut server).say(&mut server, &member);
            assert_eq!(bytes(&told, 9), vec![9; len]);
        }
        let told = Visit::new(&mut server).say(&mut server, &member());
        assert_eq!(bytes(&told, 9).len(), 20);
        server.ways.version = match dialect {
            Dialect::Prefixed => continue,
            Dialect::Chained => xlreg::identity::Version::new(1, 5, 0, 0),
        };
        let told = Visit::new(&mut server).say(&mut server, &member());
        assert_eq!(bytes(&told, 9).len(), 32);
    }
}

#[test]
fn two_records_in_one_segment_are_one() {
    for dialect in DIALECTS {
        let mut server = server(dialect);
        let mut visit = Visit::new(&mut server);
        let two = [visit.peer.seal(&member().encode()), visit.peer.seal(&create().encode())];
        assert_eq!(visit.send(&mut server, &two.concat()), Told::Closed(None));
        assert_eq!(server.deaths, []);
    }
    // Padding that reads as fields is merged, and the second Op counts: eight bytes of 8.
    let mut server = server(Dialect::Chained);
    let mut visit = Visit::that_said(&mut server, &[member(), create(), join("c")]);
    let first = op(9).bytes(23, [7; 3]);
    assert_eq!(first.encode().len(), 8);
    let two = [visit.peer.seal(&first.encode()), visit.peer.seal(&bye().encode())];
    assert_eq!(visit.send(&mut server, &two.concat()), Told::Reply(op(12)));
}

#[test]
fn hellos_that_do_not_open_are_closed_without_a_word() {
    // A chained Hello to a prefixed server is accepted, and its client cannot read the answer.
    let mut server = server(Dialect::Prefixed);
    let mut connection = server.accept().unwrap();
    let told = connection.segment(&mut server, hello(Dialect::Chained));
    assert!(matches!(told, Outcome::Reply(reply) if reply.len() == 64));
    // A Hello that is too short, and one that is not sealed to the server's key.
    let mut connection = server.accept().unwrap();
    assert_eq!(connection.segment(&mut server, &[0x33; 43]), Outcome::Close(vec![]));
    let mut server = DeployedServer::new(server.ways.clone(), pair::registry_identity().comms);
    for garbage in [5, 44, 256, 300] {
        let mut connection = server.accept().unwrap();
        let told = connection.segment(&mut server, &vec![0x33; garbage]);
        assert_eq!(told, Outcome::Close(vec![]));
    }
    assert_eq!(server.deaths, []);
}

#[test]
fn one_of_many_creates_at_once_is_refused() {
    for dialect in DIALECTS {
        let mut server = server(dialect);
        server.ways.busy_at_create = Some(2);
        for busy in [false, true, false, true] {
            let told = Visit::that_said(&mut server, &[member()]).say(&mut server, &create());
            assert_eq!(told == refused("name already in use"), busy, "{told:?}");
        }
    }
}

#[test]
fn it_is_restarted_when_a_test_wants_it() {
    for dialect in DIALECTS {
        // The CreateReply is the third.
        for (fault, told) in [(Fault::RestartAfter(3), true), (Fault::RestartBefore(3), false)] {
            let mut server = server(dialect);
            server.ways.fault = Some(fault);
            let mut visit = Visit::that_said(&mut server, &[member()]);
            let last = visit.say(&mut server, &create());
            assert_eq!(matches!(last, Told::Closed(Some(_))), told, "{last:?}");
            assert!(server.clusters.is_empty() && !server.is_dead());
            // It is not known any more, so it is not read.
            assert_eq!(visit.say(&mut server, &join("c")), Told::Closed(None));
            // Once.
            Visit::that_said(&mut server, &[member(), create(), join("c"), bye()]);
            assert_eq!(server.ops(), [3, 5, 3, 5, 7, 11]);
        }
    }
}

/// The draws of the real server for a session.
fn drawn(capture: &Capture, session: &Captured) -> Secrets {
    let draws = &session.server_draws;
    let (key2, salt2, iv2) = match capture.dialect {
        Dialect::Prefixed => (&draws[..32], &draws[32..40], &draws[40..56]),
        Dialect::Chained => (&draws[16..48], &draws[48..56], &draws[..16]),
    };
    Secrets {
        key2: key2.try_into().unwrap(),
        salt2: salt2.try_into().unwrap(),
        iv2: iv2.try_into().unwrap(),
    }
}

#[test]
fn captured_sessions_are_served() {
    for capture in captures::all() {
        let ways = Ways::of(capture.sessions[0].server_version);
        let mut server = DeployedServer::new(ways, capture.server.comms.clone());
        assert_eq!(server.dialect(), capture.dialect);
        server.scripted.secrets = capture.sessions.iter().map(|s| drawn(&capture, s)).collect();
        let steps = || capture.sessions.iter().flat_map(|session| &session.steps);
        let id = |step: &captures::Step| hex(step.message["cluster_id"].as_str().unwrap());
        server.scripted.cluster_ids =
            steps().filter(|step| step.kind == "CreateReply").map(id).collect::<VecDeque<_>>();
        for session in &capture.sessions {
            let mut connection = server.accept().unwrap();
            let mut peer: Option<Peer> = None;
            for two in session.steps.chunks(2) {
                let [asked, answered] = two else { panic!("no answer") };
                assert!(asked.from_client && !answered.from_client);
                let told = connection.segment(&mut server, &asked.wire);
                let Outcome::Reply(reply) = told else { panic!("{told:?}") };
                match &mut peer {
                    None => {
                        assert_eq!(reply, answered.wire, "the HelloReply, byte for byte");
                        peer = Some(Peer::of_reply(capture.dialect, &asked.plain, &reply));
                    }
                    Some(peer) => {
                        let reply = Msg::decode(&peer.open(&reply));
                        let captured = Msg::decode(&answered.plain);
                        assert_eq!(reply.get(1), captured.get(1), "{}", answered.kind);
                        // Other members had joined by then. All else is the same.
                        if answered.kind != "ClusterMembers" {
                            assert_eq!(reply, captured, "{}", answered.kind);
                        }
                    }
                }
            }
        }
        assert_eq!(server.deaths, []);
    }
}
