//! The failure of a command: what happened, to what, what to do, and the exit code.

use std::fmt::Display;
use std::process::ExitCode;

use serde_json::json;

use super::{message_format, stderr};

/// The kind of a failure. Each has an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The command failed.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// The time is over.
    TimedOut,
    /// The registry refused, or the command did so for the registry's sake.
    Refused,
    /// The registry could not be reached.
    Unreachable,
    /// A signal ended the command.
    Interrupted(u8),
}

impl FailureKind {
    /// The exit code, as in every `--help`.
    const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::TimedOut => 3,
            Self::Refused => 4,
            Self::Unreachable => 5,
            // The same rule as in shells.
            Self::Interrupted(number) => 128 + number,
        }
    }

    /// The name in JSON.
    const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::TimedOut => "timed_out",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Interrupted(_) => "interrupted",
        }
    }
}

/// The reason why a command failed.
#[derive(Debug)]
pub struct Failure {
    kind: FailureKind,
    message: String,
    advice: Option<String>,
}

impl Failure {
    /// Makes a failure with exit code 1: the command failed.
    pub fn new(message: impl Display) -> Self {
        Self::of(FailureKind::Failed, message)
    }

    /// Makes a failure with exit code 2: the command line makes no sense.
    pub fn usage(message: impl Display) -> Self {
        Self::of(FailureKind::Usage, message)
    }

    /// Makes a failure with exit code 3: the time is over.
    pub fn timeout(message: impl Display) -> Self {
        Self::of(FailureKind::TimedOut, message)
    }

    /// Makes a failure with exit code 4: the registry refused, or the command did so for its sake.
    pub fn refused(message: impl Display) -> Self {
        Self::of(FailureKind::Refused, message)
    }

    /// Makes a failure with exit code 5: the registry could not be reached.
    pub fn unreachable(message: impl Display) -> Self {
        Self::of(FailureKind::Unreachable, message)
    }

    /// Makes a failure with exit code 128 and the number: a signal ended the command.
    pub fn interrupted(number: u8) -> Self {
        Self::of(FailureKind::Interrupted(number), "interrupted")
    }

    fn of(kind: FailureKind, message: impl Display) -> Self {
        Self { kind, message: message.to_string(), advice: None }
    }

    /// Adds advice for the user.
    pub fn advise(self, advice: impl Display) -> Self {
        Self { advice: Some(advice.to_string()), ..self }
    }

    /// Replaces the message.
    pub fn with_message(self, message: impl Display) -> Self {
        Self { message: message.to_string(), ..self }
    }

    /// Reports the failure on stderr, as text or as one line of JSON.
    pub fn report(&self) -> ExitCode {
        // Usage errors are for a person who types, and those of clap are text too.
        let json = message_format().has_json_errors() && self.kind != FailureKind::Usage;
        let text = match json {
            true => self.to_json(),
            false => self.to_text(),
        };
        // If nobody reads stderr, the exit code says it.
        stderr::write(&text);
        ExitCode::from(self.kind.exit_code())
    }

    fn to_text(&self) -> String {
        let mut text = format!("xlreg: {}\n", self.message);
        if let Some(advice) = &self.advice {
            text.push_str(&format!("  {advice}\n"));
        }
        text
    }

    fn to_json(&self) -> String {
        let error = json!({
            "event": "error",
            "kind": self.kind.name(),
            "message": self.message,
            "advice": self.advice,
            "exit_code": self.kind.exit_code(),
        });
        format!("{error}\n")
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
