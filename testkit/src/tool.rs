//! Tools that tests compare with.

use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Runs a tool in a directory, and gives its output; `None`, loudly, if the tool is missing. CI has
/// all of them. A word `''` is empty.
pub fn run_tool(dir: &Path, command: &str) -> Option<String> {
    let mut words = command.split(' ').map(|word| word.trim_matches('\''));
    let mut tool = Command::new(words.next()?);
    match tool.args(words).current_dir(dir).output() {
        Ok(output) => {
            assert!(output.status.success(), "{command}: {output:?}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{command}: {error}; ci/install installs it");
            // It goes past the capture of the test harness, so that it shows when the test passes.
            let skipped = format!("SKIPPED: not here: {command}: {error}\n");
            std::io::stderr().write_all(skipped.as_bytes()).unwrap();
            None
        }
    }
}
