//! A fair queue: an owner with much work does not keep others from a turn or from a place.
//!
//! [`Fair`] has a line for each key, and the lines take turns. A line can be a fair queue itself,
//! so addresses take turns, and the connections of one address too. If the queue is full, the
//! longest line loses its last item.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;

/// The place of a connection in the queue.
pub type Place = (IpAddr, (u64, ()));

/// Work of connections: by address, then by connection, then in order of arrival.
pub type ByConnection<T> = Fair<IpAddr, Fair<u64, VecDeque<T>>>;

/// A queue.
pub trait Line<T>: Default {
    /// The place of an item in the queue.
    type Place: Copy;

    /// The number of items.
    fn len(&self) -> usize;

    /// Adds an item at this place.
    fn push(&mut self, place: Self::Place, item: T);

    /// Takes the next item.
    fn pop(&mut self) -> Option<T>;

    /// Removes the last item of the longest line. If the line at `place` is as long, it is that
    /// one.
    fn displace(&mut self, place: Option<Self::Place>) -> Option<T>;
}

impl<T> Line<T> for VecDeque<T> {
    type Place = ();

    fn len(&self) -> usize {
        self.len()
    }

    fn push(&mut self, (): (), item: T) {
        self.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.pop_front()
    }

    fn displace(&mut self, _: Option<()>) -> Option<T> {
        self.pop_back()
    }
}

/// Lines that take turns. Each operation takes at most the logarithm of their number.
pub struct Fair<K, L> {
    lines: HashMap<K, Turn<L>>,
    /// The order of the turns. A line without items has no turn.
    turns: BTreeMap<u64, K>,
    lengths: BTreeSet<(usize, K)>,
    /// The number of turns given out.
    given: u64,
    waiting: usize,
}

struct Turn<L> {
    number: u64,
    line: L,
}

impl<K, L> Default for Fair<K, L> {
    fn default() -> Self {
        Self {
            lines: HashMap::new(),
            turns: BTreeMap::new(),
            lengths: BTreeSet::new(),
            given: 0,
            waiting: 0,
        }
    }
}

impl<K: Copy + Ord + Hash, L> Fair<K, L> {
    /// Changes the line of this key. Afterwards it has a turn if it has items. If it had none
    /// before, or with `again`, its turn is the last.
    fn at<T, R>(&mut self, key: K, again: bool, act: impl FnOnce(&mut L) -> R) -> R
    where
        L: Line<T>,
    {
        let given = &mut self.given;
        let mut next = || {
            *given = given.wrapping_add(1);
            *given
        };
        let mut turn = match self.lines.remove(&key) {
            Some(turn) => {
                self.turns.remove(&turn.number);
                self.lengths.remove(&(turn.line.len(), key));
                Turn { number: if again { next() } else { turn.number }, ..turn }
            }
            None => Turn { number: next(), line: L::default() },
        };
        debug_assert!(self.waiting >= turn.line.len(), "every item of a line is counted");
        self.waiting = self.waiting.saturating_sub(turn.line.len());
        let result = act(&mut turn.line);
        let len = turn.line.len();
        // Saturates only for more items than memory can hold.
        self.waiting = self.waiting.saturating_add(len);
        if len > 0 {
            self.turns.insert(turn.number, key);
            self.lengths.insert((len, key));
            self.lines.insert(key, turn);
        }
        result
    }
}

impl<T, K: Copy + Ord + Hash, L: Line<T>> Line<T> for Fair<K, L> {
    type Place = (K, L::Place);

    fn len(&self) -> usize {
        self.waiting
    }

    fn push(&mut self, (key, place): Self::Place, item: T) {
        self.at(key, false, |line| line.push(place, item));
    }

    fn pop(&mut self) -> Option<T> {
        let key = *self.turns.values().next()?;
        self.at(key, true, L::pop)
    }

    fn displace(&mut self, place: Option<Self::Place>) -> Option<T> {
        let (longest, last) = *self.lengths.last()?;
        let here = place.filter(|(key, _)| self.lengths.contains(&(longest, *key)));
        let (key, place) = here.map_or((last, None), |(key, place)| (key, Some(place)));
        self.at(key, false, |line| line.displace(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, n])
    }

    /// An item: its address, its connection and a number.
    type Item = (u8, u64, u32);

    fn push(queue: &mut ByConnection<Item>, item: Item) {
        queue.push((address(item.0), (item.1, ())), item);
    }

    fn rest(queue: &mut ByConnection<Item>) -> Vec<Item> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn addresses_take_turns_and_inside_them_connections() {
        let mut queue = ByConnection::default();
        // The first connection of address 1 adds five items, before two of its neighbours and
        // another address come.
        let first = (0..5).map(|n| (1, 10, n));
        for item in first.chain([(1, 11, 0), (1, 12, 0), (2, 20, 0), (2, 20, 1), (2, 20, 2)]) {
            push(&mut queue, item);
        }
        let order = rest(&mut queue);
        let by_turns = [(1, 10, 0), (2, 20, 0), (1, 11, 0), (2, 20, 1), (1, 12, 0), (2, 20, 2)];
        assert_eq!(order[..6], by_turns);
        assert_eq!(order[6..], [(1, 10, 1), (1, 10, 2), (1, 10, 3), (1, 10, 4)]);
        assert_eq!((queue.lines.len(), queue.turns.len(), queue.lengths.len()), (0, 0, 0));
    }

    #[test]
    fn whoever_comes_anew_waits_for_one_of_each_however_many_wait() {
        let mut queue = ByConnection::default();
        for n in 0..1000 {
            push(&mut queue, (1, 1, n));
            push(&mut queue, (2, u64::from(n), n));
        }
        for _ in 0..100 {
            queue.pop();
        }
        push(&mut queue, (3, 3, 0));
        push(&mut queue, (1, 4, 0));
        let order = rest(&mut queue);
        let at = |item| order.iter().position(|other| *other == item).unwrap();
        assert!(at((3, 3, 0)) <= 2, "behind one of each of two addresses");
        assert!(at((1, 4, 0)) <= 5, "behind one of its neighbour, and two addresses twice");
    }

    #[test]
    fn where_most_wait_the_last_gives_way() {
        let mut queue = ByConnection::default();
        for item in [(1, 1, 0), (1, 1, 1), (1, 2, 0), (2, 3, 0)] {
            push(&mut queue, item);
        }
        let mut displaced_by = |item: Item| {
            push(&mut queue, item);
            let place = (address(item.0), (item.1, ()));
            queue.displace(Some(place)).unwrap()
        };
        assert_eq!(displaced_by((3, 4, 0)), (1, 1, 1), "of the longest line of the longest");
        assert_eq!(displaced_by((1, 2, 1)), (1, 2, 1), "whoever is the longest gains nothing");
        assert_eq!(
            displaced_by((1, 5, 0)),
            (1, 5, 0),
            "nor does its neighbour, for it is one too many"
        );
        assert_eq!(displaced_by((2, 6, 0)), (2, 6, 0), "and among equals the one that came");
        assert_eq!(rest(&mut queue), [(1, 1, 0), (2, 3, 0), (3, 4, 0), (1, 2, 0)]);
    }

    /// Compares with a plain list: nothing is lost or made up, and a new item never displaces one
    /// from a line that is shorter than its own.
    #[test]
    fn whatever_comes_and_goes_the_queue_holds_what_it_should() {
        let mut seed = 12u32;
        let mut draw = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) % below
        };
        let (mut queue, mut model) = (ByConnection::default(), Vec::<Item>::new());
        for n in 0..20_000 {
            if draw(3) == 0 {
                let popped = queue.pop();
                assert_eq!(popped.is_none(), model.is_empty());
                model.retain(|item| Some(*item) != popped);
            } else {
                let address_number = u8::try_from(draw(4)).unwrap();
                let item = (address_number, u64::from(draw(3)), n);
                push(&mut queue, item);
                model.push(item);
                if model.len() > 16 {
                    let place = (address(item.0), (item.1, ()));
                    let displaced = queue.displace(Some(place)).unwrap();
                    let of = |who: u8| model.iter().filter(|item| item.0 == who).count();
                    assert!((0..4).all(|who| of(who) <= of(displaced.0)), "the longest line");
                    assert!(of(displaced.0) > of(item.0) || displaced.0 == item.0);
                    model.retain(|item| *item != displaced);
                }
            }
            assert_eq!(queue.len(), model.len());
        }
        let mut left = rest(&mut queue);
        left.sort_unstable();
        model.sort_unstable();
        assert_eq!(left, model);
    }
}
