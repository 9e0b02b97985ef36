//! The examples: each registry forms a cluster of tokio clients, over real TCP.

#![cfg(all(unix, feature = "tokio"))]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Finds the built example beside this test's binary. `cargo test` builds both, but `--test
/// examples` alone does not.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(Path::parent).unwrap();
    let path = target.join("examples").join(name);
    assert!(path.exists(), "not built: run `cargo build --examples --features tokio` first");
    path
}

struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn forms_a_cluster(registry: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(example(registry));
    command.arg("127.0.0.1:0").arg(dir.path()).stdout(Stdio::piped());
    let mut registry = Stopped(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(registry.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on 127.0.0.1:"), "{line}");

    let members = ["alice", "bob", "carol"].map(|name| {
        let mut command = Command::new(example("client_tokio"));
        command.arg(dir.path().join("regCred.dat"));
        command.args(["alpha", "3", name, &format!("{name}.example:4000")]);
        command.stdout(Stdio::piped()).spawn().unwrap()
    });
    let told = members.map(|member| member.wait_with_output().unwrap());
    for output in &told {
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        assert_eq!(text, String::from_utf8(told[0].stdout.clone()).unwrap());
        for name in ["alice", "bob", "carol"] {
            assert!(text.contains(&format!(" {name} {name}.example:4000\n")), "{text}");
        }
    }
}

#[test]
fn blocking_threads_form_a_cluster() {
    forms_a_cluster("registry_threads");
}

#[test]
fn a_custom_event_loop_forms_a_cluster() {
    forms_a_cluster("registry_mio");
}

/// The event loop of an example fits one screen.
#[test]
fn examples_are_short() {
    for name in ["registry_threads", "registry_mio", "client_tokio"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.rs"));
        let text = std::fs::read_to_string(path).unwrap();
        let code = text.lines().map(str::trim);
        let lines = code.filter(|line| !line.is_empty() && !line.starts_with("//")).count();
        assert!(lines < 80, "{name} has {lines} lines of code");
    }
}

/// The front page shows the whole example: nothing is defined where a reader does not see it.
#[test]
fn the_front_page_hides_nothing() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"));
    let text = text.unwrap();
    let page = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let code: Vec<_> = page.skip_while(|line| *line != "```").skip(1).collect();
    let code = code.split(|line| *line == "```").next().unwrap();
    assert!(code.len() > 60 && code.contains(&"let mut rng = SystemRng; // any `CryptoRng`"));
    let hidden: Vec<_> = code.iter().filter(|line| line.starts_with("# ")).collect();
    assert_eq!(hidden, [&"# Ok::<(), Box<dyn std::error::Error>>(())"]);
}
