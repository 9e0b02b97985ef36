//! An attack on a member list without any key. The attacker has the records, and knows their
//! plaintext because he is a member. Block *i* decrypts to *D(Cᵢ) ⊕ Cᵢ₋₁*, so he knows *D(Cᵢ)* of
//! every block. He can give it any plaintext by choosing the block before it, which then decrypts
//! to noise (SECURITY.md part 4).

use xlreg::identity::{MemberAttrs, NodeId, Token};
use xlreg::message::{GetCluster, Op, Reply};
use xlreg::session::{Client, ClientEvent, Dialect, Error, Session};
use xlreg_testkit::scenario::{Msg, NOW, Scenario, Value, drain, feed, members, pad};
use xlreg_testkit::{Seeded, identity, pair};

type Block = [u8; 16];

/// A block of ciphertext, and its decryption without the block before it.
#[derive(Clone, Copy)]
struct Known {
    cipher: Block,
    raw: Block,
}

fn xor(a: Block, b: Block) -> Block {
    std::array::from_fn(|at| a[at] ^ b[at])
}

fn block(bytes: &[u8]) -> Block {
    bytes.try_into().unwrap()
}

/// The blocks of a record with this plaintext. `before` is the block before the first one.
fn known(before: Block, sealed: &[u8], message: &[u8]) -> Vec<Known> {
    let mut before = before;
    let blocks = sealed.chunks(16).zip(pad(message).chunks(16).map(block).collect::<Vec<_>>());
    let blocks = blocks.map(|(cipher, plain)| {
        let cipher = block(cipher);
        Known { cipher, raw: xor(plain, std::mem::replace(&mut before, cipher)) }
    });
    blocks.collect()
}

/// A record made of such blocks.
#[derive(Default)]
struct Forgery(Vec<Block>);

impl Forgery {
    /// Appends this plaintext: a block, after one that gives it this plaintext. The latter is the
    /// IV or noise.
    fn say(&mut self, with: Known, text: &[u8]) {
        self.0.extend([xor(with.raw, block(text)), with.cipher]);
    }

    /// Appends blocks unchanged. After their original predecessor they keep their plaintext.
    fn copy(&mut self, blocks: &[Known]) {
        self.0.extend(blocks.iter().map(|known| known.cipher));
    }
}

/// A member's entry. `n` selects its keys and its ID.
fn entry(name: &str, n: usize, end_points: &[&str]) -> Token {
    let end_points = end_points.iter().map(|end| end.parse().unwrap()).collect();
    let token =
        identity(name, n).token(MemberAttrs::NONE, end_points, &mut Seeded::new(1)).unwrap();
    let id = NodeId::from_bytes(&[0xa0 + n as u8; 32]).unwrap();
    Token { id: Some(id), signature: None, ..token }
}

fn list(which: u64, tokens: &[&Token]) -> Vec<u8> {
    let tokens: Vec<_> = tokens.iter().map(|token| Msg::token(token)).collect();
    members(which, &tokens).encode()
}

/// Accepts the reply, which is as it should be.
fn hear(client: &mut Session<Client>, record: &[u8]) {
    feed(client, record);
    assert!(matches!(client.poll_event(), Ok(Some(ClientEvent::Reply { .. }))));
}

fn ask(client: &mut Session<Client>) {
    client.get_members(NOW, GetCluster::default()).unwrap();
    drain(client);
}

/// The values that protobuf uses for repeated fields.
fn last(message: &Msg, number: u32) -> &Value {
    &message.0.iter().rev().find(|(n, _)| *n == number).unwrap().1
}

/// Replaces a whole entry. The garbled parts are in unknown fields, or in fields that come again.
#[test]
fn garbled_blocks_can_not_be_hidden() {
    let (mut client, mut peer) = Scenario::client(Dialect::Prefixed).asking(Op::Join);
    // He created the cluster, and chose its attrs so that a JoinReply fills its blocks; and his
    // name, so that his keys start at the right place.
    let join =
        Msg::op(Op::JoinReply).bytes(13, [9; 32]).varint(15, 4).varint(16, 1 << 28).varint(17, 1);
    let end_points = ["10.6.6.6:4000", "10.6.6.6:4001"];
    let (he, bob) = (entry("he_chooses", 2, &end_points), entry("b", 3, &["10.0.0.3:4000"]));
    let ada = entry("a", 4, &["10.0.0.4:4000"]);
    let (join, first, second) = (join.encode(), list(0b11, &[&he, &bob]), list(0b100, &[&ada]));
    assert_eq!((join.len(), join[..4].to_vec()), (48, vec![8, 8, 0x6a, 32]));

    let record = peer.seal(&join);
    let join = known(block(&record[..16]), &record[16..], &join);
    hear(&mut client, &record);
    ask(&mut client);
    let record = peer.seal(&first);
    let his = known(block(&record[..16]), &record[16..], &first);
    hear(&mut client, &record);
    ask(&mut client);
    let record = peer.seal(&second);
    let hers = known(block(&record[..16]), &record[16..], &second);

    let forged = forged(&join, (&his, &first), (&hers, &second));
    let message = Msg::decode(&peer.open(&forged));
    // As protobuf reads it: the right cluster, and one member with the name and ID of one and the
    // keys of the other.
    assert_eq!(last(&message, 1), &Value::Varint(10));
    assert_eq!(last(&message, 13), &Value::Bytes(vec![9; 32]));
    assert_eq!(last(&message, 20), &Value::Varint(0b100));
    assert_eq!(message.0.iter().filter(|(number, _)| *number == 21).count(), 1);
    let Value::Bytes(token) = last(&message, 21) else { panic!() };
    let token = Msg::decode(token);
    assert_eq!(last(&token, 1), &Value::Bytes(b"a".into()));
    assert_eq!(last(&token, 3), &Value::Bytes(ada.id.unwrap().as_bytes().into()));
    assert_eq!(last(&token, 4), &Value::Bytes(he.comms_key.spki_der().into()));
    assert_eq!(last(&token, 5), &Value::Bytes(he.sig_key.spki_der().into()));
    let told: Vec<_> =
        token.0.iter().filter(|(number, _)| *number == 6).map(|(_, end)| end).collect();
    assert_eq!(told, end_points.map(|end| Value::Bytes(end.into())).iter().collect::<Vec<_>>());

    feed(&mut client, &forged);
    assert_eq!(client.poll_event(), Err(Error::BadRecord));
    assert!(client.output().is_empty() && client.is_finished());
}

/// The forged record, made without a key. `join` are the blocks of a JoinReply, and the others are
/// those of lists.
fn forged(join: &[Known], his: (&[Known], &[u8]), hers: (&[Known], &[u8])) -> Vec<u8> {
    let ((his, first), (hers, second)) = (his, hers);
    // The place of the keys in the first token of either list, and her ID 34 bytes before them.
    let keys = |list: &[u8]| list.windows(3).position(|bytes| bytes == [0x22, 0xa6, 2]).unwrap();
    let (his_keys, her_keys) = (keys(first), keys(second));
    let her_id = her_keys - 34;
    assert_eq!((her_id % 16, (her_keys + 3 + 294) % 16), (0, his_keys % 16), "it all fits");
    // After his entry comes Bob's: an unknown field in a token.
    let bob = first.windows(4).rposition(|bytes| bytes[..2] == [0xaa, 1] && bytes[3] < 8).unwrap();
    let bob_len = usize::from(first[bob + 2] & 0x7f) | usize::from(first[bob + 3]) << 7;
    let len = 5 + 18 + 34 + 297 + (bob - his_keys) + 4 + bob_len;

    let mut forgery = Forgery::default();
    // Op, Which, the head of a token, its name and attrs, and a field that hides the noise after
    // it.
    let [low, high] = [len as u8 & 0x7f | 0x80, (len >> 7) as u8];
    let head = [8, 10, 0xa0, 1, 4, 0xaa, 1, low, high, 10, 1, b'a', 16, 0, 0x3a, 16];
    forgery.say(join[0], &head);
    // Her ID, and a comms key that another one will replace. It hides the seam before his keys.
    let at = her_id / 16;
    forgery.say(hers[at], &second[her_id..her_id + 16]);
    let hidden = (her_keys + 3 + 294) / 16;
    forgery.copy(&hers[at + 1..hidden - 1]);
    let at = his_keys / 16;
    forgery.say(his[at], &first[at * 16..at * 16 + 16]);
    // His keys and end points, the head of the field, and as many bytes as it declares.
    let start = (bob + 4).next_multiple_of(16);
    forgery.copy(&his[at + 1..start / 16]);
    let rest = bob_len - (start - bob - 4);
    forgery.copy(&his[..rest / 16 - 1]);
    // The end of the token, and a field that hides the next noise.
    let over = rest % 16;
    let mut text = [0; 16];
    text[over..over + 2].copy_from_slice(&[0x3a, 30 - over as u8]);
    forgery.say(join[0], &text);
    // Op again and the cluster's ID, which are the start of a JoinReply except for one byte; and
    // its end.
    let mut text = [9; 16];
    text[..4].copy_from_slice(&[8, 10, 0x6a, 32]);
    forgery.say(join[0], &text);
    forgery.copy(&join[1..]);
    forgery.0.concat()
}

/// It is not a MAC. If an entry of the same shape is put after the start of another one of the same
/// session, the seam is in the comms key, where any bytes are a key: her name and ID, his sig key
/// and his end points.
#[test]
fn an_entry_of_the_same_shape_can_still_be_put_into_another() {
    for dialect in pair::DIALECTS {
        let (mut client, mut peer) = Scenario::client(dialect).asking(Op::GetCluster);
        let (he, ada) = (entry("m", 2, &["10.6.6.6:4000"]), entry("a", 4, &["10.0.0.4:4000"]));
        let first = peer.seal(&list(1, &[&he]));
        hear(&mut client, &first);
        ask(&mut client);
        let second = peer.seal(&list(2, &[&ada]));
        // Inside the modulus of the comms key, in both.
        let cut = 16 * 12;
        feed(&mut client, &[&second[..cut], &first[cut..]].concat());
        let Ok(Some(ClientEvent::Reply { reply: Reply::Members(list), .. })) = client.poll_event()
        else {
            panic!("not taken")
        };
        let (index, told) = list.iter().next().unwrap();
        assert_eq!((index.get(), &told.name, told.id), (1, &ada.name, ada.id));
        assert_eq!((&told.sig_key, &told.end_points), (&he.sig_key, &he.end_points));
        assert!(told.comms_key != ada.comms_key && told.comms_key != he.comms_key);
    }
}
