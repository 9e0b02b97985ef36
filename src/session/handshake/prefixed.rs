//! The handshake of the dialect `prefixed` (PROTOCOL 3.1).
//!
//! ```text
//! Hello:       key1[32] | salt1[8] | version1[4]
//! HelloReply:  IV[16] | AES-256-CBC under key1 of: key2[32] | salt2[8] | version2[4] | padding[4]
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::rsa::{Form, Hello, OneShot, Plain};
use super::{Channel, Dialect, Wire};
use crate::identity::Version;
use crate::session::cipher::{self, BLOCK, Decryptor, Key};
use crate::session::record::prefixed::Prefixed as Records;

/// The form of the dialect `prefixed`.
pub(super) struct Prefixed;

/// Bytes of a HelloReply.
const REPLY_LEN: usize = 64;
/// The padding of a HelloReply (PKCS#7).
const PADDING: [u8; 4] = [4; 4];

impl Form for Prefixed {
    fn reply_len(&self) -> usize {
        REPLY_LEN
    }

    fn draw_hello(&self, version: Version, rng: &mut dyn CryptoRng) -> (OneShot, Plain) {
        let mut secrets = OneShot { iv1: [0; 16], key1: Key::default(), salt1: [0; 8] };
        rng.fill_bytes(&mut **secrets.key1);
        rng.fill_bytes(&mut secrets.salt1);
        let mut plain = Zeroizing::new(Vec::with_capacity(44));
        plain.extend_from_slice(&**secrets.key1);
        plain.extend_from_slice(&secrets.salt1);
        plain.extend_from_slice(&version.to_bytes());
        (secrets, plain)
    }

    fn parse_hello(&self, plain: &[u8]) -> Option<(OneShot, Version)> {
        let plain: &[u8; 44] = plain.try_into().ok()?;
        let (key1, rest) = plain.split_first_chunk::<32>()?;
        let (salt1, version) = rest.split_first_chunk()?;
        let secrets = OneShot { iv1: [0; 16], key1: cipher::key(key1), salt1: *salt1 };
        Some((secrets, Version::from_bytes(*version.first_chunk()?)))
    }

    fn answer(&self, hello: Hello, version: Version, wire: Wire<'_>) -> Channel {
        let (mut key2, mut salt2, mut iv) = (Key::default(), [0; 8], [0; 16]);
        wire.rng.fill_bytes(&mut **key2);
        wire.rng.fill_bytes(&mut salt2);
        wire.rng.fill_bytes(&mut iv);
        // With room for all of it, no copy of the key stays where the output was before it grew.
        wire.output.reserve(REPLY_LEN);
        wire.output.extend_from_slice(&iv);
        let start = wire.output.len();
        wire.output.extend_from_slice(&**key2);
        wire.output.extend_from_slice(&salt2);
        wire.output.extend_from_slice(&version.to_bytes());
        wire.output.extend_from_slice(&PADDING);
        cipher::encrypt(&hello.secrets.key1, &iv, wire.output.split_at_mut(start).1);
        channel(hello.version, key2, wire.limit)
    }

    fn accept(&self, secrets: &OneShot, reply: &[u8], limit: usize) -> Option<Channel> {
        let (iv, sealed) = reply.split_first_chunk()?;
        let mut plain = Zeroizing::new(*sealed.first_chunk::<{ REPLY_LEN - BLOCK }>()?);
        Decryptor::new(&secrets.key1, iv).decrypt(&mut *plain);
        let (key2, rest) = plain.split_first_chunk::<32>()?;
        // The registry draws and sends salt2, and nobody uses it.
        let (_, rest) = rest.split_first_chunk::<8>()?;
        let (version, padding) = rest.split_first_chunk()?;
        // The only proof is that the registry could open the Hello.
        let proven = padding.ct_eq(&PADDING);
        let key2 = cipher::key(key2);
        bool::from(proven).then(|| channel(Version::from_bytes(*version), key2, limit))
    }
}

fn channel(peer_version: Version, key2: Key, limit: usize) -> Channel {
    Channel {
        dialect: Dialect::Prefixed,
        peer_version,
        records: Box::new(Records::new(key2, limit)),
        binding: None,
    }
}
