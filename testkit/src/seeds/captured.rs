//! Seeds made of the captures, in the form of each target's scripts.

use std::collections::BTreeMap;

use xlreg::credential::Credential;
use xlreg::identity::{MemberAttrs, SigKeyPair, Token};
use xlreg::message::{Op, Refusal};
use xlreg::session::Dialect;

use super::{Seeds, short, sized};
use crate::captures::{self, Capture, Captured, KeyPairs, Step};
use crate::keys::forms::{self, OpenSshFile};
use crate::peer::{Msg, Value, pad};

/// The seeds of each target that has some.
pub(super) fn all() -> Vec<(&'static str, Seeds)> {
    let captures = captures::all();
    let of_each = |seeds: fn(&Capture, &mut Seeds)| {
        let mut all = Seeds::new();
        captures.iter().for_each(|capture| seeds(capture, &mut all));
        all
    };
    Vec::from([
        ("codec", of_each(codec)),
        ("hello", of_each(hello)),
        ("hello_rsa", of_each(hello_rsa)),
        ("key_pairs", of_each(key_pairs)),
        ("keys", of_each(keys)),
        ("record_end", of_each(record_end)),
        ("regcred", of_each(regcred)),
        ("server_session", of_each(server_session)),
        ("token", of_each(token)),
        ("token_rsa", of_each(token_rsa)),
    ])
}

/// The captured messages, one of each kind and length.
fn messages(capture: &Capture) -> BTreeMap<String, &Step> {
    let steps = capture.sessions.iter().flat_map(|session| &session.steps);
    let messages = steps.filter(|step| !step.kind.starts_with("Hello"));
    messages
        .map(|step| (format!("{}-{}-{}", capture.dialect, step.kind, step.plain.len()), step))
        .collect()
}

/// Each message under the usual limits, and under each limit that it may exceed; and messages that
/// no capture has.
fn codec(capture: &Capture, seeds: &mut Seeds) {
    for (name, step) in messages(capture) {
        let small: &[u8] = if tokens(&step.plain).is_empty() { &[] } else { &[1, 2, 4, 16] };
        for small in small {
            seeds.insert(format!("{name}-small-{small}"), [&[*small], &step.plain[..]].concat());
        }
        seeds.insert(name, [&[0], &step.plain[..]].concat());
    }
    let registry: Credential = capture.regcred.parse().unwrap();
    let own = Token {
        name: registry.name,
        attrs: MemberAttrs::NONE,
        id: Some(registry.id),
        comms_key: registry.comms_key,
        sig_key: registry.sig_key,
        end_points: registry.end_points,
        signature: None,
    };
    let version = u64::from(u32::from_le_bytes(registry.version.to_bytes()));
    let others = [
        ("RegCredRequest", Msg::op(Op::RegCredRequest)),
        ("RegCredReply", Msg::op(Op::RegCredReply).varint(6, version).msg(11, &Msg::token(&own))),
        ("Join", Msg::op(Op::Join).bytes(14, "golden")),
        ("GetCluster", Msg::op(Op::GetCluster).bytes(14, "golden")),
        ("Error-20", Msg::error(Refusal::BadSignature).set(23, "not more than twenty")),
        ("Error-21", Msg::error(Refusal::BadSignature)),
        ("Error", Msg::op(Op::Error)),
    ];
    for (name, message) in others {
        let name = format!("{}-{name}-small", capture.dialect);
        seeds.insert(name, [&[8], &message.encode()[..]].concat());
    }
}

fn record_end(capture: &Capture, seeds: &mut Seeds) {
    for (name, Step { plain, .. }) in messages(capture) {
        let record = |limit, step: &[u8]| [&short(limit), step, &pad(plain)].concat();
        seeds.insert(name.clone(), record(8192, &[2]));
        if plain.len() > 100 {
            seeds.insert(format!("{name}-too-large"), record(plain.len() - 1, &[3]));
        }
    }
}

fn hello(capture: &Capture, seeds: &mut Seeds) {
    let (dialect, prefixed) = (capture.dialect, capture.dialect == Dialect::Prefixed);
    let [hello, reply, ..] = &capture.sessions[0].steps[..] else { panic!("no handshake") };
    let mut add = |name: &str, script: &[&[u8]]| {
        seeds.insert(format!("{dialect}-{name}"), script.concat());
    };
    let client = [u8::from(!prefixed)];
    add("opened", &[&[0, 15], &hello.plain]);
    add("cut", &[&[0, 255], &hello.plain[1..]]);
    add("not-opened", &[&[3, 255]]);
    add("noise", &[&[4, 255], &client, &reply.wire]);
    add("reply", &[&[5, 7], &client, &[0]]);
    add("reply-swapped", &[&[5, 255], &client, &[1]]);
    add("reply-bad-padding", &[&[5, 255], &client, &[0], &[0; 47], &[1]]);
    add("reply-changed", &[&[6, 255], &client, &[1]]);
    add("reply-cut", &[&[7, 255], &client, &short(63)]);
    add("reply-and-more", &[&[7, 255], &client, &short(80), &reply.wire]);
}

fn hello_rsa(capture: &Capture, seeds: &mut Seeds) {
    let hello = &capture.sessions[0].steps[0];
    let mut add = |name: &str, script: &[&[u8]]| {
        seeds.insert(format!("{}-{name}", capture.dialect), script.concat());
    };
    add("noise", &[&[0], &hello.wire]);
    add("changed", &[&[1, 0, 0], &[0; 255], &[1]]);
    add("cut", &[&[1, 1, 0]]);
    add("captured", &[&[1, 0, 0]]);
    add("higher", &[&[2, 0]]);
    add("sealed", &[&[3], &hello.plain]);
    add("sealed-other", &[&[3], &hello.plain[1..]]);
}

fn regcred(capture: &Capture, seeds: &mut Seeds) {
    let text = &capture.regcred;
    let end = text.lines().find(|line| line.contains("TcpEndPoint")).unwrap();
    let mut add = |name: &str, end_points: &[&str]| {
        let end_points = end_points.join("\nTcpEndPoint: ");
        seeds.insert(format!("{}-{name}", capture.dialect), text.replace(end, &end_points).into());
    };
    add("captured", &[end]);
    add("ends", &[end, "[::1]:0", "registry.example.org:1"]);
    add("most-ends", &[&[end][..], &["a:1"; 7]].concat());
    add("too-many-ends", &[&[end][..], &["a:1"; 8]].concat());
    // The length is one that its body pads to the largest length.
    let longer = text.len().next_multiple_of(16) - text.len();
    add("even", &[&[&" ".repeat(longer), end].concat()]);
}

/// The tokens in a message: its MemberSpecs or its Tokens.
fn tokens(message: &[u8]) -> Vec<Vec<u8>> {
    let fields = Msg::decode(message).0.into_iter();
    let token = |(number, value)| match (number, value) {
        (11 | 21, Value::Bytes(token)) => Some(token),
        _ => None,
    };
    fields.filter_map(token).collect()
}

fn token(capture: &Capture, seeds: &mut Seeds) {
    let mut add = |name: &str, script: &[&[u8]]| {
        seeds.insert(format!("{}-{name}", capture.dialect), script.concat());
    };
    for step in messages(capture).values() {
        if let Some(token) = tokens(&step.plain).first() {
            let name = format!("{}-{}", step.kind, step.plain.len());
            add(&name, &[&[0], token]);
            for small in [2, 4, 16] {
                add(&format!("{name}-small-{small}"), &[&[small], token]);
            }
        }
    }
}

fn token_rsa(capture: &Capture, seeds: &mut Seeds) {
    let own = [u8::from(capture.dialect == Dialect::Chained)];
    let mut add = |name: &str, script: &[&[u8]]| {
        seeds.insert(format!("{}-{name}", capture.dialect), script.concat());
    };
    add("bytes-changed", &[&[0], &own, &short(1), &[1, 0], b"\x0calice"]);
    add("bytes-xored", &[&[0], &own, &short(300), &[0, 1], b"\x01"]);
    add("unchanged", &[&[1], &own, &[0]]);
    add("other-id", &[&[1], &own, &[2, 9]]);
    add("other-name", &[&[1], &own, &[16], b"alice"]);
    add("divided-elsewhere", &[&[1], &own, &[32], b"a:400 0b:1"]);
    add("keys-swapped", &[&[1], &own, &[5, 1]]);
    add("signature-changed", &[&[2], &own, &short(0), b"\x01"]);
    add("signature-cut", &[&[2], &own, &short(1)]);
}

fn keys(capture: &Capture, seeds: &mut Seeds) {
    let key = capture.server.sig.public_key();
    let components = key.components();
    let mut add = |name: &str, script: &[&[u8]]| {
        seeds.insert(format!("{}-{name}", capture.dialect), script.concat());
    };
    add("openssh", &[&[0], key.to_openssh().as_bytes(), b" a comment"]);
    add("spki", &[&[1], key.spki_der()]);
    add("components", &[&[2], &sized(components.exponent), components.modulus]);
}

fn key_pairs(capture: &Capture, seeds: &mut Seeds) {
    let KeyPairs { sig, .. } = &capture.server;
    let (pem, der) = (sig.to_pem().unwrap(), sig.to_pkcs8_der().unwrap());
    // PKCS#8 is a frame around PKCS#1.
    let pkcs1 = &der.expose()[26..];
    assert!(SigKeyPair::from_pkcs1_der(pkcs1).is_ok());
    let scripted: Vec<_> = numbers(pkcs1).into_iter().flat_map(sized).collect();
    let mut add = |name: &str, script: &[&[u8]]| {
        seeds.insert(format!("{}-{name}", capture.dialect), script.concat());
    };
    add("pem", &[&[0], pem.expose().as_bytes()]);
    add("pkcs8", &[&[1], der.expose()]);
    add("pkcs1", &[&[2], pkcs1]);
    add("numbers", &[&[3], &scripted]);
    let [n, e, d, p, q, _, _, coefficient] = numbers(pkcs1)[..] else { panic!("eight") };
    let openssh = OpenSshFile::new([n, e, d, coefficient, p, q], b"a comment").bytes();
    add("pem-openssh", &[&[0], forms::pem("OPENSSH PRIVATE KEY", &openssh).as_bytes()]);
    add("pem-pkcs1", &[&[0], forms::pem("RSA PRIVATE KEY", pkcs1).as_bytes()]);
    add("openssh", &[&[5], &openssh]);
    add("numbers-openssh", &[&[6], &scripted, b"a comment"]);
    add("numbers-pkcs8", &[&[4], &scripted]);
    // n = 61 * 53: small numbers that fit together.
    let tiny = [&[0x0c, 0xa1][..], &[17], &[0x01, 0x9d], &[61], &[53], &[53], &[49], &[38]];
    add("tiny", &[&[3], &tiny.map(sized).concat()]);
}

/// The numbers of an RSAPrivateKey without its version.
fn numbers(der: &[u8]) -> Vec<&[u8]> {
    let mut rest = &der[4 + 3..];
    let mut numbers = Vec::new();
    while let [2, tail @ ..] = rest {
        let (len, header) = match *tail {
            [0x82, high, low, ..] => (usize::from(u16::from_be_bytes([high, low])), 3),
            [0x81, len, ..] => (usize::from(len), 2),
            [len, ..] => (usize::from(len), 1),
            [] => panic!("no length"),
        };
        let number = &tail[header..header + len];
        numbers.push(number.strip_prefix(&[0]).unwrap_or(number));
        rest = &tail[header + len..];
    }
    assert!(numbers.len() == 8 && rest.is_empty());
    numbers
}

/// The messages of each client, each with its answer.
fn server_session(capture: &Capture, seeds: &mut Seeds) {
    for Captured { identity, steps, .. } in &capture.sessions {
        let mut script = Vec::from([u8::from(capture.dialect == Dialect::Chained)]);
        for pair in steps[2..].chunks(2) {
            let tokens = u8::try_from(tokens(&pair[1].plain).len()).unwrap();
            script.extend([1, 255]);
            script.extend(sized(&pair[0].plain));
            script.extend([4, tokens, 7, 255, 255]);
        }
        seeds.insert(format!("{}-{identity}", capture.dialect), script);
    }
}
