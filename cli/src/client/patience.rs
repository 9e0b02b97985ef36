//! How long a command goes on, and how it waits before it tries again.

use std::time::Duration;

use rand_core::Rng;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::error::ClientError;
use super::stop::{Stop, Stopped};
use crate::failure::note;
use crate::{random, stderr};

/// How long a command tries to reach a registry where no --timeout is given.
pub const REACH: Duration = Duration::from_secs(10);

/// How long a command that has reached its registry tries to reach it again, where no --timeout is given.
pub const REACH_AGAIN: Duration = Duration::from_secs(60);

/// The first pause before another try, and the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How often a registry that hangs up in the handshake is tried: it may be overloaded, but is more likely another one.
const HANG_UPS: u32 = 3;

/// How long to go on.
#[derive(Debug, clap::Args)]
pub struct PatienceArgs {
    /// Give up after so long; until then try again what may yet succeed [default: 10 seconds to reach the registry]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A command's patience with its registry.
pub struct Patience {
    pub stop: Stop,
    json: bool,
    /// Until when to try, where there is no --timeout.
    until: Instant,
    pause: Duration,
    hang_ups: u32,
    /// What went wrong last, which is why it is tried again.
    last: Option<ClientError>,
}

impl Patience {
    /// From now on. Within a runtime only. With `json` what is said on the way is JSON, too.
    pub fn start(args: &PatienceArgs, json: bool) -> Self {
        let now = Instant::now();
        let deadline = args.timeout.and_then(|time| now.checked_add(time));
        Self {
            stop: Stop::listen(deadline),
            json,
            until: now + REACH,
            pause: FIRST,
            hang_ups: 0,
            last: None,
        }
    }

    /// What was wanted of the registry has begun: what happens now is another trouble than before.
    pub fn reached(&mut self) {
        self.until = Instant::now() + REACH_AGAIN;
        self.pause = FIRST;
        self.last = None;
        self.hang_ups = 0;
    }

    /// Waits before another try, if what went wrong may go well yet.
    ///
    /// # Errors
    ///
    /// The error itself, or that the command is to stop.
    pub async fn pause(&mut self, error: ClientError) -> Result<(), ClientError> {
        self.hang_ups += u32::from(error.is_hang_up());
        if let ClientError::Stopped(Stopped::Deadline) = error {
            return Err(self.last.take().map_or(error, |last| self.over(last)));
        }
        if !error.is_temporary() || self.hang_ups >= HANG_UPS {
            return Err(error);
        }
        let end = self.stop.deadline().unwrap_or(self.until);
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.over(error));
        }
        if self.last.is_none() {
            self.say(&format!("{error}; trying again for up to {}", whole_seconds(left)));
        }
        self.last = Some(error);
        let whole = f64::from(u32::MAX);
        let pause = self.pause.mul_f64(0.5 + f64::from(random::system().next_u32()) / whole / 2.0);
        self.pause = (self.pause * 2).min(LONGEST);
        // Once more when the time is over: what went well in the last moment counts.
        match self.stop.or(sleep(pause.min(left))).await {
            Err(stopped @ Stopped::Signal(_)) => Err(stopped.into()),
            _ => Ok(()),
        }
    }

    /// How it ends where the time is over.
    fn over(&self, error: ClientError) -> ClientError {
        match self.stop.deadline() {
            Some(_) => ClientError::TimedOut(Box::new(error)),
            None => error,
        }
    }

    /// Says one thing on stderr.
    pub fn say(&self, text: &str) {
        match self.json {
            true => stderr::write(&format!(
                "{}\n",
                json!({ "event": "waiting", "kind": "waiting", "message": text })
            )),
            false => note(format_args!("xlreg: {text}")),
        }
    }
}

/// A time as people say it.
pub fn whole_seconds(time: Duration) -> String {
    match time.as_secs_f64().ceil() {
        1.0 => "1 second".into(),
        seconds => format!("{seconds} seconds"),
    }
}
