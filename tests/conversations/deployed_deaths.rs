//! The model of a deployed server dies of every cause in PROTOCOL section 6, in both dialects and
//! by hand-made bytes.

use xlreg::session::Dialect;
use xlreg_testkit::captures::hex;
use xlreg_testkit::deployed::{Cause, DeployedServer, Outcome, Told, Visit, Ways};
use xlreg_testkit::pair::{DIALECTS, credential};
use xlreg_testkit::peer::hello;
use xlreg_testkit::scenario::{Msg, NoRsa, create, member, pad};
use xlreg_testkit::{Seeded, peer};

fn server(dialect: Dialect) -> DeployedServer {
    DeployedServer::new(Ways::of(credential(dialect).version), NoRsa)
}

fn op(op: u64) -> Msg {
    Msg::new().varint(1, op)
}

fn join() -> Msg {
    op(7)
}

fn bye() -> Msg {
    op(11)
}

/// The messages of a session, the last bytes, and the cause of death.
struct Fatal {
    before: Vec<Msg>,
    sends: Sends,
    cause: Cause,
}

enum Sends {
    Message(Msg),
    Bytes(Vec<u8>),
    /// The first bytes of a record with this message.
    Cut(Msg, usize),
    /// Blocks that decrypt to these bytes.
    Blocks(Vec<u8>),
}

fn dies(before: &[Msg], message: Msg, cause: Cause) -> Fatal {
    Fatal { before: before.into(), sends: Sends::Message(message), cause }
}

fn dies_of(before: &[Msg], sends: Sends, cause: Cause) -> Fatal {
    Fatal { before: before.into(), sends, cause }
}

/// Keys that are not RSA: EC P-256, Ed25519, DSA.
fn other_keys() -> [Vec<u8>; 3] {
    let p256 = hex("3059301306072a8648ce3d020106082a8648ce3d03010703420004");
    let ed25519 = hex("302a300506032b6570032100");
    let dsa = "301c301406072a8648ce3804013009020101020101020101030400020101";
    [[p256, vec![0x55; 64]].concat(), [ed25519, vec![0x55; 32]].concat(), hex(dsa)]
}

fn ops() -> Vec<Fatal> {
    let mut all = Vec::new();
    for before in [vec![], vec![member()], vec![member(), create(), join()]] {
        for tag in [0, 1, 13, 14, 15, 1000, u64::MAX] {
            all.push(dies(&before, op(tag), Cause::BadOp(tag)));
        }
        all.push(dies(&before, Msg::new(), Cause::NoOp));
        all.push(dies(&before, create().without(1), Cause::NoOp));
        all.push(dies(&before, Msg::new().bytes(1, [11]), Cause::OpWireType));
        let fixed = Msg::new().field(1, peer::Value::Fixed32(11));
        all.push(dies(&before, fixed, Cause::OpWireType));
    }
    // The last one counts.
    all.push(dies(&[member()], create().varint(1, 13), Cause::BadOp(13)));
    all
}

fn joins() -> Vec<Fatal> {
    let made = [member(), create()];
    let unknown = |name: &str| Cause::JoinOfUnknownName(name.into());
    let no_id = Cause::JoinOfUnknownId(vec![8; 20]);
    let mut all = vec![
        dies(&[member()], join().bytes(14, "nope"), unknown("nope")),
        dies(&made, join().bytes(14, "nope"), unknown("nope")),
        dies(&[member()], join().bytes(13, [8; 20]), no_id.clone()),
        // The ID counts.
        dies(&made, join().bytes(13, [8; 20]).bytes(14, "c"), no_id),
        dies(&made, join().bytes(13, [8; 32]), Cause::JoinOfUnknownId(vec![8; 32])),
        dies(&made, join().bytes(13, [8; 3]), Cause::JoinOfBadId { bytes: 3 }),
        dies(&made, join().bytes(13, ""), Cause::JoinOfEmptyId),
        dies(&made, join().bytes(13, "").bytes(14, "c"), Cause::JoinOfEmptyId),
        dies(&made, join().bytes(14, ""), Cause::JoinOfEmptyName),
        dies(&[member()], join(), Cause::JoinOfNothing),
    ];
    // A JoinReply counts as a Join.
    all.push(dies(&made, op(8).bytes(14, "nope"), unknown("nope")));
    all.push(dies(&[member()], op(8), Cause::JoinOfNothing));
    all
}

fn bytes() -> Vec<Fatal> {
    let stray = || Sends::Bytes(vec![7; 5]);
    let five = Cause::NotWholeBlocks { bytes: 5 };
    let said_bye = [member(), bye()];
    let mut all = vec![
        dies_of(&[], stray(), five.clone()),
        dies_of(&[member()], stray(), five),
        dies_of(&[], Sends::Bytes(vec![7; 31]), Cause::NotWholeBlocks { bytes: 31 }),
        dies_of(&said_bye, stray(), Cause::AfterBye),
        dies_of(&said_bye, Sends::Bytes(vec![7; 48]), Cause::AfterBye),
        dies(&said_bye, bye(), Cause::AfterBye),
        dies(&said_bye, member(), Cause::AfterBye),
        // Without padding: only an unlucky server dies.
        dies_of(&[], Sends::Blocks(vec![0; 32]), Cause::NoPadding),
        dies_of(&[], Sends::Blocks([vec![3; 30], vec![2, 3]].concat()), Cause::NoPadding),
    ];
    for cut in 1..48 {
        if cut % 16 > 0 {
            let cause = Cause::NotWholeBlocks { bytes: cut };
            all.push(dies_of(&[], Sends::Cut(member(), cut), cause));
        }
    }
    all.push(dies_of(&[], Sends::Cut(member(), 160), Cause::NoPadding));
    // Padded, with a field that is longer than the rest.
    let cut = [&[0x5a, 40][..], &[1; 30]].concat();
    all.push(dies_of(&[], Sends::Blocks(cut), Cause::NoMessage));
    for field in [4, 5] {
        for key in other_keys() {
            let cause = if field == 4 { Cause::CommsKeyNotRsa } else { Cause::SigKeyNotRsa };
            let member = member().with_token(11, |token| token.set(field, &key));
            all.push(dies(&[], member, cause));
        }
    }
    all
}

#[test]
fn it_dies_of_each_of_these() {
    for dialect in DIALECTS {
        for fatal in [ops(), joins(), bytes()].into_iter().flatten() {
            let mut server = server(dialect);
            let mut bystander = Visit::that_said(&mut server, &[member()]);
            let mut visit = Visit::that_said(&mut server, &fatal.before);
            let told = match &fatal.sends {
                Sends::Message(message) => visit.say(&mut server, message),
                Sends::Bytes(bytes) => visit.send(&mut server, bytes),
                Sends::Cut(message, at) => {
                    let record = visit.peer.seal(&message.encode());
                    visit.send(&mut server, &record[..*at])
                }
                Sends::Blocks(blocks) => {
                    let record = visit.peer.seal_blocks(blocks);
                    visit.send(&mut server, &record)
                }
            };
            assert_eq!(told, Told::Died(fatal.cause.clone()), "{dialect}");
            assert_eq!((server.is_dead(), &server.deaths[..]), (true, &[fatal.cause][..]));
            // With everything.
            assert!(server.clusters.is_empty() && server.accept().is_none());
            assert_eq!(bystander.say(&mut server, &bye()), Told::Closed(None));
            server.restart();
            Visit::that_said(&mut server, &[member(), create(), join()]);
        }
    }
}

#[test]
fn a_join_of_the_session_s_cluster_needs_one_that_it_made() {
    for dialect in DIALECTS {
        let mut server = server(dialect);
        // The first Create makes the cluster, and the second one finds it.
        Visit::that_said(&mut server, &[member(), create(), join(), bye()]);
        let mut visit = Visit::that_said(&mut server, &[member(), create()]);
        assert_eq!(visit.say(&mut server, &join()), Told::Died(Cause::JoinOfNothing));
    }
}

#[test]
fn an_iv_alone_is_a_record_cut_between_two_blocks() {
    for unlucky in [true, false] {
        let mut server = server(Dialect::Prefixed);
        server.ways.unlucky = unlucky;
        let told = Visit::new(&mut server).send(&mut server, &[7; 16]);
        let dies = Told::Died(Cause::NoPadding);
        assert_eq!(told, if unlucky { dies } else { Told::Closed(None) });
    }
}

#[test]
fn a_short_hello_ends_a_chained_one() {
    for bytes in [1, 44, 59] {
        let mut server = server(Dialect::Chained);
        let mut connection = server.accept().unwrap();
        let hello = &hello(Dialect::Chained)[..bytes];
        let cause = Cause::ShortHello { bytes };
        assert_eq!(connection.segment(&mut server, hello), Outcome::Died(cause));
    }
}

#[test]
fn descriptors_are_never_given_back() {
    for dialect in DIALECTS {
        let mut server = server(dialect);
        server.ways.descriptors = 3;
        for _ in 0..3 {
            Visit::that_said(&mut server, &[member(), bye()]);
        }
        assert!(server.accept().is_none());
        assert_eq!(server.deaths, [Cause::TooManyConnections]);
        server.restart();
        assert!(server.accept().is_some());
    }
}

#[test]
fn random_blocks_end_it_now_and_then() {
    // 300 times 32 bytes that decrypt to noise: few look padded, and few of those are a message.
    for dialect in DIALECTS {
        let mut noise = Seeded::new(3);
        let mut tries = 0;
        let cause = loop {
            tries += 1;
            let mut server = server(dialect);
            server.ways.unlucky = false;
            let mut visit = Visit::new(&mut server);
            let mut blocks = [0; 48];
            rand_core::Rng::fill_bytes(&mut noise, &mut blocks);
            match visit.send(&mut server, &blocks) {
                Told::Died(cause) => break cause,
                told => assert_eq!(told, Told::Closed(None)),
            }
            assert!(tries < 100_000, "never");
        };
        assert!(matches!(cause, Cause::NoOp | Cause::BadOp(_) | Cause::OpWireType), "{cause:?}");
    }
}

#[test]
fn a_padded_message_is_what_it_takes() {
    // The deaths above have their cause in the content, not in the encryption.
    let mut server = server(Dialect::Prefixed);
    let mut visit = Visit::new(&mut server);
    let record = visit.peer.seal_blocks(&pad(&member().encode()));
    assert!(matches!(visit.send(&mut server, &record), Told::Reply(_)));
}
