//! The addresses of an end point.

use std::io;
use std::net::SocketAddr;

use tokio::net::lookup_host;

/// Resolves a `host:port`. A name with a dot at the end is not searched in other domains. If it is
/// not found, it is tried without the dot, because a hosts file may have it so.
///
/// # Errors
///
/// The system's, of the first try.
pub async fn resolve(end_point: &str) -> io::Result<Vec<SocketAddr>> {
    let error = match lookup_host(end_point).await {
        Ok(addresses) => return Ok(addresses.collect()),
        Err(error) => error,
    };
    match end_point.rsplit_once(".:") {
        Some((name, port)) => match lookup_host(format!("{name}:{port}")).await {
            Ok(addresses) => Ok(addresses.collect()),
            Err(_) => Err(error),
        },
        None => Err(error),
    }
}
