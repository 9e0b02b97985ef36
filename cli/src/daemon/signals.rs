//! Signals, on a thread of their own. So a signal to end is handled even if nothing else runs.
//!
//! * SIGTERM and SIGINT end the daemon at once while it starts. Later the first one begins an
//!   orderly stop, and the second one ends the daemon at once.
//! * SIGHUP reads the configuration again.
//! * SIGUSR1, SIGUSR2 and SIGXFSZ would end the daemon, and are only logged. SIGXFSZ means that a
//!   file has reached its size limit, and the write fails too. SIGPIPE is ignored from the start,
//!   by Rust.
//!
//! Process 1 of a container gets only signals with a handler. These have one.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

use super::log::NOTICE;
use crate::output::Failure;
use crate::output::stderr;

/// The longest time that an end at once waits for the log.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// The signals that came.
pub struct Signals {
    serving: Arc<AtomicBool>,
    stop: watch::Receiver<bool>,
}

/// Listens to signals from now on. Calls `reload` for each SIGHUP.
///
/// # Errors
///
/// The system's, if it has no more threads or allows no handlers.
pub fn start(reload: impl Fn() + Send + 'static) -> Result<Signals, Failure> {
    let (stop, stopping) = watch::channel(false);
    let serving = Arc::new(AtomicBool::new(false));
    let (ready, listens) = sync_channel(1);
    let heard = Heard { serving: Arc::clone(&serving), stop, reload };
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || heard.listen(&ready))
        .map_err(Failure::new)?;
    listens.recv().map_err(Failure::new)?.map_err(Failure::new)?;
    Ok(Signals { serving, stop: stopping })
}

impl Signals {
    /// Notes that from now on an orderly stop is necessary.
    pub fn serving(&self) {
        self.serving.store(true, Ordering::SeqCst);
    }

    /// Resolves when the daemon must stop.
    pub async fn stopped(&mut self) {
        if self.stop.wait_for(|stop| *stop).await.is_err() {
            // The thread of the signals is gone, which cannot happen. Then the daemon runs until it
            // is killed.
            std::future::pending().await
        }
    }
}

struct Heard<F> {
    serving: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    reload: F,
}

impl<F: Fn()> Heard<F> {
    fn listen(self, ready: &SyncSender<io::Result<()>>) {
        let registered = Builder::new_current_thread().enable_io().build().and_then(|runtime| {
            let signals = runtime.block_on(async { All::register() })?;
            Ok((runtime, signals))
        });
        match registered {
            Err(error) => drop(ready.send(Err(error))),
            Ok((runtime, mut signals)) => {
                // The caller of `start` waits for it.
                let _ = ready.send(Ok(()));
                runtime.block_on(async {
                    loop {
                        self.act(signals.next().await);
                    }
                })
            }
        }
    }

    fn act(&self, asked: Asked) {
        match asked {
            Asked::Stop(_) if !self.serving.load(Ordering::SeqCst) => exit(0),
            Asked::Stop(signal) if *self.stop.borrow() => {
                warn!(target: NOTICE, "{signal} again: requests in flight are cut off");
                exit(1);
            }
            Asked::Stop(signal) => {
                info!("{signal}: stopping; another one stops at once");
                self.stop.send_replace(true);
            }
            Asked::Reload => (self.reload)(),
            Asked::Nothing(signal) => warn!(target: NOTICE, "{signal} means nothing here"),
        }
    }
}

/// Ends the process now.
fn exit(code: i32) -> ! {
    stderr::finish(LAST_WORDS);
    process::exit(code)
}

/// The request of a signal.
enum Asked {
    Stop(&'static str),
    Reload,
    Nothing(&'static str),
}

/// All signals with a handler.
struct All {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user1: Signal,
    user2: Signal,
    file_size: Signal,
}

impl All {
    fn register() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            file_size: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Asked::Stop("SIGINT"),
            _ = self.hang_up.recv() => Asked::Reload,
            _ = self.user1.recv() => Asked::Nothing("SIGUSR1"),
            _ = self.user2.recv() => Asked::Nothing("SIGUSR2"),
            _ = self.file_size.recv() => Asked::Nothing("SIGXFSZ"),
        }
    }
}
