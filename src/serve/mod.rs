//! A registry's connection on tokio, feature `tokio`: [`serve`] runs it with a [`Handler`].

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use std::boxed::Box;

use rand_core::CryptoRng;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::adapter::deadline;
use crate::adapter::tokio::{Clock, DriveError, Driver, before};
use crate::identity::Version;
use crate::message::{Refusal, Reply, Request};
use crate::registry::ClientState;
use crate::session::{
    Dialect, Error, OpenedHello, SealedHello, Server, ServerConfig, ServerEvent, Session,
};

/// The part of a registry that all connections share: it opens Hellos, decides requests, and makes
/// changes durable.
pub trait Handler {
    /// Opens a Hello. That is an RSA operation, so do it on another thread than the event loop.
    /// `None` refuses the client without a reason.
    fn open(&self, hello: SealedHello) -> impl Future<Output = Option<OpenedHello>> + Send;

    /// Decides a request. It must not give the reply before the changes that the reply tells of are
    /// durable.
    fn decide(
        &self,
        state: &mut ClientState,
        request: Request,
    ) -> impl Future<Output = Reply> + Send;

    /// Called after each complete handshake, for statistics.
    fn connected(&self, _dialect: Dialect, _version: Version) {}
}

/// Serves one connection to its end, or until `stop` resolves. Then it writes the rest of the
/// output, and reads nothing more. The caller closes the stream.
///
/// # Errors
///
/// [`DriveError`]. The last bytes for the client were sent.
pub async fn serve<T: AsyncRead + AsyncWrite + Unpin, R: Handler>(
    stream: T,
    config: ServerConfig,
    handler: &R,
    rng: impl CryptoRng + Send + 'static,
    stop: impl Future<Output = ()>,
) -> Result<(), DriveError<Error>> {
    let clock = Clock::start();
    let session = Session::<Server>::new(clock.now(), config, rng);
    let mut driver = Driver::new(session, stream, clock);
    let mut state = ClientState::new();
    let mut stop = pin!(stop);
    loop {
        let event = {
            let mut next = pin!(driver.next_event());
            poll_fn(|cx| match stop.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => next.as_mut().poll(cx).map(Some),
            })
            .await
        };
        let Some(event) = event else {
            driver.write_rest().await;
            return Ok(());
        };
        match event? {
            None => return Ok(()),
            // On the heap, so that the many idle connections need no memory for it.
            Some(event) => Box::pin(answer(event, &mut driver, handler, &mut state)).await?,
        }
    }
}

async fn answer<T, R: Handler>(
    event: ServerEvent,
    driver: &mut Driver<Session<Server>, T>,
    handler: &R,
    state: &mut ClientState,
) -> Result<(), DriveError<Error>> {
    let Driver { machine, clock, .. } = driver;
    match event {
        ServerEvent::Hello(hello) => {
            let deadline = deadline(machine);
            match before(clock, deadline, handler.open(hello)).await {
                Some(Some(opened)) => machine.open_hello(clock.now(), opened)?,
                Some(None) => machine.reject(clock.now(), &Refusal::Unavailable.into())?,
                None => machine.handle_timeout(clock.now()),
            }
            if let (Some(dialect), Some(version)) = (machine.dialect(), machine.peer_version()) {
                handler.connected(dialect, version);
            }
        }
        ServerEvent::Request { id, request } => {
            let reply = handler.decide(state, request).await;
            machine.reply(clock.now(), id, &reply)?;
        }
    }
    Ok(())
}
