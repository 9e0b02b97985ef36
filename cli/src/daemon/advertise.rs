//! Where clients are told to come.

use std::net::SocketAddr;

use xlreg::identity::EndPoint;

use crate::failure::Failure;

/// Where clients on this machine reach a listener: one that listens everywhere, on the loopback address.
pub fn reachable(address: SocketAddr) -> Result<EndPoint, Failure> {
    let text = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("127.0.0.1:{}", v4.port()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("[::1]:{}", v6.port()),
        other => other.to_string(),
    };
    text.parse().map_err(Failure::new)
}
