//! Places for a few connections. A new connection always gets a place, and the one that was idle
//! for the longest time loses its own.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// A number of places.
pub struct Places {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    places: Vec<Place>,
    /// Counts activities, as a clock.
    done: u64,
}

struct Place {
    number: u64,
    /// The time of the last activity.
    active: u64,
    /// The owner of the place is told to go when this is dropped.
    _stay: oneshot::Sender<()>,
}

impl Places {
    /// Makes places that are all free.
    pub fn new(most: usize) -> Self {
        Self { most, taken: Mutex::default() }
    }

    /// Takes a place: its number, and a future that resolves when the place is needed.
    pub fn take(&self) -> (u64, impl Future<Output = ()> + use<>) {
        let mut taken = self.taken();
        while taken.places.len() >= self.most {
            let idlest = taken.places.iter().enumerate().min_by_key(|(_, place)| place.active);
            let Some((index, _)) = idlest else { break };
            taken.places.swap_remove(index);
        }
        let number = taken.tick();
        let (stay, go) = oneshot::channel();
        taken.places.push(Place { number, active: number, _stay: stay });
        (number, async { drop(go.await) })
    }

    /// Notes an activity.
    pub fn active(&self, number: u64) {
        let mut taken = self.taken();
        let now = taken.tick();
        if let Some(place) = taken.places.iter_mut().find(|place| place.number == number) {
            place.active = now;
        }
    }

    /// Gives a place back.
    pub fn leave(&self, number: u64) {
        self.taken().places.retain(|place| place.number != number);
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn tick(&mut self) -> u64 {
        self.done = self.done.wrapping_add(1);
        self.done
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn must_go(go: &mut Pin<Box<impl Future<Output = ()>>>) -> bool {
        go.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn the_one_that_has_done_nothing_for_longest_gives_way() {
        let places = Places::new(3);
        let mut all: Vec<_> = (0..3)
            .map(|_| {
                let (number, go) = places.take();
                (number, Box::pin(go))
            })
            .collect();
        places.active(all[0].0);
        let (newcomer, go) = places.take();
        let mut newcomers = Box::pin(go);
        let gone: Vec<_> = all.iter_mut().map(|(_, go)| must_go(go)).collect();
        assert_eq!(gone, [false, true, false]);
        // A connection that has left is not told to go, and its place is free.
        places.leave(all[2].0);
        let _fourth = places.take();
        assert!(!must_go(&mut all[0].1) && !must_go(&mut newcomers));
        places.active(newcomer);
        let _fifth = places.take();
        assert!(must_go(&mut all[0].1) && !must_go(&mut newcomers));
        assert_eq!(places.taken().places.len(), 3);
    }
}
