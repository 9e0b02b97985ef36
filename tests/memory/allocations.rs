//! The number of allocations for a message after warming up: at most two for one without tokens.

use crate::counting::{calls, counted, start};
use xlreg::identity::{NodeId, Token};
use xlreg::message::{
    ClusterInfo, ClusterRef, GetCluster, MemberEntry, MemberList, MemberSet, Op, Reply, Request,
};
use xlreg::session::{ClientEvent, Dialect, Server, ServerEvent, Session};
use xlreg_testkit::pair::{self, cluster, command};
use xlreg_testkit::scenario::{self, DIALECTS, Msg, NOW, Scenario, drain, feed, members, served};

/// The largest number for a message without tokens.
const MOST: usize = 2;
/// The number of rounds before counting.
const WARM_UP: usize = 3;

fn count<T>(what: impl FnOnce() -> T) -> (usize, T) {
    start();
    let result = counted(what);
    (calls(), result)
}

fn id(n: u8) -> NodeId {
    NodeId::from_bytes(&[n; 32]).unwrap()
}

fn info() -> ClusterInfo {
    pair::info(id(9), &cluster("c", 3, 1))
}

/// 64 members, as a registry keeps them.
fn list() -> MemberList {
    let listed = (1..=64).map(|n| {
        let token = scenario::token();
        MemberEntry::new(Token { id: Some(id(n)), ..token })
    });
    MemberList::of(id(9), MemberSet::first(64), listed.collect()).unwrap()
}

/// Bytes in and a request out; the reply in and bytes out.
fn exchange(server: &mut Session<Server>, request: &[u8], reply: &Reply) -> (usize, usize) {
    let (decoded, id) = count(|| {
        feed(server, request);
        match server.poll_event() {
            Ok(Some(ServerEvent::Request { id, .. })) => id,
            other => panic!("{other:?}"),
        }
    });
    let (encoded, ()) = count(|| server.reply(NOW, id, reply).unwrap());
    (decoded, encoded)
}

#[test]
fn a_registry_allocates_twice_a_message_at_most() {
    for dialect in DIALECTS {
        let by_id = |op| Msg::op(op).bytes(13, [9; 32]);
        for (request, reply) in [
            (scenario::create(), Reply::Create(info())),
            (by_id(Op::Join), Reply::Join(info())),
            (Msg::op(Op::Join).bytes(14, "c"), Reply::Join(info())),
            (by_id(Op::GetCluster).varint(20, 7), Reply::Members(list())),
            (Msg::op(Op::GetCluster), Reply::Members(list())),
        ] {
            let (mut server, mut peer) = Scenario::server(dialect).registered();
            for round in 0..WARM_UP + 3 {
                let record = peer.seal(&request.encode());
                let (decoded, encoded) = exchange(&mut server, &record, &reply);
                drain(&mut server);
                if round >= WARM_UP {
                    assert!(decoded <= MOST, "{:?} in: {decoded}", reply.op());
                    assert!(encoded <= MOST, "{:?} out: {encoded}", reply.op());
                }
            }
        }
    }
}

#[test]
fn a_client_allocates_twice_a_message_at_most() {
    let info = |op| {
        let info = Msg::op(op).bytes(13, [9; 32]);
        info.varint(15, 3).varint(16, 0).varint(17, 1)
    };
    for dialect in DIALECTS {
        for (ask, reply) in [
            (Op::Create, info(Op::CreateReply)),
            (Op::Join, info(Op::JoinReply)),
            (Op::GetCluster, members(0, &[])),
        ] {
            let (mut client, mut peer) = Scenario::client(dialect).asking(ask);
            for round in 0..WARM_UP + 3 {
                let record = peer.seal(&reply.encode());
                let (decoded, event) = count(|| {
                    feed(&mut client, &record);
                    client.poll_event()
                });
                assert!(matches!(event, Ok(Some(ClientEvent::Reply { .. }))), "{event:?}");
                let request = match ask {
                    Op::Create => Request::Create(cluster("c", 3, 1)),
                    Op::Join => Request::Join(ClusterRef::CURRENT),
                    _ => Request::GetCluster(GetCluster::default()),
                };
                let (encoded, _) = count(|| command(&mut client, NOW, request).unwrap());
                drain(&mut client);
                if round >= WARM_UP {
                    assert!(decoded <= MOST, "the answer to {ask}: {decoded}");
                    assert!(encoded <= MOST, "{ask}: {encoded}");
                }
            }
        }
    }
}

/// The parts of a token: its name, its keys together (and again on their way), two end points,
/// their list, and the shared whole. There may not be more.
#[test]
fn a_token_allocates_a_known_number_of_times() {
    let (mut server, mut peer) = Scenario::server(Dialect::Prefixed).open();
    let record = peer.seal(&scenario::member().encode());
    let (decoded, _) = count(|| {
        feed(&mut server, &record);
        scenario::next_request(&mut server)
    });
    println!("a Member: {decoded}");
    assert!(decoded <= 12, "{decoded}");

    let (mut client, mut peer) = Scenario::client(Dialect::Prefixed).asking(Op::GetCluster);
    let tokens: Vec<_> = (1..=64).map(served).collect();
    let record = peer.seal(&members(u64::MAX, &tokens).encode());
    let (decoded, _) = count(|| {
        feed(&mut client, &record);
        client.poll_event()
    });
    println!("64 members: {decoded}, {} each", decoded / 64);
    assert!(decoded <= 64 * 8, "{decoded}");
}
