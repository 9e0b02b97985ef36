//! Values and their texts: `FromStr` reads the text that `Display` writes as the same value, and
//! any accepted text is written so that it reads the same. The same holds for bytes and numbers.

use std::fmt::{Debug, Display};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use xlreg::identity::{
    AttrsError, ClusterAttrs, EndPoint, EndPointError, Fingerprint, FingerprintError, MemberAttrs,
    Name, NameError, NodeId, NodeIdError, PublicKey, Version,
};
use xlreg::message::{MemberSet, MemberSetError, Op, Refusal, UnknownOp, UnknownRefusal};
use xlreg::session::{Dialect, UnknownDialect};
use xlreg_testkit::KEYS;

fn round<T: Display + FromStr<Err: Debug> + PartialEq + Debug>(value: &T) {
    let text = value.to_string();
    assert_eq!(text.parse::<T>().as_ref().ok(), Some(value), "{text:?}");
}

/// A text that is accepted gives a value that survives writing and reading.
fn read<T: Display + FromStr<Err: Debug> + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        round(&value);
    }
}

fn read_all(text: &str) {
    read::<Name>(text);
    read::<NodeId>(text);
    read::<EndPoint>(text);
    read::<Version>(text);
    read::<MemberAttrs>(text);
    read::<ClusterAttrs>(text);
    read::<PublicKey>(text);
    read::<Fingerprint>(text);
    read::<MemberSet>(text);
    read::<Op>(text);
    read::<Refusal>(text);
    read::<Dialect>(text);
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(29),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn numbers_and_bytes_go_round(
        bits: u64,
        few in 0u32..64,
        short: [u8; 20],
        long: [u8; 32],
        version: [u8; 4],
    ) {
        for bits in [bits, bits >> few, bits & 7, 1 << few] {
            round(&MemberAttrs::from(bits));
            round(&ClusterAttrs::from(bits));
            round(&MemberSet::from(bits));
            prop_assert_eq!(u64::from(MemberAttrs::from(bits)), bits);
            prop_assert_eq!(u64::from(ClusterAttrs::from(bits)), bits);
            prop_assert_eq!(u64::from(MemberSet::from(bits)), bits);
        }
        for id in [NodeId::from(short), NodeId::from(long)] {
            round(&id);
            prop_assert_eq!(NodeId::try_from(id.as_ref()), Ok(id));
        }
        prop_assert_eq!(NodeId::from_bytes(&short), Ok(short.into()));
        prop_assert_eq!(NodeId::from_bytes(&long), Ok(long.into()));
        round(&Version::from(version));
        prop_assert_eq!(<[u8; 4]>::from(Version::from(version)), version);
        round(&Fingerprint::from(long));
        prop_assert_eq!(<[u8; 32]>::from(Fingerprint::from(long)), long);
    }

    #[test]
    fn texts_go_round(
        name in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}",
        host in "[a-z][a-z0-9-]{0,30}[a-z](\\.[a-z]{1,9}){0,3}",
        port: u16,
    ) {
        let made: Name = name.as_str().try_into().unwrap();
        round(&made);
        prop_assert_eq!(Name::try_from(name.clone()), Ok(made.clone()));
        prop_assert_eq!(String::from(made), name);
        let text = format!("{host}:{port}");
        let made: EndPoint = text.as_str().try_into().unwrap();
        round(&made);
        prop_assert_eq!((made.host(), made.port()), (host.as_str(), port));
        prop_assert_eq!(EndPoint::try_from(text.clone()), Ok(made.clone()));
        prop_assert_eq!(made.as_ref(), text.as_str());
        prop_assert_eq!(String::from(made), text);
    }

    /// The address of a listener is an end point, for every kind of address.
    #[test]
    fn an_address_is_an_end_point(address: SocketAddr) {
        let end = EndPoint::from(address);
        round(&end);
        let back: SocketAddr = end.as_str().parse().unwrap();
        prop_assert_eq!((back.ip(), back.port()), (address.ip(), address.port()));
        prop_assert_eq!(end.port(), address.port());
    }

    #[test]
    fn what_is_read_of_any_text_goes_round(
        text in prop_oneof![
            "\\PC{0,40}",
            "[a-z|0-9xA-F]{0,20}",
            "(ephemeral|admin|solo|deleted|none|0x[0-9a-f]{1,17}|\\+1)\
             (\\|(ephemeral|solo|0x[0-9A-F]{1,16})){0,3}",
            "0x[+-]?[0-9a-fA-F]{0,18}",
            "[0-9]{0,3}(\\.[0-9]{1,3}){0,4}",
            "SHA256:[A-Za-z0-9+/=]{42,44}",
            "[a-z0-9.:\\[\\]]{0,30}",
        ],
    ) {
        read_all(&text);
    }
}

#[test]
fn every_word_goes_round() {
    for tag in -1..=15 {
        let op = Op::try_from(tag);
        assert_eq!(op.is_ok(), (1..=13).contains(&tag));
        if let Ok(op) = op {
            round(&op);
            assert_eq!(i32::from(op), tag);
        }
    }
    Refusal::ALL.iter().for_each(round);
    [Dialect::Prefixed, Dialect::Chained].iter().for_each(round);
    for pair in &KEYS.comms {
        round(pair.public_key());
        assert_eq!(pair.public_key().to_string(), pair.public_key().to_openssh());
        round(&pair.public_key().fingerprint());
    }
}

#[test]
fn flags_have_names() {
    let text = |bits| MemberAttrs::from_bits(bits).to_string();
    let texts = [0, 1, 2, 6, 7, 8, 0x15].map(text);
    assert_eq!(
        texts,
        [
            "none",
            "ephemeral",
            "admin",
            "admin|solo",
            "ephemeral|admin|solo",
            "0x8",
            "ephemeral|solo|0x10"
        ]
    );
    assert_eq!(ClusterAttrs::from_bits(3).to_string(), "ephemeral|deleted");
    // In any order, twice, as numbers: the meaning is clear.
    for text in ["solo|admin", "0x6", "0x2|solo|admin|admin", "0x0006"] {
        assert_eq!(text.parse(), Ok(MemberAttrs::from_bits(6)), "{text}");
    }
    for text in
        ["", "|", "admin|", "none|admin", "Admin", "6", "0x", "0x+6", "deleted", "admin solo"]
    {
        assert_eq!(text.parse::<MemberAttrs>(), Err(AttrsError), "{text}");
    }
}

#[test]
fn what_is_not_a_value_says_what_one_is() {
    let text = Fingerprint::from([0xff; 32]).to_string();
    assert_eq!(text, "SHA256://////////////////////////////////////////8");
    let shorter = &text[..49];
    // The last character has four bits, so only one of those with the same bits is right.
    let other_end = format!("{shorter}9");
    for text in [
        "",
        "SHA256:",
        &text[7..],
        shorter,
        &other_end,
        &format!("{text}="),
        "MD5:16:27:ac:a5:76:28:2d:36",
    ] {
        assert_eq!(text.parse::<Fingerprint>(), Err(FingerprintError), "{text}");
    }
    for text in ["", "0x", "1f", "0X1f", "0x-1", "0x+1", "0x1 ", "0x10000000000000000"] {
        assert_eq!(text.parse::<MemberSet>(), Err(MemberSetError), "{text}");
    }
    assert_eq!("0x001F".parse(), Ok(MemberSet::first(5)));
    assert_eq!("memberok".parse::<Op>(), Err(UnknownOp));
    assert_eq!("no".parse::<Refusal>(), Err(UnknownRefusal));
    assert_eq!("auto".parse::<Dialect>(), Err(UnknownDialect));
    assert_eq!(Name::try_from(" x"), Err(NameError::Start(' ')));
    assert_eq!(Name::try_from(String::new()), Err(NameError::Empty));
    assert_eq!(EndPoint::try_from(String::from("x:")), Err(EndPointError::Port));
    assert_eq!(NodeId::try_from(&[0; 21][..]), Err(NodeIdError::Length { bytes: 21 }));
    // The zone is a name of this host for a network, which no other host can use.
    let zoned = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 7, 1, 2);
    assert_eq!(EndPoint::from(SocketAddr::from(zoned)).as_str(), "[::1]:7");
}
