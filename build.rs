//! The types of `proto/xlreg.proto` are kept in the tree, so that a build needs neither a compiler
//! of schemas nor the crates of one. Here they are made anew where the feature `generate` asks for
//! it, in-process (no `protoc` is run); else this looks whether the schema has changed since.
//! `ci/generate` does the rest.

use std::error::Error;
use std::fs;

const SCHEMA: &str = "proto/xlreg.proto";
#[cfg(not(feature = "generate"))]
const KEPT: &str = "src/message/proto/reg.rs";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SCHEMA}");
    let schema = fs::read(SCHEMA)?;
    finish(&header(&schema))
}

/// How the file starts that is made of this schema.
fn header(schema: &[u8]) -> String {
    format!(
        "// @generated from {SCHEMA} with the digest {:016x}.\n\
         // Not to be edited: `ci/generate --write` makes it anew.\n\n",
        digest(schema)
    )
}

/// FNV-1a, whatever a checkout has done to the line ends. It tells an edit, not an attack.
fn digest(schema: &[u8]) -> u64 {
    let bytes = schema.iter().filter(|byte| **byte != b'\r');
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(not(feature = "generate"))]
fn finish(header: &str) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={KEPT}");
    if !fs::read_to_string(KEPT)?.starts_with(header.trim_end()) {
        println!("cargo::warning={KEPT} was made of another {SCHEMA}; run ci/generate --write");
    }
    Ok(())
}

#[cfg(feature = "generate")]
fn finish(header: &str) -> Result<(), Box<dyn Error>> {
    let made = std::path::PathBuf::from(std::env::var("OUT_DIR")?).join("reg.rs");
    prost_build::Config::new()
        // A derived `Debug` could print key material (`AesKey`), so there is none at all.
        .skip_debug(["."])
        .compile_fds(protox::compile([SCHEMA], ["proto"])?)?;
    let code = fs::read_to_string(&made)?;
    fs::write(&made, format!("{header}{code}"))?;
    Ok(())
}
