//! The daemon's log: lines on stderr, behind a queue ([`log_queue`]). Its filter can change while
//! the daemon runs.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use tokio::time::sleep;
use tracing::{error, warn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, reload};

use super::log_queue;
use crate::output::Failure;

/// The filter if none is given.
const DEFAULT_FILTER: &str = "info";
/// The target of notices that the operator must see, with any filter.
pub const NOTICE: &str = "xlreg::notice";
/// The longest filter that is read, in bytes.
const MAX_FILTER: u64 = 4096;
/// The time between two reports of lost lines.
const LOSSES_TOLD_EVERY: Duration = Duration::from_secs(1);

/// The format of the log.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// Text, for people
    Text,
    /// JSON, one object a line
    Json,
}

/// The filter of the log.
pub struct Filter {
    file: Option<PathBuf>,
    set: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send>,
}

/// Starts the log. The filter comes from the file if it has one, otherwise from `RUST_LOG`.
///
/// # Errors
///
/// [`Failure`] if the file has no legal filter, or there are no more threads or files.
pub fn start(format: LogFormat, file: Option<&Path>) -> Result<Filter, Failure> {
    let filter = read(file).map_err(|why| {
        Failure::new(why).advise("a filter looks like: info, or warn,xlreg::daemon=debug")
    })?;
    let lines = log_queue::start().map_err(Failure::new)?;
    let (filter, handle) = reload::Layer::new(filter);
    let layer = fmt::layer().log_internal_errors(false).with_writer(lines);
    let layer = match format {
        LogFormat::Text => layer.with_ansi(wants_colour()).boxed(),
        LogFormat::Json => layer.json().boxed(),
    };
    tracing_subscriber::registry().with(filter).with(layer).try_init().map_err(Failure::new)?;
    // Otherwise it goes to stderr, where a full pipe would block it.
    std::panic::set_hook(Box::new(|panic| error!("{panic}")));
    let set = Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()));
    Ok(Filter { file: file.map(PathBuf::from), set })
}

impl Filter {
    /// Reads the filter again, and logs it. An illegal filter changes nothing.
    pub fn reload(&self) {
        let Some(path) = &self.file else {
            warn!(
                target: NOTICE,
                "reload: nothing to read anew; with --log-filter-file FILE it would be the log's filter"
            );
            return;
        };
        match read(Some(path)).and_then(|filter| {
            let told = filter.to_string();
            (self.set)(filter).map(|()| told)
        }) {
            Ok(filter) => warn!(target: NOTICE, "reload: the log's filter is {filter}"),
            Err(why) => warn!(target: NOTICE, "reload: the log's filter stays as it was: {why}"),
        }
    }
}

/// Reads the filter: from the file, from `RUST_LOG`, or the default, whichever comes first.
fn read(file: Option<&Path>) -> Result<EnvFilter, String> {
    let from_file = match file {
        Some(path) => text_of(path).map_err(|error| format!("{}: {error}", path.display()))?,
        None => None,
    };
    let filter = match from_file {
        Some(text) => EnvFilter::try_new(&text).map_err(|error| format!("{text:?}: {error}"))?,
        None => std::env::var(EnvFilter::DEFAULT_ENV)
            .ok()
            .filter(|text| !text.trim().is_empty())
            .and_then(|text| EnvFilter::try_new(text).ok())
            .unwrap_or_else(|| EnvFilter::new(DEFAULT_FILTER)),
    };
    let always = format!("{NOTICE}=warn").parse().map_err(|error| format!("{error}"))?;
    Ok(filter.add_directive(always))
}

/// Reads the filter in the file, if there is one.
fn text_of(path: &Path) -> std::io::Result<Option<String>> {
    let mut text = String::new();
    match std::fs::File::open(path) {
        Ok(file) => file.take(MAX_FILTER).read_to_string(&mut text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// Whether stderr is a terminal with colours. It uses the same rules as clap, with `NO_COLOR`.
fn wants_colour() -> bool {
    AutoStream::choice(&std::io::stderr()) != ColorChoice::Never
}

/// Reports the number of lost lines for ever, each time it has grown.
pub async fn tell_losses() {
    let mut told = 0;
    loop {
        sleep(LOSSES_TOLD_EVERY).await;
        let lost = log_queue::lost();
        if lost > told {
            told = lost;
            // If this line is lost too, the next report includes it.
            warn!(target: NOTICE, lost, "lines of the log were lost: nobody reads it, or the disk is full");
        }
    }
}
