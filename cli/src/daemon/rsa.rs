//! Who does the daemon's RSA.

use std::sync::Arc;

use tracing::warn;
#[cfg(feature = "aws-lc-rs")]
use xlreg::crypto::AwsLc;
use xlreg::crypto::{Open, Provider, RustCrypto, SelfTestFailed};
use xlreg::identity::CommsKeyPair;

use crate::failure::Failure;

/// The registry's key, in a provider's hands, and the provider.
#[derive(Clone)]
pub struct Rsa {
    /// Opens Hellos.
    pub opener: Arc<dyn Open + Send + Sync>,
    /// Verifies tokens.
    pub provider: Arc<dyn Provider>,
}

impl Rsa {
    /// The fastest provider that there is and that takes the key, after its self-test.
    ///
    /// # Errors
    ///
    /// [`Failure`] if a provider gives wrong answers, or none takes the key.
    pub fn new(comms: &CommsKeyPair) -> Result<Self, Failure> {
        let key = comms.to_pkcs8_der().map_err(Failure::new)?;
        for make in PROVIDERS {
            let provider = make().map_err(Failure::new)?;
            match provider.opener(key.expose()) {
                Ok(opener) => return Ok(Self { opener: opener.into(), provider }),
                Err(refused) => warn!("{}: {refused}", provider.name()),
            }
        }
        Err(Failure::new("no RSA provider takes the registry's comms key"))
    }
}

type Make = fn() -> Result<Arc<dyn Provider>, SelfTestFailed>;

/// The fastest first. Each tests itself when it is made, so none is made before it is needed.
const PROVIDERS: &[Make] = &[
    #[cfg(feature = "aws-lc-rs")]
    || Ok(Arc::new(AwsLc::new()?)),
    || Ok(Arc::new(RustCrypto::new()?)),
];
