//! Blocking I/O, feature `std`: over a [`TcpStream`] with deadlines, or over any [`Read`] +
//! [`Write`] without deadlines.
//!
//! ```no_run
//! use std::net::TcpStream;
//! use xlreg::adapter::blocking::{Clock, Driver};
//! use xlreg::enroll::{Enroll, Plan};
//! # fn member(
//! #     config: xlreg::session::ClientConfig,
//! #     plan: Plan,
//! #     rng: impl rand_core::CryptoRng + Send + 'static,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let clock = Clock::start();
//! let enroll = Enroll::new(clock.now(), config, plan, rng)?;
//! let mut driver = Driver::new(enroll, TcpStream::connect("127.0.0.1:56789")?, clock);
//! while let Some(event) = driver.next_event()? {
//!     println!("{event:?}");
//! }
//! # Ok(()) }
//! ```

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{self, Duration};

use super::{Timer, Transfer, Transport};
use crate::session::Instant;

/// A [`Driver`](super::Driver) with the clock of std.
pub type Driver<M, T> = super::Driver<M, T, Clock>;

/// The reason why such a driver cannot go on.
pub type DriveError<E> = super::DriveError<E, io::Error>;

/// A clock for the library's [`Instant`]s, started at the epoch.
#[derive(Clone, Copy, Debug)]
pub struct Clock(time::Instant);

impl Clock {
    /// Starts a clock at [`Instant::EPOCH`].
    pub fn start() -> Self {
        Self(time::Instant::now())
    }

    /// The time now. After centuries the clock stays at its end.
    pub fn now(&self) -> Instant {
        Instant::EPOCH.saturating_add(self.0.elapsed())
    }
}

impl Timer for Clock {
    fn now(&self) -> Instant {
        Self::now(self)
    }

    fn sleep(&mut self, time: Duration) {
        thread::sleep(time);
    }
}

impl Transport for TcpStream {
    type Error = io::Error;

    fn read(&mut self, buffer: &mut [u8], longest: Option<Duration>) -> io::Result<Transfer> {
        Transport::read(&mut &*self, buffer, longest)
    }

    fn write(&mut self, bytes: &[u8], longest: Option<Duration>) -> io::Result<Transfer> {
        Transport::write(&mut &*self, bytes, longest)
    }
}

impl Transport for &TcpStream {
    type Error = io::Error;

    fn read(&mut self, buffer: &mut [u8], longest: Option<Duration>) -> io::Result<Transfer> {
        self.set_read_timeout(longest)?;
        transfer(Read::read(self, buffer))
    }

    fn write(&mut self, bytes: &[u8], longest: Option<Duration>) -> io::Result<Transfer> {
        self.set_write_timeout(longest)?;
        write(self, bytes)
    }
}

/// Any stream as a [`Transport`]. Its calls may block for ever, and deadlines are noticed only
/// between them. A call that fails with [`ErrorKind::WouldBlock`] or [`ErrorKind::TimedOut`] counts
/// as timed out.
#[derive(Clone, Copy, Debug)]
pub struct Untimed<S>(pub S);

impl<S: Read + Write> Transport for Untimed<S> {
    type Error = io::Error;

    fn read(&mut self, buffer: &mut [u8], _: Option<Duration>) -> io::Result<Transfer> {
        transfer(self.0.read(buffer))
    }

    fn write(&mut self, bytes: &[u8], _: Option<Duration>) -> io::Result<Transfer> {
        write(&mut self.0, bytes)
    }
}

fn write(stream: &mut impl Write, bytes: &[u8]) -> io::Result<Transfer> {
    match transfer(stream.write(bytes))? {
        Transfer::Bytes(0) => Err(ErrorKind::WriteZero.into()),
        Transfer::Bytes(n) => {
            // If the time is over or the peer is gone, the next call says so.
            transfer(stream.flush().map(|()| n))?;
            Ok(Transfer::Bytes(n))
        }
        other => Ok(other),
    }
}

/// Converts the result of a call of std.
fn transfer(done: io::Result<usize>) -> io::Result<Transfer> {
    match done {
        Ok(n) => Ok(Transfer::Bytes(n)),
        Err(error) if is_gone(&error) => Ok(Transfer::Gone),
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {
                Ok(Transfer::TimedOut)
            }
            _ => Err(error),
        },
    }
}

/// Whether an error only says that the peer is gone.
pub(super) fn is_gone(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}
