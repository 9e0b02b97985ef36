//! The service manager, if there is one: what it is told (`sd_notify`), and its watchdog.
//!
//! It is told from a thread of its own, since a socket that nobody reads may be one in which
//! nothing more fits.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use crate::output::Failure;

/// How long it may take to be told.
const PATIENCE: Duration = Duration::from_secs(1);
/// What may wait to be told.
const WAITING: usize = 8;

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Clients can come.
    Ready,
    /// What can be read anew is; [`Told::Ready`] comes next.
    Reloading,
    /// The end has begun.
    Stopping,
    /// The event loop turns.
    Alive,
}

/// The way to the service manager.
#[derive(Clone)]
pub struct Manager {
    messages: Option<SyncSender<Message>>,
    /// It has been told that clients can come, and not yet that the end has begun.
    ready: Arc<AtomicBool>,
}

/// What it is told, and who waits for that.
type Message = (Told, SyncSender<()>);

impl Manager {
    /// The one that has started this process, if one has.
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

    /// Reads something anew, and tells it so if clients are served meanwhile.
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

    /// Tells it, and waits for that, but not for long.
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
        // Where so much waits, it does not listen.
        self.messages.as_ref()?.try_send((told, sender)).ok()?;
        Some(done)
    }

    /// Feeds its watchdog for ever, if it has one, from the event loop that this is awaited on.
    pub async fn feed_watchdog(self) {
        let mut microseconds = 0;
        if !sd_notify::watchdog_enabled(false, &mut microseconds) {
            return pending().await;
        }
        // Twice as often as it must be, as `sd_watchdog_enabled(3)` has it.
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
        // Whether it could be told changes nothing, and whoever asked may have gone on.
        let _ = (told, done.try_send(()));
    }
}
