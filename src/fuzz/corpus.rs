//! Runs what is kept of the fuzzers' work on stable Rust: the seeds, and each finding by its name.

use std::fs;
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

use super::TARGETS;

fn folder(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// A panic is told with the file that causes it.
#[test]
fn every_seed_and_finding_goes_through_its_body() {
    if !folder("", "").exists() {
        std::eprintln!("SKIPPED: the published package has no fuzz/");
        return;
    }
    for (target, body) in TARGETS {
        let seeds = files(&folder("seeds", target));
        assert!(!seeds.is_empty(), "{target} has no seeds");
        for file in seeds.into_iter().chain(files(&folder("findings", target))) {
            std::eprintln!("{target}: {}", file.display());
            body(&fs::read(file).unwrap());
        }
    }
}

#[test]
fn every_target_has_a_stub_and_every_stub_a_body() {
    let folder = folder("fuzz_targets", "");
    if !folder.exists() {
        std::eprintln!("SKIPPED: the published package has no fuzz/");
        return;
    }
    let mut stubs: Vec<_> = files(&folder)
        .iter()
        .map(|file| String::from(file.file_stem().unwrap().to_str().unwrap()))
        .collect();
    stubs.sort();
    let mut targets: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    targets.sort_unstable();
    assert_eq!(stubs, targets);
}
