//! The addresses of an end point.

use std::io;
use std::net::SocketAddr;

use tokio::net::lookup_host;

/// The addresses of a `host:port`. A dot at the end of a name says that nothing is to be searched
/// for below some domain; where it is not found like that it is looked for without, since a hosts
/// file has it so.
///
/// # Errors
///
/// The system's; of the first look.
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
