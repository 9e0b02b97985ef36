//! Threads for work that an event loop cannot wait for: RSA. Where the system lets them they step
//! back behind the event loop, which needs its core for moments only: so nobody else's request
//! waits for RSA to end.
//!
//! They are not the runtime's: there are as many as cores, the queue in front of them is bounded,
//! and as long as there is work nobody is put to sleep and woken for each piece. What waits is
//! shared out among addresses, and inside an address among its connections (`fair.rs`);
//! where it is too much, the one with most gives way.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use crate::fair::{ByConnection, Line, Place};

/// Is told whether its turn has come, or it had to give way.
type Work = Box<dyn FnOnce(Turn) + Send>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Come,
    Lost,
}

/// Threads that take work from one queue; they end when this is dropped and the queue is empty.
pub struct Workers(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
}

struct Queue {
    waiting: ByConnection<Work>,
    /// Pieces of work that may wait.
    room: usize,
    /// Threads with nothing to do.
    idle: usize,
    over: bool,
}

/// Why work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// Too much waits already, of this address more than of others.
    Full,
    /// It panicked.
    Panicked,
}

impl Workers {
    /// Starts so many threads, for which so many pieces of work may wait.
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

    /// From now on so many pieces of work may wait. Those that wait already stay.
    pub fn set_room(&self, room: usize) {
        self.0.queue().room = room;
    }

    /// Has it done for whoever stands at this place, and waits for what comes of it. Where nobody
    /// waits any more when its turn comes, it is left undone.
    ///
    /// # Errors
    ///
    /// [`Rejected`] says why it was not done.
    pub async fn run<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Rejected> {
        let (reply, answer) = oneshot::channel();
        let work = Box::new(move |turn| {
            if !reply.is_closed() {
                let done = if turn == Turn::Come { Ok(work()) } else { Err(Rejected::Full) };
                // Whoever asked may have gone meanwhile.
                let _ = reply.send(done);
            }
        });
        self.0.push(place, work);
        answer.await.unwrap_or(Err(Rejected::Panicked))
    }
}

/// How much this thread steps back: enough to let the event loop in at once, and it still gets a
/// quarter of a core beside a program that wants all of it. (With 10 a session costs a tenth more,
/// for being interrupted so often.)
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

fn lower_priority() {
    // On Linux this is about the calling thread alone. Where it may not, it just competes.
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
        // What an idle thread is about to take does not wait.
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
                // The thread goes on; whoever waits learns of it by the reply that never comes.
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

    /// A connection of this address.
    fn place(address: u8, connection: u64) -> Place {
        ([127, 0, 0, address].into(), (connection, ()))
    }

    /// Has `workers` begin with something that lasts until the gate is dropped.
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

    /// One address has filled the queue, from one connection or from many: another's work is done
    /// next, and it is the crowd's last that is not done.
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
                // Until it stands in line.
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
