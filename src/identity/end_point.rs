//! End points: TCP addresses as text, `host:port` (PROTOCOL 6.4).

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

/// The TCP address that a member publishes: a DNS name, an IPv4 address or an IPv6 address in
/// brackets, then a port. A name may end with a dot.
///
/// The text is kept unchanged, because a token's signature covers it.
///
/// ```
/// use xlreg::identity::EndPoint;
/// let end: EndPoint = "[::1]:4000".parse()?;
/// assert_eq!((end.host(), end.port()), ("::1", 4000));
/// # Ok::<(), xlreg::identity::EndPointError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndPoint {
    text: String,
    port: u16,
}

impl EndPoint {
    /// The longest end point, in bytes: a DNS name of 253 bytes, a colon and five digits.
    pub const MAX_LEN: usize = 259;

    /// The whole text, `host:port`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        let host = self.text.rsplit_once(':').map_or("", |(host, _)| host);
        host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
    }

    /// The port. 0 means that the node does not listen yet.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for EndPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// A text is not an end point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndPointError {
    /// The text is longer than any legal end point.
    #[error("the end point has {bytes} bytes, {} at most are allowed", EndPoint::MAX_LEN)]
    TooLong {
        /// The length of the text, in bytes.
        bytes: usize,
    },
    /// The text has no colon before the port.
    #[error("no port: host:port expected")]
    NoPort,
    /// The port is not a decimal number from 0 to 65535.
    #[error("the port is not a number from 0 to 65535")]
    Port,
    /// The host is not one of the three kinds.
    #[error("the host is not a DNS name, an IPv4 address or an IPv6 address in brackets")]
    Host,
}

impl FromStr for EndPoint {
    type Err = EndPointError;

    fn from_str(text: &str) -> Result<Self, EndPointError> {
        let port = port_of(text)?;
        Ok(Self { text: text.into(), port })
    }
}

impl TryFrom<&str> for EndPoint {
    type Error = EndPointError;

    fn try_from(text: &str) -> Result<Self, EndPointError> {
        text.parse()
    }
}

impl TryFrom<String> for EndPoint {
    type Error = EndPointError;

    fn try_from(text: String) -> Result<Self, EndPointError> {
        let port = port_of(&text)?;
        Ok(Self { text, port })
    }
}

impl From<SocketAddr> for EndPoint {
    /// Takes the address without zone and flow of IPv6, which have no meaning on another machine.
    /// `end.as_str().parse::<SocketAddr>()` gives the address back, unless the host is a name.
    fn from(address: SocketAddr) -> Self {
        let port = address.port();
        let text = match address.ip() {
            IpAddr::V4(ip) => format!("{ip}:{port}"),
            IpAddr::V6(ip) => format!("[{ip}]:{port}"),
        };
        Self { text, port }
    }
}

impl From<EndPoint> for String {
    fn from(end: EndPoint) -> Self {
        end.text
    }
}

impl AsRef<str> for EndPoint {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// Checks that a text is an end point, and gives its port.
fn port_of(text: &str) -> Result<u16, EndPointError> {
    if text.len() > EndPoint::MAX_LEN {
        return Err(EndPointError::TooLong { bytes: text.len() });
    }
    let (host, port) = text.rsplit_once(':').ok_or(EndPointError::NoPort)?;
    let canonical = matches!(port.as_bytes(), [b'0'] | [b'1'..=b'9', ..]);
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    if !canonical || !digits {
        return Err(EndPointError::Port);
    }
    let port = port.parse().map_err(|_| EndPointError::Port)?;
    let known = match host.strip_prefix('[').map(|h| h.strip_suffix(']')) {
        Some(inner) => inner.is_some_and(|h| h.parse::<Ipv6Addr>().is_ok()),
        None => host.parse::<Ipv4Addr>().is_ok() || is_dns_name(host),
    };
    if known { Ok(port) } else { Err(EndPointError::Host) }
}

/// Whether a host is a DNS name: labels of 1 to 63 letters, digits, `-` and `_`, with 253 bytes in
/// all. The last label is not all digits, so a mistyped IPv4 address is not a name. A dot at the
/// end is allowed: it stops resolvers from appending a domain.
fn is_dns_name(host: &str) -> bool {
    let whole = host;
    let host = host.strip_suffix('.').unwrap_or(host);
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let last_is_number =
        host.rsplit('.').next().is_none_or(|l| l.bytes().all(|b| b.is_ascii_digit()));
    whole.len() <= 253 && host.split('.').all(label) && !last_is_number
}
