//! The binary in surroundings of its own: what the developer has set for `xlreg` does not reach it,
//! and what it keeps for its user does not reach the developer.

use std::process::Command;

/// The real binary. A test that lets it keep something for its user says where.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xlreg"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("XLREG_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG").env_remove("NO_COLOR");
    // Nothing can be made there.
    command.env("XDG_STATE_HOME", "/dev/null/none");
    command
}
