//! The service manager: the messages for it (`sd_notify`), and its watchdog.
//!
//! A thread of its own sends the messages, because the socket may be full and block.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use crate::output::Failure;

/// The longest time for sending a message.
const PATIENCE: Duration = Duration::from_secs(1);
/// The number of messages that may wait.
const WAITING: usize = 8;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Clients can come.
    Ready,
    /// The configuration is being read again. [`Told::Ready`] follows.
    Reloading,
    /// The end has begun.
    Stopping,
    /// The event loop runs.
    Alive,
}

/// The service manager, if there is one.
#[derive(Clone)]
pub struct Manager {
    messages: Option<SyncSender<Message>>,
    /// Whether the daemon is ready for clients: after [`Told::Ready`] and before
    /// [`Told::Stopping`].
    ready: Arc<AtomicBool>,
}

/// A message, and the caller that waits for it.
type Message = (Told, SyncSender<()>);

impl Manager {
    /// Finds the service manager that has started this process, if there is one.
    ///
    /// # Errors
    ///
    /// The system's, if it has no more threads.
    pub fn find() -> Result<Self, Failure> {
        let ready = Arc::default();
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Ok(Self { messages: None, ready });
        }
        let (sender, messages) = sync_channel(WAITING);
        let thread = thread::Builder::new().name("notify".into());
        thread.spawn(move || tell_all(&messages)).map_err(Failure::new)?;
        Ok(Self { messages: Some(sender), ready })
    }

    /// Reads the configuration again, with messages if the daemon is ready for clients.
    pub fn reload(&self, read_anew: impl FnOnce()) {
        let ready = self.ready.load(Ordering::SeqCst);
        if ready {
            self.tell(Told::Reloading);
        }
        read_anew();
        if ready {
            self.tell(Told::Ready);
        }
    }

    /// Sends a message, and waits a short time for it.
    pub fn tell(&self, told: Told) {
        match told {
            Told::Ready => self.ready.store(true, Ordering::SeqCst),
            Told::Stopping => self.ready.store(false, Ordering::SeqCst),
            Told::Reloading | Told::Alive => {}
        }
        if let Some(done) = self.send(told) {
            let _ = done.recv_timeout(PATIENCE);
        }
    }

    fn send(&self, told: Told) -> Option<Receiver<()>> {
        let (sender, done) = sync_channel(1);
        // If so many messages wait, the manager does not read them.
        self.messages.as_ref()?.try_send((told, sender)).ok()?;
        Some(done)
    }

    /// Feeds the watchdog for ever, if there is one, from the event loop of the caller.
    pub async fn feed_watchdog(self) {
        let mut microseconds = 0;
        if !sd_notify::watchdog_enabled(false, &mut microseconds) {
            return pending().await;
        }
        // Twice as often as necessary, as `sd_watchdog_enabled(3)` recommends.
        let mut ticks =
            interval(Duration::from_micros(microseconds / 2).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.send(Told::Alive);
        }
    }
}

fn tell_all(messages: &Receiver<Message>) {
    for (told, done) in messages {
        let told = match told {
            Told::Ready => sd_notify::notify(false, &[NotifyState::Ready]),
            Told::Stopping => sd_notify::notify(false, &[NotifyState::Stopping]),
            Told::Alive => sd_notify::notify(false, &[NotifyState::Watchdog]),
            Told::Reloading => NotifyState::monotonic_usec_now()
                .and_then(|now| sd_notify::notify(false, &[NotifyState::Reloading, now])),
        };
        // A failure changes nothing, and the caller may have gone.
        let _ = (told, done.try_send(()));
    }
}
