//! Runs all seeds and findings of the fuzzers on stable Rust. The testkit makes the seeds, and
//! `XLREG_WRITE_SEEDS=1 cargo test -p xlreg-fuzz` writes them.

use std::fs;
use std::path::{Path, PathBuf};

use xlreg_fuzz::TARGETS;
use xlreg_testkit::seeds;

/// The largest length of a seed, and of all seeds together.
const MOST: (u64, u64) = (4096, 300 * 1024);

fn folder(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// A panic names the file that causes it.
#[test]
fn every_seed_and_finding_goes_through_its_body() {
    for (target, body) in TARGETS {
        let seeds = files(&folder("seeds", target));
        assert!(!seeds.is_empty(), "{target} has no seeds");
        for file in seeds.into_iter().chain(files(&folder("findings", target))) {
            eprintln!("{target}: {}", file.display());
            body(&fs::read(file).unwrap());
        }
    }
}

#[test]
fn every_target_has_a_stub_and_every_stub_a_body() {
    let mut stubs: Vec<_> = files(&folder("targets", ""))
        .iter()
        .filter(|file| file.extension().is_some_and(|it| it == "rs"))
        .map(|file| String::from(file.file_stem().unwrap().to_str().unwrap()))
        .collect();
    stubs.sort();
    let mut targets: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    targets.sort_unstable();
    assert_eq!(stubs, targets);
}

#[test]
fn the_seeds_are_those_that_the_testkit_makes() {
    let write = std::env::var_os("XLREG_WRITE_SEEDS").is_some();
    for (target, seeds) in seeds::all() {
        let folder = folder("seeds", target);
        if write {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
        }
        for (name, bytes) in &seeds {
            let file = folder.join(name);
            if write {
                fs::write(&file, bytes).unwrap();
            }
            assert!(fs::read(&file).is_ok_and(|kept| kept == *bytes), "{target}/{name} is another");
        }
        assert_eq!(files(&folder).len(), seeds.len(), "files of {target} that nothing makes");
    }
}

#[test]
fn the_seeds_are_small() {
    let mut total = 0;
    for file in files(&folder("seeds", "")).iter().flat_map(|target| files(target)) {
        let bytes = fs::metadata(&file).unwrap().len();
        assert!(bytes < MOST.0, "{} has {bytes} bytes", file.display());
        total += bytes;
    }
    assert!(total < MOST.1, "{total} bytes of seeds");
}
