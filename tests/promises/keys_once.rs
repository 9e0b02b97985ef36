//! A session parses each public key once.

use xlreg::identity::{ClusterAttrs, Token};
use xlreg::internals::keys_parsed;
use xlreg::message::{ClusterRef, Create, GetCluster, Request};
use xlreg::registry::{CheckedRequest, ClientState, Registry, RegistryLimits};
use xlreg::session::{
    Client, ClientConfig, ClientEvent, Instant, Server, ServerConfig, ServerEvent, Session,
};
use xlreg_testkit::captures::{credential, token};
use xlreg_testkit::pair::command;
use xlreg_testkit::{NoRsa, Seeded};

#[test]
fn a_session_parses_each_key_once() {
    let now = Instant::EPOCH;
    let credential = credential();
    let token = Token { end_points: vec!["h:1".parse().unwrap()], ..token() };
    let config = ServerConfig { hello_len: 44, ..ServerConfig::new(&credential.comms_key) };
    let mut server = Session::<Server>::new(now, config, Seeded::new(1));
    let config = ClientConfig { provider: &NoRsa, ..ClientConfig::new(&credential) };
    let mut registry = Registry::new(credential, RegistryLimits::default());
    let (mut state, before) = (ClientState::new(), keys_parsed());

    let mut client = Session::<Client>::new(now, config, Seeded::new(2)).unwrap();
    let create = Create {
        name: "alpha".parse().unwrap(),
        max_size: 2,
        attrs: ClusterAttrs::NONE,
        end_point_count: 1,
    };
    let mut requests = [
        Request::Member(token),
        Request::Create(create),
        Request::Join(ClusterRef::CURRENT),
        Request::GetCluster(GetCluster::default()),
        Request::Bye,
    ]
    .into_iter();
    loop {
        let n = server.receive(now, client.output());
        client.consume_output(n);
        match server.poll_event().unwrap() {
            Some(ServerEvent::Hello(hello)) => {
                server.open_hello(now, hello.open(&NoRsa, &mut Seeded::new(3))).unwrap();
            }
            Some(ServerEvent::Request { id, request }) => {
                let request = CheckedRequest::new(request, &NoRsa).unwrap();
                let outcome = registry.handle_checked(&mut state, request, &mut Seeded::new(4));
                server.reply(now, id, &outcome.reply).unwrap();
            }
            other => panic!("{other:?}"),
        }
        let n = client.receive(now, server.output());
        server.consume_output(n);
        match client.poll_event().unwrap() {
            Some(ClientEvent::Connected { .. } | ClientEvent::Reply { .. }) => {}
            other => panic!("{other:?}"),
        }
        let Some(request) = requests.next() else { break };
        command(&mut client, now, request).unwrap();
    }
    assert_eq!(keys_parsed() - before, 4, "two that the member sends, two that the registry lists");
}
