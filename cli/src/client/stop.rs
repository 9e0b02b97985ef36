//! What ends a command before it is done: its deadline, or a signal.
//!
//! Neither cuts a record: whoever talks to a registry asks [`Stop`] between two records, since a
//! deployed server ends by one that is cut.

use std::future::Future;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The numbers of the signals, from which the exit code is made, on every system.
const INTERRUPT: u8 = 2;
const TERMINATE: u8 = 15;

/// Why a command stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Its time is over.
    Deadline,
    /// The user, or the system, wants it to end; the number of the signal.
    Signal(u8),
}

/// What to listen to while waiting.
#[derive(Clone)]
pub struct Stop {
    deadline: Option<Instant>,
    /// The number of the last signal, and how many came.
    signals: watch::Receiver<(u8, u32)>,
}

impl Stop {
    /// Listens from now on. Within a runtime only.
    pub fn listen(deadline: Option<Instant>) -> Self {
        let (tell, signals) = watch::channel((0, 0));
        tokio::spawn(listen(tell));
        Self { deadline, signals }
    }

    /// When the command's time is over, if ever.
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Waits until the command is to stop.
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

    /// Waits for a second signal: the user does not want to wait for anything more.
    pub async fn insisted(&mut self) {
        if self.signals.wait_for(|(_, count)| *count > 1).await.is_err() {
            std::future::pending().await
        }
    }

    /// Whatever comes first. The work is dropped where the command is to stop.
    pub async fn or<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            stopped = self.stopped() => Err(stopped),
        }
    }
}

/// Tells of every signal that asks the command to end.
#[cfg(unix)]
async fn listen(tell: watch::Sender<(u8, u32)>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    // Without a listener they do what they do by themselves: end the process.
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else { return };
    loop {
        let number = tokio::select! {
            _ = interrupt.recv() => INTERRUPT,
            _ = terminate.recv() => TERMINATE,
        };
        tell.send_modify(|(last, count)| (*last, *count) = (number, count.saturating_add(1)));
    }
}

/// Windows has no signals but events of the console, which end a command as the two signals do:
/// Ctrl-C and Ctrl-Break are the user's, the others the system's.
#[cfg(windows)]
async fn listen(tell: watch::Sender<(u8, u32)>) {
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown};
    let user = (ctrl_c(), ctrl_break());
    let system = (ctrl_close(), ctrl_logoff(), ctrl_shutdown());
    // Without a listener they do what they do by themselves: end the process.
    let (Ok(mut c), Ok(mut pause)) = user else { return };
    let (Ok(mut close), Ok(mut logoff), Ok(mut shutdown)) = system else { return };
    loop {
        // After the last three the system ends the process in some five seconds.
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
