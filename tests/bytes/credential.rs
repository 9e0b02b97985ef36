//! regCred text (docs/protocol.md section 7): the text that is written reads back as the same
//! value, permitted variants are accepted, and everything else is an error that names the line and
//! the expected text.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use xlreg::credential::{Credential, CredentialError, CredentialProblem as Problem};
use xlreg::identity::{
    EndPointError, KeyError, NameError, NodeId, NodeIdError, OpenSshError, PublicKey, Version,
    VersionError,
};
use xlreg::session::Dialect;
use xlreg_testkit::pair::credential as credential_of;
use xlreg_testkit::{KEYS, captures};

static CREDENTIAL: LazyLock<Credential> = LazyLock::new(|| Credential {
    id: NodeId::from_bytes(&[0x4a; 20]).unwrap(),
    ..credential_of(Dialect::Prefixed)
});

/// The start of each line of the text.
const LABELS: [&str; 10] = [
    "regCred {",
    "Name: ",
    "ID: ",
    "CommsPubKey: ",
    "SigPubKey: ",
    "EndPoints {",
    "TcpEndPoint: ",
    "}",
    "Version: ",
    "}",
];

/// The lines as written, without their ends.
fn lines() -> Vec<String> {
    CREDENTIAL.to_string().split_terminator("\r\n").map(String::from).collect()
}

fn parse(lines: &[String]) -> Result<Credential, CredentialError> {
    lines.iter().map(|line| format!("{line}\r\n")).collect::<String>().parse()
}

/// Checks that the text is refused at this line for this reason, and that the error says both.
fn refused(lines: &[String], line: usize, problem: Problem) {
    let error = parse(lines).unwrap_err();
    assert_eq!(error, CredentialError { line, problem });
    let said = error.to_string();
    assert!(said.starts_with(&format!("regCred line {line}: expected ")), "{said}");
}

/// The quote of a written line in an error.
fn quoted(line: &str) -> String {
    line.trim().chars().take(40).collect()
}

#[test]
fn the_written_text_has_the_lines_of_the_description() {
    let text = CREDENTIAL.to_string();
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    assert!(text.is_ascii() && text.ends_with("}\r\n"));
    assert_eq!(lines().len(), LABELS.len());
    for (line, label) in lines().iter().zip(LABELS) {
        assert!(line.trim_start().starts_with(label), "{line}");
    }
    assert_eq!(lines()[6], "         TcpEndPoint: 127.0.0.1:45678");
    assert_eq!(lines()[2], format!("    ID: {}", "4a".repeat(20)));
    assert_eq!(parse(&lines()).as_ref(), Ok(&*CREDENTIAL));
}

#[test]
fn a_line_that_is_missing_is_named() {
    for (at, label) in LABELS.into_iter().enumerate() {
        let mut without = lines();
        without.remove(at);
        // Without the brace after the end points, the next line is taken for one of them.
        let expected = if at == 7 { "TcpEndPoint: " } else { label };
        match without.get(at) {
            Some(next) => {
                let found = quoted(next);
                refused(&without, at + 1, Problem::Unexpected { expected, found });
            }
            None => refused(&without, at, Problem::End { expected }),
        }
    }
}

#[test]
fn a_text_that_ends_early_says_what_was_next() {
    for (kept, label) in LABELS.into_iter().enumerate() {
        let expected = if kept == 7 { "TcpEndPoint: " } else { label };
        refused(&lines()[..kept], kept.max(1), Problem::End { expected });
    }
}

#[test]
fn lines_that_change_places_are_named() {
    for at in 0..LABELS.len() - 1 {
        let mut swapped = lines();
        swapped.swap(at, at + 1);
        // With the brace before them there are no end points.
        let expected = LABELS[at];
        refused(
            &swapped,
            at + 1,
            if at == 7 {
                Problem::Unexpected { expected: "TcpEndPoint: ", found: quoted(&swapped[7]) }
            } else {
                Problem::Unexpected { expected, found: quoted(&swapped[at]) }
            },
        );
    }
    for at in 1..LABELS.len() {
        let mut doubled = lines();
        doubled.insert(at, doubled[at].clone());
        match at {
            6 => assert_eq!(parse(&doubled).unwrap().end_points.len(), 2),
            9 => {
                let expected = "the end of the text";
                refused(&doubled, 11, Problem::Unexpected { expected, found: "}".into() });
            }
            // The same line again where the next one is expected.
            _ => {
                let expected = LABELS[at + 1];
                let found = quoted(&doubled[at]);
                refused(&doubled, at + 2, Problem::Unexpected { expected, found });
            }
        }
    }
}

#[test]
fn a_damaged_value_says_what_was_expected() {
    let key = |field, source| Problem::Key { field, source };
    let openssh = KEYS.comms[0].public_key().to_openssh();
    let small = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQU=";
    let table = [
        (1, "Name: ", Problem::Unexpected { expected: "Name: ", found: "Name:".into() }),
        (1, "Name: two words", Problem::Name(NameError::Character(' '))),
        (1, "Name: -x", Problem::Name(NameError::Start('-'))),
        (1, "Name:  x", Problem::Name(NameError::Start(' '))),
        (2, "ID: 4a4a", Problem::Id(NodeIdError::NotHex)),
        (2, &format!("ID: {}", "4g".repeat(20)), Problem::Id(NodeIdError::NotHex)),
        (2, &format!("ID: {}", "4a".repeat(21)), Problem::Id(NodeIdError::NotHex)),
        (2, &format!("ID: 0x{}", "4a".repeat(19)), Problem::Id(NodeIdError::NotHex)),
        (3, "CommsPubKey: x", key("CommsPubKey", OpenSshError::Algorithm)),
        (3, "CommsPubKey: ssh-rsa AAAA", key("CommsPubKey", OpenSshError::Encoding)),
        (4, "SigPubKey: ssh-rsa A*A", key("SigPubKey", OpenSshError::Base64)),
        (4, &format!("SigPubKey: {small}"), key("SigPubKey", OpenSshError::Key(KeyError::Bits(3)))),
        (
            4,
            &format!("SigPubKey: {}", openssh.replace("rsa", "dss")),
            key("SigPubKey", OpenSshError::Algorithm),
        ),
        (6, "TcpEndPoint: here", Problem::EndPoint(EndPointError::NoPort)),
        (6, "TcpEndPoint: here:99999", Problem::EndPoint(EndPointError::Port)),
        (6, "TcpEndPoint: a b:1", Problem::EndPoint(EndPointError::Host)),
        (8, "Version: 1", Problem::Version(VersionError)),
        (8, "Version: 1.9.x", Problem::Version(VersionError)),
        (8, "Version: 1.9.256", Problem::Version(VersionError)),
    ];
    for (at, line, problem) in table {
        let mut damaged = lines();
        damaged[at] = line.into();
        refused(&damaged, at + 1, problem);
    }
    // Labels that are nearly right.
    for (at, label) in LABELS.iter().enumerate() {
        let lower = lines()[at].replace(label, &label.to_lowercase());
        for line in
            [lines()[at].replace(": ", ":"), lower, format!("x{}", lines()[at].trim()), "#".into()]
        {
            let mut damaged = lines();
            if line == damaged[at] {
                continue;
            }
            damaged[at] = line.clone();
            let expected = if at == 7 { "TcpEndPoint: " } else { label };
            refused(&damaged, at + 1, Problem::Unexpected { expected, found: quoted(&line) });
        }
    }
}

/// A quote in an error fits one line of a terminal.
#[test]
fn a_quoted_line_is_short_and_printable() {
    let mut damaged = lines();
    damaged[8] = format!("\x1b[31m\u{7}{}", "x".repeat(10_000));
    let said = parse(&damaged).unwrap_err().to_string();
    assert!(said.len() < 150 && !said.contains(char::is_control), "{said}");
}

#[test]
fn what_may_vary_is_accepted() {
    let text = CREDENTIAL.to_string();
    let each_line = |change: &dyn Fn(&str) -> String| -> String {
        lines().iter().map(|line| change(line)).collect()
    };
    let no_end = text.trim_end().to_string();
    let variants = [
        text.replace("\r\n", "\n"),
        each_line(&|line| format!("{}\r\n", line.trim())),
        each_line(&|line| format!("\t \t{line}  \t\r\n")),
        each_line(&|line| format!("\r\n{line}\n   \r\n\n")),
        each_line(&|line| match line.contains("PubKey") {
            true => format!("{line} the registry's own key\r\n"),
            false => format!("{line}\r\n"),
        }),
        text.replace(&"4a".repeat(20), &"4A".repeat(20)),
        text.replace("1.9.24", "1.9.24.0"),
        no_end,
    ];
    for variant in variants {
        assert_eq!(variant.parse::<Credential>().as_ref(), Ok(&*CREDENTIAL), "{variant}");
    }
    // Deployed servers leave an empty line after each key: the captured texts have them.
    for capture in captures::all() {
        assert!(capture.regcred.contains("\n\r\n"));
        capture.regcred.parse::<Credential>().unwrap();
    }
}

/// The line number of an error counts blank lines too.
#[test]
fn blank_lines_count() {
    let mut spaced: Vec<String> =
        lines().into_iter().flat_map(|line| [String::new(), line]).collect();
    spaced[17] = "Version: none".into();
    refused(&spaced, 18, Problem::Version(VersionError));
}

#[test]
fn text_behind_the_end_is_refused() {
    for (behind, found) in [("x", "x"), ("regCred {", "regCred {"), ("\u{feff}", "\\u{feff}")] {
        let mut longer = lines();
        longer.extend([String::new(), behind.into()]);
        let problem = Problem::Unexpected { expected: "the end of the text", found: found.into() };
        refused(&longer, 12, problem);
    }
}

#[test]
fn a_text_too_long_is_refused_at_once() {
    let text = CREDENTIAL.to_string();
    let fill = |len: usize| text.clone() + &" ".repeat(len - text.len());
    assert_eq!(fill(Credential::MAX_LEN).parse::<Credential>().as_ref(), Ok(&*CREDENTIAL));
    let bytes = Credential::MAX_LEN + 1;
    let error = fill(bytes).parse::<Credential>().unwrap_err();
    assert_eq!(error, CredentialError { line: 1, problem: Problem::TooLong { bytes } });
}

/// An RSA public key, from the captures or made of these bytes.
fn key() -> impl Strategy<Value = PublicKey> {
    let captured = (0..KEYS.comms.len()).prop_map(|n| KEYS.comms[n].public_key().clone());
    let made = prop::collection::vec(any::<u8>(), 129..=1024).prop_map(|mut modulus| {
        modulus[0] |= 1;
        *modulus.last_mut().unwrap() |= 1;
        PublicKey::from_components(&modulus, &[1, 0, 1]).unwrap()
    });
    prop_oneof![captured, made]
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|[a, b, c, d]| format!("{a}.{b}.{c}.{d}")),
        any::<u128>().prop_map(|bits| format!("[{}]", std::net::Ipv6Addr::from_bits(bits))),
        "[a-z0-9_]{1,20}(\\.[a-z0-9]{1,9}){0,3}\\.[a-z]{2,8}",
    ]
}

prop_compose! {
    fn credential()(
        name in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}",
        id in prop_oneof![
            prop::collection::vec(any::<u8>(), 20),
            prop::collection::vec(any::<u8>(), 32),
        ],
        comms_key in key(),
        sig_key in key(),
        end_points in prop::collection::vec((host(), any::<u16>()), 1..8),
        version in any::<[u8; 4]>(),
    ) -> Credential {
        Credential {
            name: name.parse().unwrap(),
            id: NodeId::from_bytes(&id).unwrap(),
            comms_key,
            sig_key,
            end_points: end_points
                .iter()
                .map(|(host, port)| format!("{host}:{port}").parse().unwrap())
                .collect(),
            version: Version::from_bytes(version),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_written_reads_back_the_same(credential in credential()) {
        let text = credential.to_string();
        prop_assert!(text.len() <= Credential::MAX_LEN);
        prop_assert_eq!(text.parse::<Credential>(), Ok(credential.clone()));
        prop_assert_eq!(text.replace("\r\n", "\n").parse::<Credential>(), Ok(credential));
    }

    /// Any text, and any damage to a good one: there is an answer, with a line that exists.
    #[test]
    fn no_text_makes_it_panic(
        at in 0usize..2000,
        insert in "\\PC{0,5}|[\r\n\t {}:]{0,5}",
        remove in 0usize..60,
    ) {
        let text = CREDENTIAL.to_string();
        let at = at.min(text.len());
        let rest = (at + remove).min(text.len());
        let damaged = format!("{}{insert}{}", &text[..at], &text[rest..]);
        match damaged.parse::<Credential>() {
            Ok(credential) => prop_assert_eq!(credential.to_string().parse(), Ok(credential)),
            Err(error) => prop_assert!((1..=damaged.lines().count().max(1)).contains(&error.line)),
        }
    }
}
