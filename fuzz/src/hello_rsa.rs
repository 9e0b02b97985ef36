//! Hellos with real RSA: a ciphertext opens if and only if it is the one that was sealed, and the
//! client gets no answer to any other. It runs some hundred times a second, because each takes a
//! private operation of a 2048-bit key.
use std::sync::LazyLock;

use xlreg::crypto::Open;
use xlreg::identity::CommsKeyPair;
use xlreg::session::{Error, Server, ServerConfig, ServerEvent, Session, State};
use xlreg_testkit::{Seeded, captures};

use crate::input::Input;
use crate::watch::Watch;

/// The captured registry's key.
static KEY: LazyLock<&CommsKeyPair> = LazyLock::new(captures::registry_key);

/// The plaintext of a deployed client's Hello.
static HELLO: LazyLock<&[u8]> = LazyLock::new(captures::hello);

/// A ciphertext so low that it has no more bytes with the modulus added.
static LOW: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let seal = |seed| KEY.public_key().seal(&[7; 44], &mut Seeded::new(seed));
    let mut sealed = (0..).map(|seed| seal(seed).expect("it fits"));
    sealed.find(|sealed| one_modulus_more(sealed).len() == LEN).expect("one in ten")
});

/// The length of a ciphertext.
const LEN: usize = 256;

/// A script: the source of the ciphertext, and the changes to it.
pub fn hello_rsa(data: &[u8]) {
    let input = &mut Input::new(data);
    match input.byte() % 4 {
        0 => hello_or_noise(input.rest()),
        1 => {
            let mut changed = HELLO.to_vec();
            changed.truncate(LEN - input.short() % (LEN + 1));
            let change = input.take(changed.len());
            changed.iter_mut().zip(change).for_each(|(byte, change)| *byte ^= change);
            changed.extend_from_slice(input.rest());
            hello_or_noise(&changed);
        }
        // The same number, written differently or plus one modulus.
        2 => {
            let zeros = usize::from(input.byte() % 4);
            is_noise(&[&[0; 4][..=zeros], *HELLO].concat());
            opens(&LOW, Some(&[7; 44]));
            is_noise(&one_modulus_more(&LOW));
        }
        _ => {
            let plain = input.rest();
            match KEY.public_key().seal(plain, &mut Seeded::new(1)) {
                Ok(sealed) => opens(&sealed, Some(plain)),
                Err(_) => assert!(plain.len() > LEN - 42, "this fits"),
            }
        }
    }
}

fn hello_or_noise(ciphertext: &[u8]) {
    if ciphertext == *HELLO { opens(&HELLO, None) } else { is_noise(ciphertext) }
}

/// Checks that a wrong ciphertext is refused in silence, with any fault.
fn is_noise(ciphertext: &[u8]) {
    if ciphertext.len() == LEN {
        assert_eq!(answer(ciphertext), None);
    } else {
        assert!(KEY.open(ciphertext, &mut Seeded::new(2)).is_err(), "a ciphertext is {LEN} bytes");
    }
}

/// Checks a ciphertext that opens. The length shows whether it is a Hello.
fn opens(ciphertext: &[u8], plain: Option<&[u8]>) {
    let reply_len = match plain.map_or(44, <[u8]>::len) {
        44 => Some(64),
        60 => Some(80),
        _ => None,
    };
    assert_eq!(answer(ciphertext), reply_len);
    if let (Some(plain), None) = (plain, reply_len) {
        let opened = KEY.open(ciphertext, &mut Seeded::new(3)).expect("what was sealed opens");
        assert_eq!(opened.expose(), plain);
    }
}

/// The length of a registry's answer.
fn answer(hello: &[u8]) -> Option<usize> {
    let mut watch = Watch::<Error>::new();
    let config = ServerConfig::new(KEY.public_key());
    let mut server = Session::<Server>::new(watch.now(), config, Seeded::new(4));
    watch.feed(&mut server, hello, LEN);
    let Some(ServerEvent::Hello(sealed)) = watch.poll(&mut server) else { panic!("no Hello") };
    let opened = sealed.open(*KEY, &mut Seeded::new(5));
    server.open_hello(watch.now(), opened).expect("it waits for this");
    let answer = server.output().len();
    match server.poll_event() {
        Ok(None) if answer > 0 => assert_eq!(server.state(), State::Open),
        other => assert!(matches!(other, Err(Error::Handshake)) && answer == 0, "{other:?}"),
    }
    (answer > 0).then_some(answer)
}

/// The number that is the same modulo the key's modulus, and as long as possible.
fn one_modulus_more(ciphertext: &[u8]) -> Vec<u8> {
    let modulus = KEY.public_key().components().modulus;
    let mut sum = Vec::new();
    let mut carry = 0;
    for (byte, more) in ciphertext.iter().zip(modulus).rev() {
        carry += u16::from(*byte) + u16::from(*more);
        sum.push(carry.to_le_bytes()[0]);
        carry >>= 8;
    }
    sum.extend((carry > 0).then_some(1));
    sum.reverse();
    sum
}
