//! How long a command goes on, and how it waits before it tries again.

use std::time::Duration;

use rand_core::Rng;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::error::ClientError;
use super::stop::{Stop, Stopped};
use crate::output::{message_format, note, stderr};
use crate::random;

/// How long a command tries to reach a registry where no --timeout is given.
pub const REACH: Duration = Duration::from_secs(10);

/// How long a command that has reached its registry tries to reach it again, where no --timeout is
/// given.
pub const REACH_AGAIN: Duration = Duration::from_secs(60);

/// The first pause before another try, and the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How long to go on.
#[derive(Debug, clap::Args)]
pub struct PatienceArgs {
    /// Give up after so long; until then try again what may yet succeed [default: 10 seconds to
    /// reach the registry]
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
    /// Whether what is tried may have ended the registry: then it is not tried again.
    may_end_server: bool,
    /// How long to try, where there is no --timeout.
    reach: Duration,
    /// When the try under way began.
    began: Option<Instant>,
    /// When what was wanted had begun, if that was in the try under way.
    reached: Option<Instant>,
    /// Until when it is tried, from the first failure on.
    until: Option<Instant>,
    pause: Duration,
    /// What went wrong last, which is why it is tried again.
    last: Option<ClientError>,
}

impl Patience {
    /// From now on. Within a runtime only.
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

    /// What is tried may end the registry, and nobody wants that twice.
    pub fn try_once(&mut self) {
        self.may_end_server = true;
    }

    /// A try begins.
    pub fn begin(&mut self) {
        self.began = Some(Instant::now());
    }

    /// What was wanted of the registry has begun: what happens from now on, however late, is
    /// another trouble than before.
    pub fn reached(&mut self) {
        self.reached = Some(Instant::now());
    }

    /// What was reached has been lost: a minute counts from now.
    fn lose(&mut self, reached: Instant) {
        self.reach = REACH_AGAIN;
        self.began = None;
        self.until = None;
        // A registry that ends again at once is not tried ever faster, nor told of every time.
        if reached.elapsed() > LONGEST {
            self.pause = FIRST;
            self.last = None;
        }
    }

    /// Waits before another try, if what went wrong may go well yet.
    ///
    /// # Errors
    ///
    /// The error itself, or that the command is to stop.
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
            // Who has another registry's regCred need not wait until the end.
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
        // Once more when the time is over: what went well in the last moment counts.
        match self.stop.or(sleep(pause.min(left))).await {
            Err(stopped @ Stopped::Signal(_)) => Err(stopped.into()),
            _ => Ok(()),
        }
    }

    /// How it ends where the time is over.
    fn over(&self, error: ClientError) -> ClientError {
        match self.stop.deadline() {
            // That it hung up to the end says more than that the time is over: it is likely to be
            // another one.
            Some(_) if !error.is_hang_up() => ClientError::TimedOut(Box::new(error)),
            _ => error,
        }
    }

    /// Says one thing on stderr.
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

/// A time as people say it.
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

    /// Tries in vain until it is over: how often, for how long, and the end.
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

        // An address that never answers takes all the time there is.
        let mut patience = start(None);
        patience.begin();
        sleep(REACH).await;
        patience.pause(lost()).await.unwrap_err();
    }
}
