//! A small HTTP client for the pages of the daemon.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::wait::HANG;

/// The status line, head and body of an answer. All are empty if the server hung up.
pub struct Answer {
    pub status: String,
    pub head: String,
    pub body: String,
}

/// Sends the head of a request, and reads to the end.
pub fn ask(address: &str, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), HANG).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream.set_write_timeout(Some(HANG)).unwrap();
    // A hang-up may show while writing or while reading.
    let mut bytes = Vec::new();
    if stream.write_all(request).is_ok() {
        let _ = stream.read_to_end(&mut bytes);
    }
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.lines().next().unwrap_or_default();
    Answer { status: status.into(), head: head.into(), body: body.into() }
}

/// Gets one path, on a connection of its own.
pub fn get(address: &str, path: &str) -> Answer {
    request(address, "GET", path, "")
}

/// Sends one request with more headers, on a connection of its own.
pub fn request(address: &str, method: &str, path: &str, headers: &str) -> Answer {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n"
    );
    ask(address, request.as_bytes())
}

/// The samples of `/metrics`, by their names and labels.
pub struct Samples(pub String);

impl Samples {
    /// Gets the samples from this address.
    pub fn of(address: &str) -> Self {
        Self(get(address, "/metrics").body)
    }

    /// The value of the sample with this name and all of these labels; 0 if there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Vec<_> =
            labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let found = self.0.lines().find(|line| {
            let (sample, _) = line.rsplit_once(' ').unwrap_or_default();
            let (own, inside) = sample.split_once('{').unwrap_or((sample, ""));
            own == name && labels.iter().all(|label| inside.contains(label))
        });
        found.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// Whether the family is announced with this type.
    pub fn has_family(&self, name: &str, kind: &str) -> bool {
        self.0.contains(&format!("# TYPE {name} {kind}\n"))
    }
}
