//! The measured work: sessions without sockets, and the same bytes by the crates below them.

mod daemon;
mod enrollments;
mod raw;
mod registries;
mod sessions;

pub use daemon::{Connection, Daemon, ask};
pub use enrollments::{Enrollment, Enrollments};
pub use raw::Raw;
pub use registries::Registries;
pub use sessions::{Sessions, Shake};
pub use xlreg_testkit::Seeded;

use xlreg::credential::Credential;
use xlreg::identity::{Identity, MemberAttrs, NodeId, Token, Version};

/// Keys that are the same in every run: those of the registry, and of one member after the other.
pub fn identity(n: u64) -> Identity {
    let mut rng = Seeded::new(1000 + n);
    let name = format!("member{n}").parse().expect("a name");
    Identity::generate(name, &mut rng).expect("keys")
}

/// The credential of the registry whose keys are [`identity(0)`](identity).
pub(crate) fn credential() -> Credential {
    let keys = identity(0);
    Credential {
        name: keys.name,
        id: NodeId::from_bytes(&[1; 32]).expect("an ID"),
        comms_key: keys.comms.public_key().clone(),
        sig_key: keys.sig.public_key().clone(),
        end_points: vec!["127.0.0.1:56789".parse().expect("an end")],
        version: Version::REFERENCE,
    }
}

/// The signed token of a member with two end points.
pub fn token(member: &Identity) -> Token {
    let end_points =
        ["10.11.12.13:4000", "10.11.12.13:4001"].map(|end| end.parse().expect("an end"));
    member.token(MemberAttrs::NONE, end_points.into(), &mut Seeded::new(1)).expect("a signature")
}

/// A token as it is served, with this ID.
pub fn served(token: &Token, n: u8) -> Token {
    Token { id: NodeId::from_bytes(&[n; 32]).ok(), signature: None, ..token.clone() }
}
