//! A registry on plain blocking threads: one thread a connection, clusters in memory.
//!
//! `cargo run --example registry_threads -- ADDRESS DIR` prints where it listens and writes
//! `DIR/regCred.dat`.

use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use xlreg::adapter::blocking::{Clock, Driver};
use xlreg::crypto::SystemRng;
use xlreg::identity::CommsKeyPair;
use xlreg::registry::{ClientState, Registry};
use xlreg::session::{Server, ServerConfig, ServerEvent, Session};

#[path = "support/setup.rs"]
mod setup;

fn main() -> Result<(), Box<dyn Error>> {
    let (listener, comms, registry) = setup::registry(TcpListener::bind(setup::address())?)?;
    let shared = Arc::new((comms, Mutex::new(registry)));
    for stream in listener.incoming() {
        let (stream, shared) = (stream?, Arc::clone(&shared));
        thread::spawn(move || {
            if let Err(error) = serve(stream, &shared.0, &shared.1) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

fn serve(
    stream: TcpStream,
    comms: &CommsKeyPair,
    registry: &Mutex<Registry>,
) -> Result<(), Box<dyn Error>> {
    let clock = Clock::start();
    let config = ServerConfig::new(comms.public_key());
    let session = Session::<Server>::new(clock.now(), config, SystemRng);
    let mut driver = Driver::new(session, stream, clock);
    let mut state = ClientState::new();
    while let Some(event) = driver.next_event()? {
        let now = driver.now();
        match event {
            ServerEvent::Hello(hello) => {
                let opened = hello.open(comms, &mut SystemRng);
                driver.machine().open_hello(now, opened)?;
            }
            ServerEvent::Request { id, request } => {
                let mut registry = registry.lock().map_err(|_| "a thread panicked")?;
                let outcome = registry.handle(&mut state, request, &mut SystemRng);
                driver.machine().reply(now, id, &outcome.reply)?;
            }
            _ => {}
        }
    }
    Ok(())
}
