//! The files that pages, comments and scripts name are there.

use std::fs;
use std::path::Path;

use super::house::{files, root};

/// The folders at the root. A path that starts with one is a path of the project.
const FOLDERS: [&str; 10] =
    ["benches", "ci", "cli", "docs", "examples", "fuzz", "server", "src", "testkit", "tests"];

/// Texts that are not ours to name files in: what users have read already, and what is generated.
const LEFT_OUT: [&str; 2] = ["CHANGELOG.md", "Cargo.lock"];

/// Paths in a text that look like those of the project.
fn paths(text: &str) -> Vec<&str> {
    let is_other = |c: char| !c.is_ascii_alphanumeric() && !"_./-".contains(c);
    let words = text.split(is_other).map(|word| word.trim_end_matches(['.', '-', '/']));
    let is_path = |word: &&str| match word.split_once('/') {
        Some((folder, rest)) => FOLDERS.contains(&folder) && rest.contains('.'),
        None => false,
    };
    words.filter(is_path).collect()
}

/// Whether a file that a text names is there, from the root or a folder around the text.
fn is_there(text: &Path, path: &str) -> bool {
    let around = text.ancestors().skip(1).take_while(|dir| dir.starts_with(root()));
    around.into_iter().any(|dir| dir.join(path).exists())
}

#[test]
fn files_that_are_named_are_there() {
    let mut found = Vec::new();
    let wanted = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let kinds = [".md", ".rs", ".toml", ".proto"];
        let is_script = path.parent().unwrap() == root().join("ci") || name == "run";
        !LEFT_OUT.contains(&name) && (is_script || kinds.iter().any(|kind| name.ends_with(kind)))
    };
    files(root(), &wanted, &mut found);
    let (mut absent, mut named) = (Vec::new(), 0);
    for file in found {
        let text = fs::read_to_string(&file).unwrap();
        for path in paths(&text) {
            named += 1;
            if !is_there(&file, path) {
                absent.push(format!("{} names {path}", file.display()));
            }
        }
    }
    assert!(absent.is_empty(), "{}", absent.join("\n"));
    assert!(named > 150, "only {named} paths were seen");
}

#[test]
fn paths_are_seen_in_every_spelling() {
    let text = "in `src/lib.rs`, [the map](docs/architecture.md#in-one-picture) and build.rs; \
        tests/promises/main.rs. Not cli/tests, registry/regCred.dat, src/session/.";
    assert_eq!(paths(text), ["src/lib.rs", "docs/architecture.md", "tests/promises/main.rs"]);
}
