//! Threads for work that must not block an event loop: RSA. Where the system allows it, they have a
//! lower priority than the event loop, which needs its core for moments only. So no request waits
//! for RSA to end.
//!
//! They are not threads of the runtime: there are as many as cores, their queue is bounded, and
//! while there is work they do not sleep between two items. The queue is fair among addresses, and
//! among the connections of an address (`fair.rs`). If it is full, the owner with most items loses
//! one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use crate::fair::{ByConnection, Line, Place};

/// Work, which is told whether its turn has come or its place was lost.
type Work = Box<dyn FnOnce(Turn) + Send>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Come,
    Lost,
}

/// Threads that take work from one queue. They end when this is dropped and the queue is empty.
pub struct Workers(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
}

struct Queue {
    waiting: ByConnection<Work>,
    /// The number of items that may wait.
    room: usize,
    /// The number of threads with nothing to do.
    idle: usize,
    over: bool,
}

/// The reason why work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The queue is full, and this address has more in it than others.
    Full,
    /// The work panicked.
    Panicked,
}

impl Workers {
    /// Starts a number of threads, with room for a number of waiting items.
    ///
    /// # Errors
    ///
    /// The system's, if it has no more threads.
    pub fn start(threads: usize, room: usize) -> std::io::Result<Self> {
        let waiting = ByConnection::default();
        let queue = Mutex::new(Queue { waiting, room, idle: 0, over: false });
        let shared = Arc::new(Shared { queue, more: Condvar::new() });
        let workers = Self(Arc::clone(&shared));
        for _ in 0..threads {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("rsa".into()).spawn(move || {
                lower_priority();
                shared.work();
            })?;
        }
        Ok(workers)
    }

    /// Sets the number of items that may wait. Those that wait already stay.
    pub fn set_room(&self, room: usize) {
        self.0.queue().room = room;
    }

    /// Queues work for the connection at this place, and waits for its result. If the future is
    /// dropped before the turn comes, the work is not done.
    ///
    /// # Errors
    ///
    /// [`Rejected`] says why the work was not done.
    pub async fn run<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Rejected> {
        let (reply, answer) = oneshot::channel();
        let work = Box::new(move |turn| {
            if !reply.is_closed() {
                let done = if turn == Turn::Come { Ok(work()) } else { Err(Rejected::Full) };
                // The caller may have gone.
                let _ = reply.send(done);
            }
        });
        self.0.push(place, work);
        // Only work that panicked drops its reply.
        answer.await.unwrap_or(Err(Rejected::Panicked))
    }
}

/// The nice value of a worker: high enough to let the event loop in at once. The worker still gets
/// a quarter of a core beside a program that wants all of it. With 10, a session takes a tenth
/// longer, because it is interrupted so often.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

fn lower_priority() {
    // On Linux this changes only the calling thread. If it is not allowed, the thread competes.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(NICE);
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.queue().over = true;
        self.0.more.notify_all();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, place: Place, work: Work) {
        let mut queue = self.queue();
        queue.waiting.push(place, work);
        // An item that an idle thread is about to take does not count as waiting.
        // A room up to the end of the type saturates: it is never full.
        let full = queue.waiting.len() > queue.room.saturating_add(queue.idle);
        let displaced = if full { queue.waiting.displace(Some(place)) } else { None };
        if queue.idle > 0 {
            self.more.notify_one();
        }
        drop(queue);
        if let Some(displaced) = displaced {
            displaced(Turn::Lost);
        }
    }

    fn work(&self) {
        let mut queue = self.queue();
        loop {
            if let Some(work) = queue.waiting.pop() {
                drop(queue);
                // The thread goes on. The caller notices that the reply never comes.
                let _ = catch_unwind(AssertUnwindSafe(|| work(Turn::Come)));
                queue = self.queue();
            } else if queue.over {
                return;
            } else {
                queue.idle += 1;
                queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// The place of a connection of this address.
    fn place(address: u8, connection: u64) -> Place {
        ([127, 0, 0, address].into(), (connection, ()))
    }

    /// Gives `workers` an item that lasts until the gate is dropped.
    async fn occupy(
        workers: &Arc<Workers>,
    ) -> (tokio::task::JoinHandle<Result<(), Rejected>>, mpsc::Sender<()>) {
        let (gate, closed) = mpsc::channel::<()>();
        let (begun, begins) = oneshot::channel();
        let workers = Arc::clone(workers);
        let work = move || {
            let _ = begun.send(());
            let _ = closed.recv();
        };
        let task = tokio::spawn(async move { workers.run(place(1, 0), work).await });
        begins.await.unwrap();
        (task, gate)
    }

    #[tokio::test]
    async fn work_beyond_the_threads_waits_and_beyond_the_room_is_refused() {
        let workers = Arc::new(Workers::start(2, 1).unwrap());
        let (first, gate) = occupy(&workers).await;
        let (second, other_gate) = occupy(&workers).await;
        let third = tokio::spawn({
            let workers = Arc::clone(&workers);
            async move { workers.run(place(1, 1), || 3).await }
        });
        while workers.0.queue().waiting.len() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(workers.run(place(1, 1), || 4).await, Err(Rejected::Full));
        drop(gate);
        assert_eq!((first.await.unwrap(), third.await.unwrap()), (Ok(()), Ok(3)));
        assert_eq!(workers.run(place(1, 1), || 5).await, Ok(5));
        drop(other_gate);
        assert_eq!(second.await.unwrap(), Ok(()));
    }

    /// One address has filled the queue, from one connection or from many. The work of another
    /// address is done next, and the last item of the crowd is lost.
    #[tokio::test]
    async fn room_can_be_made_and_taken_while_some_wait() {
        let workers = Arc::new(Workers::start(1, 1).unwrap());
        let (first, gate) = occupy(&workers).await;
        workers.set_room(0);
        assert_eq!(workers.run(place(1, 1), || 2).await, Err(Rejected::Full));
        workers.set_room(1);
        let waiting = tokio::spawn({
            let workers = Arc::clone(&workers);
            async move { workers.run(place(1, 1), || 3).await }
        });
        while workers.0.queue().waiting.len() == 0 {
            tokio::task::yield_now().await;
        }
        workers.set_room(0);
        drop(gate);
        assert_eq!((first.await.unwrap(), waiting.await.unwrap()), (Ok(()), Ok(3)));
    }

    #[tokio::test]
    async fn an_address_that_fills_the_queue_keeps_no_other_out() {
        for connections in [1, 100] {
            let workers = Arc::new(Workers::start(1, 3).unwrap());
            let (first, gate) = occupy(&workers).await;
            let (told, tells) = mpsc::channel();
            let mut asked = Vec::new();
            for (n, address) in [(0, 1), (1, 1), (2, 1), (3, 2)] {
                let (workers, told) = (Arc::clone(&workers), told.clone());
                asked.push(tokio::spawn(async move {
                    let place = place(address, n % connections);
                    workers.run(place, move || told.send(n).unwrap()).await
                }));
                // Until the item is queued.
                tokio::task::yield_now().await;
            }
            drop(gate);
            first.await.unwrap().unwrap();
            let mut done = Vec::new();
            for task in asked {
                done.push(task.await.unwrap());
            }
            assert_eq!(done, [Ok(()), Ok(()), Err(Rejected::Full), Ok(())]);
            assert_eq!(tells.try_iter().collect::<Vec<_>>(), [0, 3, 1]);
        }
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_is_left_undone() {
        let workers = Arc::new(Workers::start(1, 8).unwrap());
        let (first, gate) = occupy(&workers).await;
        let (told, tells) = mpsc::channel();
        let given_up = tokio::spawn({
            let workers = Arc::clone(&workers);
            async move { workers.run(place(1, 1), move || told.send(())).await }
        });
        while workers.0.queue().waiting.len() == 0 {
            tokio::task::yield_now().await;
        }
        given_up.abort();
        assert!(given_up.await.unwrap_err().is_cancelled());
        drop(gate);
        assert_eq!(first.await.unwrap(), Ok(()));
        assert!(tells.recv().is_err(), "it was dropped and not run");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_threads_step_back_and_nobody_else() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        let workers = Workers::start(1, 8).unwrap();
        assert_eq!(workers.run(place(1, 1), nice).await, Ok((before + NICE).min(19)));
        assert_eq!(nice(), before);
    }

    #[tokio::test]
    async fn a_thread_outlives_work_that_panics() {
        let workers = Workers::start(1, 8).unwrap();
        let panics = workers.run(place(1, 1), || panic!("as the test wants it")).await;
        assert_eq!(panics, Err::<(), _>(Rejected::Panicked));
        assert_eq!(workers.run(place(1, 1), || 1).await, Ok(1));
    }
}
