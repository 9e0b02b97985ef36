//! The end points for clients. Clients should be able to connect there.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use xlreg::credential::Credential;
use xlreg::identity::EndPoint;

use crate::output::Failure;

/// The end points that the operator gave, and the addresses from the system.
pub struct Advertise<'a> {
    /// The end points to listen at.
    pub listen: &'a [EndPoint],
    /// The end points for clients; those of the listeners if there are none.
    pub advertise: &'a [EndPoint],
    /// The addresses of the listeners.
    pub listening: Vec<SocketAddr>,
}

impl Advertise<'_> {
    /// The end points for clients, each once.
    ///
    /// # Errors
    ///
    /// A [`Failure`] of usage if there are more than clients accept.
    pub fn end_points(&self) -> Result<Vec<EndPoint>, Failure> {
        match self.advertise {
            [] => as_clients_take(self.listening.iter().copied().map(reachable)),
            said => as_clients_take(said.iter().cloned().map(Ok)),
        }
    }

    /// The notices for the operator: an end point is for this machine only, or it differs from the
    /// old file.
    pub fn notices(&self, file: &str, before: &[EndPoint], now: &[EndPoint]) -> Vec<String> {
        let mut notices = Vec::new();
        let chosen_here = self.advertise.is_empty();
        if chosen_here && self.listening.iter().any(|address| address.ip().is_unspecified()) {
            notices.push(format!(
                "{file} is good on this machine only: --advertise the address that others reach it at"
            ));
        }
        if !before.is_empty() && before != now {
            let any_port = chosen_here && self.listen.iter().any(|end_point| end_point.port() == 0);
            let keep = if any_port { "; a --listen port other than 0 would stay" } else { "" };
            notices.push(format!(
                "{file} said {} and says {} now: clients need the new one{keep}",
                list(before),
                list(now)
            ));
        }
        notices
    }
}

/// Checks the end points for clients, before anything is made.
///
/// # Errors
///
/// A [`Failure`] of usage if nobody can connect to one, or there are more than clients accept.
pub fn check(advertise: &[EndPoint]) -> Result<(), Failure> {
    if let Some(vain) = advertise.iter().find(|end_point| is_vain(end_point)) {
        return Err(Failure::usage(format!("nobody can connect to {vain}"))
            .advise("--advertise the address and port that clients reach this registry at"));
    }
    as_clients_take(advertise.iter().cloned().map(Ok)).map(drop)
}

/// Removes doubles, and checks the number.
fn as_clients_take(
    end_points: impl Iterator<Item = Result<EndPoint, Failure>>,
) -> Result<Vec<EndPoint>, Failure> {
    let mut each_once = Vec::new();
    for end_point in end_points {
        let end_point = end_point?;
        if !each_once.contains(&end_point) {
            each_once.push(end_point);
        }
    }
    let (many, most) = (each_once.len(), Credential::MAX_END_POINTS);
    if many > most {
        return Err(Failure::usage(format!("clients take {most} addresses, not {many}"))
            .advise(format!("--advertise {most} of them at most")));
    }
    Ok(each_once)
}

/// Whether nobody can connect to this end point.
fn is_vain(end_point: &EndPoint) -> bool {
    let address = end_point.host().parse::<IpAddr>();
    end_point.port() == 0 || address.is_ok_and(|ip| ip.to_canonical().is_unspecified())
}

/// The end point where clients on this machine reach a listener. For one that listens everywhere it
/// is the loopback address.
fn reachable(address: SocketAddr) -> Result<EndPoint, Failure> {
    let text = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("127.0.0.1:{}", v4.port()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("[::1]:{}", v6.port()),
        other => other.to_string(),
    };
    text.parse().map_err(Failure::new)
}

/// The end points in the file for clients; none if it cannot be read.
pub fn told_in(path: &Path) -> Vec<EndPoint> {
    let text = || {
        let mut text = String::new();
        let limit = u64::try_from(Credential::MAX_LEN).unwrap_or(u64::MAX);
        std::fs::File::open(path).ok()?.take(limit).read_to_string(&mut text).ok()?;
        text.parse::<Credential>().ok()
    };
    text().map_or_else(Vec::new, |credential| credential.end_points)
}

fn list(end_points: &[EndPoint]) -> String {
    let texts: Vec<_> = end_points.iter().map(EndPoint::as_str).collect();
    texts.join(", ")
}
