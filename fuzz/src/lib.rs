//! The bodies of the fuzzers, one for each target of `fuzz/targets`.
//!
//! A body takes any bytes and panics if a promise is broken. `fuzz/targets` has the stubs for
//! libFuzzer. The tests of this package run every seed and every finding through its body.

mod arbitrary;
mod checks;
mod chunking;
mod client_session;
mod codec;
mod hello;
mod hello_rsa;
mod input;
mod key_pairs;
mod keys;
mod pair;
mod record_end;
mod regcred;
mod registry;
mod server_session;
mod store;
mod token;
mod token_rsa;
mod watch;

pub use chunking::chunking;
pub use client_session::client_session;
pub use codec::codec;
pub use hello::hello;
pub use hello_rsa::hello_rsa;
pub use key_pairs::key_pairs;
pub use keys::keys;
pub use pair::pair;
pub use record_end::record_end;
pub use regcred::regcred;
pub use registry::registry;
pub use server_session::server_session;
pub use store::store;
pub use token::token;
pub use token_rsa::token_rsa;

/// A body.
pub type Body = fn(&[u8]);

/// All targets by name. The stubs in `fuzz/targets` and the folders in `fuzz/seeds` have the same
/// names.
pub const TARGETS: &[(&str, Body)] = &[
    ("chunking", chunking),
    ("client_session", client_session),
    ("codec", codec),
    ("hello", hello),
    ("hello_rsa", hello_rsa),
    ("key_pairs", key_pairs),
    ("keys", keys),
    ("pair", pair),
    ("record_end", record_end),
    ("regcred", regcred),
    ("registry", registry),
    ("server_session", server_session),
    ("store", store),
    ("token", token),
    ("token_rsa", token_rsa),
];
