//! Where clients are told to come: it should be where they get.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use xlreg::credential::Credential;
use xlreg::identity::EndPoint;

use crate::output::Failure;

/// What the operator asked for, and what the system made of it.
pub struct Advertise<'a> {
    /// Where to listen.
    pub listen: &'a [EndPoint],
    /// Where clients are to come; where it listens, if that is not said.
    pub advertise: &'a [EndPoint],
    /// Where it listens.
    pub listening: Vec<SocketAddr>,
}

impl Advertise<'_> {
    /// What clients are told, each once.
    ///
    /// # Errors
    ///
    /// A [`Failure`] of usage if there are more than clients take.
    pub fn end_points(&self) -> Result<Vec<EndPoint>, Failure> {
        match self.advertise {
            [] => as_clients_take(self.listening.iter().copied().map(reachable)),
            said => as_clients_take(said.iter().cloned().map(Ok)),
        }
    }

    /// What the operator should know of that: that it is good on this machine only, or is not what
    /// the file said before.
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

/// Finds fault with what the operator wants clients to be told, before anything is made.
///
/// # Errors
///
/// A [`Failure`] of usage if nobody could come there, or there are more than clients take.
pub fn check(advertise: &[EndPoint]) -> Result<(), Failure> {
    if let Some(vain) = advertise.iter().find(|end_point| is_vain(end_point)) {
        return Err(Failure::usage(format!("nobody can connect to {vain}"))
            .advise("--advertise the address and port that clients reach this registry at"));
    }
    as_clients_take(advertise.iter().cloned().map(Ok)).map(drop)
}

/// Each once, and not too many.
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

/// Whether nobody can connect there.
fn is_vain(end_point: &EndPoint) -> bool {
    let address = end_point.host().parse::<IpAddr>();
    end_point.port() == 0 || address.is_ok_and(|ip| ip.to_canonical().is_unspecified())
}

/// Where clients on this machine reach a listener: one that listens everywhere, on the loopback
/// address.
fn reachable(address: SocketAddr) -> Result<EndPoint, Failure> {
    let text = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("127.0.0.1:{}", v4.port()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("[::1]:{}", v6.port()),
        other => other.to_string(),
    };
    text.parse().map_err(Failure::new)
}

/// Where the file tells clients to come; nowhere, if it is not there or not readable.
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
