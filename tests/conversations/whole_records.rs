//! A client's records go out whole and one at a time, because a deployed server ends by a cut
//! record, or by two in one read.

use std::convert::Infallible;
use std::time::Duration;

use xlreg::adapter::{DriveError, Driver, Timer, Transfer, Transport};
use xlreg::enroll::{Enroll, EnrollError, EnrollEvent};
use xlreg::identity::Version;
use xlreg::message::{Op, Request};
use xlreg::session::{
    Client, EofAt, Error, Instant, Machine, Server, ServerConfig, Session, State, TimerKind,
};
use xlreg_testkit::Seeded;
use xlreg_testkit::pair::enrollment::{START, alice_s_plan, asked, enroll, trio};
use xlreg_testkit::pair::{DIALECTS, Pair, Seen, Setup, after, token};

/// A session that has sent Member, with three requests that wait to be written.
fn pipelined(setup: &Setup) -> (Pair, Vec<Request>) {
    let mut pair = setup.open();
    pair.register(token("alice", 0, &["h:1"]));
    pair.wire.hold_up = true;
    let requests = vec![Request::RegCred, Request::Create(trio()), Request::RegCred];
    for request in &requests {
        pair.ask(request.clone()).unwrap();
    }
    (pair, requests)
}

#[test]
fn output_is_one_record_at_a_time() {
    for dialect in DIALECTS {
        let (mut pair, requests) = pipelined(&Setup::new(dialect));
        for request in requests {
            let record = pair.client.output().to_vec();
            assert!(record.len() % 16 == 0 && !record.is_empty());
            // The rest of it, with any division of the writes.
            for n in 0..record.len() {
                assert_eq!(pair.client.output(), &record[n..]);
                pair.client.consume_output(1);
            }
            let now = pair.now;
            assert_eq!(pair.server.receive(now, &record), record.len());
            pair.poll();
            let [Ok(Seen::Request(_, seen))] = &pair.server_saw[..] else {
                panic!("{:?}", pair.server_saw)
            };
            assert_eq!(*seen, request);
            pair.server_saw.clear();
        }
        assert!(pair.client.output().is_empty());
    }
}

#[test]
fn who_abandons_a_session_finishes_the_record_that_was_begun_and_no_other() {
    for dialect in DIALECTS {
        // None, a part or all of it is written.
        let len = pipelined(&Setup::new(dialect)).0.client.output().len();
        for written in [0, 1, 16, len - 1, len, len + 1] {
            let (mut pair, _) = pipelined(&Setup::new(dialect));
            let first = pair.client.output().to_vec();
            assert_eq!(pair.wire.carry_up(written), written);
            let second = pair.client.output().to_vec();
            let now = pair.now;
            pair.client.abandon(now);
            assert_eq!(pair.client.state(), State::Closed);
            let rest = match written {
                0 => &[],
                n if n < len => &first[n..],
                n if n == len => &[],
                _ => &second[..],
            };
            assert_eq!(pair.client.output(), rest, "{written} of {len}");
            assert_eq!(pair.client.is_finished(), rest.is_empty());
            assert_eq!(pair.client.poll_event(), Ok(None));
            pair.wire.hold_up = false;
            pair.settle();
            // The registry sees whole records and then the end.
            let whole = usize::from(written > 0) + usize::from(written > len);
            let requests =
                pair.server_saw.iter().filter(|seen| matches!(seen, Ok(Seen::Request(..))));
            assert_eq!(requests.count(), whole, "{written} of {len}");
            assert!(!pair.server_saw.contains(&Err(Error::Eof(EofAt::Record))));
        }
    }
}

#[test]
fn a_session_that_fails_finishes_the_record_that_was_begun() {
    for dialect in DIALECTS {
        let (mut pair, _) = pipelined(&Setup::new(dialect));
        let rest = pair.client.output()[1..].to_vec();
        pair.wire.carry_up(1);
        let (at, kind) = pair.client.poll_timeout().unwrap();
        assert_eq!(kind, TimerKind::Idle);
        pair.client.handle_timeout(at);
        assert_eq!(pair.client.poll_event(), Err(Error::Timeout(TimerKind::Idle)));
        assert_eq!(pair.client.output(), rest);
        // It does not wait for ever if nobody takes it.
        let (at, kind) = pair.client.poll_timeout().unwrap();
        assert_eq!(kind, TimerKind::Drain);
        pair.client.handle_timeout(at);
        assert!(pair.client.is_finished() && pair.client.output().is_empty());
    }
}

#[test]
fn an_enrollment_whose_time_runs_out_finishes_the_record_that_was_begun() {
    for dialect in DIALECTS {
        for abandoned in [false, true] {
            let give_up_after = Some(Duration::from_secs(1));
            let plan = xlreg::enroll::Plan { give_up_after, ..alice_s_plan() };
            let setup = Setup::new(dialect);
            let (mut wire, mut registry) = (enroll(&setup, plan, 1), setup.registry());
            // The Hello is written, and a part of the Member.
            wire.carry_up(usize::MAX);
            wire.poll(&mut registry);
            wire.carry_down(usize::MAX);
            wire.poll(&mut registry);
            assert_eq!(wire.carry_up(100), 100);
            let late = after(START, Duration::from_secs(1));
            match abandoned {
                true => wire.client.abandon(late),
                false => wire.advance(late),
            }
            wire.poll(&mut registry);
            assert_eq!(wire.client_saw.contains(&Err(EnrollError::GaveUp)), !abandoned);
            assert!(!wire.client.is_finished() && !wire.client.output().is_empty());
            assert_eq!(wire.client.poll_timeout().unwrap().1, TimerKind::Drain);
            wire.settle(&mut registry);
            assert!(wire.client.is_finished());
            assert_eq!(wire.server_saw.pop(), Some(Err(Error::Eof(EofAt::Idle))));
            let ops: Vec<_> = asked(&mut wire).iter().map(Request::op).collect();
            assert_eq!(ops, [Op::Member]);
        }
    }
}

/// A stream that accepts everything and keeps each write apart. Its peer sends nothing.
#[derive(Default)]
struct Writes(Vec<Vec<u8>>);

impl Transport for &mut Writes {
    type Error = Infallible;

    fn read(&mut self, _: &mut [u8], _: Option<Duration>) -> Result<Transfer, Infallible> {
        Ok(Transfer::Gone)
    }

    fn write(&mut self, bytes: &[u8], _: Option<Duration>) -> Result<Transfer, Infallible> {
        self.0.push(bytes.to_vec());
        Ok(Transfer::Bytes(bytes.len()))
    }
}

struct Still;

impl Timer for Still {
    fn now(&self) -> Instant {
        START
    }

    fn sleep(&mut self, _: Duration) {}
}

/// The waiting records, one by one.
fn records(mut client: Session<Client>) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while !client.output().is_empty() {
        records.push(client.output().to_vec());
        client.consume_output(client.output().len());
    }
    records
}

#[test]
fn the_blocking_adapter_offers_each_record_in_one_write() {
    for dialect in DIALECTS {
        let [driven, twin] = [(); 2].map(|()| pipelined(&Setup::new(dialect)).0.wire.client);
        let mut writes = Writes::default();
        let error = Driver::new(driven, &mut writes, Still).next_event().unwrap_err();
        assert!(matches!(error, DriveError::Machine(Error::Eof(EofAt::Reply))));
        assert_eq!(writes.0, records(twin));
        assert_eq!(writes.0.len(), 3);
    }
}

#[cfg(feature = "tokio")]
mod on_tokio {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::Writes;

    impl AsyncRead for Writes {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
}

/// The same for tokio: the bytes that one poll of the stream gets.
#[cfg(feature = "tokio")]
#[tokio::test]
async fn the_tokio_adapter_offers_each_record_in_one_write() {
    use xlreg::adapter::tokio::{Clock, Driver};

    let [driven, twin] = [(); 2].map(|()| pipelined(&Setup::new(DIALECTS[0])).0.wire.client);
    let mut driver = Driver::new(driven, Writes::default(), Clock::start());
    assert!(driver.next_event().await.is_err());
    let writes = driver.into_parts().1.0;
    assert_eq!((writes.len(), writes), (3, records(twin)));
}

#[test]
fn a_server_before_1_5_0_is_told_apart_by_its_version() {
    for (version, old) in [([1, 4, 0, 0], true), ([1, 4, 9, 9], true), ([1, 5, 0, 0], false)] {
        let setup = Setup::new(DIALECTS[1]);
        let plan = alice_s_plan();
        let mut wire = enroll(&setup, plan, 1);
        let version = Version::from_bytes(version);
        let key = xlreg_testkit::pair::credential(DIALECTS[1]).comms_key;
        let config = ServerConfig { version, ..ServerConfig::new(&key) };
        wire.server = Session::<Server>::new(START, config, Seeded::new(9));
        wire.settle(&mut setup.registry());
        let first = Enroll::FIRST_VERSION;
        let refused = Err(EnrollError::TooOld { version, first });
        assert_eq!(wire.client_saw.contains(&refused), old, "{version}");
        let joined = wire.client_saw.iter().any(|e| matches!(e, Ok(EnrollEvent::Joined(_))));
        assert_eq!(joined, !old);
    }
}
