//! The way to a registry, in the manner of RFC 8305. All addresses of all its end points are tried,
//! a new one every quarter of a second, and the first that answers is used. If it is not the
//! registry, the other addresses are tried.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use xlreg::credential::Credential;

use super::error::ClientError;
use super::patience::REACH;
use super::stop::Stop;
use crate::resolve::resolve;

/// The time before the next address is tried too: RFC 8305, 8.
const STAGGER: Duration = Duration::from_millis(250);

/// The time to resolve a name, or to try one address. A command without --timeout tries for as
/// long.
const CONNECT_TIME: Duration = REACH;

/// The number of addresses that are taken for the registry in one try. A name may have any number.
const MOST_TAKEN: usize = 8;

/// The result of a part of the work.
enum Part {
    /// The name has these addresses.
    Resolved(String, io::Result<Vec<SocketAddr>>),
    /// An address of an end point was tried.
    Tried(String, SocketAddr, io::Result<TcpStream>),
}

/// Runs one session with the registry, at the first of its addresses that completes the handshake.
/// An address where something else accepts the connection, such as a forwarder, does not stop the
/// others.
///
/// # Errors
///
/// The error of the session. If no address completed the handshake, it is that of the first one.
pub async fn reach<T>(
    credential: &Credential,
    stop: &Stop,
    mut session: impl AsyncFnMut(TcpStream) -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let (mut taken, mut first) = (Vec::new(), None);
    loop {
        let stream = match stop.clone().or(dial(credential, &taken)).await? {
            Ok(stream) => stream,
            Err(why) => {
                let name = &credential.name;
                return Err(first.unwrap_or_else(|| {
                    ClientError::Unreachable(format!("cannot reach the registry {name} ({why})"))
                }));
            }
        };
        let address = stream.peer_addr().map_err(ClientError::Io)?;
        match session(stream).await {
            Err(error) if error.is_of_handshake() && taken.len() < MOST_TAKEN => {
                taken.push(address);
                first.get_or_insert(error);
            }
            Err(error) if error.is_of_handshake() => return Err(first.unwrap_or(error)),
            done => return done,
        }
    }
}

/// Connects to the first address of the registry that answers, except for those in `taken`.
///
/// # Errors
///
/// The errors of all addresses, as one text.
pub async fn dial(credential: &Credential, taken: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut parts = JoinSet::new();
    for end_point in &credential.end_points {
        let end_point = end_point.to_string();
        parts.spawn(async move {
            let found = timeout(CONNECT_TIME, resolve(&end_point)).await;
            let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            Part::Resolved(end_point, found)
        });
    }
    let (mut waiting, mut problems) = (VecDeque::new(), Vec::new());
    let mut next = Instant::now();
    loop {
        if let Some((end_point, address)) = waiting.front().cloned()
            && Instant::now() >= next
        {
            waiting.pop_front();
            next = Instant::now() + STAGGER;
            parts.spawn(async move {
                let tried = timeout(CONNECT_TIME, TcpStream::connect(address)).await;
                let tried = tried.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                Part::Tried(end_point, address, tried)
            });
            continue;
        }
        let part = tokio::select! {
            part = parts.join_next() => part,
            () = sleep_until(next), if !waiting.is_empty() => continue,
        };
        match part {
            None if waiting.is_empty() => return Err(problems.join("; ")),
            None => next = Instant::now(),
            // A task that was not cancelled and does not panic ends with a part.
            Some(Err(error)) => problems.push(error.to_string()),
            Some(Ok(Part::Resolved(end_point, Ok(addresses)))) => {
                if addresses.is_empty() {
                    problems.push(format!("{end_point}: no such host"));
                }
                let others = addresses.into_iter().filter(|address| !taken.contains(address));
                waiting.extend(others.map(|address| (end_point.clone(), address)));
            }
            Some(Ok(Part::Resolved(end_point, Err(error)))) => {
                problems.push(format!("{end_point}: {error}"));
            }
            Some(Ok(Part::Tried(_, _, Ok(stream)))) => {
                // A record must not wait for the next one: both would arrive in one segment.
                return stream.set_nodelay(true).map(|()| stream).map_err(|e| e.to_string());
            }
            Some(Ok(Part::Tried(end_point, address, Err(error)))) => {
                // After a failure the next address is tried at once.
                next = Instant::now();
                problems.push(match end_point == address.to_string() {
                    true => format!("{end_point}: {error}"),
                    false => format!("{end_point} ({address}): {error}"),
                });
            }
        }
    }
}
