//! The two kinds of key pair: RSA private keys, by their purpose.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{KeyError, KeyForm, KeyPairError, PublicKey, key_file};
use crate::crypto::{
    Open, OpenError, PrivateKey, PrivateKeyError, PrivateParts, Secret, Sign, SignError,
};

/// The PEM text of a private key. It is wiped when dropped, and has no `Debug`.
pub struct Pem(Zeroizing<String>);

impl Pem {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

fn of_pkcs8(error: PrivateKeyError) -> KeyPairError {
    KeyPairError::of_form(error, KeyForm::Pkcs8)
}

macro_rules! key_pair {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// The private half is wiped when dropped, and is not in the `Debug` text.
        #[derive(Clone)]
        pub struct $name {
            private: PrivateKey,
            public: PublicKey,
        }

        impl $name {
            /// Generates a key pair of `bits`, 1024 to 8192. Deployed nodes have 2048.
            ///
            /// # Errors
            ///
            /// [`KeyPairError::Public`] for another size, [`KeyPairError::Generate`] if the
            /// generator fails.
            pub fn generate(bits: usize, rng: &mut dyn CryptoRng) -> Result<Self, KeyPairError> {
                if !PublicKey::BITS.contains(&bits) {
                    return Err(KeyError::Bits(bits).into());
                }
                let private = PrivateKey::generate(rng, bits).map_err(of_pkcs8)?;
                let (modulus, exponent) = private.public_components();
                Ok(Self { private, public: PublicKey::from_components(&modulus, &exponent)? })
            }

            /// Reads the one private key in a PEM text: PKCS#8 (`BEGIN PRIVATE KEY`), PKCS#1
            /// (`BEGIN RSA PRIVATE KEY`) or the form of OpenSSH (`BEGIN OPENSSH PRIVATE KEY`). The
            /// text may have any line ends, and other text around the key.
            ///
            /// # Errors
            ///
            /// [`KeyPairError`] says what it is instead, or what is wrong with it.
            pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, KeyPairError> {
                key_file::read(pem.as_ref(), Self::from_parts)
            }

            /// Reads PKCS#8 DER.
            ///
            /// # Errors
            ///
            /// [`KeyPairError`] says what it is instead, or what is wrong with it.
            pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyPairError> {
                let parts = PrivateParts::from_pkcs8_der(der).map_err(of_pkcs8)?;
                Self::from_parts(&parts, KeyForm::Pkcs8)
            }

            /// Reads PKCS#1 DER, the form in which deployed nodes keep their keys.
            ///
            /// # Errors
            ///
            /// [`KeyPairError`] says what is wrong with it.
            pub fn from_pkcs1_der(der: &[u8]) -> Result<Self, KeyPairError> {
                let form = KeyForm::Pkcs1;
                let parts = PrivateParts::from_pkcs1_der(der);
                let parts = parts.map_err(|error| KeyPairError::of_form(error, form))?;
                Self::from_parts(&parts, form)
            }

            fn from_parts(parts: &PrivateParts<'_>, form: KeyForm) -> Result<Self, KeyPairError> {
                let public = PublicKey::from_components(parts.modulus, parts.public_exponent)?;
                let private = PrivateKey::from_parts(parts);
                let private = private.map_err(|error| KeyPairError::of_form(error, form))?;
                Ok(Self { private, public })
            }

            /// Writes the private key as PKCS#8 PEM with LF line ends.
            ///
            /// # Errors
            ///
            /// [`KeyPairError::Encoding`] if the key cannot be encoded.
            pub fn to_pem(&self) -> Result<Pem, KeyPairError> {
                Ok(Pem(self.private.to_pem().map_err(of_pkcs8)?))
            }

            /// Writes the private key as PKCS#8 DER.
            ///
            /// # Errors
            ///
            /// [`KeyPairError::Encoding`] if the key cannot be encoded.
            pub fn to_pkcs8_der(&self) -> Result<Secret, KeyPairError> {
                Ok(Secret::new(self.private.to_der().map_err(of_pkcs8)?.to_vec()))
            }

            /// The public half.
            pub fn public_key(&self) -> &PublicKey {
                &self.public
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("public", &self.public)
                    .finish_non_exhaustive()
            }
        }
    };
}

key_pair! {
    /// A comms key pair. It opens the small secrets that others seal to it.
    CommsKeyPair
}

key_pair! {
    /// A sig key pair. It signs, and does nothing else.
    SigKeyPair
}

impl Open for CommsKeyPair {
    fn open(&self, ciphertext: &[u8], rng: &mut dyn CryptoRng) -> Result<Secret, OpenError> {
        self.private.open(ciphertext, rng)
    }
}

impl Sign for SigKeyPair {
    fn sign(&self, message: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>, SignError> {
        self.private.sign(message, rng)
    }
}
