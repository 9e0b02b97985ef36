//! A registry's session. Its client has the session key and sends anything at any time.
use std::collections::VecDeque;
use std::time::Duration;

use xlreg::message::{Op, Refusal};
use xlreg::session::{Error, Limits, RequestId, Server, ServerConfig, ServerEvent, Session, State};
use xlreg_testkit::captures::credential;
use xlreg_testkit::peer::{Peer, hello};
use xlreg_testkit::{NoRsa, Seeded};

use crate::arbitrary::{dialect, limits, reply};
use crate::input::Input;
use crate::watch::Watch;

/// The largest output of a session: its limit, and in addition one answer to each request in
/// flight, one of which may be a ClusterMembers.
const MAX_OUTPUT: usize = 8 * 1024;

/// A script: the dialect, then operations of one byte with their operands.
pub fn server_session(data: &[u8]) {
    let input = &mut Input::new(data);
    let (registry, limits) = (credential().comms_key, limits(Limits::server()));
    let dialect = dialect(input);
    let sealed = hello(dialect);
    let config = ServerConfig {
        hello_len: sealed.len(),
        limits: limits.clone(),
        ..ServerConfig::new(&registry)
    };
    let mut watch = Watch::<Error>::new();
    let mut server = Session::<Server>::new(watch.now(), config, Seeded::new(2));
    watch.feed(&mut server, sealed, 0);
    let Some(ServerEvent::Hello(got)) = watch.poll(&mut server) else { panic!("no Hello") };
    server.open_hello(watch.now(), got.open(&NoRsa, &mut Seeded::new(3))).expect("it waits");
    let mut peer = Peer::of_reply(dialect, sealed, server.output());
    server.consume_output(usize::MAX);

    let mut unanswered = VecDeque::<(RequestId, Op)>::new();
    let mut asked = 0;
    while !input.is_empty() {
        match input.byte() % 10 {
            0 | 1 => {
                let piece = usize::from(input.byte());
                watch.feed(&mut server, &peer.seal(input.sized()), piece);
            }
            2 => {
                let piece = usize::from(input.byte());
                watch.feed(&mut server, &peer.seal_blocks(input.sized()), piece);
            }
            3 => {
                let piece = usize::from(input.byte());
                watch.feed(&mut server, input.sized(), piece);
            }
            4 | 5 => {
                let open = server.state() == State::Open;
                if let Some((id, op)) = unanswered.pop_front() {
                    let answered = server.reply(watch.now(), id, &reply(op, input));
                    assert_eq!(answered.is_ok(), open, "{op} is the next to be answered");
                }
            }
            6 => {
                let now = watch.wait(Duration::from_secs(u64::from(input.byte())));
                server.handle_timeout(now);
            }
            7 => server.consume_output(input.short()),
            8 => server.receive_eof(watch.now()),
            _ => {
                if server.reject(watch.now(), &Refusal::WrongState.into()).is_ok() {
                    unanswered.clear();
                    assert_eq!(server.state(), State::Closed);
                }
            }
        }
        while let Some(event) = watch.poll(&mut server) {
            let ServerEvent::Request { id, request } = event else { panic!("a second Hello") };
            assert_eq!(id.index(), asked, "requests are numbered in order");
            asked += 1;
            unanswered.push_back((id, request.op()));
            assert!(unanswered.len() <= limits.in_flight, "more in flight than allowed");
            assert!(asked <= u64::from(limits.requests), "more requests than allowed");
        }
        assert!(watch.failure().is_none() || unanswered.is_empty(), "it failed before its turn");
        assert!(server.output().len() <= MAX_OUTPUT, "{} bytes of output", server.output().len());
    }
    watch.end(&mut server);
}
