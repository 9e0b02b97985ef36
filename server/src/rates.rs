//! Rates: how many changes an address and a sig key may make in a minute.
//!
//! The minutes are those of this process. What was counted is forgotten with its minute, so this
//! takes little memory and no timers.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use xlreg::identity::Fingerprint;
use xlreg::message::Refusal;
use xlreg::registry::Change;

const MINUTE: Duration = Duration::from_secs(60);

/// The number of addresses, and of keys, that are counted apart in a minute: some 20 MB. All others
/// of that minute are counted together.
const APART: usize = 1 << 18;

/// How many changes a minute are accepted from one address or of one sig key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// New nodes of an address.
    pub nodes: u32,
    /// New clusters of an address.
    pub clusters: u32,
    /// New members of clusters of an address.
    pub memberships: u32,
    /// Changes of an address, those included.
    pub changes: u32,
    /// Changes of a sig key.
    pub changes_of_a_key: u32,
}

impl Rates {
    /// No rates but those of numbers.
    pub const NONE: Self = Self {
        nodes: u32::MAX,
        clusters: u32::MAX,
        memberships: u32::MAX,
        changes: u32::MAX,
        changes_of_a_key: u32::MAX,
    };
}

impl Default for Rates {
    /// A thousand nodes behind one address can all start and join ten clusters each in one minute.
    fn default() -> Self {
        Self {
            nodes: 3_000,
            clusters: 3_000,
            memberships: 10_000,
            changes: 15_000,
            changes_of_a_key: 6_000,
        }
    }
}

/// Changes by what they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) nodes: u32,
    pub(crate) clusters: u32,
    pub(crate) memberships: u32,
    pub(crate) changes: u32,
}

impl Counts {
    fn of(change: &Change) -> Self {
        let count = |counts: fn(&Change) -> bool| {
            u32::try_from(change.parts().iter().filter(|part| counts(part)).count())
                .unwrap_or(u32::MAX)
        };
        Self {
            nodes: count(|part| matches!(part, Change::NodeBound { .. })),
            clusters: count(|part| matches!(part, Change::ClusterCreated { .. })),
            memberships: count(|part| matches!(part, Change::MemberJoined { .. })),
            changes: count(|part| !part.is_note()),
        }
    }

    /// Both together. At their end numbers are beyond every rate.
    const fn plus(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.saturating_add(other.nodes),
            clusters: self.clusters.saturating_add(other.clusters),
            memberships: self.memberships.saturating_add(other.memberships),
            changes: self.changes.saturating_add(other.changes),
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.max(other.nodes),
            clusters: self.clusters.max(other.clusters),
            memberships: self.memberships.max(other.memberships),
            changes: self.changes.max(other.changes),
        }
    }
}

/// The most that one address and one sig key have used of their rates, in this minute or the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) by_an_address: Counts,
    pub(crate) by_a_key: Counts,
}

/// What was changed in this minute.
pub(crate) struct Meter(Mutex<Book>);

struct Book {
    rates: Rates,
    begun: Instant,
    addresses: Minute<IpAddr>,
    keys: Minute<Fingerprint>,
}

/// What each of many has used in this minute.
struct Minute<K> {
    apart: HashMap<K, Counts>,
    /// What those have used that are not counted apart.
    others: Counts,
    most: Counts,
    most_before: Counts,
}

impl<K: Eq + Hash> Minute<K> {
    fn new() -> Self {
        let (others, most, most_before) = Default::default();
        Self { apart: HashMap::new(), others, most, most_before }
    }

    /// Starts another minute. `passed` is how many have passed.
    fn start(&mut self, passed: u128) {
        self.most_before = if passed == 1 { self.most } else { Counts::default() };
        self.most = Counts::default();
        self.others = Counts::default();
        // The memory goes back.
        self.apart = HashMap::new();
    }

    fn counts(&mut self, who: K) -> &mut Counts {
        if self.apart.len() >= APART && !self.apart.contains_key(&who) {
            return &mut self.others;
        }
        self.apart.entry(who).or_default()
    }
}

impl Meter {
    pub(crate) fn new(rates: Rates) -> Self {
        let (addresses, keys) = (Minute::new(), Minute::new());
        Self(Mutex::new(Book { rates, begun: Instant::now(), addresses, keys }))
    }

    pub(crate) fn set_rates(&self, rates: Rates) {
        self.book().rates = rates;
    }

    /// The rates, and the most that was used of them.
    pub(crate) fn used(&self) -> (Rates, Used) {
        let mut book = self.book();
        book.turn(Instant::now());
        let Book { rates, addresses, keys, .. } = &*book;
        let by_an_address = addresses.most.max(addresses.most_before);
        let by_a_key = keys.most.max(keys.most_before);
        (*rates, Used { by_an_address, by_a_key })
    }

    fn admit(
        &self,
        address: Option<IpAddr>,
        key: &Fingerprint,
        change: &Change,
        now: Instant,
    ) -> Result<(), Refusal> {
        let mut book = self.book();
        book.turn(now);
        book.admit(address, key, Counts::of(change))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Goes on to the minute of this time.
    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.begun).as_nanos() / MINUTE.as_nanos();
        if passed > 0 {
            self.begun = now;
            self.addresses.start(passed);
            self.keys.start(passed);
        }
    }

    /// Counts a change, if the rates allow it.
    fn admit(
        &mut self,
        address: Option<IpAddr>,
        key: &Fingerprint,
        more: Counts,
    ) -> Result<(), Refusal> {
        let Self { rates, addresses, keys, .. } = self;
        let of_key = keys.counts(*key);
        let key_then = of_key.plus(more);
        if more.changes > 0 && key_then.changes > rates.changes_of_a_key {
            return Err(Refusal::TooManyChangesOfKey);
        }
        if let Some(address) = address {
            let counts = addresses.counts(address);
            let then = counts.plus(more);
            for (more, then, rate, refusal) in [
                (more.nodes, then.nodes, rates.nodes, Refusal::TooManyNodesFromAddress),
                (more.clusters, then.clusters, rates.clusters, Refusal::TooManyClustersFromAddress),
                (
                    more.memberships,
                    then.memberships,
                    rates.memberships,
                    Refusal::TooManyMembershipsFromAddress,
                ),
                (more.changes, then.changes, rates.changes, Refusal::TooManyChangesFromAddress),
            ] {
                if more > 0 && then > rate {
                    return Err(refusal);
                }
            }
            *counts = then;
            addresses.most = addresses.most.max(then);
        }
        *of_key = key_then;
        keys.most = keys.most.max(key_then);
        Ok(())
    }
}

/// Where a request comes from, for the rates.
#[derive(Clone, Default)]
pub struct Origin {
    address: Option<IpAddr>,
    meter: Option<Arc<Meter>>,
}

impl Origin {
    /// A place without rates: the operator, or a program of your own.
    pub fn unlimited() -> Self {
        Self::default()
    }

    pub(crate) const fn new(address: IpAddr, meter: Arc<Meter>) -> Self {
        Self { address: Some(address), meter: Some(meter) }
    }

    /// Counts a change, if the rates allow it.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] to send if they do not.
    pub fn admit(&self, key: &Fingerprint, change: &Change) -> Result<(), Refusal> {
        let Some(meter) = &self.meter else { return Ok(()) };
        meter.admit(self.address, key, change, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use xlreg::identity::NodeId;

    use super::*;

    fn key(n: u8) -> Fingerprint {
        Fingerprint::from_bytes([n; 32])
    }

    fn bound(n: u8) -> Change {
        Change::NodeBound { id: NodeId::from([n; 20]), key: key(n), day: None }
    }

    fn deleted(n: u8) -> Change {
        Change::ClusterDeleted { cluster: NodeId::from([n; 20]) }
    }

    fn address(n: u32) -> Option<IpAddr> {
        Some(std::net::Ipv4Addr::from(n).into())
    }

    #[test]
    fn each_address_and_each_key_has_its_rate_and_gets_it_anew_each_minute() {
        let rates = Rates { nodes: 2, changes: 3, changes_of_a_key: 4, ..Rates::NONE };
        let (meter, begun) = (Meter::new(rates), Instant::now());
        let try_at = |seconds, from, n, change: &Change| {
            meter.admit(address(from), &key(n), change, begun + Duration::from_secs(seconds))
        };
        for n in 0..2 {
            assert_eq!(try_at(0, 1, n, &bound(n)), Ok(()));
        }
        assert_eq!(try_at(0, 1, 2, &bound(2)), Err(Refusal::TooManyNodesFromAddress));
        assert_eq!(try_at(0, 1, 2, &deleted(2)), Ok(()), "what was refused does not count");
        assert_eq!(try_at(0, 1, 2, &deleted(2)), Err(Refusal::TooManyChangesFromAddress));
        assert_eq!(try_at(0, 2, 2, &deleted(2)), Ok(()), "another address");
        assert_eq!(try_at(0, 2, 2, &deleted(2)), Ok(()));
        assert_eq!(try_at(0, 3, 2, &deleted(2)), Ok(()));
        assert_eq!(try_at(0, 3, 2, &deleted(2)), Err(Refusal::TooManyChangesOfKey));
        let note =
            Change::NodeUsed { id: NodeId::from([2; 20]), day: xlreg::registry::Day::new(1) };
        assert_eq!(try_at(0, 3, 2, &note), Ok(()), "a note is no change of a client");
        assert_eq!(try_at(59, 1, 2, &bound(2)), Err(Refusal::TooManyChangesOfKey));
        assert_eq!(try_at(60, 1, 2, &bound(2)), Ok(()), "another minute");
        let (_, used) = meter.used();
        assert_eq!((used.by_an_address.changes, used.by_a_key.changes), (3, 4));
    }

    #[test]
    fn a_list_counts_as_many_times_as_it_has_changes() {
        let meter = Meter::new(Rates { nodes: 3, ..Rates::NONE });
        let list = Change::All(vec![bound(1), bound(2)]);
        let now = Instant::now();
        assert_eq!(meter.admit(address(1), &key(1), &list, now), Ok(()));
        let refused = Err(Refusal::TooManyNodesFromAddress);
        assert_eq!(meter.admit(address(1), &key(1), &list, now), refused);
        assert_eq!(meter.admit(address(1), &key(1), &bound(3), now), Ok(()));
    }

    #[test]
    fn so_many_are_counted_apart_and_no_more() {
        let rates = Rates { changes: 1, changes_of_a_key: u32::MAX, ..Rates::NONE };
        let (meter, now) = (Meter::new(rates), Instant::now());
        for n in 0..APART as u32 {
            assert_eq!(meter.admit(address(n), &key(1), &bound(1), now), Ok(()));
        }
        let beyond = APART as u32;
        assert_eq!(meter.admit(address(beyond), &key(1), &bound(1), now), Ok(()));
        let refused = Err(Refusal::TooManyChangesFromAddress);
        assert_eq!(meter.admit(address(beyond + 1), &key(1), &bound(1), now), refused);
        assert_eq!(meter.book().addresses.apart.len(), APART);
    }
}
