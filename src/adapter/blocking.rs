//! Blocking I/O, feature `std`: over a [`TcpStream`] with deadlines, or over any [`Read`] + [`Write`] without.
//!
//! ```no_run
//! use std::net::TcpStream;
//! use xlreg::adapter::blocking::{Clock, Driver};
//! use xlreg::enroll::{Enroll, Plan};
//! # fn member(config: xlreg::session::ClientConfig, plan: Plan, rng: impl rand_core::CryptoRng + Send + 'static)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! let clock = Clock::start();
//! let enroll = Enroll::new(clock.now(), config, plan, rng)?;
//! let mut driver = Driver::new(enroll, TcpStream::connect("127.0.0.1:56789")?, clock);
//! while let Some(event) = driver.next_event()? {
//!     println!("{event:?}");
//! }
//! # Ok(()) }
//! ```

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{self, Duration};

use super::DriveError;
use super::need::{Need, deadline, is_gone, need};
use crate::session::{Instant, Machine};

/// A clock for the library's [`Instant`]s, started at the epoch.
#[derive(Clone, Copy, Debug)]
pub struct Clock(time::Instant);

impl Clock {
    /// A clock that shows [`Instant::EPOCH`] now.
    pub fn start() -> Self {
        Self(time::Instant::now())
    }

    /// The time.
    pub fn now(&self) -> Instant {
        Instant::EPOCH.saturating_add(self.0.elapsed())
    }
}

/// A byte stream whose calls can be made to return in time.
pub trait Transport: Read + Write {
    /// From now on no call blocks for longer than this; for ever if absent. A call that runs out of time fails with
    /// [`io::ErrorKind::WouldBlock`] or [`io::ErrorKind::TimedOut`]. Never called with zero.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn limit_blocking(&mut self, longest: Option<Duration>) -> io::Result<()>;
}

impl Transport for TcpStream {
    fn limit_blocking(&mut self, longest: Option<Duration>) -> io::Result<()> {
        (&*self).limit_blocking(longest)
    }
}

impl Transport for &TcpStream {
    fn limit_blocking(&mut self, longest: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(longest)?;
        self.set_write_timeout(longest)
    }
}

/// Any stream as a [`Transport`]: its calls take as long as they take, and deadlines are noticed only between them.
#[derive(Clone, Copy, Debug)]
pub struct Untimed<S>(pub S);

impl<S: Read> Read for Untimed<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<S: Write> Write for Untimed<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<S: Read + Write> Transport for Untimed<S> {
    fn limit_blocking(&mut self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
}

/// Drives a machine over a transport.
#[derive(Debug)]
pub struct Driver<M, T> {
    machine: M,
    transport: T,
    clock: Clock,
}

/// Bytes read at a time: a socket buffer's worth of a large reply, without filling the stack.
const CHUNK: usize = 8 * 1024;

impl<M: Machine, T: Transport> Driver<M, T> {
    /// Puts a machine on a transport. `clock` is the one the machine was made with.
    pub fn new(machine: M, transport: T, clock: Clock) -> Self {
        Self { machine, transport, clock }
    }

    /// The machine, for commands; [`next_event`](Self::next_event) sends what they queue.
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The machine, when the conversation is over.
    pub fn into_machine(self) -> M {
        self.machine
    }

    /// The time, for commands.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Reads, writes and waits until the machine has something to tell; `None` when it is finished.
    ///
    /// # Errors
    ///
    /// [`DriveError`]; the connection is of no more use then.
    pub fn next_event(&mut self) -> Result<Option<M::Event>, DriveError<M::Error>> {
        loop {
            match need(&mut self.machine) {
                Ok(Need::Tell(event)) => return Ok(Some(event)),
                Ok(Need::Nothing) => return Ok(None),
                Ok(Need::Write(deadline)) => self.write(deadline)?,
                Ok(Need::Read(room, deadline)) => self.read(room, deadline)?,
                Ok(Need::Wait(deadline)) => {
                    thread::sleep(deadline.saturating_duration_since(self.now()));
                    self.machine.handle_timeout(self.clock.now());
                }
                Ok(Need::Answer) => return Err(DriveError::Waiting),
                Err(error) => {
                    self.write_rest();
                    return Err(DriveError::Machine(error));
                }
            }
        }
    }

    /// The peer should hear what there is to hear of a failure; if it does not, the failure is still the news.
    fn write_rest(&mut self) {
        while !self.machine.output().is_empty() {
            let deadline = deadline(&self.machine);
            if deadline.is_some_and(|deadline| self.now() >= deadline) {
                self.machine.handle_timeout(self.clock.now());
                return;
            }
            if self.write(deadline).is_err() {
                return;
            }
        }
    }

    /// Arms the transport with the time that is left; `false` if none is.
    fn arm(&mut self, deadline: Option<Instant>) -> io::Result<bool> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(self.now()));
        if left.is_some_and(|left| left.is_zero()) {
            self.machine.handle_timeout(self.clock.now());
            return Ok(false);
        }
        self.transport.limit_blocking(left)?;
        Ok(true)
    }

    fn write(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        if !self.arm(deadline)? {
            return Ok(());
        }
        match self.transport.write(self.machine.output()) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                self.machine.consume_output(n);
                self.transport.flush().or_else(|error| self.passed(error))
            }
            Err(error) if is_gone(&error) => {
                // What is left goes nowhere; the peer's last words may still be there to read.
                self.machine.consume_output(usize::MAX);
                Ok(())
            }
            Err(error) => self.passed(error),
        }
    }

    fn read(&mut self, room: usize, deadline: Option<Instant>) -> io::Result<()> {
        if !self.arm(deadline)? {
            return Ok(());
        }
        let mut chunk = [0; CHUNK];
        match self.transport.read(chunk.get_mut(..room.min(CHUNK)).unwrap_or_default()) {
            Ok(0) => self.machine.receive_eof(self.clock.now()),
            Ok(n) => {
                let bytes = chunk.get(..n).unwrap_or_default();
                self.machine.receive(self.clock.now(), bytes);
            }
            Err(error) if is_gone(&error) => self.machine.receive_eof(self.clock.now()),
            Err(error) => self.passed(error)?,
        }
        Ok(())
    }

    /// A call that ran out of time tells the machine so; one that was interrupted is made again.
    fn passed(&mut self, error: io::Error) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                self.machine.handle_timeout(self.clock.now());
                Ok(())
            }
            io::ErrorKind::Interrupted => Ok(()),
            _ => Err(error),
        }
    }
}
