//! A registry with the manners of deployed ones, as far as a test needs it.

use std::net::TcpListener;

use xlreg::adapter::blocking::{Clock, Driver};
use xlreg::credential::Credential;
use xlreg::crypto::SystemRng;
use xlreg::identity::{CommsKeyPair, NodeId, SigKeyPair, Token, Version};
use xlreg::message::{Refusal, Reply, Request};
use xlreg::session::{Server, ServerConfig, ServerEvent, Session};

/// A registry's keys, short, and its credential.
pub fn short_registry(end_point: &str) -> (CommsKeyPair, Credential) {
    let rng = &mut SystemRng;
    let comms = CommsKeyPair::generate(1024, rng).unwrap();
    let credential = Credential {
        name: "deployed".parse().unwrap(),
        id: NodeId::random(rng),
        comms_key: comms.public_key().clone(),
        sig_key: SigKeyPair::generate(2048, rng).unwrap().public_key().clone(),
        end_points: vec![end_point.parse().unwrap()],
        version: Version::REFERENCE,
    };
    (comms, credential)
}

/// How a registry of the deployed generation meets GetCluster before Join.
#[derive(Clone, Copy)]
pub enum Manners {
    Refuse,
    HangUp,
}

/// Serves one connection as deployed servers do: members are told to members only.
pub fn serve_as_deployed(listener: &TcpListener, comms: &CommsKeyPair, manners: Manners) {
    serve_one(listener, comms, |request| match (request, manners) {
        (Request::Member(token), _) => Some(member_ok(token)),
        (_, Manners::Refuse) => Some(Reply::Error(Refusal::WrongState.into())),
        (_, Manners::HangUp) => None,
    });
}

/// A member is known, by a new ID if it has none.
pub fn member_ok(token: &Token) -> Reply {
    let id = token.id.unwrap_or_else(|| NodeId::random(&mut SystemRng));
    Reply::MemberOk { id, attrs: token.attrs }
}

/// Serves one connection with answers of a test's own; hangs up where there is none.
pub fn serve_one(
    listener: &TcpListener,
    comms: &CommsKeyPair,
    mut answer: impl FnMut(&Request) -> Option<Reply>,
) {
    let (stream, _) = listener.accept().unwrap();
    let clock = Clock::start();
    let config = ServerConfig::new(comms.public_key());
    let session = Session::<Server>::new(clock.now(), config, SystemRng);
    let mut driver = Driver::new(session, stream, clock);
    while let Ok(Some(event)) = driver.next_event() {
        let now = driver.now();
        match event {
            ServerEvent::Hello(hello) => {
                let opened = hello.open(comms, &mut SystemRng);
                driver.machine().open_hello(now, opened).unwrap();
            }
            ServerEvent::Request { id, request } => match answer(&request) {
                Some(reply) => driver.machine().reply(now, id, &reply).unwrap(),
                None => return,
            },
            _ => return,
        }
    }
}
