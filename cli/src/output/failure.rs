//! How a command fails: what happened, to what, what to do, and the exit code.

use std::fmt::Display;
use std::process::ExitCode;

use serde_json::json;

use super::{message_format, stderr};

/// What kind of failure it is; each has an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It did not work out.
    Failed,
    /// It was asked for something that makes no sense.
    Usage,
    /// Time ran out.
    TimedOut,
    /// The registry refused, or this program did for the registry's sake.
    Refused,
    /// The registry could not be reached.
    Unreachable,
    /// A signal ended it.
    Interrupted(u8),
}

impl FailureKind {
    /// The exit code, as every `--help` tells it.
    const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::TimedOut => 3,
            Self::Refused => 4,
            Self::Unreachable => 5,
            // As shells have it.
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

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    kind: FailureKind,
    message: String,
    advice: Option<String>,
}

impl Failure {
    /// It failed: exit code 1.
    pub fn new(message: impl Display) -> Self {
        Self::of(FailureKind::Failed, message)
    }

    /// It was asked for something that makes no sense: exit code 2.
    pub fn usage(message: impl Display) -> Self {
        Self::of(FailureKind::Usage, message)
    }

    /// Time ran out: exit code 3.
    pub fn timeout(message: impl Display) -> Self {
        Self::of(FailureKind::TimedOut, message)
    }

    /// The registry refused, or this program did for the registry's sake: exit code 4.
    pub fn refused(message: impl Display) -> Self {
        Self::of(FailureKind::Refused, message)
    }

    /// The registry could not be reached: exit code 5.
    pub fn unreachable(message: impl Display) -> Self {
        Self::of(FailureKind::Unreachable, message)
    }

    /// A signal ended it, of this number: exit code 128 and the number.
    pub fn interrupted(number: u8) -> Self {
        Self::of(FailureKind::Interrupted(number), "interrupted")
    }

    fn of(kind: FailureKind, message: impl Display) -> Self {
        Self { kind, message: message.to_string(), advice: None }
    }

    /// With what the user can do about it.
    pub fn advise(self, advice: impl Display) -> Self {
        Self { advice: Some(advice.to_string()), ..self }
    }

    /// The same with another message.
    pub fn with_message(self, message: impl Display) -> Self {
        Self { message: message.to_string(), ..self }
    }

    /// Tells it on stderr: for people, or as one line of JSON for programs that asked for JSON.
    pub fn report(&self) -> ExitCode {
        // Usage errors are for whoever types, and clap's own are text too.
        let json = message_format().has_json_errors() && self.kind != FailureKind::Usage;
        let text = match json {
            true => self.to_json(),
            false => self.to_text(),
        };
        // Where nobody reads stderr, the exit code is all there is to say.
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
