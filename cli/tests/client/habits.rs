//! What people are used to: flags by environment, manual pages and completions, files as editors
//! and shells save them, names with a dot at the end, no colours for whoever wants none, and output
//! that nobody reads to its end.

#![cfg(target_os = "linux")]

use std::fs;
use std::process::{Command, Output, Stdio};

use crate::common::command as xlreg;
use crate::common::place::{Place, code, json, skipped, stderr, stdout};

/// Every command and subcommand, as `xlreg help` lists them.
fn commands() -> Vec<String> {
    let listed = |args: &[&str]| -> Vec<String> {
        let help = stdout(&xlreg(args).output().unwrap());
        let list =
            help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0.to_owned();
        let first = |line: &str| line.split_whitespace().next().unwrap().to_owned();
        list.lines().map(first).filter(|name| name != "help").collect()
    };
    let mut commands = listed(&["--help"]);
    for group in ["credential", "store"] {
        let within = listed(&[group, "--help"]);
        commands.extend(within.iter().map(|sub| format!("{group} {sub}")));
    }
    commands
}

// By environment.

#[test]
fn help_tells_the_variable_of_every_flag() {
    let mut flags = 0;
    for command in commands() {
        let args: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let help = stdout(&xlreg(&args).output().unwrap());
        let options = help.split_once("Options:\n").unwrap().1;
        // What is explained below them is not indented.
        let options = options.lines().take_while(|line| line.is_empty() || line.starts_with("  "));
        let help = options.collect::<Vec<_>>().join(" ");
        for entry in help.split("  --").skip(1) {
            let flag = entry.split([' ', '[', '=']).next().unwrap();
            let variable = format!("[env: XLREG_{}]", flag.to_uppercase().replace('-', "_"));
            let without = ["dialect", "help", "version"].contains(&flag);
            assert_eq!(!entry.contains(&variable), without, "{command} --{flag}: {entry}");
            flags += 1;
        }
    }
    assert!(flags > 50, "{flags}");
}

#[test]
fn a_container_can_say_everything_by_environment() {
    let place = Place::new();
    let run = |args: &[&str], variables: &[(&str, &str)]| {
        place.command(args).envs(variables.iter().copied()).output().unwrap()
    };
    let all = [
        ("XLREG_REGISTRY", "regCred.dat"),
        ("XLREG_NODE", "node"),
        ("XLREG_NAME", "host1"),
        ("XLREG_END_POINT", "10.0.0.1:4000,10.0.0.1:5000"),
        ("XLREG_CREATE", "1"),
        ("XLREG_JSON", "yes"),
        // As good as none.
        ("XLREG_TIMEOUT", ""),
        ("XLREG_NO_WAIT", "0"),
        // There is none for this flag.
        ("XLREG_DIALECT", "nonsense"),
    ];
    let output = run(&["join", "alpha"], &all);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let member = json(&output)["members"][0].clone();
    assert_eq!(member["end_points"], serde_json::json!(["10.0.0.1:4000", "10.0.0.1:5000"]));
    // What is typed comes first.
    let output = run(&["register", "--name", "typed", "--end-point", "h:1"], &all);
    assert_eq!(
        (&json(&output)["name"], &json(&output)["end_points"][0]),
        (&"typed".into(), &"h:1".into())
    );
    // A variable that contradicts what is typed is not looked at.
    let id = ("XLREG_ID", "105f1a9aab6ed41d1de4bfefa074c824bd05e3d4");
    let output = run(&["members", "alpha"], &[&all[..2], &all[5..6], &[id]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(json(&output)["members"][0]["name"], "host1");
    place.run("init --dir other");
    let output = run(&["init", "--accept", "--dir", "other"], &all);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn a_usage_error_tells_which_variables_were_set() {
    let place = Place::bare();
    for (variable, value) in [("XLREG_JSON", "maybe"), ("XLREG_NAME", "a/b")] {
        let output = place
            .command(&["register", "--registry", "none.dat", "--node", "node"])
            .env(variable, value)
            .output()
            .unwrap();
        assert_eq!(code(&output), 2);
        let told = stderr(&output);
        assert!(told.starts_with("error: invalid value"), "{told}");
        assert!(told.contains(&format!("Set in the environment: {variable}\n")), "{told}");
    }
}

#[test]
fn an_empty_log_filter_is_none() {
    let place = Place::new();
    // It ends at once, since the address is taken, and has logged that its name changes.
    let credential = fs::read_to_string(place.path("regCred.dat")).unwrap();
    let taken = credential.split_once("TcpEndPoint: ").unwrap().1.lines().next().unwrap();
    for (filter, logs) in [("", true), (" ", true), ("error", false)] {
        let dir = format!("other{}", filter.len());
        place.run(&format!("init --dir {dir}"));
        let mut serve =
            place.command(&["serve", "--dir", &dir, "--name", "east", "--listen", taken]);
        let output = serve.env("RUST_LOG", filter).output().unwrap();
        assert_eq!(code(&output), 1, "{}", stderr(&output));
        assert_eq!(
            stderr(&output).contains("is called east"),
            logs,
            "{filter:?}: {}",
            stderr(&output)
        );
    }
}

/// The daemon's log has colours for the same terminals as help and usage errors.
#[test]
fn the_log_is_coloured_for_terminals_whose_user_wants_it() {
    let known = Command::new("script").arg("--version").output();
    if !known.is_ok_and(|told| stdout(&told).contains("util-linux")) {
        return skipped("what a terminal shows, for want of the `script` of util-linux");
    }
    let place = Place::new();
    let credential = fs::read_to_string(place.path("regCred.dat")).unwrap();
    let taken = credential.split_once("TcpEndPoint: ").unwrap().1.lines().next().unwrap();
    for (n, (no_color, term, coloured)) in
        [("", "xterm", true), ("1", "xterm", false), ("", "dumb", false)].into_iter().enumerate()
    {
        place.run(&format!("init --dir other{n}"));
        let line = format!(
            "{} serve --dir other{n} --name east --listen {taken}",
            env!("CARGO_BIN_EXE_xlreg")
        );
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).current_dir(&place.temp);
        script.env("TERM", term).env("NO_COLOR", no_color).env_remove("RUST_LOG");
        // What else would be heeded.
        for other in ["CI", "CLICOLOR", "CLICOLOR_FORCE"] {
            script.env_remove(other);
        }
        let output = script.stdin(Stdio::null()).output().unwrap();
        let shown = stdout(&output);
        assert!(shown.contains("is called east"), "{shown}");
        assert_eq!(shown.contains("\x1b["), coloured, "NO_COLOR={no_color} TERM={term}: {shown:?}");
    }
}

// Manual and completions.

#[test]
fn every_command_has_a_page_of_its_own() {
    let place = Place::bare();
    assert_eq!(code(&place.run("man --output pages")), 0);
    let mut pages: Vec<_> = fs::read_dir(place.path("pages"))
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    let mut expected: Vec<_> =
        commands().iter().map(|name| format!("xlreg-{}.1", name.replace(' ', "-"))).collect();
    expected.push("xlreg.1".into());
    expected.sort();
    assert_eq!(pages, expected);
    for command in commands() {
        let page = stdout(&place.run(&format!("man {command}")));
        let name = format!("xlreg-{}", command.replace(' ', "-"));
        assert_eq!(page.matches(".TH ").count(), 1, "{command}");
        assert!(page.contains(&format!(".TH {name} 1")), "{command}: {page}");
        assert_eq!(page, fs::read_to_string(place.path(&format!("pages/{name}.1"))).unwrap());
    }
    assert!(stdout(&place.run("man join")).contains("XLREG_REGISTRY"));
    let unknown = place.run("man page");
    assert_eq!(code(&unknown), 2);
    assert!(stderr(&unknown).contains("there is no command 'page'"), "{}", stderr(&unknown));
    assert_eq!(code(&place.run("man join --output pages")), 2);
}

#[test]
fn every_shell_is_told_of_every_command() {
    let place = Place::bare();
    // How each is asked whether it understands the script, where it is there.
    let shells = [
        ("bash", &["-n"][..]),
        ("elvish", &["-compileonly"]),
        ("fish", &["-n"]),
        ("nushell", &[]),
        ("powershell", &[]),
        ("zsh", &["-n"]),
    ];
    for (shell, check) in shells {
        let output = place.run(&format!("completions {shell}"));
        assert_eq!((code(&output), stderr(&output)), (0, String::new()));
        for command in commands() {
            let last = command.split(' ').next_back().unwrap();
            assert!(stdout(&output).contains(last), "{shell}: {command}");
        }
        assert!(stdout(&output).contains("end-point"), "{shell}");
        let script = place.path(shell);
        fs::write(&script, &output.stdout).unwrap();
        if !check.is_empty() {
            match Command::new(shell).args(check).arg(&script).status() {
                Ok(status) => assert!(status.success(), "{shell}"),
                Err(_) => skipped(&format!("the completions by {shell}, which is not there")),
            }
        }
    }
}

// Files and names.

#[test]
fn a_credential_is_read_as_editors_and_shells_save_it() {
    let place = Place::new();
    let text = fs::read_to_string(place.path("regCred.dat")).unwrap();
    let shown = stdout(&place.run("credential show regCred.dat"));
    let (lf, marked) = (text.replace('\r', ""), format!("\u{feff}{text}"));
    let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    };
    let forms = [
        lf.clone().into_bytes(),
        format!("\u{feff}{lf}").into_bytes(),
        marked.clone().into_bytes(),
        // As PowerShell redirects output.
        utf16(&marked, u16::to_le_bytes),
        utf16(&marked, u16::to_be_bytes),
    ];
    for (n, form) in forms.iter().enumerate() {
        fs::write(place.path("saved.dat"), form).unwrap();
        let output = place.run("credential show saved.dat");
        assert_eq!(
            (code(&output), stdout(&output)),
            (0, shown.clone()),
            "{n}: {}",
            stderr(&output)
        );
        assert_eq!(code(&place.run("create alpha --size 1 --registry saved.dat")), 0, "{n}");
    }
    for (bytes, why) in [
        (&b"\xff\xfe\x00"[..], "half a character"),
        (b"\xff\xfe\x00\xd8", "utf-16"),
        (b"reg\xffCred", "no text"),
        ("\u{feff}\u{feff}regCred {".as_bytes(), "line 1"),
    ] {
        fs::write(place.path("saved.dat"), bytes).unwrap();
        let output = place.run("credential show saved.dat");
        assert_eq!(code(&output), 1);
        assert!(stderr(&output).contains(why), "{why}: {}", stderr(&output));
    }
}

#[test]
fn a_name_may_end_in_a_dot() {
    let place = Place::new();
    let text = fs::read_to_string(place.path("regCred.dat")).unwrap();
    fs::write(place.path("dot.dat"), text.replace("127.0.0.1", "localhost.")).unwrap();
    let output = place.run(
        "join alpha --create 1 --registry dot.dat --node a --name a --end-point host.example.:1 \
         --json",
    );
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    // As it was given.
    let member = &json(&output)["members"][0];
    assert_eq!(member["end_points"][0], "host.example.:1");
    assert_eq!(member["addresses"][0]["host"], "host.example.");
    let output = place.run("register --registry dot.dat --node a --name a --end-point 10.0.0.1.:1");
    assert_eq!(code(&output), 2, "no name, and no address either");
}

// Output that nobody reads to its end.

#[test]
fn whoever_has_read_enough_ends_nothing_in_an_error() {
    let place = Place::new();
    place.run("create alpha --size 2 --registry regCred.dat");
    let run = |line: &str, output: Stdio| -> Output {
        let args: Vec<_> = line.split(' ').collect();
        place.command(&args).stdout(output).output().unwrap()
    };
    for line in [
        "--help",
        "--version",
        "help join",
        "join --help",
        "man join",
        "completions nushell",
        "credential show regCred.dat",
        "credential fetch --registry regCred.dat",
        "members alpha --registry regCred.dat",
        "create alpha --size 2 --registry regCred.dat --json",
        "init --dir other",
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = run(line, writer.into());
        assert_eq!((code(&output), stderr(&output)), (0, String::new()), "{line}");
        // What could not be written is told.
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = run(line, full.into());
        assert_eq!(code(&output), 1, "{line}");
        assert!(stderr(&output).contains("cannot write the output"), "{line}: {}", stderr(&output));
    }
}
