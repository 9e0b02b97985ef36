//! Where a server listens, and how many may come.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tracing::warn;

use crate::target;

/// Files open beside connections: the store, listeners, the runtime's own.
const OTHER_FILES: usize = 64;
/// Connections that the system queues for each listener.
const BACKLOG: i32 = 1024;

/// Listens at the first of these addresses that can be had. An IPv6 one is for IPv6 alone.
///
/// # Errors
///
/// What the system said of the last.
pub fn listen(addresses: impl IntoIterator<Item = SocketAddr>) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no such host");
    for address in addresses {
        match bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
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
            target: target::LISTEN,
            "{connections} connections at a time instead of {wanted}: \
             the system allows {files} open files"
        );
    }
    connections
}
