//! The listeners of the daemon, and the lines that name them.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::net::TcpListener;
use tracing::warn;
use xlreg::identity::EndPoint;

use super::log::NOTICE;
use crate::output::Failure;
use crate::resolve::resolve;

/// The longest time for writing the lines to stdout.
const TOLD: Duration = Duration::from_secs(1);

/// Listens at each of these end points.
///
/// # Errors
///
/// The errors of [`listen`].
pub async fn all(end_points: &[EndPoint]) -> Result<Vec<TcpListener>, Failure> {
    let mut listeners = Vec::new();
    for end_point in end_points {
        listeners.push(listen(end_point).await?);
    }
    Ok(listeners)
}

/// The addresses of listeners.
///
/// # Errors
///
/// The system's.
pub fn addresses(listeners: &[TcpListener]) -> Result<Vec<SocketAddr>, Failure> {
    listeners.iter().map(|listener| listener.local_addr().map_err(Failure::new)).collect()
}

/// Prints the addresses and the notices for the operator on stdout. If that fails, or nobody reads
/// it, the registry serves all the same.
pub fn announce(addresses: &[SocketAddr], notices: &[String]) {
    let mut text: String =
        addresses.iter().map(|address| format!("listening on {address}\n")).collect();
    // The notices are in the log too, so a terminal that shows the log does not need them.
    if !io::stderr().is_terminal() {
        text.extend(notices.iter().map(|notice| format!("{notice}\n")));
    }
    let (done, told) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name("stdout".into());
    let failed = match thread.spawn(move || done.send(print(&text))) {
        Ok(_) => match told.recv_timeout(TOLD) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "nobody reads it".into(),
        },
        Err(error) => error.to_string(),
    };
    warn!(target: NOTICE, ?addresses, "listening, which stdout could not be told: {failed}");
}

fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Listens at the first address of this end point that is free.
///
/// # Errors
///
/// [`Failure`] with the error of the last address.
pub async fn listen(end_point: &EndPoint) -> Result<TcpListener, Failure> {
    let addresses = resolve(end_point.as_str()).await;
    addresses.and_then(xlreg_server::listen).map_err(|error| {
        Failure::new(format!("cannot listen on {end_point}: {error}"))
            .advise("choose another address or port, or stop what listens there")
    })
}
