//! How far a command is that reads or writes many things.

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// A count of what is read or written, on a terminal only. It disappears when dropped.
pub struct Count(ProgressBar);

impl Count {
    /// Starts to count up to `all`.
    pub fn start(what: &'static str, all: u64) -> Self {
        Self::with(ProgressBar::new(all), "{msg} [{bar:24}] {pos} of {len}", what)
    }

    /// Starts to count where nobody knows how many there will be.
    pub fn unknown(what: &'static str) -> Self {
        Self::with(ProgressBar::no_length(), "{msg} {pos} lines", what)
    }

    fn with(bar: ProgressBar, template: &str, what: &'static str) -> Self {
        let bar = bar.with_finish(ProgressFinish::AndClear).with_message(what);
        // The template is a constant, and without its style the bar is a plain one.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Sets the count.
    pub fn set(&self, count: u64) {
        self.0.set_position(count);
    }
}
