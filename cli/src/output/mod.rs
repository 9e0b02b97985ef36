//! The output of commands: results on stdout, all else on stderr, as text or JSON.

#[cfg(feature = "server")]
pub mod count;
mod failure;
pub mod json;
pub mod progress;
pub mod progress_lines;
pub mod stderr;
pub mod tables;

use std::fmt::Display;
use std::io::Write;
use std::sync::OnceLock;

pub use failure::Failure;
use serde_json::json;

/// Prints a text on stdout. A reader that went away is not a failure.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write the output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a value on stdout, for `--json`.
pub fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}

/// The form of the output on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFormat {
    /// Text.
    Text,
    /// Notes as text, and errors and retries as one JSON object a line: `--json`.
    JsonErrors,
    /// Everything as one JSON object a line: `--progress json`.
    Json,
}

impl MessageFormat {
    /// The form for `--json`.
    pub const fn of(json: bool) -> Self {
        if json { Self::JsonErrors } else { Self::Text }
    }

    /// Whether errors are JSON.
    pub fn has_json_errors(self) -> bool {
        self != Self::Text
    }
}

static MESSAGE_FORMAT: OnceLock<MessageFormat> = OnceLock::new();

/// Sets the form of the output on stderr, once and before any output.
pub fn set_message_format(format: MessageFormat) {
    let decided = *MESSAGE_FORMAT.get_or_init(|| format);
    debug_assert_eq!(decided, format, "decided before");
}

/// The form of the output on stderr.
pub fn message_format() -> MessageFormat {
    MESSAGE_FORMAT.get().copied().unwrap_or(MessageFormat::Text)
}

/// Prints a note on stderr. If nobody reads it, the command goes on.
pub fn note(text: impl Display) {
    let text = text.to_string();
    stderr::write(&match message_format() {
        MessageFormat::Json => {
            let message = text.strip_prefix("xlreg: ").unwrap_or(&text);
            format!("{}\n", json!({ "event": "note", "message": message }))
        }
        MessageFormat::Text | MessageFormat::JsonErrors => format!("{text}\n"),
    });
}
