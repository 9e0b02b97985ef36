//! Timeouts and retries of a command.

use std::time::Duration;

use rand_core::Rng;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::error::ClientError;
use super::stop::{Stop, Stopped};
use crate::output::{message_format, note, stderr};
use crate::random;

/// The time for reaching a registry without --timeout.
pub const REACH: Duration = Duration::from_secs(10);

/// The time for reaching a registry again without --timeout, after it was reached once.
pub const REACH_AGAIN: Duration = Duration::from_secs(60);

/// The first pause before a retry.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How long to try.
#[derive(Debug, clap::Args)]
pub struct PatienceArgs {
    /// Give up after this time; until then retry after temporary errors [default: 10 seconds to
    /// reach the registry]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// The timeouts and retries of one command.
pub struct Patience {
    pub stop: Stop,
    /// Whether the request may have ended the registry. Then it is not retried.
    may_end_server: bool,
    /// The time for reaching the registry without --timeout.
    reach: Duration,
    /// The time when the current try began.
    began: Option<Instant>,
    /// The time when the current try reached its aim, if it has.
    reached: Option<Instant>,
    /// The time when retries end, once there was a failure.
    until: Option<Instant>,
    pause: Duration,
    /// The last error, which is the reason for the retry.
    last: Option<ClientError>,
}

impl Patience {
    /// Starts now. Call it within a runtime.
    pub fn start(args: &PatienceArgs) -> Self {
        let deadline = args.timeout.and_then(|time| Instant::now().checked_add(time));
        Self {
            stop: Stop::listen(deadline),
            may_end_server: false,
            reach: REACH,
            began: None,
            reached: None,
            until: None,
            pause: FIRST,
            last: None,
        }
    }

    /// Turns retries off, because the request may end the registry.
    pub fn try_once(&mut self) {
        self.may_end_server = true;
    }

    /// Begins a try.
    pub fn begin(&mut self) {
        self.began = Some(Instant::now());
    }

    /// Notes that the try has reached its aim. A later failure is a new one, however late it comes.
    pub fn reached(&mut self) {
        self.reached = Some(Instant::now());
    }

    /// Notes that the registry was lost after it was reached. The minute counts from now.
    fn lose(&mut self, reached: Instant) {
        self.reach = REACH_AGAIN;
        self.began = None;
        self.until = None;
        // A registry that fails again and again is not tried faster, nor reported each time.
        if reached.elapsed() > LONGEST {
            self.pause = FIRST;
            self.last = None;
        }
    }

    /// Waits before a retry, if the error is temporary.
    ///
    /// # Errors
    ///
    /// The error itself if it is not temporary, or that the command must stop.
    pub async fn pause(&mut self, error: ClientError) -> Result<(), ClientError> {
        if let ClientError::Stopped(Stopped::Deadline) = error {
            return Err(self.last.take().map_or(error, |last| self.over(last)));
        }
        let may_have_ended_it =
            self.may_end_server && !matches!(error, ClientError::Unreachable(_));
        if !error.is_temporary() || may_have_ended_it {
            return Err(error);
        }
        if let Some(reached) = self.reached.take() {
            self.lose(reached);
        }
        let now = Instant::now();
        let until = *self.until.get_or_insert(self.began.unwrap_or(now) + self.reach);
        let left = self.stop.deadline().unwrap_or(until).saturating_duration_since(now);
        if left.is_zero() {
            return Err(self.over(error));
        }
        if self.last.is_none() {
            // A user with the regCred of another registry need not wait until the end.
            let perhaps = match error.is_hang_up() {
                true => {
                    " (as a registry does that is overloaded, or does not hold the key in its \
                     regCred)"
                }
                false => "",
            };
            self.say(&format!("{error}{perhaps}; trying again for up to {}", whole_seconds(left)));
        }
        self.last = Some(error);
        let whole = f64::from(u32::MAX);
        let pause = self.pause.mul_f64(0.5 + f64::from(random::system().next_u32()) / whole / 2.0);
        self.pause = (self.pause * 2).min(LONGEST);
        // One more try when the time is over may still succeed.
        match self.stop.or(sleep(pause.min(left))).await {
            Err(stopped @ Stopped::Signal(_)) => Err(stopped.into()),
            _ => Ok(()),
        }
    }

    /// The error at the end of the time.
    fn over(&self, error: ClientError) -> ClientError {
        match self.stop.deadline() {
            // A peer that hung up each time is likely to be another registry. That is worth more
            // than the timeout.
            Some(_) if !error.is_hang_up() => ClientError::TimedOut(Box::new(error)),
            _ => error,
        }
    }

    /// Prints one note on stderr.
    pub fn say(&self, text: &str) {
        match message_format().has_json_errors() {
            true => stderr::write(&format!(
                "{}\n",
                json!({ "event": "waiting", "kind": "waiting", "message": text })
            )),
            false => note(format_args!("xlreg: {text}")),
        }
    }
}

/// Writes a time in whole units.
pub fn whole_seconds(time: Duration) -> String {
    match time.as_secs_f64().ceil() {
        1.0 => "1 second".into(),
        seconds => format!("{seconds} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> ClientError {
        ClientError::Unreachable("nobody is there".into())
    }

    /// Retries until the end: the number of tries, the time, and the last error.
    async fn in_vain(patience: &mut Patience) -> (u32, Duration, ClientError) {
        let (mut tries, start) = (0, Instant::now());
        loop {
            tries += 1;
            patience.begin();
            if let Err(error) = patience.pause(lost()).await {
                return (tries, start.elapsed(), error);
            }
        }
    }

    fn start(timeout: Option<u64>) -> Patience {
        Patience::start(&PatienceArgs { timeout: timeout.map(Duration::from_secs) })
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_ended_the_registry_is_not_tried_again() {
        let ended = || ClientError::Io(std::io::ErrorKind::ConnectionReset.into());
        let mut patience = start(Some(60));
        assert!(patience.pause(ended()).await.is_ok());
        patience.try_once();
        assert!(patience.pause(lost()).await.is_ok(), "it has not been reached yet");
        assert!(matches!(patience.pause(ended()).await, Err(ClientError::Io(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_loss_is_tried_again_for_a_minute_however_long_ago_the_join_was() {
        let mut patience = start(None);
        for _ in 0..2 {
            patience.begin();
            patience.reached();
            sleep(Duration::from_secs(24 * 60 * 60)).await;
            // The try that was lost began a day ago.
            patience.pause(lost()).await.unwrap();
            let (tries, time, error) = in_vain(&mut patience).await;
            assert!(tries > 10, "{tries}");
            assert!(time > REACH_AGAIN - LONGEST && time <= REACH_AGAIN, "{time:?}");
            assert!(matches!(error, ClientError::Unreachable(_)), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_that_ends_again_and_again_is_tried_ever_more_seldom() {
        let (mut patience, start) = (start(None), Instant::now());
        for _ in 0..100 {
            patience.begin();
            patience.reached();
            patience.pause(lost()).await.unwrap();
        }
        assert!(start.elapsed() > 80 * LONGEST / 2, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_tried_for_as_long_as_said_and_the_tries_count() {
        let (tries, time, error) = in_vain(&mut start(None)).await;
        assert_eq!(time, REACH);
        assert!(tries > 5 && matches!(error, ClientError::Unreachable(_)), "{tries} {error}");

        let (tries, time, error) = in_vain(&mut start(Some(600))).await;
        assert_eq!(time, Duration::from_secs(600));
        assert!(tries > 100 && matches!(error, ClientError::TimedOut(_)), "{tries} {error}");

        // An address that never answers takes the whole time.
        let mut patience = start(None);
        patience.begin();
        sleep(REACH).await;
        patience.pause(lost()).await.unwrap_err();
    }
}
