//! Compiles `proto/xlreg.proto` in-process: protox parses, prost-build generates. No `protoc` is run.

use std::io::{Error, Result};

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=proto/xlreg.proto");
    let schema = protox::compile(["proto/xlreg.proto"], ["proto"]).map_err(Error::other)?;
    prost_build::Config::new()
        // A derived `Debug` could print key material (`AesKey`), so there is none at all.
        .skip_debug(["."])
        .compile_fds(schema)
}
