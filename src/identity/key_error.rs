//! The errors of private keys. Each names the content of the file.

use core::fmt;

use rsa::pkcs8::ObjectIdentifier;

use super::KeyError;
use super::key_file::MAX_TEXT;
use crate::crypto::PrivateKeyError;

/// The form of a private key in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyForm {
    /// PKCS#8, `BEGIN PRIVATE KEY`, which OpenSSL writes today.
    Pkcs8,
    /// PKCS#1, `BEGIN RSA PRIVATE KEY`, which older OpenSSL writes and deployed nodes have.
    Pkcs1,
    /// `BEGIN OPENSSH PRIVATE KEY`, which `ssh-keygen` writes.
    OpenSsh,
}

impl fmt::Display for KeyForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pkcs8 => "PKCS#8",
            Self::Pkcs1 => "PKCS#1",
            Self::OpenSsh => "the form of OpenSSH",
        })
    }
}

/// The algorithm of a key that cannot be used. Only RSA keys without a fixed padding can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// ECDSA, on a curve of NIST or another one.
    Ec,
    /// Ed25519.
    Ed25519,
    /// Ed448.
    Ed448,
    /// X25519 or X448, for key agreement.
    X25519,
    /// The old Digital Signature Algorithm.
    Dsa,
    /// RSA for PSS signatures only.
    RsaPss,
    /// RSA for OAEP only.
    RsaOaep,
    /// An unknown algorithm.
    Other,
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ec => "EC",
            Self::Ed25519 => "Ed25519",
            Self::Ed448 => "Ed448",
            Self::X25519 => "X25519",
            Self::Dsa => "DSA",
            Self::RsaPss => "PSS",
            Self::RsaOaep => "OAEP",
            Self::Other => "unknown",
        })
    }
}

impl KeyAlgorithm {
    fn from_oid(oid: ObjectIdentifier) -> Self {
        match oid.as_bytes() {
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01] => Self::Ec,
            [0x2b, 0x65, 0x6e | 0x6f] => Self::X25519,
            [0x2b, 0x65, 0x70] => Self::Ed25519,
            [0x2b, 0x65, 0x71] => Self::Ed448,
            [0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01] => Self::Dsa,
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07] => Self::RsaOaep,
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a] => Self::RsaPss,
            _ => Self::Other,
        }
    }
}

/// The reason why a key pair could not be made, read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyPairError {
    /// The text is too long to be searched.
    #[error("more than {MAX_TEXT} bytes, which is too long for a file with a private key")]
    TooLong,
    /// The text has zero bytes: it is DER, or UTF-16.
    #[error(
        "binary, or text in UTF-16; a PEM file is expected ('openssl pkey -inform DER' makes one \
         of DER)"
    )]
    NotText,
    /// The text has no PEM block, and nothing else that is known.
    #[error(
        "no private key in it: 'BEGIN PRIVATE KEY' (or RSA, or OPENSSH PRIVATE KEY) is expected"
    )]
    NoKey,
    /// A line with BEGIN or END is damaged, or one of the two is missing.
    #[error(
        "damaged or cut off: each BEGIN line needs its END line, and five dashes on either side"
    )]
    Armor,
    /// The lines between BEGIN and END are not base64.
    #[error("damaged: there is something else than base64 between BEGIN and END")]
    Base64,
    /// The bytes are not in the form that their label or the caller names.
    #[error("damaged, or with a wrong label: the bytes are not a private key in {0}")]
    Encoding(KeyForm),
    /// The key is encrypted, and there is no way to ask for a passphrase.
    #[error(
        "encrypted; take the passphrase off a copy ('ssh-keygen -p -N \"\" -f COPY') and use that"
    )]
    Encrypted,
    /// The text has several private keys, and cannot say which one is meant.
    #[error("more than one private key; a file with exactly one is expected")]
    Several,
    /// The text has a certificate and no key.
    #[error("a certificate; the private key that belongs to it is in another file")]
    Certificate,
    /// The text has the public half of a key.
    #[error("the public half of a key; the private half is needed")]
    PublicKey,
    /// The block is from another program, or not a key.
    #[error(
        "a block of another kind; private keys are read in PKCS#8, PKCS#1 and the form of OpenSSH"
    )]
    Foreign,
    /// The key is in the form of PuTTY.
    #[error(
        "a key in the form of PuTTY; 'puttygen FILE -O private-openssh -o NEW' makes one for \
         OpenSSH"
    )]
    Putty,
    /// The key has another algorithm.
    #[error("a key of another algorithm ({0}); only RSA keys can be used")]
    NotRsa(KeyAlgorithm),
    /// The key may be used with one padding only. The protocol signs with PKCS#1 v1.5 and encrypts
    /// with OAEP, so such a key is refused for both.
    #[error(
        "an RSA key that may be used with {0} padding alone; one without that restriction is needed"
    )]
    Restricted(KeyAlgorithm),
    /// The key has three primes or more.
    #[error("an RSA key of more than two primes, which can't be used")]
    MultiPrime,
    /// The numbers of the key contradict each other.
    #[error("damaged: the numbers of the key do not fit together")]
    Inconsistent,
    /// The numbers fit, but the primes have very different sizes.
    #[error("an RSA key with primes of very different size, which can't be used")]
    Unbalanced,
    /// The public half is not accepted.
    #[error(transparent)]
    Public(#[from] KeyError),
    /// No key could be generated.
    #[error("no key of this size could be generated")]
    Generate,
}

impl KeyPairError {
    pub(super) fn of_form(error: PrivateKeyError, form: KeyForm) -> Self {
        match error {
            PrivateKeyError::Encoding => Self::Encoding(form),
            PrivateKeyError::Encrypted => Self::Encrypted,
            PrivateKeyError::Public => Self::PublicKey,
            PrivateKeyError::Algorithm(oid) => match KeyAlgorithm::from_oid(oid) {
                padding @ (KeyAlgorithm::RsaPss | KeyAlgorithm::RsaOaep) => {
                    Self::Restricted(padding)
                }
                other => Self::NotRsa(other),
            },
            PrivateKeyError::MultiPrime => Self::MultiPrime,
            PrivateKeyError::Inconsistent => Self::Inconsistent,
            PrivateKeyError::Unbalanced => Self::Unbalanced,
            PrivateKeyError::Generate => Self::Generate,
        }
    }
}
