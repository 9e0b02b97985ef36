//! What the system tells the daemon.

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// Resolves at the first SIGTERM or SIGINT.
pub fn stop_signals() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::new)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::new)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
