//! Who is let in: connections in all and for each address, Hellos a second for each address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bounds on what clients may take up together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at a time.
    pub connections: usize,
    /// Connections open at a time for one address.
    pub connections_per_address: usize,
    /// Hellos opened a second for one address, in the long run; twice as many at once.
    pub hello_rate: f64,
    /// Hellos that wait for RSA; beyond that they are not opened.
    pub hellos_waiting: usize,
}

impl Limits {
    /// Hellos that one address may have opened at once.
    fn burst(&self) -> f64 {
        (2.0 * self.hello_rate).max(1.0)
    }
}

impl Default for Limits {
    /// 4096 connections take some tens of MB, 1.2 GB if all ask for the largest reply there can be and do not
    /// read it. 1024 for one address: many nodes may sit behind one. 200 Hellos
    /// a second keep one address from taking a whole core for RSA. 1024 Hellos in the queue are a few seconds
    /// of RSA, less than a Hello may take.
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: 1024,
            hello_rate: 200.0,
            hellos_waiting: 1024,
        }
    }
}

/// Counts who is in.
pub struct Admission {
    limits: Limits,
    addresses: Mutex<HashMap<IpAddr, Address>>,
    connections: Arc<Semaphore>,
}

/// What one address takes up.
struct Address {
    connections: usize,
    /// Hellos it may still have opened, and when that was reckoned.
    credit: f64,
    reckoned: Instant,
}

impl Admission {
    /// Nobody is in yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            addresses: Mutex::new(HashMap::new()),
            connections: Arc::new(Semaphore::new(limits.connections)),
        }
    }

    /// A seat for a connection from this address, if there is one.
    pub fn seat(self: &Arc<Self>, peer: IpAddr) -> Option<Seat> {
        let permit = Arc::clone(&self.connections).try_acquire_owned().ok()?;
        let address = network(peer);
        let mut addresses = self.addresses();
        let known = addresses.entry(address).or_insert_with(|| Address {
            connections: 0,
            credit: self.limits.burst(),
            reckoned: Instant::now(),
        });
        if known.connections >= self.limits.connections_per_address {
            return None;
        }
        known.connections += 1;
        Some(Seat { admission: Arc::clone(self), address, _permit: permit })
    }

    /// Whether this address, which has a seat, may have another Hello opened now.
    pub fn hello(&self, address: IpAddr) -> bool {
        let (rate, burst) = (self.limits.hello_rate, self.limits.burst());
        match self.addresses().get_mut(&address) {
            None => false,
            Some(known) => {
                let now = Instant::now();
                let earned = now.duration_since(known.reckoned).as_secs_f64() * rate;
                known.credit = (known.credit + earned).min(burst);
                known.reckoned = now;
                let granted = known.credit >= 1.0;
                if granted {
                    known.credit -= 1.0;
                }
                granted
            }
        }
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, Address>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An address with nobody in it is forgotten as soon as it would have its full credit again anyway.
    fn leave(&self, address: IpAddr) {
        let full = self.limits.burst();
        let mut addresses = self.addresses();
        if let Entry::Occupied(mut entry) = addresses.entry(address) {
            entry.get_mut().connections -= 1;
        }
        // Looking through all is rare enough: it happens when as many are empty as connections may be open.
        if addresses.len() > 2 * self.limits.connections {
            addresses.retain(|_, known| {
                let earned = known.reckoned.elapsed().as_secs_f64() * self.limits.hello_rate;
                known.connections > 0 || known.credit + earned < full
            });
        }
    }
}

/// Who shares an address's limits: an IPv4 address, or an IPv6 network of 64 bits, which one host can have all of.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// One connection's place, given back when dropped.
pub struct Seat {
    admission: Arc<Admission>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    /// The address whose limits count for it.
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.admission.leave(self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(limits: Limits) -> Arc<Admission> {
        Arc::new(Admission::new(limits))
    }

    #[test]
    fn seats_are_limited_in_all_and_for_each_address_and_come_back() {
        let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::default() };
        let admission = admission(limits);
        let [a, b] = ["127.0.0.1", "127.0.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
        let first = admission.seat(a).unwrap();
        let second = admission.seat(a).unwrap();
        assert!(admission.seat(a).is_none(), "two for one address");
        let third = admission.seat(b).unwrap();
        assert!(admission.seat(b).is_none(), "three in all");
        drop(second);
        assert!(admission.seat(a).is_some());
        drop((first, third));
    }

    #[test]
    fn hosts_of_one_ipv6_network_share_its_limits() {
        let limits = Limits { connections_per_address: 1, ..Limits::default() };
        let admission = admission(limits);
        let [a, b, c] = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"]
            .map(|ip| ip.parse::<IpAddr>().unwrap());
        let _first = admission.seat(a).unwrap();
        assert!(admission.seat(b).is_none());
        assert!(admission.seat(c).is_some());
    }

    #[test]
    fn hellos_beyond_the_burst_are_not_opened() {
        // So slow that nothing is earned while the test runs.
        let admission = admission(Limits { hello_rate: 1e-6, ..Limits::default() });
        let address = "127.0.0.1".parse().unwrap();
        let _seat = admission.seat(address).unwrap();
        let opened = [(); 3].map(|()| admission.hello(address));
        assert_eq!(opened, [true, false, false], "at least one, however low the rate");
    }

    #[test]
    fn empty_addresses_do_not_pile_up() {
        let admission = admission(Limits { connections: 4, ..Limits::default() });
        for n in 0..100u32 {
            drop(admission.seat(std::net::Ipv4Addr::from(n).into()));
        }
        assert!(admission.addresses().len() <= 9);
    }
}
