//! Stopping a command early, by its deadline or by a signal.
//!
//! Neither cuts a record, because a cut record ends a deployed server: commands ask [`Stop`]
//! between two records.

use std::future::Future;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The numbers of the signals. The exit code is made of them on every system.
const INTERRUPT: u8 = 2;
const TERMINATE: u8 = 15;

/// The reason to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The time is over.
    Deadline,
    /// A signal came, with this number.
    Signal(u8),
}

/// Waits for the deadline and for signals.
#[derive(Clone)]
pub struct Stop {
    deadline: Option<Instant>,
    /// The number of the last signal, and how many came.
    signals: watch::Receiver<(u8, u32)>,
}

impl Stop {
    /// Listens from now on. Call it within a runtime.
    pub fn listen(deadline: Option<Instant>) -> Self {
        let (tell, signals) = watch::channel((0, 0));
        tokio::spawn(listen(tell));
        Self { deadline, signals }
    }

    /// The deadline, if there is one.
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Waits until the command must stop.
    pub async fn stopped(&mut self) -> Stopped {
        let deadline = self.deadline;
        let late = async move {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            number = self.signalled() => Stopped::Signal(number),
            () = late => Stopped::Deadline,
        }
    }

    /// Waits for a signal only.
    pub async fn signalled(&mut self) -> u8 {
        match self.signals.wait_for(|(_, count)| *count > 0).await {
            Ok(told) => told.0,
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits for a second signal: the user wants to wait for nothing more.
    pub async fn insisted(&mut self) {
        if self.signals.wait_for(|(_, count)| *count > 1).await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits for the work or for a reason to stop. Then the work is dropped.
    pub async fn or<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            stopped = self.stopped() => Err(stopped),
        }
    }
}

/// Counts every signal that asks the command to end.
#[cfg(unix)]
async fn listen(tell: watch::Sender<(u8, u32)>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    // Without a listener a signal ends the process.
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else { return };
    loop {
        let number = tokio::select! {
            _ = interrupt.recv() => INTERRUPT,
            _ = terminate.recv() => TERMINATE,
        };
        tell.send_modify(|(last, count)| (*last, *count) = (number, count.saturating_add(1)));
    }
}

/// Windows has console events instead of signals. Ctrl-C and Ctrl-Break are like SIGINT, and the
/// others are like SIGTERM.
#[cfg(windows)]
async fn listen(tell: watch::Sender<(u8, u32)>) {
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown};
    let user = (ctrl_c(), ctrl_break());
    let system = (ctrl_close(), ctrl_logoff(), ctrl_shutdown());
    // Without a listener an event ends the process.
    let (Ok(mut c), Ok(mut pause)) = user else { return };
    let (Ok(mut close), Ok(mut logoff), Ok(mut shutdown)) = system else { return };
    loop {
        // After the last three the system ends the process in about five seconds.
        let number = tokio::select! {
            _ = c.recv() => INTERRUPT,
            _ = pause.recv() => INTERRUPT,
            _ = close.recv() => TERMINATE,
            _ = logoff.recv() => TERMINATE,
            _ = shutdown.recv() => TERMINATE,
        };
        tell.send_modify(|(last, count)| (*last, *count) = (number, count.saturating_add(1)));
    }
}
