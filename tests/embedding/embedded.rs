//! The adapters without an operating system: a whole enrollment over streams that move a few bytes
//! at a time, and whose calls fail, are interrupted or never return, with clocks made of a counter.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write, WriteReady};
use xlreg::adapter::embedded_io::{Polled, Untimed};
use xlreg::adapter::embedded_io_async::{self, AsyncTimer};
use xlreg::adapter::{DriveError, Driver, Timer, Transport};
use xlreg::enroll::{Enroll, EnrollError, EnrollEvent, Plan};
use xlreg::message::{Op, Request};
use xlreg::registry::ClientState;
use xlreg::session::{
    ClientConfig, Dialect, EofAt, Error, Instant, Server, ServerConfig, ServerEvent, Session,
    TimerKind,
};
use xlreg_testkit::pair::{
    self, Backend, DIALECTS, TestRegistry, after, cluster, credential, registry_identity, token,
};
use xlreg_testkit::{Seeded, to_the_end};

/// A clock that moves only while somebody sleeps.
#[derive(Clone, Default)]
struct Counter(Rc<Cell<Duration>>);

impl Timer for Counter {
    fn now(&self) -> Instant {
        Instant::EPOCH.saturating_add(self.0.get())
    }

    fn sleep(&mut self, time: Duration) {
        self.0.set(self.0.get() + time);
    }
}

/// A sleep takes one poll more than a slow stream, so a stream that is ready in time wins.
impl AsyncTimer for Counter {
    fn now(&self) -> Instant {
        Timer::now(self)
    }

    async fn sleep(&mut self, time: Duration) {
        for _ in 0..2 {
            yield_once().await;
        }
        Timer::sleep(self, time);
    }
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(|_| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        Poll::Pending
    })
    .await;
}

/// The behaviour of a call of the line, besides moving bytes.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Plain,
    /// Every second call fails with this error before it does anything.
    Stutters(ErrorKind),
    /// After this answer of the registry every call fails with this error.
    Breaks(Op, ErrorKind),
    /// The registry never answers.
    Silent,
}

/// A stream with a registry at its other end. Bob joins Alice between her second look and her
/// third.
#[derive(Clone)]
struct Line(Rc<RefCell<Far>>);

struct Far {
    server: Session<Server>,
    state: ClientState,
    registry: TestRegistry,
    looks: u32,
    /// The largest number of bytes in one call.
    chunk: usize,
    manner: Manner,
    stuttered: bool,
    broken: bool,
    flushed: bool,
}

impl Line {
    fn new(dialect: Dialect, chunk: usize, manner: Manner) -> Self {
        let config = ServerConfig::new(&credential(dialect).comms_key);
        Self(Rc::new(RefCell::new(Far {
            server: Session::<Server>::new(Instant::EPOCH, config, Seeded::new(5)),
            state: ClientState::new(),
            registry: TestRegistry::new(dialect, Default::default()),
            looks: 0,
            chunk,
            manner,
            stuttered: false,
            broken: false,
            flushed: true,
        })))
    }
}

impl Far {
    fn work(&mut self) {
        while let Ok(Some(event)) = self.server.poll_event() {
            match event {
                ServerEvent::Hello(hello) => {
                    let opened = hello.open(&registry_identity().comms, &mut Seeded::new(6));
                    self.server.open_hello(Instant::EPOCH, opened).unwrap();
                }
                ServerEvent::Request { id, request } => {
                    let op = request.op();
                    if matches!(request, Request::GetCluster(_)) {
                        self.looks += 1;
                        if self.looks == 3 {
                            self.registry
                                .enroll_member(token("bob", 1, &["h:2"]), &cluster("duo", 2, 1));
                        }
                    }
                    let reply = self.registry.answer(&mut self.state, request);
                    self.server.reply(Instant::EPOCH, id, &reply).unwrap();
                    self.broken |= matches!(self.manner, Manner::Breaks(at, _) if at == op);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn fail(&mut self) -> Result<(), ErrorKind> {
        match self.manner {
            Manner::Breaks(_, kind) if self.broken && self.server.output().is_empty() => Err(kind),
            Manner::Stutters(kind) => {
                self.stuttered = !self.stuttered;
                if self.stuttered { Err(kind) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    fn has_output(&self) -> bool {
        self.manner != Manner::Silent && (!self.server.output().is_empty() || self.is_over())
    }

    fn is_over(&self) -> bool {
        self.broken || self.server.is_finished()
    }
}

impl ErrorType for Line {
    type Error = ErrorKind;
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        let mut far = self.0.borrow_mut();
        far.fail()?;
        assert!(far.flushed, "nothing comes of what is not sent");
        assert!(far.has_output(), "this read would never return");
        let n = buffer.len().min(far.chunk).min(far.server.output().len());
        buffer[..n].copy_from_slice(&far.server.output()[..n]);
        far.server.consume_output(n);
        Ok(n)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let mut far = self.0.borrow_mut();
        far.fail()?;
        let n = bytes.len().min(far.chunk);
        assert_eq!(far.server.receive(Instant::EPOCH, &bytes[..n]), n);
        far.flushed = false;
        Ok(n)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        let mut far = self.0.borrow_mut();
        far.flushed = true;
        far.work();
        Ok(())
    }
}

impl ReadReady for Line {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(self.0.borrow().has_output())
    }
}

impl WriteReady for Line {
    fn write_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(self.0.borrow().manner != Manner::Silent)
    }
}

/// The async line: every call waits for one poll first.
struct Slow(Line);

impl ErrorType for Slow {
    type Error = ErrorKind;
}

impl ::embedded_io_async::Read for Slow {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        yield_once().await;
        while self.0.0.borrow().manner == Manner::Silent {
            yield_once().await;
        }
        self.0.read(buffer)
    }
}

impl ::embedded_io_async::Write for Slow {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        yield_once().await;
        self.0.write(bytes)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        yield_once().await;
        self.0.flush()
    }
}

type Told = (Vec<EnrollEvent>, Result<(), DriveError<EnrollError, ErrorKind>>);

/// Alice creates a cluster of two, and waits for Bob.
fn enrollment(dialect: Dialect) -> Enroll {
    let alice = token("alice", 0, &["h:1"]);
    let plan = Plan::create_and_join(alice, cluster("duo", 2, 1));
    let config = ClientConfig::new(&pair::credential(dialect));
    Enroll::new(Instant::EPOCH, config, plan, Seeded::new(4)).unwrap()
}

fn drive(dialect: Dialect, transport: impl Transport<Error = ErrorKind>, clock: Counter) -> Told {
    to_the_end(Driver::new(enrollment(dialect), transport, clock))
}

fn drive_async(dialect: Dialect, line: Line, clock: Counter, drops: bool) -> Told {
    let mut driver = embedded_io_async::Driver::new(enrollment(dialect), Slow(line), clock);
    let mut events = Vec::new();
    loop {
        match wait(driver.next_event(), drops) {
            None => {}
            Some(Ok(Some(event))) => events.push(event),
            Some(Ok(None)) => return (events, Ok(())),
            Some(Err(error)) => return (events, Err(error)),
        }
    }
}

/// An executor of one task. It can drop the task after the third poll.
fn wait<T>(future: impl Future<Output = T>, drops: bool) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..if drops { 3 } else { 100_000 } {
        if let Poll::Ready(told) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(told);
        }
    }
    assert!(drops, "it hangs");
    None
}

fn whole(dialect: Dialect) -> Vec<EnrollEvent> {
    let (events, outcome) =
        drive(dialect, Untimed(Line::new(dialect, usize::MAX, Manner::Plain)), Counter::default());
    outcome.unwrap();
    let members = events.iter().filter(|event| matches!(event, EnrollEvent::Member { .. }));
    assert_eq!((members.count(), events.last()), (2, Some(&EnrollEvent::Done)));
    events
}

#[test]
fn an_enrollment_is_the_same_over_every_adapter_in_any_pieces() {
    for dialect in DIALECTS {
        let expected = whole(dialect);
        for chunk in [1, 7, 64, usize::MAX] {
            let line = || Line::new(dialect, chunk, Manner::Plain);
            let (events, outcome) = drive(dialect, Untimed(line()), Counter::default());
            assert!(outcome.is_ok() && events == expected, "{chunk}: {outcome:?}");

            let clock = Counter::default();
            let polled = Polled::new(line(), clock.clone(), Duration::from_millis(1));
            let (events, outcome) = drive(dialect, polled, clock.clone());
            assert!(outcome.is_ok() && events == expected, "{chunk}: {outcome:?}");
            assert!(clock.0.get() > Duration::ZERO, "it has waited for Bob");

            for drops in [false, true] {
                let (events, outcome) = drive_async(dialect, line(), Counter::default(), drops);
                assert!(outcome.is_ok() && events == expected, "{chunk}, {drops}: {outcome:?}");
            }
        }
    }
}

#[test]
fn calls_that_time_out_or_are_interrupted_are_made_again() {
    let dialect = Dialect::Prefixed;
    let expected = whole(dialect);
    for kind in [ErrorKind::TimedOut, ErrorKind::Interrupted] {
        let line = || Line::new(dialect, 100, Manner::Stutters(kind));
        let (events, outcome) = drive(dialect, Untimed(line()), Counter::default());
        assert!(outcome.is_ok() && events == expected, "{kind:?}: {outcome:?}");
        let (events, outcome) = drive_async(dialect, line(), Counter::default(), false);
        assert!(outcome.is_ok() && events == expected, "{kind:?}: {outcome:?}");
    }
}

#[test]
fn a_registry_that_is_gone_is_the_machines_business() {
    let dialect = Dialect::Chained;
    let expected = EnrollError::Session(Error::Eof(EofAt::Reply));
    for kind in [ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted, ErrorKind::BrokenPipe] {
        let line = || Line::new(dialect, 100, Manner::Breaks(Op::Create, kind));
        for (events, outcome) in [
            drive(dialect, Untimed(line()), Counter::default()),
            drive_async(dialect, line(), Counter::default(), false),
        ] {
            assert!(
                matches!(&outcome, Err(DriveError::Machine(error)) if *error == expected),
                "{outcome:?}"
            );
            assert_eq!(events, whole(dialect)[..events.len()]);
        }
    }
}

#[test]
fn a_stream_that_fails_otherwise_is_an_io_error() {
    let (dialect, kind) = (Dialect::Prefixed, ErrorKind::Other);
    let line = || Line::new(dialect, 100, Manner::Breaks(Op::Join, kind));
    for (_, outcome) in [
        drive(dialect, Untimed(line()), Counter::default()),
        drive_async(dialect, line(), Counter::default(), false),
    ] {
        let Err(DriveError::Io(error)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(error, kind);
    }
}

#[test]
fn a_silent_registry_is_given_up_at_the_deadline() {
    let dialect = Dialect::Prefixed;
    let expected = EnrollError::Session(Error::Timeout(TimerKind::Hello));
    let line = || Line::new(dialect, 100, Manner::Silent);
    let clock = Counter::default();
    let polled = Polled::new(line(), clock.clone(), Duration::from_millis(100));
    let (_, outcome) = drive(dialect, polled, clock.clone());
    assert!(matches!(outcome, Err(DriveError::Machine(error)) if error == expected));
    let deadline = after(Instant::EPOCH, Duration::from_secs(30));
    assert_eq!(Timer::now(&clock), deadline, "neither before nor after");

    let clock = Counter::default();
    let (_, outcome) = drive_async(dialect, line(), clock.clone(), false);
    assert!(matches!(outcome, Err(DriveError::Machine(error)) if error == expected));
    assert_eq!(Timer::now(&clock), deadline);
}
