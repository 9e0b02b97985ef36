//! The bytes of changes, which stores outside of this project keep for ever, and their JSON.

use serde_json::{Value, json};
use xlreg::identity::{ClusterAttrs, Fingerprint, NodeId, Token};
use xlreg::message::{ClusterInfo, MemberEntry, encode_token};
use xlreg::registry::{Change, ChangeBytesError, Day};
use xlreg_testkit::captures::token;
use xlreg_testkit::pair::at;

fn member() -> MemberEntry {
    Token { id: Some([7; 32].into()), ..token() }.into()
}

/// Changes, each with its bytes as version 0.2 has written them.
fn golden() -> Vec<(Change, Vec<u8>)> {
    let key = Fingerprint::from_bytes([9; 32]);
    let info = ClusterInfo {
        id: [2; 20].into(),
        max_size: 3,
        attrs: ClusterAttrs::from_bits(0x0102_0304_0506_0708),
        end_point_count: 2,
    };
    let day = Day::new(20_242);
    let numbers = [3, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 2, 0, 0, 0];
    let (cluster, long): (NodeId, _) = ([2; 20].into(), "n".repeat(255));
    let token = encode_token(&member());
    let joined = |kind: u8| [&[kind, 20][..], &[2; 20], &[63], &token].concat();
    vec![
        (
            Change::NodeBound { id: [1; 32].into(), key, day: None },
            [&[1, 32][..], &[1; 32], &[9; 32]].concat(),
        ),
        (
            Change::NodeBound { id: [1; 20].into(), key, day: None },
            [&[1, 20][..], &[1; 20], &[9; 32]].concat(),
        ),
        (
            Change::ClusterCreated { name: "alpha".parse().unwrap(), info, created_by: None },
            [&[2, 20][..], &[2; 20], &[5, 0], b"alpha", &numbers, &[0]].concat(),
        ),
        (
            Change::ClusterCreated { name: long.parse().unwrap(), info, created_by: Some(key) },
            [&[2, 20][..], &[2; 20], &[255, 0], long.as_bytes(), &numbers, &[1], &[9; 32]].concat(),
        ),
        (Change::MemberJoined { cluster, index: at(63), member: member() }, joined(3)),
        (Change::MemberUpdated { cluster, index: at(63), member: member() }, joined(4)),
        (
            Change::NodeBound { id: [1; 20].into(), key, day: Some(day) },
            [&[5, 20][..], &[1; 20], &[9; 32], &[0x12, 0x4f, 0, 0]].concat(),
        ),
        (
            Change::NodeUsed { id: [1; 20].into(), day },
            [&[6, 20][..], &[1; 20], &[0x12, 0x4f, 0, 0]].concat(),
        ),
        (Change::ClusterDeleted { cluster }, [&[7, 20][..], &[2; 20]].concat()),
        (
            Change::All(vec![
                Change::ClusterDeleted { cluster },
                Change::NodeUsed { id: [1; 20].into(), day },
            ]),
            [
                &[8, 22, 0, 0, 0, 7, 20][..],
                &[2; 20],
                &[26, 0, 0, 0, 6, 20],
                &[1; 20],
                &[0x12, 0x4f, 0, 0],
            ]
            .concat(),
        ),
    ]
}

#[test]
fn each_change_has_these_bytes_and_is_read_from_them() {
    for (change, bytes) in golden() {
        assert_eq!(change.to_bytes(), bytes, "{change:?}");
        assert_eq!(Change::from_bytes(&bytes), Ok(change));
    }
}

#[test]
fn bytes_that_are_cut_or_too_long_are_no_change() {
    for (change, bytes) in golden() {
        for len in 0..bytes.len() {
            // A part of a token may be a token, and a part of a list a list. It is never the same.
            let read = Change::from_bytes(&bytes[..len]);
            assert!(
                read.is_err() || matches!(bytes[0], 3 | 4 | 8) && read != Ok(change.clone()),
                "{len}: {read:?}"
            );
        }
        let longer = Change::from_bytes(&[&bytes[..], &[0]].concat());
        assert!(longer.is_err(), "{change:?}");
    }
}

#[test]
fn what_is_wrong_with_bytes_is_said() {
    let node = |id: &[u8]| [&[1, id.len() as u8][..], id, &[9; 32]].concat();
    let named = |len: u16, name: &[u8]| {
        [&[2, 20][..], &[2; 20], &len.to_le_bytes(), name, &[0; 17]].concat()
    };
    for (bytes, told) in [
        (vec![], "a change that is cut short or too long"),
        (vec![0], "a change of the unknown kind 0"),
        (vec![9], "a change of the unknown kind 9"),
        (vec![8, 1, 0, 0, 0, 8], "a list of changes within another"),
        (vec![8, 1, 0, 0], "a change that is cut short or too long"),
        (vec![8, 255, 255, 255, 255, 7], "a change that is cut short or too long"),
        (node(&[1; 21]), "an ID of 21 bytes; an ID has 20 or 32"),
        (named(1, b"\xff"), "a name is not UTF-8"),
        (named(0, b""), "the name is empty"),
        (named(u16::MAX, b"a"), "a change that is cut short or too long"),
        ([&[3, 20][..], &[2; 20], &[64]].concat(), "a member has index 64"),
    ] {
        assert_eq!(Change::from_bytes(&bytes).unwrap_err().to_string(), told, "{bytes:?}");
    }
    let no_token = [&[3, 20][..], &[2; 20], &[0], b"no token"].concat();
    assert!(matches!(Change::from_bytes(&no_token), Err(ChangeBytesError::Token(_))));
}

#[test]
fn data_types_are_json_and_back_and_nothing_else_comes_in() {
    for (change, _) in golden() {
        let text = serde_json::to_string(&change).unwrap();
        assert_eq!(serde_json::from_str::<Change>(&text).unwrap(), change);
    }
    let (joined, _) = golden().swap_remove(4);
    let mut value = serde_json::to_value(&joined).unwrap();
    let member = &value["MemberJoined"]["member"];
    assert_eq!(member["id"], json!("07".repeat(32)));
    assert_eq!(member["signature"], Value::Null);
    assert!(member["sig_key"].as_str().unwrap().starts_with("ssh-rsa AAAA"));
    assert_eq!(value["MemberJoined"]["index"], json!(63));
    for (field, wrong) in [("index", json!(64)), ("cluster", json!("07")), ("member", json!({}))] {
        let right = std::mem::replace(&mut value["MemberJoined"][field], wrong);
        assert!(serde_json::from_value::<Change>(value.clone()).is_err(), "{field}");
        value["MemberJoined"][field] = right;
    }
    let credential = xlreg_testkit::captures::credential();
    let text = serde_json::to_string(&credential).unwrap();
    assert_eq!(serde_json::from_str::<xlreg::credential::Credential>(&text).unwrap(), credential);
}
