//! The check of docs/bounds.md: its defaults are those of the code, its tests exist, and no limit
//! is missing. Also the tests of bounds that no other test proves.

use std::fs;
use std::path::Path;

use xlreg::credential::Credential;
use xlreg::crypto::RustCrypto;
use xlreg::enroll::Plan;
use xlreg::identity::{EndPoint, KeyError, Name, NameError, PublicKey, Token};
use xlreg::message::{
    ClusterRef, Field, MAX_CLUSTER_SIZE, MessageError, MessageLimits, Op, Refusal, Request,
};
use xlreg::registry::{CheckedRequest, RegistryLimits};
use xlreg::session::{ClientEvent, Error, Limits};
use xlreg_testkit::pair;
use xlreg_testkit::scenario::{
    self, DIALECTS, Msg, NOW, Scenario, bad, create, feed, is_over, member, member_ok, members,
    next_request, token,
};

const TABLE: &str = include_str!("../../docs/bounds.md");

/// The rows of all tables of bounds: the cells of rows that name a test.
fn rows() -> Vec<Vec<&'static str>> {
    let rows = TABLE.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = rows.map(|row| row.split(" | ").collect::<Vec<_>>());
    rows.filter(|row| match row.len() {
        7 => !row[0].starts_with("---") && row[6] != "test",
        // The sections about measurements and wiping.
        3 | 4 => false,
        _ => panic!("a bar too many: {row:?}"),
    })
    .collect()
}

/// The parts in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The number at the start of a cell, in the unit of the code.
fn number(cell: &str) -> Option<u64> {
    cell.split(' ').next()?.replace(',', "").parse().ok()
}

/// All public limits, with their defaults for a registry and for a client. Each pattern names all
/// fields. So a new limit does not compile until it is here, and the test fails until it is in the
/// table.
fn defaults() -> Vec<(&'static str, [u64; 2])> {
    let session = [Limits::server(), Limits::client()].map(|limits| {
        let Limits { record, message, requests, in_flight, output, hello_time, idle_time } = limits;
        let MessageLimits { tokens, end_points, name_len, text_len, rsa_bits } = message;
        [
            ("Limits::record", record as u64),
            ("Limits::requests", requests.into()),
            ("Limits::in_flight", in_flight as u64),
            ("Limits::output", output as u64),
            ("Limits::hello_time", hello_time.as_secs()),
            ("Limits::idle_time", idle_time.as_secs()),
            ("MessageLimits::tokens", tokens as u64),
            ("MessageLimits::end_points", end_points as u64),
            ("MessageLimits::name_len", name_len as u64),
            ("MessageLimits::text_len", text_len as u64),
            ("MessageLimits::rsa_bits", *rsa_bits.end() as u64),
        ]
    });
    let [server, client] = session;
    let mut all: Vec<_> =
        server.into_iter().zip(client).map(|((key, s), (_, c))| (key, [s, c])).collect();
    let RegistryLimits {
        nodes,
        clusters,
        memberships,
        token_bytes,
        memory_bytes,
        store_bytes,
        of_a_key,
    } = RegistryLimits::default();
    let plan = Plan::join(token(), ClusterRef::CURRENT);
    let same = [
        ("RegistryLimits::nodes", nodes as u64),
        ("RegistryLimits::clusters", clusters as u64),
        ("RegistryLimits::memberships", memberships as u64),
        ("RegistryLimits::token_bytes", token_bytes),
        ("RegistryLimits::memory_bytes", memory_bytes),
        ("RegistryLimits::store_bytes", store_bytes),
        ("Holdings::nodes", of_a_key.nodes as u64),
        ("Holdings::clusters", of_a_key.clusters as u64),
        ("Holdings::memberships", of_a_key.memberships as u64),
        ("MAX_CLUSTER_SIZE", MAX_CLUSTER_SIZE.into()),
        ("PublicKey::BITS", *PublicKey::BITS.end() as u64),
        ("PublicKey::MAX_EXPONENT", PublicKey::MAX_EXPONENT),
        ("Name::MAX_LEN", Name::MAX_LEN as u64),
        ("EndPoint::MAX_LEN", EndPoint::MAX_LEN as u64),
        ("Credential::MAX_LEN", Credential::MAX_LEN as u64),
        ("Credential::MAX_END_POINTS", Credential::MAX_END_POINTS as u64),
        ("Plan::SHORTEST_PAUSE", Plan::SHORTEST_PAUSE.as_millis() as u64),
        ("Plan::first_pause", plan.first_pause.as_millis() as u64),
        ("Plan::longest_pause", plan.longest_pause.as_millis() as u64),
    ];
    assert_eq!(plan.give_up_after, None, "as the table says");
    all.extend(same.map(|(key, value)| (key, [value, value])));
    all
}

#[test]
fn the_documented_defaults_are_those_of_the_code() {
    let rows = rows();
    for (key, [server, client]) in defaults() {
        let row = rows.iter().find(|row| quoted(row[3]).contains(&key));
        let row = row.unwrap_or_else(|| panic!("{key} is in no row"));
        for (cell, value) in [(row[1], server), (row[2], client)] {
            // A side without a value for the limit has a dash.
            assert!(number(cell) == Some(value) || cell == "–", "{key} is {value}, not {cell}");
        }
        assert!(row[1] != "–" || row[2] != "–", "{key}");
    }
}

/// If a figure is private, the row quotes its line of code: `file: line`.
#[test]
fn the_lines_of_code_that_are_quoted_are_there() {
    let mut checked = 0;
    for row in rows() {
        for place in quoted(row[3]).into_iter().filter(|place| place.contains(".rs: ")) {
            let (file, line) = place.split_once(": ").unwrap();
            if let Some(text) = source(file) {
                assert!(text.contains(line), "{file} does not say {line}");
                checked += 1;
            }
        }
    }
    assert!(checked > 5, "{checked}");
}

/// A file of this repository; `None` if only the package is here, which has no `cli`.
fn source(file: &str) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if file.starts_with("cli/") && !root.join("cli").exists() {
        println!("SKIPPED: {file} is not in the package");
        return None;
    }
    Some(fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}")))
}

#[test]
fn every_bound_names_a_test_that_exists() {
    let rows = rows();
    assert!(rows.len() > 50, "{} rows", rows.len());
    for row in rows {
        let tests = quoted(row[6]);
        // A bound without a test says why.
        assert!(!tests.is_empty() || row[6].starts_with("none: "), "{row:?}");
        for test in tests {
            let (file, name) = test.split_once("::").unwrap_or_else(|| panic!("{test}"));
            let Some(text) = source(file) else { continue };
            assert!(is_test(&text, name), "{file} has no test {name}");
        }
    }
}

/// Whether a function with this name is marked as a test.
fn is_test(text: &str, name: &str) -> bool {
    let (sync, other) = (format!("fn {name}("), format!("async fn {name}("));
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.starts_with(&sync) || line.starts_with(&other));
    let attributes = at.into_iter().flat_map(|at| lines[..at].iter().rev());
    let mut attributes = attributes.take_while(|line| line.starts_with("#["));
    attributes.any(|line| *line == "#[test]" || line.starts_with("#[tokio::test"))
}

// Bounds that no other test proves.

#[test]
fn input_beyond_the_room_is_not_taken() {
    for dialect in DIALECTS {
        let (server, client) = (Limits::server(), Limits::client());
        let (mut machine, mut peer) = Scenario::server(dialect).registered();
        assert_eq!(machine.recv_room(), server.record + 64);
        let flood: Vec<u8> = (0..4000).flat_map(|_| peer.seal(&create().encode())).collect();
        assert!(flood.len() > 2 * server.record);
        assert_eq!(machine.receive(NOW, &flood), server.record + 64);
        assert_eq!((machine.recv_room(), machine.receive(NOW, &flood)), (0, 0));

        let (mut machine, mut peer) = Scenario::client(dialect).asking(Op::Member);
        assert_eq!(machine.recv_room(), client.record + 64);
        let flood: Vec<u8> = (0..40_000).flat_map(|_| peer.seal(&member_ok().encode())).collect();
        assert_eq!(machine.receive(NOW, &flood), client.record + 64);
        assert_eq!((machine.recv_room(), machine.receive(NOW, &flood)), (0, 0));
    }
}

#[test]
fn a_reply_as_long_as_the_limit_is_read_and_a_longer_one_is_not() {
    // No legal reply is as long as the usual limit.
    let reply = member_ok().encode();
    let whole = reply.len();
    for (dialect, limit) in DIALECTS.into_iter().flat_map(|d| [(d, whole), (d, whole - 1)]) {
        let limits = Limits { record: limit, ..Limits::client() };
        let (mut client, mut peer) = Scenario::client(dialect).limits(limits).open();
        client.register(NOW, token()).unwrap();
        client.receive(NOW, &peer.seal(&reply));
        match client.poll_event() {
            Ok(Some(ClientEvent::Reply { .. })) => assert_eq!(limit, whole),
            Err(Error::BadRecord) => assert_ne!(limit, whole),
            other => panic!("{other:?}"),
        }
    }
    // A longer field is refused as soon as its length is declared. A shorter one is waited for.
    let limit = Limits::client().record;
    for dialect in DIALECTS {
        // Key and length of the field take five bytes.
        let filler = limit - reply.len() - 5;
        for (len, fits) in [(filler, true), (filler + 1, false)] {
            let reply = member_ok().bytes(300, vec![1; len]).encode();
            assert_eq!(reply.len() <= limit, fits);
            let (mut client, mut peer) = Scenario::client(dialect).asking(Op::Member);
            let record = peer.seal(&reply);
            feed(&mut client, &record[..80]);
            let told = client.poll_event();
            assert_eq!(told, if fits { Ok(None) } else { Err(Error::BadRecord) });
            assert_eq!(client.recv_room() >= record.len() - 80, fits);
        }
    }
}

/// A registry has no use for a list of members, but it counts before it decodes.
#[test]
fn a_registry_counts_tokens_and_ends_before_it_looks_at_them() {
    for dialect in DIALECTS {
        for (message, field, limit) in [
            (members(0, &vec![Msg::new(); 65]), Field::Tokens, 64),
            (
                member().msg(21, &Msg::new().bytes(6, "").bytes(6, "")).msg(21, &end_points(9)),
                Field::TokenMyEnds,
                8,
            ),
            (
                (0..9).fold(member(), |message, _| message.msg(11, &end_points(1))),
                Field::TokenMyEnds,
                8,
            ),
        ] {
            let (mut server, mut peer) = Scenario::server(dialect).open();
            feed(&mut server, &peer.seal(&message.encode()));
            let error = MessageError::TooMany { field, limit };
            is_over(&mut server, &mut peer, &bad(error.clone()), Some(error.refusal()));
        }
    }
}

fn end_points(count: usize) -> Msg {
    (0..count).fold(Msg::new(), |token, _| token.bytes(6, "h:1"))
}

/// All of [`MessageLimits`] may be lower.
#[test]
fn limits_below_the_defaults_are_kept_to() {
    let message =
        MessageLimits { tokens: 1, end_points: 1, name_len: 4, text_len: 8, rsa_bits: 2049..=4096 };
    let key = |field| MessageError::Key { field, source: KeyError::Bits(2048) };
    let name =
        |field| MessageError::Name { field, source: NameError::TooLong { bytes: 5, limit: 4 } };
    let short = |msg: Msg| msg.with_token(11, |token| token.without(6).bytes(6, "h:1"));
    let requests = [
        (member(), MessageError::TooMany { field: Field::TokenMyEnds, limit: 1 }),
        (short(member()), key(Field::TokenCommsKey)),
        (short(member()).with_token(11, |token| token.set(1, "alice")), name(Field::TokenName)),
    ];
    for dialect in DIALECTS {
        let open = || {
            Scenario::server(dialect)
                .limits(Limits { message: message.clone(), ..Limits::server() })
                .open()
        };
        for (request, error) in &requests {
            let (mut server, mut peer) = open();
            feed(&mut server, &peer.seal(&request.encode()));
            is_over(&mut server, &mut peer, &bad(error.clone()), Some(error.refusal()));
        }
        let client = |reply: Msg| {
            let limits = Limits { message: message.clone(), ..Limits::client() };
            let (mut client, mut peer) = Scenario::client(dialect).limits(limits).open();
            client.register(NOW, token()).unwrap();
            feed(&mut client, &peer.seal(&reply.encode()));
            client.poll_event()
        };
        let long = MessageError::TooLong { field: Field::ErrDesc, bytes: 9, limit: 8 };
        assert_eq!(client(Msg::op(Op::Error).bytes(23, "nine long")), Err(bad(long)));
        let many = MessageError::TooMany { field: Field::Tokens, limit: 1 };
        assert_eq!(client(members(3, &[Msg::new(), Msg::new()])), Err(bad(many)));
        assert!(client(Msg::op(Op::Error).bytes(23, "eight ll")).is_ok());
    }
}

/// A signature has no limit of its own. The record bounds it, and one without the length of the key
/// is wrong.
#[test]
fn a_signature_of_any_length_is_read_and_only_the_right_one_is_good() {
    for len in [0, 1, 255, 257, 1024, 15_000] {
        let (mut server, mut peer) = Scenario::server(DIALECTS[0]).open();
        let request = member().with_token(11, |token| token.set(7, vec![1; len]));
        feed(&mut server, &peer.seal(&request.encode()));
        let request = next_request(&mut server).1;
        assert!(
            matches!(&request, Request::Member(Token { signature: Some(s), .. }) if s.len() == len)
        );
        let checked = CheckedRequest::new(request, &RustCrypto);
        assert_eq!(checked.err(), Some(Refusal::BadSignature), "{len} bytes");
    }
    assert!(CheckedRequest::new(Request::Member(token()), &RustCrypto).is_ok());
}

/// For an unknown client only a Hello and a signature cost a registry more than a look-up.
#[test]
fn a_session_costs_one_signature_and_no_more() {
    for dialect in DIALECTS {
        let (mut server, mut peer) = Scenario::server(dialect).open();
        feed(&mut server, &peer.seal(&member().encode()));
        let (id, _) = next_request(&mut server);
        // A second and a third one, before the first is answered, are refused without a look at the
        // token.
        feed(&mut server, &[peer.seal(&member().encode()), peer.seal(&member().encode())].concat());
        assert!(server.poll_event().unwrap().is_none());
        let ok = xlreg::message::Reply::MemberOk { id: pair::id(1), attrs: Default::default() };
        server.reply(NOW, id, &ok).unwrap();
        peer.open(&scenario::drain(&mut server));
        is_over(&mut server, &mut peer, &Error::WrongState(Op::Member), Some(Refusal::WrongState));
    }
}
