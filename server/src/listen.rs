//! Listeners, and the number of connections that the system allows.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tracing::warn;

use crate::target;

/// The number of files that are not connections: the store, listeners, those of the runtime.
const OTHER_FILES: usize = 64;
/// The number of connections that the system queues for each listener.
const BACKLOG: i32 = 1024;

/// Listens at the first of these addresses that is free. An IPv6 listener takes IPv6 connections
/// only.
///
/// # Errors
///
/// The system's, for the last address.
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
        // [::] and 0.0.0.0 can then be used together, with the same port.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The number of connections for which there are files. The system is asked for more files if
/// necessary.
pub fn connections_within_files(wanted: usize) -> usize {
    // A number beyond the type is as good as its end: no system has as many files.
    let needed = u64::try_from(wanted.saturating_add(OTHER_FILES)).unwrap_or(u64::MAX);
    let files = match rlimit::Resource::NOFILE.get_soft() {
        Ok(files) if files >= needed => files,
        // If the system refuses, the old limit stays.
        Ok(files) => rlimit::increase_nofile_limit(needed).unwrap_or(files),
        // A system without such a limit allows all.
        Err(_) => return wanted,
    };
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    // With too few files for anything one connection is tried all the same.
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
