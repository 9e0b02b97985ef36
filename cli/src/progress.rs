//! How a join comes along, shown on a terminal. Where stderr is none, nothing is drawn.

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use xlreg::identity::Name;

const TEMPLATE: &str = "{msg} [{bar:24}] {pos} of {len} members";

/// A bar that fills as members arrive; it clears itself away when dropped.
pub struct Progress(ProgressBar);

impl Progress {
    /// For a cluster of this size, just joined.
    pub fn start(cluster: &str, size: u32) -> Self {
        // indicatif draws on stderr, and only on a terminal.
        let bar = ProgressBar::new(size.into()).with_finish(ProgressFinish::AndClear);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(cluster.to_owned());
        bar.tick();
        Self(bar)
    }

    /// One more member has become known.
    pub fn arrived(&self, name: &Name) {
        self.0.inc(1);
        // Draws the bar anew in any case, which counting alone does not.
        self.0.println(format!("{name} is there"));
    }
}
