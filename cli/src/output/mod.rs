//! What a command prints: results on stdout, everything else on stderr, for people or as JSON.

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

/// The form of what a command says on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFormat {
    /// Text, for people.
    Text,
    /// Notes as text; an error, and that it is waited, as one JSON object a line: `--json`.
    JsonErrors,
    /// All of it as one JSON object a line: `--progress json`.
    Json,
}

impl MessageFormat {
    /// The form that `--json` asks for.
    pub const fn of(json: bool) -> Self {
        if json { Self::JsonErrors } else { Self::Text }
    }

    /// Whether errors are JSON.
    pub fn has_json_errors(self) -> bool {
        self != Self::Text
    }
}

static MESSAGE_FORMAT: OnceLock<MessageFormat> = OnceLock::new();

/// Decides, once and before anything is said, in what form it is.
pub fn set_message_format(format: MessageFormat) {
    let decided = *MESSAGE_FORMAT.get_or_init(|| format);
    debug_assert_eq!(decided, format, "decided before");
}

/// The form of what is said on stderr.
pub fn message_format() -> MessageFormat {
    MESSAGE_FORMAT.get().copied().unwrap_or(MessageFormat::Text)
}

/// Tells the operator something on stderr; where nobody reads it, that is no reason to stop.
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
