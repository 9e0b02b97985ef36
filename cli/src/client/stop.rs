//! What ends a command before it is done: its deadline, or a signal.
//!
//! Neither cuts a record: whoever talks to a registry asks [`Stop`] between two records, since a
//! deployed server ends by one that is cut.

use std::future::Future;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

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
            _ = interrupt.recv() => 2,
            _ = terminate.recv() => 15,
        };
        tell.send_modify(|(last, count)| (*last, *count) = (number, count.saturating_add(1)));
    }
}

#[cfg(not(unix))]
async fn listen(tell: watch::Sender<(u8, u32)>) {
    while tokio::signal::ctrl_c().await.is_ok() {
        tell.send_modify(|(last, count)| (*last, *count) = (2, count.saturating_add(1)));
    }
}
