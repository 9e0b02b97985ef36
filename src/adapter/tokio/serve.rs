//! A registry's side: one connection, served to its end.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use std::boxed::Box;

use rand_core::CryptoRng;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Clock, DriveError, Driver, before, deadline};
use crate::identity::Version;
use crate::message::{Refusal, Reply, Request};
use crate::registry::Visitor;
use crate::session::{
    Dialect, Error, OpenedHello, SealedHello, Server, ServerConfig, ServerEvent, Session,
};

/// What a registry's connections share: the key that opens Hellos, the rules, and what makes their changes durable.
pub trait Registrar {
    /// Opens a Hello, where there is time for RSA and not on the event loop. `None` refuses the client without
    /// a word.
    fn open(&self, hello: SealedHello) -> impl Future<Output = Option<OpenedHello>> + Send;

    /// Decides a request. The reply must not be given before what it acknowledges is durable.
    fn decide(&self, visitor: &mut Visitor, request: Request)
    -> impl Future<Output = Reply> + Send;

    /// A handshake is complete. For those who count.
    fn connected(&self, _dialect: Dialect, _version: Version) {}
}

/// Serves one connection to its end, or until `stop` resolves: then what is in flight is finished, and nothing
/// new is begun. The stream is the caller's, to be closed.
///
/// # Errors
///
/// [`DriveError`]; what the client is told of it has been sent.
pub async fn serve<T: AsyncRead + AsyncWrite + Unpin, R: Registrar>(
    stream: T,
    config: ServerConfig,
    registrar: &R,
    rng: impl CryptoRng + Send + 'static,
    stop: impl Future<Output = ()>,
) -> Result<(), DriveError<Error>> {
    let clock = Clock::start();
    let session = Session::<Server>::new(clock.now(), config, rng);
    let mut driver = Driver::new(session, stream, clock);
    let mut visitor = Visitor::new();
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
            // On the heap while it lasts: an idle connection, of which there are many, has no room for it.
            Some(event) => Box::pin(answer(event, &mut driver, registrar, &mut visitor)).await?,
        }
    }
}

async fn answer<T, R: Registrar>(
    event: ServerEvent,
    driver: &mut Driver<Session<Server>, T>,
    registrar: &R,
    visitor: &mut Visitor,
) -> Result<(), DriveError<Error>> {
    let Driver { machine, clock, .. } = driver;
    match event {
        ServerEvent::Hello(hello) => {
            let deadline = deadline(machine);
            match before(clock, deadline, registrar.open(hello)).await {
                Some(Some(opened)) => machine.open_hello(clock.now(), opened)?,
                Some(None) => machine.reject(clock.now(), &Refusal::Unavailable.into())?,
                None => machine.handle_timeout(clock.now()),
            }
            if let (Some(dialect), Some(version)) = (machine.dialect(), machine.peer_version()) {
                registrar.connected(dialect, version);
            }
        }
        ServerEvent::Request { id, request } => {
            let reply = registrar.decide(visitor, request).await;
            machine.reply(clock.now(), id, &reply)?;
        }
    }
    Ok(())
}
