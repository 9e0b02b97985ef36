//! What a command prints: results on stdout, everything else on stderr, for people or as JSON.

mod failure;
pub mod json;
pub mod progress;
pub mod progress_lines;
pub mod stderr;
pub mod tables;

use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

pub use failure::Failure;
use serde_json::json;

/// Prints to stdout whatever a command has to say; a reader that went away is not a failure.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write the output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a value to stdout, as `--json` asks for it.
pub fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}

/// Whether notes are one JSON object a line too.
static NOTES_ARE_JSON: AtomicBool = AtomicBool::new(false);

/// From now on whatever is noted is JSON, for programs that read stderr.
pub fn note_as_json() {
    NOTES_ARE_JSON.store(true, Ordering::Relaxed);
}

/// Tells the operator something on stderr; where nobody reads it, that is no reason to stop.
pub fn note(text: impl Display) {
    let text = text.to_string();
    stderr::write(&match NOTES_ARE_JSON.load(Ordering::Relaxed) {
        true => {
            let message = text.strip_prefix("xlreg: ").unwrap_or(&text);
            format!("{}\n", json!({ "event": "note", "message": message }))
        }
        false => format!("{text}\n"),
    });
}
