//! What goes to stderr: at once, or for a daemon through a queue, so that nobody who does not read
//! it can stop the daemon.
//!
//! A write to a pipe that nobody reads lasts for ever, and one to a full disk fails. Behind the
//! queue either befalls a thread that does nothing else. What does not fit into the queue, or
//! cannot be written, is lost, and counted.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines that may wait: a moment's worth at the most verbose, and about a megabyte.
const WAITING: usize = 4096;
/// How long an orderly end waits for what is still to be written.
pub const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often it is tried to mark how far that has come.
const MARKED_EVERY: Duration = Duration::from_millis(20);

static QUEUE: OnceLock<Queue> = OnceLock::new();

struct Queue {
    lines: NonBlocking,
    unwritten: &'static AtomicU64,
    /// Told of each [`MARK`] that is reached.
    reached: Mutex<Receiver<()>>,
    /// Kept for good: when it is dropped it prints to stdout if nobody reads.
    _guard: WorkerGuard,
}

/// A line that is not written: everything in front of it is.
const MARK: &[u8] = b"";

/// From now on everything goes through the queue; returns the way into it.
///
/// # Errors
///
/// The system's, if there are no more files.
pub fn detach() -> io::Result<NonBlocking> {
    static UNWRITTEN: AtomicU64 = AtomicU64::new(0);
    // Not by `io::stderr`, whose lock the thread would have while it waits.
    let file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let (mark, reached) = sync_channel(1);
    let (lines, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING)
        .thread_name("log")
        .finish(Out { file, unwritten: &UNWRITTEN, mark });
    let queue = Queue {
        lines: lines.clone(),
        unwritten: &UNWRITTEN,
        reached: Mutex::new(reached),
        _guard: guard,
    };
    // Only a daemon does this, once; if it were twice, the first one would stay.
    let _ = QUEUE.set(queue);
    Ok(lines)
}

/// Writes, or lets it be written. Where nobody reads it, that is no reason to stop.
pub fn write(text: &str) {
    let _ = match QUEUE.get() {
        Some(queue) => queue.lines.clone().write_all(text.as_bytes()),
        None => io::stderr().write_all(text.as_bytes()),
    };
}

/// Lines that are lost so far.
pub fn lost() -> u64 {
    QUEUE.get().map_or(0, |queue| {
        let dropped = u64::try_from(queue.lines.error_counter().dropped_lines());
        dropped.unwrap_or(u64::MAX).saturating_add(queue.unwritten.load(Ordering::Relaxed))
    })
}

/// Waits until all is written, for so long at most.
pub fn finish(patience: Duration) {
    let Some(queue) = QUEUE.get() else { return };
    let reached = queue.reached.lock().unwrap_or_else(PoisonError::into_inner);
    let deadline = Instant::now() + patience;
    // There may be no room for a mark yet.
    while Instant::now() < deadline {
        let _ = queue.lines.clone().write_all(MARK);
        if reached.recv_timeout(MARKED_EVERY).is_ok() {
            return;
        }
    }
}

/// The end of the queue.
struct Out {
    file: File,
    unwritten: &'static AtomicU64,
    mark: SyncSender<()>,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        if line == MARK {
            // One that nobody has looked at says the same.
            let _ = self.mark.try_send(());
            return Ok(());
        }
        if self.file.write_all(line).is_err() {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
