//! Where the daemon listens, and how many may come.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tracing::warn;
use xlreg::identity::EndPoint;

use super::log::NOTICE;
use crate::output::Failure;
use crate::resolve::resolve;

/// Files open beside connections: the store, listeners, the runtime's own.
const OTHER_FILES: usize = 64;
/// Connections that the system queues for each listener.
const BACKLOG: i32 = 1024;

/// How long the end of stdout may take to be told where the daemon listens.
const TOLD: Duration = Duration::from_secs(1);

/// Listens at each of these end points.
///
/// # Errors
///
/// As [`listen`].
pub async fn all(end_points: &[EndPoint]) -> Result<Vec<TcpListener>, Failure> {
    let mut listeners = Vec::new();
    for end_point in end_points {
        listeners.push(listen(end_point).await?);
    }
    Ok(listeners)
}

/// Where they listen.
///
/// # Errors
///
/// The system's.
pub fn addresses(listeners: &[TcpListener]) -> Result<Vec<SocketAddr>, Failure> {
    listeners.iter().map(|listener| listener.local_addr().map_err(Failure::new)).collect()
}

/// Tells on stdout where the daemon listens, and beside that what the operator should know of it.
/// Where that can't be written, or nobody reads it, it serves all the same.
pub fn announce(addresses: &[SocketAddr], notices: &[String]) {
    let mut text: String =
        addresses.iter().map(|address| format!("listening on {address}\n")).collect();
    // They are in the log as well, so a terminal that shows the log has them.
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

/// Listens at the first address of this end point that can be had.
///
/// # Errors
///
/// [`Failure`] with what the system said of the last.
pub async fn listen(end_point: &EndPoint) -> Result<TcpListener, Failure> {
    let failed = |error: io::Error| {
        Failure::new(format!("cannot listen on {end_point}: {error}"))
            .advise("choose another address or port, or stop what listens there")
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no such host");
    for address in resolve(end_point.as_str()).await.map_err(failed)? {
        match bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // So that [::] and 0.0.0.0 can both be listened on, with the same port.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// As many connections as there can be files, after asking the system for more if that is needed.
pub fn connections_within_files(wanted: usize) -> usize {
    let needed = u64::try_from(wanted.saturating_add(OTHER_FILES)).unwrap_or(u64::MAX);
    let files = match rlimit::Resource::NOFILE.get_soft() {
        Ok(files) if files >= needed => files,
        Ok(files) => rlimit::increase_nofile_limit(needed).unwrap_or(files),
        // Where there is no such limit there is nothing to keep to.
        Err(_) => return wanted,
    };
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let connections = wanted.min(files.saturating_sub(OTHER_FILES).max(1));
    if connections < wanted {
        warn!(
            "{connections} connections at a time instead of {wanted}: the system allows {files} open files"
        );
    }
    connections
}
