//! A member without an operating system: it enrolls with a registry at the other end of a UART.
//!
//! 1. Keys, ID and the registry's credential are in the image. The token is signed here.
//! 2. [`Enroll`] is the whole enrollment. [`Driver`] runs it over [`Polled`], which keeps its
//!    deadlines on a stream that cannot be interrupted.
//! 3. The console shows the events, and at the end the memory used.
//!
//! Only `board` is special to the machine. `memory` is the heap. Nothing else is `unsafe`.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

#[allow(unsafe_code, reason = "registers")]
mod board;
#[allow(unsafe_code, reason = "an allocator, and looking at a stack that is in use")]
mod memory;

use alloc::boxed::Box;
use alloc::vec;
use core::error::Error;
use core::fmt::Write;
use core::time::Duration;

use board::{Board, Clock, Console};
use chacha20::ChaCha20Rng;
use cortex_m_rt::entry;
use rand_core::SeedableRng;
use xlreg::adapter::embedded_io::Polled;
use xlreg::adapter::{Driver, Timer};
use xlreg::credential::Credential;
use xlreg::enroll::{Enroll, EnrollEvent, Plan};
use xlreg::identity::{CommsKeyPair, Identity, MemberAttrs, SigKeyPair};
use xlreg::message::Create;
use xlreg::session::ClientConfig;

/// The cluster, and its size. All members must give the same size.
const CLUSTER: &str = "alpha";
const SIZE: u32 = 3;
/// The address where this member would listen.
const END: &str = "10.0.0.7:4000";
/// The largest reply: a token with keys of 2048 bits has less than 800 bytes. The connection to a
/// registry that sends more is closed.
const LARGEST_REPLY: usize = 4 * 1024;
/// The longest time to wait for the others.
const PATIENCE: Duration = Duration::from_secs(120);
/// The time between two looks at the UART. Its queue must not fill in this time.
const PAUSE: Duration = Duration::from_millis(1);

#[entry]
fn main() -> ! {
    memory::init();
    let Some(mut board) = Board::take() else { board::exit(false) };
    let result = enrol(&mut board.console, board.link, board.clock);
    if let Err(error) = &result {
        let _ = writeln!(board.console, "failed: {error}");
    }
    let _ = writeln!(board.console, "{}", memory::Usage::so_far());
    board::exit(result.is_ok())
}

fn enrol(console: &mut Console, link: board::Uart, clock: Clock) -> Result<(), Box<dyn Error>> {
    writeln!(
        console,
        "WARNING: randomness is a constant and the keys are published: for the emulator only"
    )?;
    let mut rng = ChaCha20Rng::from_seed(board::entropy());

    let node = identity()?;
    let credential: Credential = include_str!("../keys/registry/regCred.dat").parse()?;
    writeln!(console, "{} ms: keys read", millis(clock))?;
    let token = node.token(MemberAttrs::NONE, vec![END.parse()?], &mut rng)?;
    writeln!(console, "{} ms: token signed", millis(clock))?;
    // Nothing more is signed or opened, so their memory is free for the rest.
    drop(node);

    let name = CLUSTER.parse()?;
    let create = Create { name, max_size: SIZE, attrs: Default::default(), end_point_count: 1 };
    let plan = Plan { give_up_after: Some(PATIENCE), ..Plan::create_and_join(token, create) };
    let mut config = ClientConfig::new(&credential);
    config.limits.record = LARGEST_REPLY;
    drop(credential);

    let enroll = Enroll::new(clock.now(), config, plan, rng)?;
    let mut driver = Driver::new(enroll, Polled::new(link, clock, PAUSE), clock);
    while let Some(event) = driver.next_event()? {
        write!(console, "{} ms: ", millis(clock))?;
        match event {
            EnrollEvent::Connected { version, .. } => writeln!(console, "connected to {version}")?,
            EnrollEvent::Registered { id, .. } => writeln!(console, "node {id}")?,
            EnrollEvent::Created(cluster) => {
                writeln!(console, "cluster {} is for {}", cluster.id, cluster.max_size)?;
            }
            EnrollEvent::Joined(cluster) => writeln!(console, "joined {}", cluster.id)?,
            EnrollEvent::Member { index, token } => {
                write!(console, "member {index} {}", token.name)?;
                for end in &token.end_points {
                    write!(console, " {end}")?;
                }
                writeln!(console, " {}", token.comms_key.fingerprint())?;
            }
            EnrollEvent::Done => writeln!(console, "complete")?,
            // Events of later versions are ignored.
            _ => writeln!(console, "...")?,
        }
    }
    Ok(())
}

/// The identity of this node. These are public test keys. A product reads its own keys from a place
/// that only it can read.
fn identity() -> Result<Identity, Box<dyn Error>> {
    Ok(Identity {
        name: include_str!("../keys/node/name").trim_end().parse()?,
        id: Some(include_str!("../keys/node/id").trim_end().parse()?),
        comms: CommsKeyPair::from_pem(include_str!("../keys/node/comms_key.pem"))?,
        sig: SigKeyPair::from_pem(include_str!("../keys/node/sig_key.pem"))?,
    })
}

fn millis(clock: Clock) -> u64 {
    clock.now().as_micros() / 1000
}
