//! RSA providers are interchangeable: one suite runs over each. (`golden.rs` runs the captures over
//! each too.)

use rand_core::{CryptoRng, Rng};
use xlreg::crypto::{
    KeyRefused, Open, OpenError, Provider, PublicComponents, RustCrypto, Seal, SealError, Secret,
    SelfTestFailed, Sign, SignError, Verify, VerifyError, self_test,
};
use xlreg::identity::{CommsKeyPair, MemberAttrs, PublicKey, SigKeyPair};
use xlreg_testkit::{KEYS, Script, Seeded, identity, providers};

fn opener(provider: &dyn Provider, key: &CommsKeyPair) -> Box<dyn Open + Send + Sync> {
    provider.opener(key.to_pkcs8_der().unwrap().expose()).unwrap()
}

fn signer(provider: &dyn Provider, key: &SigKeyPair) -> Box<dyn Sign + Send + Sync> {
    provider.signer(key.to_pkcs8_der().unwrap().expose()).unwrap()
}

#[test]
fn each_gives_the_known_answers() {
    for provider in providers() {
        assert_eq!(self_test(provider), Ok(()));
    }
    assert!(RustCrypto::new().is_ok());
}

#[test]
fn what_one_seals_every_other_opens() {
    let key = &KEYS.comms[0];
    let public = key.public_key().components();
    let mut rng = Seeded::new(1);
    for (by, to) in
        providers().iter().flat_map(|by| providers().into_iter().map(move |to| (by, to)))
    {
        let opener = opener(to, key);
        for len in [0, 1, 44, 60, 214] {
            let mut plaintext = vec![0; len];
            rng.fill_bytes(&mut plaintext);
            let mut seed = [0; 20];
            rng.fill_bytes(&mut seed);
            let sealed = by.seal(public, &plaintext, &mut Script::new(seed)).unwrap();
            let usual = RustCrypto.seal(public, &plaintext, &mut Script::new(seed)).unwrap();
            assert_eq!(sealed, usual, "the seed decides every byte");
            assert_eq!(opener.open(&sealed, &mut rng).unwrap().expose(), plaintext);
        }
        assert_eq!(by.seal(public, &[0; 215], &mut rng), Err(SealError), "too long for the key");
    }
}

#[test]
fn what_is_not_sealed_to_the_key_opens_nowhere() {
    let mut rng = Seeded::new(2);
    for provider in providers() {
        let key = opener(provider, &KEYS.comms[0]);
        let right = provider.seal(KEYS.comms[0].public_key().components(), b"hello", &mut rng);
        let (right, mut cases) = (right.unwrap(), Vec::new());
        for at in [0, 1, 100, 255] {
            let mut flipped = right.clone();
            flipped[at] ^= 1;
            cases.push(flipped);
        }
        cases.push(
            provider.seal(KEYS.comms[1].public_key().components(), b"hello", &mut rng).unwrap(),
        );
        cases.extend([vec![], vec![0; 256], vec![0xff; 256], vec![0; 255], vec![0; 257]]);
        cases.extend([right[1..].to_vec(), [&right[..], &[0]].concat()]);
        // The modulus itself, and one: no residues that a sealed message can be.
        let modulus = KEYS.comms[0].public_key().components().modulus.to_vec();
        cases.extend([modulus, [&[0; 255][..], &[1]].concat()]);
        for case in cases {
            let opened = key.open(&case, &mut rng);
            assert!(matches!(opened, Err(OpenError)), "{}: {case:02x?}", provider.name());
        }
    }
}

#[test]
fn every_provider_verifies_the_same_signatures() {
    let mut rng = Seeded::new(3);
    let mut generated = Vec::new();
    for bits in [1024, 1032, 2048] {
        generated.push(SigKeyPair::generate(bits, &mut rng).unwrap());
    }
    for key in generated.iter().chain(&KEYS.sig[..2]) {
        let public = key.public_key().components();
        let signature = key.sign(b"message", &mut rng).unwrap();
        let mut longer = signature.clone();
        longer.insert(0, 0);
        let mut flipped = signature.clone();
        flipped[3] ^= 0x80;
        for provider in providers() {
            assert_eq!(signer(provider, key).sign(b"message", &mut rng).unwrap(), signature);
            let verify =
                |message: &[u8], signature: &[u8]| provider.verify(public, message, signature);
            assert_eq!(verify(b"message", &signature), Ok(()), "{}", provider.name());
            for (message, signature) in [
                (&b"another"[..], &signature[..]),
                (b"message", &flipped),
                (b"message", &longer),
                (b"message", &signature[1..]),
                (b"message", &[]),
                (b"message", &vec![0; signature.len()]),
                (b"message", public.modulus),
            ] {
                assert_eq!(verify(message, signature), Err(VerifyError), "{}", provider.name());
            }
        }
    }
}

/// Signatures on which all providers must agree, with the widest exponents that a key may have.
#[test]
fn unusual_keys_that_are_accepted_are_judged_alike() {
    let known = KEYS.sig[0].public_key().components().modulus.to_vec();
    let mut largest = vec![0xff; 1024];
    largest[1023] = 0xfd;
    for modulus in [known, largest] {
        for exponent in [&[3][..], &[1, 0, 1], &[1, 0xff, 0xff, 0xff, 0xff]] {
            let key = PublicKey::from_components(&modulus, exponent).unwrap();
            let signature = vec![0x42; modulus.len()];
            for provider in providers() {
                let verified = provider.verify(key.components(), b"message", &signature);
                assert_eq!(verified, Err(VerifyError), "{}", provider.name());
            }
        }
    }
}

#[test]
fn a_token_is_the_same_whoever_signs_and_verifies_it() {
    let member = identity("alice", 0);
    let token = member.token(MemberAttrs::NONE, vec!["h:1".parse().unwrap()], &mut Seeded::new(4));
    let token = token.unwrap();
    for provider in providers() {
        let mut again = token.clone();
        again.sign(&*signer(provider, &member.sig), &mut Seeded::new(5)).unwrap();
        assert_eq!(again, token);
        assert!(again.verify(provider).is_ok());
    }
}

#[test]
fn a_generated_key_works_and_others_are_refused() {
    let mut rng = Seeded::new(6);
    for provider in providers() {
        let der = provider.generate(2048, &mut rng).unwrap();
        let key = CommsKeyPair::from_pkcs8_der(der.expose()).unwrap();
        assert_eq!(key.public_key().bits(), 2048);
        let sealed = key.public_key().seal(b"hello", &mut rng).unwrap();
        let opened = opener(provider, &key).open(&sealed, &mut rng).unwrap();
        assert_eq!(opened.expose(), b"hello");
        assert!(provider.generate(1, &mut rng).is_err());
        for garbage in [&[][..], b"no key", &der.expose()[1..]] {
            assert!(provider.opener(garbage).is_err() && provider.signer(garbage).is_err());
        }
    }
}

/// A provider with one fault.
struct Broken(&'static str);

impl Broken {
    fn is(&self, what: &str) -> bool {
        self.0 == what
    }
}

impl Provider for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn opener(&self, pkcs8: &[u8]) -> Result<Box<dyn Open + Send + Sync>, KeyRefused> {
        match self.0 {
            "opening" => Err(KeyRefused("no")),
            "refusing a ciphertext" => Ok(Box::new(Credulous(RustCrypto.opener(pkcs8)?))),
            _ => RustCrypto.opener(pkcs8),
        }
    }

    fn signer(&self, pkcs8: &[u8]) -> Result<Box<dyn Sign + Send + Sync>, KeyRefused> {
        if self.is("signing") { Ok(Box::new(Forger)) } else { RustCrypto.signer(pkcs8) }
    }

    fn generate(&self, bits: usize, rng: &mut dyn CryptoRng) -> Result<Secret, KeyRefused> {
        RustCrypto.generate(bits, rng)
    }
}

impl Seal for Broken {
    fn seal(
        &self,
        key: PublicComponents<'_>,
        plaintext: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        if self.is("sealing") {
            // A seed of its own.
            return RustCrypto.seal(key, plaintext, &mut Seeded::new(1));
        }
        RustCrypto.seal(key, plaintext, rng)
    }
}

impl Verify for Broken {
    fn verify(
        &self,
        key: PublicComponents<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        match self.0 {
            "verifying" => Err(VerifyError),
            "refusing a signature" => Ok(()),
            _ => RustCrypto.verify(key, message, signature),
        }
    }
}

struct Credulous(Box<dyn Open + Send + Sync>);

impl Open for Credulous {
    fn open(&self, ciphertext: &[u8], rng: &mut dyn CryptoRng) -> Result<Secret, OpenError> {
        self.0.open(ciphertext, rng).or(Ok(Secret::new(Vec::new())))
    }
}

struct Forger;

impl Sign for Forger {
    fn sign(&self, _: &[u8], _: &mut dyn CryptoRng) -> Result<Vec<u8>, SignError> {
        Ok(vec![0; 256])
    }
}

#[test]
fn the_self_test_finds_what_is_wrong() {
    for failed in [
        "sealing",
        "verifying",
        "refusing a signature",
        "opening",
        "refusing a ciphertext",
        "signing",
    ] {
        let error = SelfTestFailed { provider: "broken", failed };
        assert_eq!(self_test(&Broken(failed)), Err(error));
    }
    assert_eq!(self_test(&Broken("nothing")), Ok(()));
}
