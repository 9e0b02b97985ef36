//! The progress of a join: a bar on a terminal, and elsewhere a line now and then.

use std::collections::BTreeSet;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use tokio::time::Instant;
use xlreg::identity::Name;
use xlreg::message::MemberIndex;

use crate::client::whole_seconds;

const TEMPLATE: &str = "{msg} [{bar:24}] {pos} of {len} members";

/// The time between two reports on a terminal.
const ON_TERMINAL: Duration = Duration::from_secs(10);

/// The time to the first report on a pipe. It doubles with each report.
const ON_PIPE: Duration = Duration::from_secs(60);
const ON_PIPE_AT_MOST: Duration = Duration::from_secs(600);

/// The times of the reports.
struct Words {
    terminal: bool,
    pause: Duration,
}

impl Words {
    const fn new(terminal: bool) -> Self {
        Self { terminal, pause: if terminal { ON_TERMINAL } else { ON_PIPE } }
    }

    /// The time to the next report.
    fn next(&mut self) -> Duration {
        let pause = self.pause;
        if !self.terminal {
            self.pause = (pause * 2).min(ON_PIPE_AT_MOST);
        }
        pause
    }
}

/// A bar that fills as members arrive. It disappears when dropped.
pub struct Progress {
    bar: ProgressBar,
    cluster: String,
    size: u32,
    /// The known members, by index.
    known: BTreeSet<MemberIndex>,
    since: Instant,
    words: Words,
    next_word: Instant,
}

impl Progress {
    /// Starts for a cluster of this size, which was just joined.
    pub fn start(cluster: &str, size: u32) -> Self {
        // indicatif draws on stderr, and only on a terminal.
        let bar = ProgressBar::new(size.into()).with_finish(ProgressFinish::AndClear);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(cluster.to_owned());
        bar.tick();
        let (since, mut words) = (Instant::now(), Words::new(!bar.is_hidden()));
        let next_word = since + words.next();
        let known = BTreeSet::new();
        Self { bar, cluster: cluster.to_owned(), size, known, since, words, next_word }
    }

    /// Notes a member. After a retry all members come again.
    pub fn arrived(&mut self, index: MemberIndex, name: &Name) {
        if self.known.insert(index) {
            self.bar.inc(1);
            // This always draws the bar again, which counting alone does not.
            self.bar.println(format!("{name} is there"));
        }
    }

    /// The time of the next report.
    pub const fn next_word(&self) -> Instant {
        self.next_word
    }

    /// Reports the waiting time on a terminal. Elsewhere it gives the line to print.
    pub fn word(&mut self) -> Option<String> {
        let waited = self.since.elapsed();
        self.next_word = Instant::now() + self.words.next();
        let text = waiting(&self.cluster, self.size, self.known.len(), waited);
        if self.words.terminal {
            self.bar.set_message(text);
            return None;
        }
        Some(text)
    }
}

/// The number of missing members, and the waiting time.
fn waiting(cluster: &str, size: u32, known: usize, waited: Duration) -> String {
    let known = u32::try_from(known).unwrap_or(u32::MAX);
    let missing = size.saturating_sub(known);
    format!("{cluster}: waiting for {missing} of {size} members for {}", whole_seconds(waited))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_every_ten_seconds_on_a_terminal_and_ever_more_seldom_on_a_pipe() {
        let seconds = |terminal| {
            let mut words = Words::new(terminal);
            [(); 6].map(|()| words.next().as_secs())
        };
        assert_eq!(seconds(true), [10; 6]);
        assert_eq!(seconds(false), [60, 120, 240, 480, 600, 600]);
    }

    #[test]
    fn a_word_says_how_many_are_missing_and_since_when() {
        let word = waiting("alpha", 3, 1, Duration::from_millis(59_400));
        assert_eq!(word, "alpha: waiting for 2 of 3 members for 60 seconds");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipe_is_told_after_a_minute_and_then_after_two_more() {
        let mut progress = Progress::start("alpha", 2);
        progress.words.terminal = false;
        progress.arrived(MemberIndex::default(), &"host1".parse().unwrap());
        progress.arrived(MemberIndex::default(), &"host1".parse().unwrap());
        tokio::time::sleep_until(progress.next_word()).await;
        assert!(progress.word().unwrap().contains("for 1 of 2 members for 60 seconds"));
        tokio::time::sleep_until(progress.next_word()).await;
        assert!(progress.word().unwrap().contains("for 180 seconds"));
    }
}
