//! How a command fails: what happened, to what, what to do, and the exit code.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use crate::stderr;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
    advice: Option<String>,
}

impl Failure {
    /// It failed: exit code 1.
    pub fn new(message: impl Display) -> Self {
        Self { code: 1, message: message.to_string(), advice: None }
    }

    /// It was asked for something that makes no sense: exit code 2.
    pub fn usage(message: impl Display) -> Self {
        Self { code: 2, ..Self::new(message) }
    }

    /// Time ran out: exit code 3.
    pub fn timeout(message: impl Display) -> Self {
        Self { code: 3, ..Self::new(message) }
    }

    /// With what the user can do about it.
    pub fn advise(self, advice: impl Display) -> Self {
        Self { advice: Some(advice.to_string()), ..self }
    }

    /// Tells it on stderr.
    pub fn report(&self) -> ExitCode {
        let mut text = format!("xlreg: {}\n", self.message);
        if let Some(advice) = &self.advice {
            text.push_str(&format!("  {advice}\n"));
        }
        // Where nobody reads stderr, the exit code is all there is to say.
        stderr::write(&text);
        ExitCode::from(self.code)
    }
}

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

/// Tells the operator something on stderr; where nobody reads it, that is no reason to stop.
pub fn note(text: impl Display) {
    stderr::write(&format!("{text}\n"));
}
