//! Why a private key can't be used: each thing that people give instead is named for what it is.

use core::fmt;

use rsa::pkcs8::ObjectIdentifier;

use super::KeyError;
use super::key_file::MAX_TEXT;
use crate::crypto::PrivateKeyError;

/// A form in which files have private keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyForm {
    /// PKCS#8, `BEGIN PRIVATE KEY`: what OpenSSL writes today.
    Pkcs8,
    /// PKCS#1, `BEGIN RSA PRIVATE KEY`: what it wrote before, and what deployed nodes have.
    Pkcs1,
    /// `BEGIN OPENSSH PRIVATE KEY`: what `ssh-keygen` writes.
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

/// What a key is for that is not an RSA key for any padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// Signatures on a curve of NIST's or another, ECDSA.
    Ec,
    /// Signatures on Edwards' curve.
    Ed25519,
    /// Signatures on its larger sister.
    Ed448,
    /// Key agreement on Montgomery's curve, or on its larger sister.
    X25519,
    /// The old Digital Signature Algorithm.
    Dsa,
    /// RSA, for PSS signatures alone.
    RsaPss,
    /// RSA, for OAEP alone.
    RsaOaep,
    /// One that is not known here.
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

/// Why a key pair could not be made, read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyPairError {
    /// Longer than any text that is worth looking through.
    #[error("more than {MAX_TEXT} bytes, which is too long for a file with a private key")]
    TooLong,
    /// Zero bytes: DER, or text in UTF-16.
    #[error(
        "binary, or text in UTF-16; a PEM file is expected ('openssl pkey -inform DER' makes one \
         of DER)"
    )]
    NotText,
    /// No PEM block, and nothing else that is recognised.
    #[error(
        "no private key in it: 'BEGIN PRIVATE KEY' (or RSA, or OPENSSH PRIVATE KEY) is expected"
    )]
    NoKey,
    /// A line with BEGIN or END is damaged, or one of the two is missing.
    #[error(
        "damaged or cut off: each BEGIN line needs its END line, and five dashes on either side"
    )]
    Armor,
    /// Between BEGIN and END.
    #[error("damaged: there is something else than base64 between BEGIN and END")]
    Base64,
    /// The bytes are not of the form that their label or the caller names.
    #[error("damaged, or with a wrong label: the bytes are not a private key in {0}")]
    Encoding(KeyForm),
    /// A passphrase is needed, and nobody can be asked for it.
    #[error(
        "encrypted; take the passphrase off a copy ('ssh-keygen -p -N \"\" -f COPY') and use that"
    )]
    Encrypted,
    /// Which one is meant can't be known.
    #[error("more than one private key; a file with exactly one is expected")]
    Several,
    /// A certificate and no key.
    #[error("a certificate; the private key that belongs to it is in another file")]
    Certificate,
    /// The public half of a key.
    #[error("the public half of a key; the private half is needed")]
    PublicKey,
    /// Something of another program, or a block that is no key.
    #[error(
        "a block of another kind; private keys are read in PKCS#8, PKCS#1 and the form of OpenSSH"
    )]
    Foreign,
    /// PuTTY's own form.
    #[error(
        "a key in the form of PuTTY; 'puttygen FILE -O private-openssh -o NEW' makes one for \
         OpenSSH"
    )]
    Putty,
    /// A key of another algorithm.
    #[error("a key of another algorithm ({0}); only RSA keys can be used")]
    NotRsa(KeyAlgorithm),
    /// Signatures of the protocol are PKCS#1 v1.5 and its encryption is OAEP; a key that may be
    /// used for one padding alone is for neither, so that a pair is of use everywhere or
    /// nowhere.
    #[error(
        "an RSA key that may be used with {0} padding alone; one without that restriction is needed"
    )]
    Restricted(KeyAlgorithm),
    /// Three primes or more.
    #[error("an RSA key of more than two primes, which can't be used")]
    MultiPrime,
    /// The numbers contradict each other.
    #[error("damaged: the numbers of the key do not fit together")]
    Inconsistent,
    /// They fit, but such a key is no common one.
    #[error("an RSA key with primes of very different size, which can't be used")]
    Unbalanced,
    /// The public half is not acceptable.
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
