//! The order of the house: which module may use which, which package may depend on which, and the
//! longest files, functions and lines. docs/architecture.md gives the reasons.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The top-level modules of the library, from the top down. Each may use all modules on later
/// lines. Modules on one line do not know each other.
const MODULES: [&[&str]; 8] = [
    &["serve"],
    &["adapter"],
    &["enroll", "registry"],
    &["session"],
    &["message"],
    &["credential"],
    &["identity"],
    &["crypto"],
];

/// The module of the library that only tests and fuzzers use.
const DOOR: &str = "internals";

/// Each package, with those of our packages that it may depend on: for users, and in addition for
/// its tests and examples.
const PACKAGES: [(&str, &[&str], &[&str]); 9] = [
    ("xlreg", &[], &["xlreg", "xlreg-testkit"]),
    ("xlreg-server", &["xlreg"], &["xlreg-testkit"]),
    ("xlreg-cli", &["xlreg", "xlreg-server"], &["xlreg-testkit"]),
    ("xlreg-testkit", &["xlreg"], &[]),
    ("xlreg-fuzz", &["xlreg", "xlreg-server", "xlreg-testkit"], &[]),
    ("xlreg-fuzz-targets", &["xlreg-fuzz"], &[]),
    ("xlreg-benches", &["xlreg", "xlreg-server", "xlreg-testkit"], &[]),
    ("xlreg-firmware", &["xlreg"], &[]),
    ("xlreg-wasm-probe", &["xlreg", "xlreg-testkit"], &[]),
];

const LINES_OF_A_FILE: usize = 600;
const LINES_OF_A_FUNCTION: usize = 70;

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Our files below a directory. Built files and findings of fuzzers are not ours.
pub(super) fn files(dir: &Path, wanted: &dyn Fn(&Path) -> bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !["target", "corpus", "artifacts", ".git"].contains(&name) {
                files(&path, wanted, found);
            }
        } else if wanted(&path) {
            found.push(path);
        }
    }
}

/// The Rust files below a directory of the project, as paths in it, with their text.
fn sources(dir: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let rust = |path: &Path| path.extension().is_some_and(|it| it == "rs");
    files(&root().join(dir), &rust, &mut found);
    found.sort();
    assert!(found.len() > 1, "{dir} has no files");
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    found.into_iter().map(read).collect()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Whether an item that starts on an earlier line with this indentation ends on this one. All code
/// is formatted by rustfmt.
fn ends(line: &str, depth: usize) -> bool {
    let rest = line.trim_start();
    indent(line) == depth && rest.starts_with([')', ']', '}']) && !rest.ends_with('{')
}

/// The lines of code of a file for users, without comments and tests. Also the modules in files of
/// their own that are for tests only.
fn product(text: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut kept, mut for_tests) = (Vec::new(), Vec::new());
    let mut lines = text.lines().filter(|line| !is_comment(line));
    while let Some(line) = lines.next() {
        let attribute = line.trim_start();
        let is_for_tests = ["#[cfg(test)]", "#[cfg(any(test,", "#[cfg(feature = \"internals\")]"];
        if !is_for_tests.iter().any(|start| attribute.starts_with(start)) {
            kept.push(line);
            continue;
        }
        let item = lines.by_ref().find(|line| !line.trim_start().starts_with("#[")).unwrap();
        if !item.ends_with([';', '}', ',']) {
            assert!(lines.any(|line| ends(line, indent(item))), "{item} does not end");
        }
        for_tests
            .extend(item.trim_start().strip_suffix(';').and_then(|it| it.split("mod ").nth(1)));
    }
    (kept, for_tests)
}

/// The first names of the paths in braces. The text starts after the first brace.
fn group(text: &str) -> Vec<&str> {
    let (mut open, mut start, mut names) = (1, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 || open == 1 && c == ',' {
            names.push(&text[start..at]);
            start = at + 1;
        }
        if open == 0 {
            break;
        }
    }
    names
}

/// The modules that a file names by a path from the root of the library.
fn named(file: &str, text: &str) -> BTreeSet<String> {
    let code = product(text).0.join("\n");
    // `src/session/mod.rs` is one level below the root, and `src/session/record/cbc.rs` is three.
    let depth = file.split('/').count() - 1 - usize::from(file.ends_with("/mod.rs"));
    let code = code.replace(&"super::".repeat(depth), "crate::");
    let paths = code.split("crate::").skip(1);
    let paths = paths.flat_map(|path| match path.strip_prefix('{') {
        Some(inside) => group(inside),
        None => vec![path],
    });
    let is_other = |c: char| !c.is_alphanumeric() && c != '_';
    let names = paths.filter_map(|path| path.trim_start().split(is_other).next());
    // Only modules are at the root. Another name is that of a module within the file.
    names.filter(|name| name.starts_with(char::is_lowercase)).map(String::from).collect()
}

/// The files of the library that are for tests only.
fn test_files(sources: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in sources {
        let dir = ["/mod.rs", "/lib.rs", ".rs"].into_iter().find_map(|end| file.strip_suffix(end));
        let dir = dir.unwrap();
        let within = |name: &&str| [format!("{dir}/{name}.rs"), format!("{dir}/{name}/mod.rs")];
        found.extend(product(text).1.iter().flat_map(within));
    }
    found
}

/// The line of `MODULES` with a module; `None` if there is none.
fn floor(module: &str) -> Option<usize> {
    MODULES.iter().position(|modules| modules.contains(&module))
}

#[test]
fn a_module_uses_only_those_below_it() {
    let (mut wrong, mut arrows) = (Vec::new(), 0);
    let sources = sources("src");
    let for_tests = test_files(&sources);
    for (file, text) in sources.iter().filter(|(file, _)| !for_tests.contains(file)) {
        let module = file.split('/').nth(1).unwrap().trim_end_matches(".rs");
        let Some(above) = floor(module) else {
            if module != "lib" && module != DOOR {
                wrong.push(format!("{file}: {module} is not in MODULES"));
            }
            continue;
        };
        for used in named(file, text).into_iter().filter(|used| used != module) {
            arrows += 1;
            if floor(&used).is_none_or(|below| below <= above) {
                wrong.push(format!("{file} uses {used}, which is not below {module}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(arrows > 50, "only {arrows} arrows were seen");
}

#[test]
fn the_arrows_are_seen_in_every_spelling() {
    let named = |text: &str| named("src/session/client.rs", text).into_iter().collect::<Vec<_>>();
    assert_eq!(named("use crate::registry::Registry;"), ["registry"]);
    assert_eq!(named("use crate::{crypto::Open, message::{Op, Reply}};"), ["crypto", "message"]);
    assert_eq!(named("fn f(op: crate::message::Op) {}"), ["message"]);
    assert_eq!(named("use super::super::registry::Registry;"), ["registry"]);
    assert_eq!(named("/// See [`crate::registry`].\nuse super::Session;"), [""; 0]);
    assert_eq!(named("#[cfg(test)]\nmod tests {\n    use crate::registry;\n}"), [""; 0]);
    assert_eq!(
        named("#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;\nuse crate::crypto;"),
        ["crypto"]
    );
}

/// The name of a package, and our packages in its sections of dependencies.
fn manifest(text: &str) -> (String, Vec<String>, Vec<String>) {
    let (mut section, mut name) = ("", String::new());
    let (mut normal, mut dev) = (Vec::new(), Vec::new());
    for line in text.lines() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let key = key.trim().split('.').next().unwrap();
        if section == "package" && key == "name" {
            name = value.trim().trim_matches('"').to_owned();
        }
        if section.ends_with("dependencies") && key.starts_with("xlreg") {
            let kind = if section.ends_with("dev-dependencies") { &mut dev } else { &mut normal };
            kind.push(key.to_owned());
        }
    }
    (name, normal, dev)
}

#[test]
fn a_package_depends_only_on_those_below_it() {
    let mut found = Vec::new();
    files(root(), &|path| path.ends_with("Cargo.toml"), &mut found);
    assert!(found.len() > 5, "{found:?}");
    for path in found {
        let (name, normal, dev) = manifest(&fs::read_to_string(&path).unwrap());
        let rule = PACKAGES.iter().find(|(package, ..)| *package == name);
        let (_, may, may_in_tests) = rule.unwrap_or_else(|| panic!("{name} is not in PACKAGES"));
        for used in normal {
            assert!(may.contains(&used.as_str()), "{name} may not depend on {used}");
        }
        for used in dev {
            let allowed = may.contains(&used.as_str()) || may_in_tests.contains(&used.as_str());
            assert!(allowed, "the tests of {name} may not depend on {used}");
        }
    }
}

/// The number of lines of the function that starts on the first of these lines, if there is one.
fn function(lines: &[&str]) -> Option<usize> {
    let first = lines[0];
    let words = ["pub", "const", "async", "unsafe", "extern"];
    let mut rest = first.split_whitespace().skip_while(|word| {
        words.contains(word) || word.starts_with("pub(") || word.starts_with('"')
    });
    if rest.next() != Some("fn") || first.ends_with([';', '}']) {
        return None;
    }
    let end = lines.iter().skip(1).position(|line| ends(line, indent(first)));
    Some(end.unwrap_or_else(|| panic!("{first} does not end")) + 2)
}

#[test]
fn files_and_functions_are_short() {
    let mut wrong = Vec::new();
    let mut functions = 0;
    for (file, text) in sources(".") {
        let lines: Vec<_> = text.lines().collect();
        if lines.len() > LINES_OF_A_FILE {
            wrong.push(format!("{file} has {} lines", lines.len()));
        }
        for at in 0..lines.len() {
            let Some(length) = function(&lines[at..]) else { continue };
            functions += 1;
            if length > LINES_OF_A_FUNCTION {
                wrong.push(format!("{file}:{} has {length} lines: {}", at + 1, lines[at].trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(functions > 1000, "only {functions} functions were seen");
}
