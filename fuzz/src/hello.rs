//! The handshake, both dialects and both sides, against the tables of PROTOCOL 3: a Hello or
//! HelloReply is accepted if and only if it follows them, and then a Bye and its Ack pass.
use xlreg::identity::Version;
use xlreg::message::{Reply, Request};
use xlreg::session::{
    Client, ClientConfig, ClientEvent, Dialect, EofAt, Error, OpenedHello, Server, ServerConfig,
    ServerEvent, Session, State,
};
use xlreg_testkit::captures::credential;
use xlreg_testkit::peer::cbc::{decrypt, encrypt};
use xlreg_testkit::{NoRsa, Seeded};

use crate::arbitrary::dialect;
use crate::input::Input;
use crate::watch::Watch;

/// Messages, each with the padding that makes a block of it.
const BYE: &[u8; 16] = b"\x08\x0b\x0e\x0e\x0e\x0e\x0e\x0e\x0e\x0e\x0e\x0e\x0e\x0e\x0e\x0e";
const ACK: &[u8; 16] = b"\x08\x0c\x0e\x0e\x0e\x0e\x0e\x0e\x0e\x0e\x0e\x0e\x0e\x0e\x0e\x0e";

/// The values that both sides know after the handshake.
struct Channel {
    dialect: Dialect,
    version: Version,
    key2: [u8; 32],
    iv2: [u8; 16],
}

impl Channel {
    /// The first record of a direction.
    fn seal(&self, block: &[u8; 16]) -> Vec<u8> {
        let sealed = encrypt(&self.key2, &self.iv2, block);
        match self.dialect {
            Dialect::Prefixed => [&self.iv2[..], &sealed].concat(),
            Dialect::Chained => sealed,
        }
    }

    fn open(&self, record: &[u8]) -> Vec<u8> {
        match self.dialect {
            Dialect::Prefixed => decrypt(&self.key2, &array(record), &record[16..]),
            Dialect::Chained => decrypt(&self.key2, &self.iv2, record),
        }
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes[..N].try_into().expect("as many")
}

/// A script: the side, the lengths of its pieces, and its bytes.
pub fn hello(data: &[u8]) {
    let input = &mut Input::new(data);
    let mode = input.byte() % 8;
    let piece = usize::from(input.byte()) + 1;
    match mode {
        0 => server(Some(input.rest()), piece),
        // Of a legal length.
        1 => server(Some(&resized(input.rest(), 44)), piece),
        2 => server(Some(&resized(input.rest(), 60)), piece),
        3 => server(None, piece),
        mode => client(mode, input, piece),
    }
}

fn resized(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(len, 0);
    bytes
}

/// A registry whose client's Hello opens to this, or does not open.
fn server(plain: Option<&[u8]>, piece: usize) {
    let sealed = plain.unwrap_or(b"not a ciphertext");
    let config =
        ServerConfig { hello_len: sealed.len(), ..ServerConfig::new(&credential().comms_key) };
    let mut watch = Watch::<Error>::new();
    let mut server = Session::<Server>::new(watch.now(), config, Seeded::new(1));
    watch.feed(&mut server, sealed, piece);
    let Some(ServerEvent::Hello(hello)) = watch.poll(&mut server) else { panic!("no Hello") };
    assert_eq!(hello.ciphertext(), sealed);
    let opened = match plain {
        Some(_) => hello.open(&NoRsa, &mut Seeded::new(2)),
        None => OpenedHello::from_plaintext(None),
    };
    server.open_hello(watch.now(), opened).expect("it waits for this");

    let Some(channel) = plain.and_then(|plain| answered(plain, server.output())) else {
        assert!(server.output().is_empty(), "not a word");
        assert_eq!(server.poll_event().err(), Some(Error::Handshake));
        return watch.end(&mut server);
    };
    assert_eq!(server.dialect(), Some(channel.dialect));
    assert_eq!(server.peer_version(), Some(channel.version));
    server.consume_output(usize::MAX);
    watch.feed(&mut server, &channel.seal(BYE), piece);
    let Some(ServerEvent::Request { id, request: Request::Bye }) = watch.poll(&mut server) else {
        panic!("no Bye");
    };
    server.reply(watch.now(), id, &Reply::Ack).expect("it is the answer");
    assert_eq!(channel.open(server.output()), ACK);
    watch.end(&mut server);
    assert!(server.is_finished());
}

/// Checks the registry's answer against the Hello; `None` if it is not a Hello.
fn answered(hello: &[u8], reply: &[u8]) -> Option<Channel> {
    let registry = Version::REFERENCE.to_bytes();
    let (plain, channel) = match hello.len() {
        44 => {
            let plain = decrypt(&array(hello), &array(reply), &reply[16..]);
            assert_eq!(plain[40..], [&registry[..], &[4; 4]].concat());
            let (key2, iv2) = (array(&plain), [0x5a; 16]);
            let version = Version::from_bytes(array(&hello[40..]));
            (plain, Channel { dialect: Dialect::Prefixed, version, key2, iv2 })
        }
        60 => {
            let plain = decrypt(&array(&hello[16..]), &array(hello), reply);
            assert_eq!(plain[56..], [&hello[48..56], &registry, &[12; 12]].concat());
            let (iv2, key2) = (array(&plain), array(&plain[16..]));
            let version = Version::from_bytes(array(&hello[56..]));
            (plain, Channel { dialect: Dialect::Chained, version, key2, iv2 })
        }
        _ => return None,
    };
    let reply_len = if channel.dialect == Dialect::Prefixed { 48 } else { 80 };
    assert_eq!(plain.len(), reply_len);
    Some(channel)
}

/// A client that gets a HelloReply: any bytes, or a good one with a change before or after the
/// encryption.
fn client(mode: u8, input: &mut Input<'_>, piece: usize) {
    let dialect = dialect(input);
    let config = ClientConfig { dialect, provider: &NoRsa, ..ClientConfig::new(&credential()) };
    let mut watch = Watch::<Error>::new();
    let mut client =
        Session::<Client>::new(watch.now(), config, Seeded::new(1)).expect("NoRsa seals it");
    let hello = client.output().to_vec();
    client.consume_output(usize::MAX);
    let reply = match mode {
        4 => input.rest().to_vec(),
        5 => {
            let swapped = input.byte() & 1 == 1;
            sealed(&hello, &xored(good(dialect, &hello, swapped), input.rest()))
        }
        6 => xored(sealed(&hello, &good(dialect, &hello, false)), input.rest()),
        _ => {
            let mut reply = sealed(&hello, &good(dialect, &hello, true));
            reply.truncate(input.short());
            reply.extend_from_slice(input.rest());
            reply
        }
    };

    let len = if dialect == Dialect::Prefixed { 64 } else { 80 };
    assert_eq!(client.recv_room(), len, "nothing may follow it unasked");
    watch.feed(&mut client, &reply, piece);
    let event = client.poll_event();
    if reply.len() < len {
        assert!(matches!(event, Ok(None)) && client.state() == State::Handshake);
        client.receive_eof(watch.now());
        assert_eq!(client.poll_event().err(), Some(Error::Eof(EofAt::Handshake)));
        return watch.end(&mut client);
    }
    let Some(channel) = accepted(dialect, &hello, &reply[..len]) else {
        assert_eq!(event, Err(Error::Handshake));
        assert!(client.is_finished(), "not a word");
        return watch.end(&mut client);
    };
    let version = channel.version;
    assert_eq!(event, Ok(Some(ClientEvent::Connected { dialect, version })));
    assert_eq!((client.dialect(), client.peer_version()), (Some(dialect), Some(version)));
    let request = client.bye(watch.now()).expect("it is open");
    assert_eq!(channel.open(client.output()), BYE);
    client.consume_output(usize::MAX);
    watch.feed(&mut client, &channel.seal(ACK), piece);
    let ack = Some(ClientEvent::Reply { request, reply: Reply::Ack });
    assert_eq!(watch.poll(&mut client), ack);
    watch.end(&mut client);
    assert!(client.is_finished());
}

/// The plaintext of a HelloReply, padded. `swapped` is the order in some published sample data.
fn good(dialect: Dialect, hello: &[u8], swapped: bool) -> Vec<u8> {
    let (key2, salt2, version2) = ([2; 32], [3; 8], [1, 8, 4, 0]);
    match (dialect, swapped) {
        (Dialect::Prefixed, _) => [&key2[..], &salt2, &version2, &[4; 4]].concat(),
        (Dialect::Chained, false) => {
            [&[1; 16][..], &key2, &salt2, &hello[48..56], &version2, &[12; 12]].concat()
        }
        (Dialect::Chained, true) => {
            [&[1; 16][..], &key2, &salt2, &version2, &hello[48..56], &[12; 12]].concat()
        }
    }
}

fn sealed(hello: &[u8], plain: &[u8]) -> Vec<u8> {
    if hello.len() == 44 {
        let iv = [0xa5; 16];
        [&iv[..], &encrypt(&array(hello), &iv, plain)].concat()
    } else {
        encrypt(&array(&hello[16..]), &array(hello), plain)
    }
}

fn xored(mut bytes: Vec<u8>, change: &[u8]) -> Vec<u8> {
    bytes.iter_mut().zip(change).for_each(|(byte, change)| *byte ^= change);
    bytes
}

/// The values of a HelloReply, if it is one: PROTOCOL 3.1 and 3.2.
fn accepted(dialect: Dialect, hello: &[u8], reply: &[u8]) -> Option<Channel> {
    let from = |bytes: &[u8]| Version::from_bytes(array(bytes));
    match dialect {
        Dialect::Prefixed => {
            let plain = decrypt(&array(hello), &array(reply), &reply[16..]);
            let (version, key2) = (from(&plain[40..]), array(&plain));
            let channel = Channel { dialect, version, key2, iv2: [0x5a; 16] };
            (plain[44..] == [4; 4]).then_some(channel)
        }
        Dialect::Chained => {
            let plain = decrypt(&array(&hello[16..]), &array(hello), reply);
            let salt1 = &hello[48..56];
            let version = if &plain[56..64] == salt1 {
                from(&plain[64..])
            } else if &plain[60..68] == salt1 {
                from(&plain[56..])
            } else {
                return None;
            };
            let (iv2, key2) = (array(&plain), array(&plain[16..]));
            (plain[68..] == [12; 12]).then_some(Channel { dialect, version, key2, iv2 })
        }
    }
}
