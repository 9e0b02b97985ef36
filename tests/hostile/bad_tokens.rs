//! Illegal keys and foreign signatures: each is refused by name, by the type itself and over the
//! wire (docs/protocol.md section 6).

use xlreg::crypto::RustCrypto;
use xlreg::identity::{BadSignature, KeyError, MemberAttrs, NodeId, PublicKey, Token};
use xlreg::message::{Field, MessageError, Op, Refusal};
use xlreg_testkit::scenario::{
    DIALECTS, Msg, bad, client_refuses, conversation, member, members, served, server_refuses,
    token,
};
use xlreg_testkit::{KEYS, Seeded, captures, identity};

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const NULL: &[u8] = &[5, 0];

/// Tag, length and body.
fn der(tag: u8, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let header = match len {
        0..128 => vec![tag, len as u8],
        128..256 => vec![tag, 0x81, len as u8],
        _ => vec![tag, 0x82, (len >> 8) as u8, len as u8],
    };
    [&header[..], body].concat()
}

/// A positive INTEGER.
fn uint(big_endian: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if big_endian[0] & 0x80 != 0 { &[0] } else { &[] };
    der(2, &[sign, big_endian].concat())
}

fn spki(oid: &[u8], parameters: &[u8], key: &[u8]) -> Vec<u8> {
    let algorithm = der(0x30, &[&der(6, oid)[..], parameters].concat());
    der(0x30, &[algorithm, der(3, &[&[0], key].concat())].concat())
}

fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    der(0x30, &[uint(modulus), uint(exponent)].concat())
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    spki(RSA, NULL, &rsa_key(modulus, exponent))
}

/// An odd number with exactly this many bits.
fn odd(bits: usize) -> Vec<u8> {
    let mut bytes = vec![0xa5; bits.div_ceil(8)];
    bytes[0] = 0xff >> ((8 - bits % 8) % 8);
    bytes
}

const F4: &[u8] = &[1, 0, 1];

/// Bytes that are not an acceptable key, each with its error.
fn bad_keys() -> Vec<(&'static str, Vec<u8>, KeyError)> {
    let mut even = odd(2048);
    *even.last_mut().unwrap() = 0xa4;
    let good = rsa(&odd(2048), F4);
    let inside = |key: Vec<u8>| spki(RSA, NULL, &key);
    let (n, e) = (uint(&odd(2048)), uint(F4));
    let twice_zero = der(2, &[&[0, 0][..], &odd(2048)].concat());
    let negative = der(2, &odd(2048));
    let point = [&[4][..], &[0x5a; 64]].concat();
    let mut unused_bits = good.clone();
    let bit_string = good.windows(4).position(|w| w == [3, 0x82, 1, 0x0f]).unwrap();
    unused_bits[bit_string + 4] = 1;
    vec![
        ("1023 bits", rsa(&odd(1023), F4), KeyError::Bits(1023)),
        ("512 bits", rsa(&odd(512), F4), KeyError::Bits(512)),
        ("8 bits", rsa(&odd(8), F4), KeyError::Bits(8)),
        ("8193 bits", rsa(&odd(8193), F4), KeyError::Bits(8193)),
        ("8200 bits", rsa(&odd(8200), F4), KeyError::Bits(8200)),
        ("16384 bits", rsa(&odd(16384), F4), KeyError::Malformed),
        ("even modulus", rsa(&even, F4), KeyError::EvenModulus),
        ("exponent 0", rsa(&odd(2048), &[0]), KeyError::Exponent),
        ("exponent 1", rsa(&odd(2048), &[1]), KeyError::Exponent),
        ("exponent 2", rsa(&odd(2048), &[2]), KeyError::Exponent),
        ("exponent 4", rsa(&odd(2048), &[4]), KeyError::Exponent),
        ("exponent 65536", rsa(&odd(2048), &[1, 0, 0]), KeyError::Exponent),
        ("exponent 2^33 + 1", rsa(&odd(2048), &[2, 0, 0, 0, 1]), KeyError::Exponent),
        ("exponent 2^64 + 3", rsa(&odd(2048), &[1, 0, 0, 0, 0, 0, 0, 0, 3]), KeyError::Exponent),
        ("exponent as long as n", rsa(&odd(1024), &odd(1024)), KeyError::Exponent),
        ("EC P-256", spki(EC, &der(6, P256), &point), KeyError::NotRsa),
        ("Ed25519", spki(ED25519, &[], &[0x5a; 32]), KeyError::NotRsa),
        ("RSA for PSS", spki(RSA_PSS, NULL, &rsa_key(&odd(2048), F4)), KeyError::NotRsa),
        ("no parameters", spki(RSA, &[], &rsa_key(&odd(2048), F4)), KeyError::Malformed),
        (
            "other parameters",
            spki(RSA, &der(6, P256), &rsa_key(&odd(2048), F4)),
            KeyError::Malformed,
        ),
        ("nothing", vec![], KeyError::Malformed),
        ("a byte behind", [&good[..], &[0]].concat(), KeyError::Malformed),
        ("the key twice", [&good[..], &good].concat(), KeyError::Malformed),
        ("a byte short", good[..good.len() - 1].to_vec(), KeyError::Malformed),
        (
            "a byte behind inside",
            inside([rsa_key(&odd(2048), F4), vec![0]].concat()),
            KeyError::Malformed,
        ),
        ("a third integer", inside(der(0x30, &[&n[..], &e, &e].concat())), KeyError::Malformed),
        ("no exponent", inside(der(0x30, &n)), KeyError::Malformed),
        ("negative modulus", inside(der(0x30, &[&negative[..], &e].concat())), KeyError::Malformed),
        (
            "zeros before the modulus",
            inside(der(0x30, &[&twice_zero[..], &e].concat())),
            KeyError::Malformed,
        ),
        ("PKCS#1 without a frame", rsa_key(&odd(2048), F4), KeyError::Malformed),
        ("unused bits", unused_bits, KeyError::Malformed),
        ("text", b"ssh-rsa AAAA".to_vec(), KeyError::Malformed),
        ("zeros", vec![0; 294], KeyError::Malformed),
        ("a length beyond the end", vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff], KeyError::Malformed),
        ("endless", vec![0x30, 0x80, 0, 0], KeyError::Malformed),
        ("a mebibyte", vec![0x30; 1 << 20], KeyError::Malformed),
    ]
}

#[test]
fn keys_within_the_bounds_are_taken_byte_for_byte() {
    for (bits, exponent) in [
        (1024, F4),
        (1025, &[3]),
        (2048, &[3]),
        (2049, F4),
        (8191, F4),
        (8192, F4),
        (8192, &[1, 0xff, 0xff, 0xff, 0xff]),
    ] {
        let bytes = rsa(&odd(bits), exponent);
        let key = PublicKey::from_spki_der(&bytes).unwrap();
        assert_eq!((key.bits(), key.modulus_len()), (bits, bits.div_ceil(8)));
        assert_eq!(key.spki_der(), bytes);
        assert_eq!(
            (key.components().modulus, key.components().exponent),
            (&odd(bits)[..], exponent)
        );
        assert_eq!(PublicKey::from_components(&odd(bits), exponent).unwrap().spki_der(), bytes);
        let padded = [&[0, 0][..], &odd(bits)].concat();
        assert_eq!(PublicKey::from_components(&padded, exponent), Ok(key));
    }
}

#[test]
fn what_is_no_acceptable_key_says_why() {
    for (what, bytes, error) in bad_keys() {
        assert_eq!(PublicKey::from_spki_der(&bytes), Err(error), "{what}");
    }
    let good = PublicKey::from_spki_der(&rsa(&odd(2048), F4)).unwrap();
    for len in 0..good.spki_der().len() {
        assert_eq!(
            PublicKey::from_spki_der(&good.spki_der()[..len]),
            Err(KeyError::Malformed),
            "{len}"
        );
    }
    for (modulus, exponent, error) in [
        (odd(1023), &[3][..], KeyError::Bits(1023)),
        (vec![], &[3], KeyError::Malformed),
        (odd(1024), &[], KeyError::Malformed),
        (odd(1024), &[2], KeyError::Exponent),
    ] {
        assert_eq!(PublicKey::from_components(&modulus, exponent), Err(error));
    }
}

/// With any change to one byte of a key, it is refused or it is the key that was read.
#[test]
fn a_damaged_key_is_refused_or_kept_as_it_came() {
    let good = KEYS.comms[0].public_key().spki_der().to_vec();
    for at in 0..good.len() {
        for flip in [1, 0x80, 0xff, (at % 255 + 1) as u8] {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            if let Ok(key) = PublicKey::from_spki_der(&bytes) {
                assert_eq!(key.spki_der(), bytes);
                assert_ne!(&key, KEYS.comms[0].public_key(), "byte {at}");
                assert!(PublicKey::BITS.contains(&key.bits()));
            }
        }
    }
}

#[test]
fn a_token_with_a_bad_key_is_refused_over_the_wire() {
    for (number, field) in [(4, Field::TokenCommsKey), (5, Field::TokenSigKey)] {
        for (what, bytes, source) in bad_keys() {
            // A key that does not fit in a record is another matter.
            if bytes.len() > 8000 {
                continue;
            }
            println!("{what}");
            let error = bad(MessageError::Key { field, source });
            let request = member().with_token(11, |token| token.set(number, &bytes));
            server_refuses(&request.encode(), &error, Some(Refusal::BadKey));
            let reply = members(1, &[served(1).set(number, &bytes)]);
            client_refuses(Op::GetCluster, &reply.encode(), &error);
        }
    }
    assert_eq!(Refusal::BadKey.as_str(), "not an acceptable RSA key");
}

#[test]
fn a_signature_with_any_byte_changed_is_bad() {
    assert!(token().verify(&RustCrypto).is_ok());
    let signature = token().signature.unwrap();
    let with = |signature| Token { signature, ..token() };
    for at in 0..signature.len() {
        let mut damaged = signature.clone();
        damaged[at] ^= (at % 255 + 1) as u8;
        assert_eq!(with(Some(damaged)).verify(&RustCrypto), Err(BadSignature), "byte {at}");
    }
    let cut = signature[..signature.len() - 1].to_vec();
    let longer = [&signature[..], &[0]].concat();
    let zero_first = [&[0], &signature[..]].concat();
    for other in [
        Some(cut),
        Some(longer),
        Some(zero_first),
        Some(vec![]),
        Some(vec![0; 256]),
        Some(vec![0xff; 256]),
        None,
    ] {
        assert_eq!(with(other).verify(&RustCrypto), Err(BadSignature));
    }
}

#[test]
fn the_signature_covers_every_field_but_the_id() {
    let key = |n: usize| KEYS.comms[n].public_key().clone();
    let end = |text: &str| text.parse().unwrap();
    let end_points = token().end_points;
    let changed = [
        Token { name: "n".parse().unwrap(), ..token() },
        Token { attrs: MemberAttrs::NONE, ..token() },
        Token { attrs: MemberAttrs::from_bits(2 | 1 << 63), ..token() },
        Token { comms_key: key(2), ..token() },
        Token { sig_key: key(2), ..token() },
        Token { comms_key: token().sig_key, sig_key: token().comms_key, ..token() },
        Token { end_points: vec![], ..token() },
        Token { end_points: end_points[..1].to_vec(), ..token() },
        Token { end_points: end_points.iter().rev().cloned().collect(), ..token() },
        Token { end_points: vec![end_points[0].clone(), end("host.example:4002")], ..token() },
        Token { end_points: vec![end("127.0.0.2:4000"), end_points[1].clone()], ..token() },
        Token { end_points: [&end_points[..], &end_points[..1]].concat(), ..token() },
    ];
    for (which, token) in changed.into_iter().enumerate() {
        assert_eq!(token.verify(&RustCrypto), Err(BadSignature), "change {which}");
    }
    for id in [None, NodeId::from_bytes(&[1; 20]).ok(), NodeId::from_bytes(&[2; 32]).ok()] {
        let verified = Token { id, ..token() }.verify(&RustCrypto).unwrap();
        assert_eq!(verified.id, id);
    }
    let mut other = token();
    other.sign(&KEYS.sig[3], &mut Seeded::new(1)).unwrap();
    assert_eq!(other.verify(&RustCrypto), Err(BadSignature), "signed with another key");
}

#[test]
fn every_captured_member_is_accepted() {
    for capture in captures::all() {
        for session in &capture.sessions {
            let step = session.steps.iter().find(|step| step.kind == "Member").unwrap();
            let (_, told) = conversation(capture.dialect, &[Msg::decode(&step.plain)]);
            assert_eq!(told[0].0[0], Msg::op(Op::MemberOk).0[0], "accepted");
        }
    }
}

#[test]
fn a_bad_signature_is_refused_over_the_wire() {
    for dialect in DIALECTS {
        let renamed = member().with_token(11, |token| token.set(1, "someone_else"));
        let unsigned_end = member().with_token(11, |token| token.bytes(6, "evil:1"));
        let other =
            identity("m", 2).token(MemberAttrs::ADMIN, token().end_points, &mut Seeded::new(1));
        let foreign =
            member().with_token(11, |t| t.set(7, other.clone().unwrap().signature.unwrap()));
        let empty = member().with_token(11, |token| token.set(7, []));
        for message in [renamed, unsigned_end, foreign, empty] {
            let (server, told) = conversation(dialect, &[message]);
            assert_eq!(told, [Msg::op(Op::Error).bytes(23, "bad digital signature")]);
            assert!(server.is_finished());
        }
    }
}
