//! Tools that tests compare with.

use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Runs a tool in a directory, and gives its output; `None`, loudly, if the tool is missing. CI has
/// all of them. A word `''` is empty.
pub fn run_tool(dir: &Path, command: &str) -> Option<String> {
    let words: Vec<_> = command.split(' ').map(|word| word.trim_matches('\'')).collect();
    let (tool, words) = words.split_first()?;
    run_words(dir, tool, words)
}

/// The same for a tool with these words.
pub fn run_words(dir: &Path, tool: &str, words: &[&str]) -> Option<String> {
    match Command::new(tool).args(words).current_dir(dir).output() {
        Ok(output) => {
            assert!(output.status.success(), "{tool} {words:?}: {output:?}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            let required = ["CI", "XLREG_REQUIRE_TOOLS"].map(std::env::var_os);
            let is_required = required.iter().any(Option::is_some);
            assert!(!is_required, "{tool}: {error}; ci/install installs it");
            // It goes past the capture of the test harness, so that it shows when the test passes.
            let skipped = format!("SKIPPED: not here: {tool}: {error}\n");
            std::io::stderr().write_all(skipped.as_bytes()).unwrap();
            None
        }
    }
}
