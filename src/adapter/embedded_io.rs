//! Blocking I/O without an operating system, feature `embedded-io`: over any [`Read`] + [`Write`].
//!
//! You supply the clock: a [`Timer`], which is two functions on a hardware timer.
//!
//! ```no_run
//! use embedded_io::{Read, Write};
//! use xlreg::adapter::embedded_io::Untimed;
//! use xlreg::adapter::{Driver, Timer};
//! use xlreg::enroll::{Enroll, Plan};
//! # fn member(
//! #     uart: impl Read + Write,
//! #     mut clock: impl Timer,
//! #     config: xlreg::session::ClientConfig,
//! #     plan: Plan,
//! #     rng: impl rand_core::CryptoRng + Send + 'static,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let enroll = Enroll::new(clock.now(), config, plan, rng)?;
//! let mut driver = Driver::new(enroll, Untimed(uart), clock);
//! while let Some(event) = driver.next_event().map_err(|error| error.to_string())? {
//!     println!("{event:?}");
//! }
//! # Ok(()) }
//! ```

use core::time::Duration;

use embedded_io::{Error, ErrorKind, Read, ReadReady, Write, WriteReady};

use super::{Timer, Transfer, Transport};

/// Any stream as a [`Transport`]. Its calls may block for ever, and deadlines are noticed only
/// between them. A call that fails with [`ErrorKind::TimedOut`] counts as timed out.
#[derive(Clone, Copy, Debug)]
pub struct Untimed<S>(pub S);

impl<S: Read + Write> Transport for Untimed<S> {
    type Error = S::Error;

    fn read(&mut self, buffer: &mut [u8], _: Option<Duration>) -> Result<Transfer, S::Error> {
        transfer(self.0.read(buffer))
    }

    fn write(&mut self, bytes: &[u8], _: Option<Duration>) -> Result<Transfer, S::Error> {
        match transfer(self.0.write(bytes))? {
            Transfer::Bytes(n) => {
                // If the time is over or the peer is gone, the next call says so.
                transfer(self.0.flush().map(|()| n))?;
                Ok(Transfer::Bytes(n))
            }
            other => Ok(other),
        }
    }
}

/// A stream that says when it is ready. It is asked again and again until the deadline, so
/// deadlines are kept although calls cannot be interrupted.
#[derive(Clone, Copy, Debug)]
pub struct Polled<S, C> {
    stream: Untimed<S>,
    clock: C,
    pause: Duration,
}

impl<S, C: Timer> Polled<S, C> {
    /// Makes a transport that asks the stream every `pause` of this clock.
    pub fn new(stream: S, clock: C, pause: Duration) -> Self {
        Self { stream: Untimed(stream), clock, pause }
    }

    /// Whether the stream is ready within this time.
    fn is_ready<E>(
        &mut self,
        longest: Option<Duration>,
        mut ready: impl FnMut(&mut S) -> Result<bool, E>,
    ) -> Result<bool, E> {
        // A time after the end of the clock is never, and saturates to its end.
        let deadline = longest.map(|longest| self.clock.now().saturating_add(longest));
        while !ready(&mut self.stream.0)? {
            let now = self.clock.now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Ok(false);
            }
            self.clock.sleep(self.pause);
        }
        Ok(true)
    }
}

impl<S: Read + ReadReady + Write + WriteReady, C: Timer> Transport for Polled<S, C> {
    type Error = S::Error;

    fn read(&mut self, buffer: &mut [u8], longest: Option<Duration>) -> Result<Transfer, S::Error> {
        match self.is_ready(longest, ReadReady::read_ready)? {
            true => self.stream.read(buffer, longest),
            false => Ok(Transfer::TimedOut),
        }
    }

    fn write(&mut self, bytes: &[u8], longest: Option<Duration>) -> Result<Transfer, S::Error> {
        match self.is_ready(longest, WriteReady::write_ready)? {
            true => self.stream.write(bytes, longest),
            false => Ok(Transfer::TimedOut),
        }
    }
}

/// Converts the result of a call of embedded-io.
pub(super) fn transfer<E: Error>(done: Result<usize, E>) -> Result<Transfer, E> {
    match done.map_err(|error| (error.kind(), error)) {
        Ok(n) => Ok(Transfer::Bytes(n)),
        Err((ErrorKind::TimedOut | ErrorKind::Interrupted, _)) => Ok(Transfer::TimedOut),
        Err((
            ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset,
            _,
        )) => Ok(Transfer::Gone),
        Err((_, error)) => Err(error),
    }
}
