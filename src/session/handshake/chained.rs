//! The handshake of the dialect `chained` (PROTOCOL 3.2).
//!
//! ```text
//! Hello:       iv1[16] | key1[32] | salt1[8] | version1[4]
//! HelloReply:  AES-256-CBC under key1 and iv1 of:
//!              iv2[16] | key2[32] | salt2[8] | salt1[8] | version2[4] | padding[12]
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::rsa::{Form, Hello, OneShot, Plain};
use super::{Channel, Dialect, Wire};
use crate::identity::Version;
use crate::session::cipher::{self, Block, Decryptor, Key};
use crate::session::record::chained::Chained as Records;

/// The form of the dialect `chained`.
pub(super) struct Chained;

/// Bytes of a HelloReply.
const REPLY_LEN: usize = 80;
/// The padding of a HelloReply (PKCS#7).
const PADDING: [u8; 12] = [12; 12];

impl Form for Chained {
    fn reply_len(&self) -> usize {
        REPLY_LEN
    }

    fn draw_hello(&self, version: Version, rng: &mut dyn CryptoRng) -> (OneShot, Plain) {
        let mut secrets = OneShot { iv1: [0; 16], key1: Key::default(), salt1: [0; 8] };
        rng.fill_bytes(&mut secrets.iv1);
        rng.fill_bytes(&mut **secrets.key1);
        rng.fill_bytes(&mut secrets.salt1);
        let mut plain = Zeroizing::new(Vec::with_capacity(60));
        plain.extend_from_slice(&secrets.iv1);
        plain.extend_from_slice(&**secrets.key1);
        plain.extend_from_slice(&secrets.salt1);
        plain.extend_from_slice(&version.to_bytes());
        (secrets, plain)
    }

    fn parse_hello(&self, plain: &[u8]) -> Option<(OneShot, Version)> {
        let plain: &[u8; 60] = plain.try_into().ok()?;
        let (iv1, rest) = plain.split_first_chunk()?;
        let (key1, rest) = rest.split_first_chunk::<32>()?;
        let (salt1, version) = rest.split_first_chunk()?;
        let secrets = OneShot { iv1: *iv1, key1: cipher::key(key1), salt1: *salt1 };
        Some((secrets, Version::from_bytes(*version.first_chunk()?)))
    }

    fn answer(&self, hello: Hello, version: Version, wire: Wire<'_>) -> Channel {
        let (mut iv2, mut key2, mut salt2) = ([0; 16], Key::default(), [0; 8]);
        wire.rng.fill_bytes(&mut iv2);
        wire.rng.fill_bytes(&mut **key2);
        wire.rng.fill_bytes(&mut salt2);
        // With room for all of it, no copy of the key stays where the output was before it grew.
        wire.output.reserve(REPLY_LEN);
        let start = wire.output.len();
        wire.output.extend_from_slice(&iv2);
        wire.output.extend_from_slice(&**key2);
        wire.output.extend_from_slice(&salt2);
        wire.output.extend_from_slice(&hello.secrets.salt1);
        wire.output.extend_from_slice(&version.to_bytes());
        wire.output.extend_from_slice(&PADDING);
        let plain = wire.output.split_at_mut(start).1;
        cipher::encrypt(&hello.secrets.key1, &hello.secrets.iv1, plain);
        channel(hello.version, key2, iv2, wire.limit)
    }

    fn accept(&self, secrets: &OneShot, reply: &[u8], limit: usize) -> Option<Channel> {
        let mut plain = Zeroizing::new(*reply.first_chunk::<REPLY_LEN>()?);
        Decryptor::new(&secrets.key1, &secrets.iv1).decrypt(&mut *plain);
        let (iv2, rest) = plain.split_first_chunk()?;
        let (key2, rest) = rest.split_first_chunk::<32>()?;
        // The registry draws and sends salt2, and nobody uses it.
        let (_, rest) = rest.split_first_chunk::<8>()?;
        let (body, padding) = rest.split_first_chunk::<12>()?;
        // Some published sample data has version2 | salt1 here instead of salt1 | version2.
        let usual = body.first_chunk::<8>()?.ct_eq(&secrets.salt1);
        let swapped = body.last_chunk::<8>()?.ct_eq(&secrets.salt1);
        let version = if usual.into() { body.last_chunk()? } else { body.first_chunk()? };
        let proven = padding.ct_eq(&PADDING) & (usual | swapped);
        let key2 = cipher::key(key2);
        bool::from(proven).then(|| channel(Version::from_bytes(*version), key2, *iv2, limit))
    }
}

fn channel(peer_version: Version, key2: Key, iv2: Block, limit: usize) -> Channel {
    Channel {
        dialect: Dialect::Chained,
        peer_version,
        records: Box::new(Records::new(key2, iv2, limit)),
        binding: None,
    }
}
