//! Admission: the limits on connections, and on the Hellos of each address.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::fair::Place;

/// The limits on what clients may use together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The number of open connections.
    pub connections: usize,
    /// The number of open connections of one address.
    pub connections_per_address: usize,
    /// The number of Hellos that are opened per second for one address, in the long run. Twice as
    /// many may come at once.
    pub hello_rate: f64,
    /// The number of Hellos that may wait for RSA. More are not opened.
    pub hellos_waiting: usize,
}

impl Limits {
    /// The number of Hellos that one address may send at once.
    fn burst(&self) -> f64 {
        (2.0 * self.hello_rate).max(1.0)
    }
}

impl Default for Limits {
    /// 4096 connections take some tens of MB, and 1.2 GB if all of them ask for the largest reply
    /// and do not read it. 1024 connections for one address: many nodes may share one. 200 Hellos a
    /// second: one address cannot keep a whole core busy with RSA. 1024 waiting Hellos take a few
    /// seconds of RSA, less than the deadline of a Hello.
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: 1024,
            hello_rate: 200.0,
            hellos_waiting: 1024,
        }
    }
}

/// Counts the open connections.
pub struct Admission {
    book: Mutex<Book>,
}

/// The state of all addresses. An operation takes as many steps for ten addresses as for a million.
struct Book {
    limits: Limits,
    addresses: HashMap<IpAddr, Address>,
    /// Addresses without a connection when they were added, with the time when their credit is full
    /// again, whatever it was. The times are in order, because filling takes equally long for all.
    /// Each address is here at most once.
    vacated: VecDeque<(Instant, IpAddr)>,
    /// The number of connections that were let in so far.
    let_in: u64,
    /// The number of open connections.
    open: usize,
}

/// The state of one address.
struct Address {
    connections: usize,
    /// The number of Hellos that the address may still send, and the time of that number.
    credit: f64,
    reckoned: Instant,
    /// Whether the address is in [`Book::vacated`].
    vacated: bool,
}

/// The number of vacated addresses that are examined when a connection comes or goes. No more than
/// this can have been vacated since the last time.
const LOOKED_AT: usize = 2;
/// The number of vacated addresses whose credit is remembered, about 40 MB. More get their full
/// credit early.
const REMEMBERED: usize = 1 << 18;

impl Address {
    /// The credit at this time.
    fn credit(&self, limits: &Limits, now: Instant) -> f64 {
        #[cfg(test)]
        tests::RECKONED.set(tests::RECKONED.get() + 1);
        let earned = now.saturating_duration_since(self.reckoned).as_secs_f64() * limits.hello_rate;
        (self.credit + earned).min(limits.burst())
    }

    fn has_full_credit(&self, limits: &Limits, now: Instant) -> bool {
        self.credit(limits, now) >= limits.burst()
    }
}

impl Book {
    fn new(limits: Limits) -> Self {
        Self { limits, addresses: HashMap::new(), vacated: VecDeque::new(), let_in: 0, open: 0 }
    }

    /// Sets new limits. From now on credit grows at the new rate, up to the new bound.
    fn set_limits(&mut self, limits: Limits, now: Instant) {
        for known in self.addresses.values_mut() {
            known.credit = known.credit(&self.limits, now);
            known.reckoned = now;
        }
        self.limits = limits;
        // An address without credit now has full credit at that time, so the order stays.
        let full_at = self.full_at(now);
        self.vacated.iter_mut().for_each(|(due, _)| *due = full_at);
    }

    /// Lets a connection in and gives it a number, if its address has room.
    fn enter(&mut self, address: IpAddr, now: Instant) -> Option<u64> {
        self.forget(now);
        let known = self.addresses.entry(address).or_insert_with(|| Address {
            connections: 0,
            credit: self.limits.burst(),
            reckoned: now,
            vacated: false,
        });
        if known.connections >= self.limits.connections_per_address {
            return None;
        }
        known.connections += 1;
        self.let_in += 1;
        Some(self.let_in)
    }

    fn hello(&mut self, address: IpAddr, now: Instant) -> bool {
        let Some(known) = self.addresses.get_mut(&address) else { return false };
        known.credit = known.credit(&self.limits, now);
        known.reckoned = now;
        let granted = known.credit >= 1.0;
        if granted {
            known.credit -= 1.0;
        }
        granted
    }

    /// Notes the end of a connection. An address without a connection is forgotten when its credit
    /// is full again.
    fn leave(&mut self, address: IpAddr, now: Instant) {
        if let Entry::Occupied(mut entry) = self.addresses.entry(address) {
            let known = entry.get_mut();
            debug_assert!(known.connections > 0, "a connection that leaves was in");
            known.connections = known.connections.saturating_sub(1);
            if known.connections == 0 && !known.vacated {
                if known.has_full_credit(&self.limits, now) {
                    entry.remove();
                } else {
                    known.vacated = true;
                    self.vacated.push_back((self.full_at(now), address));
                }
            }
        }
        self.forget(now);
    }

    /// The time when an address without credit now has full credit.
    fn full_at(&self, now: Instant) -> Instant {
        let earning = self.limits.burst() / self.limits.hello_rate;
        // At the lowest rates that is longer than a duration can say. With an earlier time the
        // address is only examined earlier.
        Duration::try_from_secs_f64(earning).ok().and_then(|it| now.checked_add(it)).unwrap_or(now)
    }

    /// Examines the first vacated addresses.
    fn forget(&mut self, now: Instant) {
        for _ in 0..LOOKED_AT {
            let crowded = self.vacated.len() > REMEMBERED;
            match self.vacated.front() {
                Some((due, _)) if crowded || *due <= now => {}
                _ => return,
            }
            let Some((_, address)) = self.vacated.pop_front() else { return };
            let Entry::Occupied(mut entry) = self.addresses.entry(address) else { continue };
            let known = entry.get_mut();
            if known.connections > 0 {
                // It comes here again when its connections have ended.
                known.vacated = false;
            } else if crowded || known.has_full_credit(&self.limits, now) {
                entry.remove();
            } else {
                // It had a connection in between, and has used some credit.
                self.vacated.push_back((self.full_at(now), address));
            }
        }
    }
}

impl Admission {
    /// Makes an admission without connections.
    pub fn new(limits: Limits) -> Self {
        Self { book: Mutex::new(Book::new(limits)) }
    }

    /// Sets new limits. Open connections stay.
    pub fn set_limits(&self, limits: Limits) {
        self.book().set_limits(limits, Instant::now());
    }

    /// Gives a permit for a connection from this address, if there is room.
    pub fn permit(self: &Arc<Self>, peer: IpAddr) -> Option<Permit> {
        let mut book = self.book();
        if book.open >= book.limits.connections {
            return None;
        }
        let address = network(peer);
        let number = book.enter(address, Instant::now())?;
        book.open += 1;
        drop(book);
        let place = (address, (number, ()));
        Some(Permit { admission: Arc::clone(self), place })
    }

    /// Whether this address, which has a permit, may send another Hello now.
    pub fn hello(&self, address: IpAddr) -> bool {
        self.book().hello(address, Instant::now())
    }

    /// The number of open connections.
    #[cfg(test)]
    pub fn open(&self) -> usize {
        self.book().open
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The network that shares the limits of an address: an IPv4 address, or an IPv6 network of 64
/// bits, because one host can have all of such a network.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// The place of one connection. It is given back when dropped.
pub struct Permit {
    admission: Arc<Admission>,
    place: Place,
}

impl Permit {
    /// The place of the connection in queues: the address with its limits, and the number of the
    /// connection.
    pub fn place(&self) -> Place {
        self.place
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut book = self.admission.book();
        book.leave(self.place.0, Instant::now());
        debug_assert!(book.open > 0, "whoever leaves was in");
        book.open = book.open.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// The number of times that a credit was computed, as a measure of steps.
        pub static RECKONED: Cell<usize> = const { Cell::new(0) };
    }

    fn admission(limits: Limits) -> Arc<Admission> {
        Arc::new(Admission::new(limits))
    }

    #[test]
    fn seats_are_limited_in_all_and_for_each_address_and_come_back() {
        let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::default() };
        let admission = admission(limits);
        let [a, b] = ["127.0.0.1", "127.0.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
        let first = admission.permit(a).unwrap();
        let second = admission.permit(a).unwrap();
        assert!(admission.permit(a).is_none(), "two for one address");
        let third = admission.permit(b).unwrap();
        assert!(admission.permit(b).is_none(), "three in all");
        drop(second);
        assert!(admission.permit(a).is_some());
        drop((first, third));
    }

    #[test]
    fn hosts_of_one_ipv6_network_share_its_limits() {
        let limits = Limits { connections_per_address: 1, ..Limits::default() };
        let admission = admission(limits);
        let [a, b, c] = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"]
            .map(|ip| ip.parse::<IpAddr>().unwrap());
        let _first = admission.permit(a).unwrap();
        assert!(admission.permit(b).is_none());
        assert!(admission.permit(c).is_some());
    }

    #[test]
    fn hellos_beyond_the_burst_are_not_opened() {
        // The rate is so low that nothing is earned while the test runs.
        let admission = admission(Limits { hello_rate: 1e-6, ..Limits::default() });
        let address = "127.0.0.1".parse().unwrap();
        let _seat = admission.permit(address).unwrap();
        let opened = [(); 3].map(|()| admission.hello(address));
        assert_eq!(opened, [true, false, false], "at least one, however low the rate");
    }

    fn nth(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(n).into()
    }

    /// The time until all credit is full again.
    const RECOVERY: Duration = Duration::from_secs(2);

    #[test]
    fn empty_addresses_do_not_pile_up() {
        let (mut book, now) = (Book::new(Limits::default()), Instant::now());
        for n in 0..1000 {
            book.enter(nth(n), now).unwrap();
            book.leave(nth(n), now);
        }
        assert_eq!(book.addresses.len(), 0, "without a Hello there is nothing to remember");
        for n in 0..1000 {
            book.enter(nth(n), now).unwrap();
            assert!(book.hello(nth(n), now));
            book.leave(nth(n), now);
        }
        assert_eq!(book.addresses.len(), 1000, "they have spent some credit");
        // Each connection that comes and goes removes two addresses.
        let later = now + RECOVERY;
        for n in 5000..5500 {
            book.enter(nth(n), later).unwrap();
            book.leave(nth(n), later);
        }
        assert_eq!((book.addresses.len(), book.vacated.len()), (0, 0));
    }

    /// Credit does not grow by leaving, or by coming and going.
    #[test]
    fn credit_is_remembered_until_it_is_full_again() {
        let limits = Limits { hello_rate: 1.0, ..Limits::default() };
        let (mut book, begun) = (Book::new(limits), Instant::now());
        let mut visit = |now| {
            book.enter(nth(1), now).unwrap();
            let granted = book.hello(nth(1), now);
            book.leave(nth(1), now);
            granted
        };
        let granted: Vec<_> =
            (0..20).map(|n| visit(begun + n * Duration::from_millis(500))).collect();
        // Two at once, and then one a second.
        let expected = |n: usize| n < 3 || n.is_multiple_of(2);
        assert_eq!(granted, (0..20).map(expected).collect::<Vec<_>>());
        assert_eq!((book.addresses.len(), book.vacated.len()), (1, 1), "it stands there once");
    }

    /// Coming, leaving and forgetting take as many steps for 300,000 addresses as for ten.
    #[test]
    fn leaving_takes_as_many_steps_however_many_addresses_are_known() {
        for known in [10, 1000, 300_000] {
            let limits = Limits { connections_per_address: 2, ..Limits::default() };
            let (mut book, now) = (Book::new(limits), Instant::now());
            for n in 0..known {
                book.enter(nth(n), now).unwrap();
                assert!(book.hello(nth(n), now));
                if n.is_multiple_of(2) {
                    book.leave(nth(n), now);
                }
            }
            assert_eq!(book.addresses.len(), known as usize);
            // Half of the addresses stay. The other half are vacated, and may be forgotten by then.
            let steps = |act: &mut dyn FnMut()| {
                RECKONED.set(0);
                act();
                RECKONED.get()
            };
            let later = now + 2 * RECOVERY;
            for n in (1..known).step_by(2) {
                let left = steps(&mut || book.leave(nth(n), later));
                assert!(
                    left <= 1 + LOOKED_AT,
                    "{left} of {known}: its own, and those it takes along"
                );
            }
            assert!(book.addresses.len() <= 1 && book.vacated.len() <= 1, "of {known}");
            let new = steps(&mut || assert!(book.enter(nth(known), later).is_some()));
            assert!(new <= LOOKED_AT, "of {known}");
        }
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        // The rate is so low that no credit is full again while the test runs.
        let limits = Limits { hello_rate: 1e-6, ..Limits::default() };
        let (mut book, now) = (Book::new(limits), Instant::now());
        for n in 0..REMEMBERED as u32 + 1000 {
            book.enter(nth(n), now).unwrap();
            assert!(book.hello(nth(n), now));
            book.leave(nth(n), now);
        }
        assert_eq!((book.addresses.len(), book.vacated.len()), (REMEMBERED, REMEMBERED));
    }

    #[test]
    fn new_limits_hold_for_whoever_comes_and_those_who_are_in_stay() {
        let admission = admission(Limits { connections: 2, hello_rate: 1e-6, ..Limits::default() });
        let [a, b] = ["127.0.0.1", "127.0.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
        let [first, second] = [a, b].map(|address| admission.permit(address).unwrap());
        assert!(admission.permit(a).is_none());
        admission.set_limits(Limits {
            connections: 3,
            connections_per_address: 1,
            ..Limits::default()
        });
        assert!(admission.permit(a).is_none(), "one for each address");
        let third = admission.permit("127.0.0.3".parse().unwrap()).unwrap();
        admission.set_limits(Limits { connections: 1, ..Limits::default() });
        drop((second, third));
        assert!(admission.permit(b).is_none(), "one is in still");
        drop(first);
        assert!(admission.permit(b).is_some());
    }

    #[test]
    fn credit_that_was_spent_comes_back_at_the_new_rate() {
        let limits = |hello_rate| Limits { hello_rate, ..Limits::default() };
        let (mut book, now) = (Book::new(limits(0.01)), Instant::now());
        book.enter(nth(1), now).unwrap();
        assert!(book.hello(nth(1), now));
        book.leave(nth(1), now);
        assert_eq!(book.vacated.front().unwrap().0, now + Duration::from_secs(100));
        book.set_limits(limits(1.0), now);
        let second = now + Duration::from_secs(1);
        book.enter(nth(1), second).unwrap();
        let granted = [(); 2].map(|()| book.hello(nth(1), second));
        assert_eq!(granted, [true, false], "what it has earned since");
        book.leave(nth(1), second);
        // The address is forgotten at the time that the new limits give.
        book.enter(nth(2), now + Duration::from_secs(10)).unwrap();
        assert_eq!((book.addresses.len(), book.vacated.len()), (1, 0));
    }
}
