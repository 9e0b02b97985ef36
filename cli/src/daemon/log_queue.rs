//! The daemon's queue in front of stderr.
//!
//! A write to a pipe that nobody reads blocks for ever, and a write to a full disk fails. Behind the
//! queue, a thread that does nothing else is affected, and the daemon goes on. A line is lost and
//! counted if it does not fit into the queue, or cannot be written.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::output::stderr::{self, Queue};

/// The number of lines that may wait. That is about a megabyte, and enough for a moment of the most
/// verbose log.
const WAITING: usize = 4096;
/// The time between two attempts to queue a [`MARK`].
const MARKED_EVERY: Duration = Duration::from_millis(20);

/// An empty line, which is not written. When it arrives, everything before it is written.
const MARK: &[u8] = b"";

/// The number of lines that could not be written.
static UNWRITTEN: AtomicU64 = AtomicU64::new(0);
/// Counts the lines that did not fit into the queue.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

struct LogQueue {
    lines: NonBlocking,
    /// Gets a message for each [`MARK`] that arrives.
    arrived: Mutex<Receiver<()>>,
    /// Never dropped: its drop prints to stdout if nobody reads.
    _guard: WorkerGuard,
}

/// Puts the queue in front of stderr, and gives the writer for the log.
///
/// # Errors
///
/// The system's, if there are no more files.
pub fn start() -> io::Result<NonBlocking> {
    // `io::stderr` has a lock, which the thread would hold while it blocks.
    let file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let (mark, arrived) = sync_channel(1);
    let (lines, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING)
        .thread_name("log")
        .finish(Out { file, mark });
    // The log is started once in a process, so this is the first counter.
    DROPPED.get_or_init(|| lines.error_counter());
    let (arrived, queue) = (Mutex::new(arrived), lines.clone());
    stderr::put_queue(LogQueue { lines: queue, arrived, _guard: guard });
    Ok(lines)
}

/// The number of lines that are lost so far.
pub fn lost() -> u64 {
    let dropped = DROPPED.get().map_or(0, ErrorCounter::dropped_lines);
    // A counter of the process never reaches the end of 64 bits.
    let dropped = u64::try_from(dropped).unwrap_or(u64::MAX);
    dropped.saturating_add(UNWRITTEN.load(Ordering::Relaxed))
}

impl Queue for LogQueue {
    fn write(&self, text: &str) {
        // It never fails: a line that does not fit is counted.
        let _ = self.lines.clone().write_all(text.as_bytes());
    }

    fn finish(&self, patience: Duration) {
        let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = Instant::now() + patience;
        // There may be no room for a mark yet.
        while Instant::now() < deadline {
            let _ = self.lines.clone().write_all(MARK);
            if arrived.recv_timeout(MARKED_EVERY).is_ok() {
                return;
            }
        }
    }
}

/// The end of the queue.
struct Out {
    file: File,
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
            // If it is full, an earlier mark waits there and says the same.
            let _ = self.mark.try_send(());
            return Ok(());
        }
        if self.file.write_all(line).is_err() {
            UNWRITTEN.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
