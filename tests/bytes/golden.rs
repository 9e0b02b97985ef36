//! The deployed wire byte for byte: all captured sessions, both roles (docs/protocol.md section 8).

use serde_json::Value;
use xlreg::credential::Credential;
use xlreg::crypto::Provider;
use xlreg::identity::{ClusterAttrs, EndPoint, MemberAttrs, NodeId, PublicKey, Token};
use xlreg::message::{ClusterInfo, Create, GetCluster, MemberList, MemberSet, Reply, Request};
use xlreg::session::{
    ClientConfig, ClientEvent, CommandError, Dialect, Instant, RequestId, Server, ServerConfig,
    ServerEvent, Session, State,
};
use xlreg_testkit::captures::{self, Capture, Captured, Step, hex};
use xlreg_testkit::{Script, Seeded, providers};

const NOW: Instant = Instant::EPOCH;

fn id(json: &Value) -> NodeId {
    NodeId::from_bytes(&hex(json.as_str().unwrap())).unwrap()
}

fn number(json: &Value) -> u64 {
    json.as_u64().unwrap()
}

fn token(json: &Value) -> Token {
    let key = |field: &str| PublicKey::from_spki_der(&hex(json[field].as_str().unwrap())).unwrap();
    let end_points = json["my_ends"].as_array().into_iter().flatten();
    Token {
        name: json["name"].as_str().unwrap().parse().unwrap(),
        attrs: MemberAttrs::from_bits(number(&json["attrs"])),
        id: Some(id(&json["id"])),
        comms_key: key("comms_key"),
        sig_key: key("sig_key"),
        end_points: end_points
            .map(|end| end.as_str().unwrap().parse::<EndPoint>().unwrap())
            .collect(),
        signature: json["dig_sig"].as_str().map(hex),
    }
}

fn cluster_info(json: &Value) -> ClusterInfo {
    ClusterInfo {
        id: id(&json["cluster_id"]),
        max_size: number(&json["cluster_max_size"]) as u32,
        attrs: ClusterAttrs::from_bits(number(&json["cluster_attrs"])),
        end_point_count: number(&json["end_point_count"]) as u32,
    }
}

fn request(step: &Step) -> Request {
    let m = &step.message;
    match step.kind.as_str() {
        "Member" => Request::Member(token(&m["member_specs"])),
        "Create" => Request::Create(Create {
            name: m["cluster_name"].as_str().unwrap().parse().unwrap(),
            max_size: number(&m["cluster_max_size"]) as u32,
            attrs: ClusterAttrs::from_bits(number(&m["cluster_attrs"])),
            end_point_count: number(&m["end_point_count"]) as u32,
        }),
        "Join" => Request::Join(id(&m["cluster_id"]).into()),
        "GetCluster" => Request::GetCluster(GetCluster {
            cluster: id(&m["cluster_id"]).into(),
            which: Some(MemberSet::from_bits(number(&m["which"]))),
        }),
        "Bye" => Request::Bye,
        other => panic!("no request: {other}"),
    }
}

fn reply(step: &Step) -> Reply {
    let m = &step.message;
    match step.kind.as_str() {
        "MemberOK" => Reply::MemberOk {
            id: id(&m["member_id"]),
            attrs: MemberAttrs::from_bits(number(&m["member_attrs"])),
        },
        "CreateReply" => Reply::Create(cluster_info(m)),
        "JoinReply" => Reply::Join(cluster_info(m)),
        "ClusterMembers" => {
            let tokens = m["tokens"].as_array().into_iter().flatten().map(token).collect();
            let which = MemberSet::from_bits(number(&m["which"]));
            Reply::Members(MemberList::new(id(&m["cluster_id"]), which, tokens).unwrap())
        }
        "Ack" => Reply::Ack,
        other => panic!("no reply: {other}"),
    }
}

fn take(output: &[u8]) -> Vec<u8> {
    output.to_vec()
}

#[test]
fn client_emits_the_captured_bytes() {
    each_session(|provider, capture, session| {
        let credential: Credential = capture.regcred.parse().unwrap();
        let version = session.client_version;
        let config = ClientConfig { version, provider, ..ClientConfig::new(&credential) };
        assert_eq!(config.dialect, capture.dialect);
        let draws = Script::new(session.client_draws.clone());
        let mut client = Session::<xlreg::session::Client>::new(NOW, config, draws).unwrap();
        let mut asked: Option<RequestId> = None;
        for step in &session.steps {
            if step.from_client {
                if step.kind != "Hello" {
                    asked = Some(command(&mut client, request(step)).unwrap());
                }
                assert_eq!(take(client.output()), step.wire, "{}", step.kind);
                client.consume_output(step.wire.len());
                continue;
            }
            assert_eq!(client.receive(NOW, &step.wire), step.wire.len());
            match client.poll_event().unwrap().unwrap() {
                ClientEvent::Connected { dialect, version } => {
                    assert_eq!(step.kind, "HelloReply");
                    assert_eq!((dialect, version), (capture.dialect, session.server_version));
                }
                ClientEvent::Reply { request, reply: got } => {
                    assert_eq!((Some(request), got), (asked, reply(step)));
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(client.poll_event(), Ok(None));
        }
        assert!(client.is_finished());
    });
}

fn command(
    client: &mut Session<xlreg::session::Client>,
    request: Request,
) -> Result<RequestId, CommandError> {
    match request {
        Request::Member(token) => client.register(NOW, token),
        Request::Create(create) => client.create(NOW, create),
        Request::Join(cluster) => client.join(NOW, cluster),
        Request::GetCluster(get) => client.get_members(NOW, get),
        Request::RegCred => client.registry_credential(NOW),
        Request::Bye => client.bye(NOW),
    }
}

#[test]
fn server_emits_the_captured_bytes() {
    each_session(|provider, capture, session| {
        let key = capture.server.comms.to_pkcs8_der().unwrap();
        let key = provider.opener(key.expose()).unwrap();
        let config = ServerConfig {
            version: session.server_version,
            ..ServerConfig::new(capture.server.comms.public_key())
        };
        let draws = Script::new(session.server_draws.clone());
        let mut server = Session::<Server>::new(NOW, config, draws);
        let mut asked = None;
        for step in &session.steps {
            if step.from_client {
                assert_eq!(server.receive(NOW, &step.wire), step.wire.len());
                match server.poll_event().unwrap().unwrap() {
                    ServerEvent::Hello(hello) => {
                        assert_eq!(step.kind, "Hello");
                        let opened = hello.open(&*key, &mut Seeded::new(1));
                        server.open_hello(NOW, opened).unwrap();
                        assert_eq!(server.dialect(), Some(capture.dialect));
                        assert_eq!(server.peer_version(), Some(session.client_version));
                    }
                    ServerEvent::Request { id, request: got } => {
                        assert_eq!(got, request(step));
                        if let Request::Member(token) = got {
                            token.verify(provider).unwrap();
                        }
                        asked = Some(id);
                    }
                    other => panic!("{other:?}"),
                }
                assert!(server.poll_event().unwrap().is_none());
                continue;
            }
            if step.kind != "HelloReply" {
                server.reply(NOW, asked.unwrap(), &reply(step)).unwrap();
            }
            assert_eq!(take(server.output()), step.wire, "{}", step.kind);
            server.consume_output(step.wire.len());
        }
        assert_eq!(server.state(), State::Closed);
        assert!(server.is_finished());
    });
}

fn each_session(test: impl Fn(&'static dyn Provider, &Capture, &Captured)) {
    for provider in providers() {
        let mut count = 0;
        for capture in captures::all() {
            for session in &capture.sessions {
                test(provider, &capture, session);
                count += 1;
            }
        }
        assert_eq!(count, 8);
    }
}

/// The members' own signatures are the captured ones: the same key gives the same bytes, with any
/// blinding.
#[test]
fn signatures_are_the_captured_ones() {
    each_session(|provider, capture, session| {
        let step = session.steps.iter().find(|step| step.kind == "Member").unwrap();
        let captured = token(&step.message["member_specs"]);
        let keys = &capture.identities[&session.identity];
        let mut signed = Token { signature: None, ..captured.clone() };
        let key = keys.sig.to_pkcs8_der().unwrap();
        let key = provider.signer(key.expose()).unwrap();
        signed.sign(&*key, &mut Seeded::new(2)).unwrap();
        assert_eq!(signed, captured);
        assert_eq!(keys.comms.public_key(), &captured.comms_key);
    });
}

/// PROTOCOL 3.2: some published sample data has version2 before the echoed salt1.
#[test]
fn client_accepts_either_placement_of_its_salt() {
    use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
    let [_, capture] = captures::all();
    assert_eq!(capture.dialect, Dialect::Chained);
    let session = &capture.sessions[0];
    let (iv1, key1) = (&session.client_draws[..16], &session.client_draws[16..48]);
    let reply = &session.steps[1].wire;
    let cipher = cbc::Decryptor::<aes::Aes256>::new_from_slices(key1, iv1).unwrap();
    let mut plain = cipher.decrypt_padded_vec::<Pkcs7>(reply).unwrap();
    plain[56..68].rotate_left(8);
    let accept = |plain: &[u8]| {
        let cipher = cbc::Encryptor::<aes::Aes256>::new_from_slices(key1, iv1).unwrap();
        let wire = cipher.encrypt_padded_vec::<Pkcs7>(plain);
        let credential: Credential = capture.regcred.parse().unwrap();
        let draws = Script::new(session.client_draws.clone());
        let config = ClientConfig::new(&credential);
        let mut client = Session::<xlreg::session::Client>::new(NOW, config, draws).unwrap();
        client.receive(NOW, &wire);
        client.poll_event()
    };
    let version = session.server_version;
    let connected = ClientEvent::Connected { dialect: Dialect::Chained, version };
    assert_eq!(accept(&plain), Ok(Some(connected)));
    plain[63] ^= 1;
    assert_eq!(accept(&plain), Err(xlreg::session::Error::Handshake));
}

/// The two captured credentials are read and written. The written text differs only by the blank
/// lines of deployed servers after each key (PROTOCOL 7).
#[test]
fn regcred_round_trips() {
    for capture in captures::all() {
        let credential: Credential = capture.regcred.parse().unwrap();
        assert_eq!(&credential.comms_key, capture.server.comms.public_key());
        assert_eq!(&credential.sig_key, capture.server.sig.public_key());
        let written = credential.to_string();
        assert_eq!(written, capture.regcred.replace("\n\r\n", "\r\n"));
        assert_eq!(written.parse::<Credential>().unwrap(), credential);
        assert!(capture.file.ends_with(&format!("-{}.json", credential.version)));
    }
}
