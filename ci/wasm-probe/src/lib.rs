//! A whole conversation, both ends, as a WebAssembly module that imports nothing. `ci/wasm` checks
//! and runs it.
#![no_std]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec;

use xlreg::credential::Credential;
use xlreg::enroll::{Enroll, EnrollEvent, Plan};
use xlreg::identity::{CommsKeyPair, Identity, MemberAttrs, NodeId, SigKeyPair, Version};
use xlreg::message::Create;
use xlreg::registry::{Registry, RegistryLimits, ClientState};
use xlreg::session::{ClientConfig, Instant, Machine, Server, ServerConfig, ServerEvent, Session};
use xlreg_testkit::Seeded;

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// Enrols one member at a registry, at most `chunk` bytes at a time; the number of members it then
/// knows, or -1.
#[unsafe(no_mangle)]
pub extern "C" fn conversation(seed: u64, chunk: usize) -> i32 {
    converse(Seeded::new(seed), chunk).unwrap_or(-1)
}

fn converse(mut rng: Seeded, chunk: usize) -> Result<i32, Box<dyn core::error::Error>> {
    let now = Instant::EPOCH;
    let comms = CommsKeyPair::generate(1024, &mut rng)?;
    let sig = SigKeyPair::generate(1024, &mut rng)?;
    let credential = Credential {
        name: "registry".parse()?,
        id: NodeId::random(&mut rng),
        comms_key: comms.public_key().clone(),
        sig_key: sig.public_key().clone(),
        end_points: vec!["127.0.0.1:56789".parse()?],
        version: Version::REFERENCE,
    };
    let mut registry = Registry::new(credential.clone(), RegistryLimits::default());
    let mut state = ClientState::new();
    let config = ServerConfig::new(comms.public_key());
    let mut server = Session::<Server>::new(now, config, rng.clone());

    let node = Identity {
        name: "alice".parse()?,
        id: None,
        comms: CommsKeyPair::generate(1024, &mut rng)?,
        sig: SigKeyPair::generate(1024, &mut rng)?,
    };
    let token = node.token(MemberAttrs::NONE, vec!["10.0.0.1:4000".parse()?], &mut rng)?;
    let create = Create {
        name: "alpha".parse()?,
        max_size: 2,
        attrs: Default::default(),
        end_point_count: 1,
    };
    let plan = Plan { wait: false, ..Plan::create_and_join(token, create) };
    let mut client = Enroll::new(now, ClientConfig::new(&credential), plan, rng.clone())?;

    let mut members = 0;
    while !client.is_finished() {
        carry(now, &mut client, &mut server, chunk);
        carry(now, &mut server, &mut client, chunk);
        match server.poll_event()? {
            Some(ServerEvent::Hello(hello)) => {
                server.open_hello(now, hello.open(&comms, &mut rng))?;
            }
            Some(ServerEvent::Request { id, request }) => {
                let outcome = registry.handle(&mut state, request, &mut rng);
                server.reply(now, id, &outcome.reply)?;
            }
            _ => {}
        }
        if let Some(EnrollEvent::Member { .. }) = client.poll_event()? {
            members += 1;
        }
    }
    Ok(members)
}

fn carry(now: Instant, from: &mut impl Machine, to: &mut impl Machine, chunk: usize) {
    let output = from.output();
    let n = to.receive(now, &output[..output.len().min(chunk)]);
    from.consume_output(n);
}
