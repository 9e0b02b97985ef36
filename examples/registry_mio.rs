//! A registry on a custom event loop: one thread, `mio`, every connection a `Session<Server>`.
//!
//! `cargo run --example registry_mio -- ADDRESS DIR` prints where it listens and writes
//! `DIR/regCred.dat`.

use std::collections::HashMap;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::time::Instant as Wall;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use xlreg::crypto::SystemRng;
use xlreg::identity::CommsKeyPair;
use xlreg::registry::{ClientState, Registry};
use xlreg::session::{Instant, Server, ServerConfig, ServerEvent, Session};

#[path = "support/setup.rs"]
mod setup;

type Connection = (TcpStream, Session<Server>, ClientState);

fn main() -> Result<(), Box<dyn Error>> {
    let listener = std::net::TcpListener::bind(setup::address())?;
    let (listener, comms, mut registry) = setup::registry(listener)?;
    listener.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(listener);
    let (mut poll, mut events, epoch) = (Poll::new()?, Events::with_capacity(256), Wall::now());
    poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
    let mut connections = HashMap::<Token, Connection>::new();
    let mut next = 1;
    loop {
        let now = Instant::EPOCH.saturating_add(epoch.elapsed());
        let due = connections.values().filter_map(|(_, session, _)| session.poll_timeout());
        let due = due.map(|(at, _)| at.saturating_duration_since(now)).min();
        poll.poll(&mut events, due)?;
        let now = Instant::EPOCH.saturating_add(epoch.elapsed());
        while let Ok((mut stream, _)) = listener.accept() {
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(next), interest)?;
            let config = ServerConfig::new(comms.public_key());
            let session = Session::<Server>::new(now, config, SystemRng);
            connections.insert(Token(next), (stream, session, ClientState::new()));
            next += 1;
        }
        connections.retain(|_, it| turn(it, now, &comms, &mut registry).is_ok_and(|live| live));
    }
}

/// One turn of one connection; `false` when it is over.
fn turn(
    (stream, session, client): &mut Connection,
    now: Instant,
    comms: &CommsKeyPair,
    registry: &mut Registry,
) -> Result<bool, Box<dyn Error>> {
    session.handle_timeout(now);
    let mut failed = false;
    loop {
        while let Some(event) = session.poll_event().unwrap_or_else(|_| (failed = true, None).1) {
            match event {
                // A registry with more to do would open Hellos on other threads.
                ServerEvent::Hello(hello) => {
                    session.open_hello(now, hello.open(comms, &mut SystemRng))?;
                }
                ServerEvent::Request { id, request } => {
                    let outcome = registry.handle(client, request, &mut SystemRng);
                    session.reply(now, id, &outcome.reply)?;
                }
                _ => {}
            }
        }
        let mut buffer = [0; 4096];
        let room = session.recv_room().min(buffer.len());
        let progress = match (session.output(), room) {
            ([], 0) => return Ok(!failed && !session.is_finished()),
            ([], _) => stream.read(&mut buffer[..room]).map(|n| match n {
                0 => session.receive_eof(now),
                n => drop(session.receive(now, &buffer[..n])),
            }),
            (output, _) => stream.write(output).map(|n| session.consume_output(n)),
        };
        match progress {
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(true),
            other => other?,
        }
    }
}
