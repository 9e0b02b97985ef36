//! The bytes of the files of earlier versions, and bytes that are not a row.

use redb::Value;
use xlreg::identity::{MemberAttrs, Token};
use xlreg::message::encode_token;
use xlreg_testkit::keys;
use xlreg_testkit::rng::Seeded;

use super::*;

fn cluster(name: &str, id: NodeId) -> Change {
    let info = ClusterInfo {
        id,
        max_size: 3,
        attrs: ClusterAttrs::from_bits(0x0102_0304_0506_0708),
        end_point_count: 2,
    };
    Change::ClusterCreated { name: name.parse().unwrap(), info, created_by: None }
}

fn token() -> Token {
    let end_points = vec!["10.0.0.1:4000".parse().unwrap()];
    let signed =
        keys::identity("node", 0).token(MemberAttrs::NONE, end_points, &mut Seeded::new(1));
    Token { id: Some([7; 32].into()), signature: None, ..signed.unwrap() }
}

fn member(index: u32) -> Change {
    Change::MemberJoined {
        cluster: [2; 20].into(),
        index: MemberIndex::new(index).unwrap(),
        member: token().into(),
    }
}

/// Changes, each with the table, key and value of its row.
fn golden() -> Vec<(Change, Table, Vec<u8>, Vec<u8>)> {
    let key = Fingerprint::from_bytes([9; 32]);
    let numbers = [3, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 2, 0, 0, 0];
    let (short, long) = ("n".repeat(253), "n".repeat(254));
    let row = |length: &[u8], name: &str| [length, name.as_bytes(), &numbers].concat();
    vec![
        (
            Change::NodeBound { id: [1; 32].into(), key, day: None },
            Table::Nodes,
            vec![1; 32],
            vec![9; 32],
        ),
        (
            Change::NodeBound { id: [1; 20].into(), key, day: None },
            Table::Nodes,
            vec![1; 20],
            vec![9; 32],
        ),
        (cluster("alpha", [2; 32].into()), Table::Clusters, vec![2; 32], row(&[5], "alpha")),
        (cluster(&short, [2; 20].into()), Table::Clusters, vec![2; 20], row(&[253], &short)),
        (cluster(&long, [2; 20].into()), Table::Clusters, vec![2; 20], row(&[254, 254, 0], &long)),
        (
            member(63),
            Table::Members,
            [&[20][..], &[2; 20], &[63, 0, 0, 0]].concat(),
            encode_token(&token()),
        ),
    ]
}

#[test]
fn each_row_is_read_as_its_change() {
    for (expected, table, key, value) in golden() {
        assert_eq!(change(table, &key, &value), Ok(expected));
    }
}

/// The tables of redb have the same bytes below their types.
#[test]
fn the_bytes_are_those_of_the_types_that_files_have() {
    let (long, name) = (&golden()[4], "n".repeat(254));
    let typed = (&*name, 3_u32, 0x0102_0304_0506_0708_u64, 2_u32);
    assert_eq!(long.3, <(&str, u32, u64, u32)>::as_bytes(&typed));
    assert_eq!(golden()[5].2, <(&[u8], u32)>::as_bytes(&(&[2_u8; 20][..], 63_u32)));
}

#[test]
fn a_row_cut_anywhere_or_longer_is_none() {
    for (expected, table, key, value) in golden() {
        // If only an ID is left, a part of it may be a shorter one, and a part of a token may be a
        // token. But it is never the same.
        for len in 0..key.len() {
            let read = change(table, &key[..len], &value);
            assert!(read.is_err() || len == 20 && read != Ok(expected.clone()), "key of {len}");
        }
        for len in 0..value.len() {
            let read = change(table, &key, &value[..len]);
            let is_token = table == Table::Members;
            assert!(read.is_err() || is_token && read != Ok(expected.clone()), "value of {len}");
        }
        let longer = |bytes: &[u8]| [bytes, &[0]].concat();
        assert!(change(table, &longer(&key), &value).is_err(), "{expected:?}");
        assert!(change(table, &key, &longer(&value)).is_err(), "{expected:?}");
    }
}

#[test]
fn what_no_row_can_hold_is_refused_and_said() {
    let (node, cluster) = (vec![1; 32], vec![2; 20]);
    let value = |length: &[u8], name: &[u8]| [length, name, &[0; 16]].concat();
    let place = |index: u32| [&[20][..], &[2; 20], &index.to_le_bytes()].concat();
    let told = |table, key: &[u8], value: &[u8]| change(table, key, value).unwrap_err().to_string();
    let clusters = |value: &[u8]| told(Table::Clusters, &cluster, value);
    let form = "a row of the table 'clusters' is cut short or too long";
    assert_eq!(told(Table::Nodes, &node[..31], &[9; 32]), "an ID of 31 bytes; an ID has 20 or 32");
    assert_eq!(clusters(&value(&[1], b"\xff")), "a name is not UTF-8");
    assert_eq!(clusters(&value(&[0], b"")), "the name is empty");
    assert_eq!(clusters(&value(&[254, 1, 0], b"a")), form, "a length that is written otherwise");
    assert_eq!(clusters(&value(&[254, 255, 255], b"a")), form, "a length beyond the end");
    assert_eq!(clusters(&value(&[255, 1, 0, 0, 0], b"a")), form, "a length nobody writes");
    assert_eq!(told(Table::Members, &place(64), &encode_token(&token())), "a member has index 64");
    assert!(!told(Table::Members, &place(0), b"no token").is_empty());
}
