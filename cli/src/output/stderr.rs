//! Writing to stderr: at once, or through a queue that a daemon puts in front of it.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::time::Duration;

/// The time that the end of a process waits for the queue.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

/// A queue in front of stderr.
pub trait Queue: Send + Sync {
    /// Queues a text. A text that does not fit is lost.
    fn write(&self, text: &str);

    /// Waits until all is written, or the time is over.
    fn finish(&self, patience: Duration);
}

static QUEUE: OnceLock<Box<dyn Queue>> = OnceLock::new();

/// Sends everything through this queue from now on. Only the first queue counts.
#[cfg(feature = "server")]
pub fn put_queue(queue: impl Queue + 'static) {
    let put = QUEUE.set(Box::new(queue));
    debug_assert!(put.is_ok(), "there is a queue already");
}

/// Writes a text, or queues it. A failure is ignored: a command does not fail because nobody reads
/// its stderr.
pub fn write(text: &str) {
    match QUEUE.get() {
        Some(queue) => queue.write(text),
        None => {
            let _ = io::stderr().write_all(text.as_bytes());
        }
    }
}

/// Waits until the queue is written, or the time is over.
pub fn finish(patience: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.finish(patience);
    }
}
