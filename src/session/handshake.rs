//! The handshake, both dialects, both sides (PROTOCOL 3).
//!
//! 1. The client draws a one-shot key and seals it, with its version, to the registry's comms key:
//!    the Hello ([`ClientHello::seal`]). Its length is that of the key's modulus.
//! 2. The registry opens it: [`SealedHello::open`], the one expensive step, which the session
//!    leaves to the caller. How long the plaintext is tells the dialect: 44 bytes `Prefixed`, 60
//!    `Chained`.
//! 3. The registry draws the session key and sends it under the one-shot key: the HelloReply
//!    ([`answer`]).
//! 4. The client checks it ([`ClientHello::accept`]). Both have the session key now.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::cipher::{self, Block, Decryptor, Key};
use crate::crypto::{Open, Seal, SealError, Secret};
use crate::identity::{PublicKey, Version};

/// The two deployed forms of handshake and record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Servers from 1.9.0 on: a fresh IV before every record (PROTOCOL 3.1).
    Prefixed,
    /// Servers up to 1.8.4: records chain to each other (PROTOCOL 3.2).
    Chained,
}

impl Dialect {
    /// The dialect that a registry of this version speaks (PROTOCOL 3).
    pub fn of_registry(version: Version) -> Self {
        if version < Version::FIRST_PREFIXED { Self::Chained } else { Self::Prefixed }
    }

    /// The length of a HelloReply, in bytes.
    const fn reply_len(self) -> usize {
        match self {
            Self::Prefixed => 64,
            Self::Chained => 80,
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prefixed => "prefixed",
            Self::Chained => "chained",
        })
    }
}

/// A text names no dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a dialect: 'prefixed' or 'chained' expected")]
pub struct UnknownDialect;

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(text: &str) -> Result<Self, UnknownDialect> {
        match text {
            "prefixed" => Ok(Self::Prefixed),
            "chained" => Ok(Self::Chained),
            _ => Err(UnknownDialect),
        }
    }
}

type Salt = [u8; 8];

/// What a Hello says.
struct Hello {
    dialect: Dialect,
    /// Zero in the prefixed dialect, whose Hello has none.
    iv1: Block,
    key1: Key,
    salt1: Salt,
    version: Version,
}

/// What both sides share after the handshake.
pub(super) struct Established {
    pub(super) dialect: Dialect,
    pub(super) key2: Key,
    /// The IV of the first record of each direction; unused in the prefixed dialect.
    pub(super) iv2: Block,
    pub(super) peer_version: Version,
}

/// A client's side of the handshake, from Hello to HelloReply.
pub(super) struct ClientHello {
    dialect: Dialect,
    iv1: Block,
    key1: Key,
    salt1: Salt,
}

impl ClientHello {
    /// Draws the secrets and appends the Hello. Draws in the order of PROTOCOL 3.3.
    pub(super) fn seal(
        dialect: Dialect,
        version: Version,
        registry: &PublicKey,
        provider: &dyn Seal,
        rng: &mut dyn CryptoRng,
        out: &mut Vec<u8>,
    ) -> Result<Self, SealError> {
        let mut hello = Self { dialect, iv1: [0; 16], key1: Key::default(), salt1: [0; 8] };
        let mut plain = Zeroizing::new(Vec::with_capacity(60));
        if dialect == Dialect::Chained {
            rng.fill_bytes(&mut hello.iv1);
            plain.extend_from_slice(&hello.iv1);
        }
        rng.fill_bytes(&mut **hello.key1);
        rng.fill_bytes(&mut hello.salt1);
        plain.extend_from_slice(&**hello.key1);
        plain.extend_from_slice(&hello.salt1);
        plain.extend_from_slice(&version.to_bytes());
        out.extend_from_slice(&provider.seal(registry.components(), &plain, rng)?);
        Ok(hello)
    }

    /// The length of the HelloReply that is due.
    pub(super) const fn reply_len(&self) -> usize {
        self.dialect.reply_len()
    }

    /// Reads a HelloReply of exactly [`reply_len`](Self::reply_len) bytes; `None` if it is not one.
    pub(super) fn accept(&self, reply: &[u8]) -> Option<Established> {
        let (iv, sealed) = match self.dialect {
            Dialect::Prefixed => {
                let (iv, sealed) = reply.split_first_chunk()?;
                (*iv, sealed)
            }
            Dialect::Chained => (self.iv1, reply),
        };
        let mut plain = Zeroizing::new(sealed.to_vec());
        Decryptor::new(&self.key1, &iv).decrypt(&mut plain);
        let (body, padding): (&[u8], &[u8]) = match self.dialect {
            Dialect::Prefixed => (plain.get(..44)?, &[4; 4]),
            Dialect::Chained => (plain.get(..68)?, &[12; 12]),
        };
        let padded = plain.get(body.len()..)?.ct_eq(padding);
        let (iv2, body) = match self.dialect {
            Dialect::Prefixed => ([0; 16], body),
            Dialect::Chained => {
                let (iv2, body) = body.split_first_chunk()?;
                (*iv2, body)
            }
        };
        let (key2, body) = body.split_first_chunk::<32>()?;
        // salt2: drawn, sent and never used by anyone.
        let (_, body) = body.split_first_chunk::<8>()?;
        let (version, proven) = match self.dialect {
            // The registry could open the Hello: that is all the proof there is.
            Dialect::Prefixed => (*body.first_chunk()?, 1u8.into()),
            // PROTOCOL 3.2: salt1 | version2, or, in some published sample data, version2 | salt1.
            Dialect::Chained => {
                let usual = body.first_chunk::<8>()?.ct_eq(&self.salt1);
                let swapped = body.last_chunk::<8>()?.ct_eq(&self.salt1);
                let version = if usual.into() { body.last_chunk()? } else { body.first_chunk()? };
                (*version, usual | swapped)
            }
        };
        bool::from(padded & proven).then(|| Established {
            dialect: self.dialect,
            key2: cipher::key(key2),
            iv2,
            peer_version: Version::from_bytes(version),
        })
    }
}

/// A Hello as it came over the wire, to be opened with the registry's comms key on whatever thread
/// there is time.
///
/// Dropping it refuses the client: its session stays silent until the deadline of the handshake.
pub struct SealedHello(Box<[u8]>);

impl SealedHello {
    pub(super) fn new(ciphertext: &[u8]) -> Self {
        Self(ciphertext.into())
    }

    /// Opens it: the one private-key operation of a session. `rng` blinds it, and must not be the
    /// session's own.
    ///
    /// Whether it could be opened shows only in what the session says of the result, so that
    /// nothing between here and there can treat the two cases differently.
    pub fn open(&self, key: &dyn Open, rng: &mut dyn CryptoRng) -> OpenedHello {
        let plaintext = key.open(&self.0, rng).ok();
        OpenedHello::from_plaintext(plaintext.as_ref().map(Secret::expose))
    }

    /// The ciphertext itself, for a key that is not behind [`Open`]; see
    /// [`OpenedHello::from_plaintext`].
    pub fn ciphertext(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SealedHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedHello({} bytes)", self.0.len())
    }
}

/// What came of opening a Hello; only the session can look inside.
pub struct OpenedHello(Option<Hello>);

impl OpenedHello {
    /// A Hello that was opened elsewhere, in a key vault that takes its time for instance; `None`
    /// if it could not be.
    pub fn from_plaintext(plaintext: Option<&[u8]>) -> Self {
        Self(plaintext.and_then(Hello::parse))
    }

    pub(super) fn into_answerable(self) -> Option<Answerable> {
        self.0.map(Answerable)
    }
}

impl fmt::Debug for OpenedHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenedHello")
    }
}

impl Hello {
    /// PROTOCOL 3: the dialect shows in the length.
    fn parse(plain: &[u8]) -> Option<Self> {
        let (dialect, iv1, rest) = match plain.len() {
            44 => (Dialect::Prefixed, [0; 16], plain),
            60 => {
                let (iv1, rest) = plain.split_first_chunk()?;
                (Dialect::Chained, *iv1, rest)
            }
            _ => return None,
        };
        let (key1, rest) = rest.split_first_chunk::<32>()?;
        let (salt1, rest) = rest.split_first_chunk()?;
        let version = Version::from_bytes(*rest.first_chunk()?);
        Some(Self { dialect, iv1, key1: cipher::key(key1), salt1: *salt1, version })
    }
}

/// A Hello that was opened and can be answered.
pub(super) struct Answerable(Hello);

impl Answerable {
    /// Draws the session key and appends the HelloReply. Draws in the order of PROTOCOL 3.3.
    pub(super) fn answer(
        self,
        version: Version,
        rng: &mut dyn CryptoRng,
        out: &mut Vec<u8>,
    ) -> Established {
        let hello = self.0;
        let (mut iv2, mut key2, mut salt2) = ([0; 16], Key::default(), [0; 8]);
        let mut plain = Zeroizing::new(Vec::with_capacity(hello.dialect.reply_len()));
        if hello.dialect == Dialect::Chained {
            rng.fill_bytes(&mut iv2);
            plain.extend_from_slice(&iv2);
        }
        rng.fill_bytes(&mut **key2);
        rng.fill_bytes(&mut salt2);
        plain.extend_from_slice(&**key2);
        plain.extend_from_slice(&salt2);
        let iv = match hello.dialect {
            Dialect::Prefixed => {
                let mut iv = [0; 16];
                rng.fill_bytes(&mut iv);
                out.extend_from_slice(&iv);
                iv
            }
            Dialect::Chained => {
                plain.extend_from_slice(&hello.salt1);
                hello.iv1
            }
        };
        plain.extend_from_slice(&version.to_bytes());
        let padding: &[u8] = match hello.dialect {
            Dialect::Prefixed => &[4; 4],
            Dialect::Chained => &[12; 12],
        };
        plain.extend_from_slice(padding);
        cipher::encrypt(&hello.key1, &iv, &mut plain);
        out.extend_from_slice(&plain);
        Established { dialect: hello.dialect, key2, iv2, peer_version: hello.version }
    }
}
