//! What a command does to a directory, from its system calls.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use super::disk::{Disk, Inode, Node, Op, ROOT};

/// All that makes, changes, moves, removes or flushes a file, and what moves the place in it. What
/// is not understood of them ends the test.
const CALLS: &str = "open,openat,creat,close,dup,dup2,dup3,fcntl,read,readv,lseek,write,writev,\
    pwrite64,pwritev,pwritev2,truncate,ftruncate,fallocate,copy_file_range,sendfile,fsync,\
    fdatasync,sync_file_range,sync,syncfs,rename,renameat,renameat2,link,linkat,symlink,symlinkat,\
    unlink,unlinkat,mkdir,mkdirat,rmdir,chdir,fchdir,clone,clone3,fork,vfork";

/// What a command did to a directory, and what it said.
pub struct Recording {
    /// What was there before; all of it was flushed long ago.
    pub before: Disk,
    pub ops: Vec<Op>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// Whether there is an `strace` that works.
pub fn is_here() -> bool {
    let run = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    run.is_ok_and(|output| output.status.success())
}

/// Runs a command to its end, or until it has said a line that starts with `until`, when it is
/// killed, and gives what it did below `root`.
pub fn record(command: &Command, root: &Path, until: Option<&str>) -> Recording {
    let root = root.canonicalize().unwrap();
    let disk = Disk::read(&root);
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new("strace");
    strace.args(["--follow-forks", "-xx", "-s", "16777216", "-e"]);
    strace.arg(format!("trace={CALLS}")).arg("-o").arg(trace.path());
    strace.arg("--").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    strace.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = strace.spawn().unwrap();
    let mut stderr = process.stderr.take().unwrap();
    let stderr = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    });
    let mut stdout = String::new();
    for line in BufReader::new(process.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        stdout.push_str(&format!("{line}\n"));
        if until.is_some_and(|until| line.starts_with(until)) {
            break;
        }
    }
    if until.is_some() {
        // Only the command: strace writes out what it knows, and ends by itself.
        let pid = process.id();
        let traced = format!("/proc/{pid}/task/{pid}/children");
        let traced = std::fs::read_to_string(traced).unwrap();
        let killed = Command::new("kill").arg("-KILL").args(traced.split_whitespace()).status();
        assert!(killed.unwrap().success());
    }
    process.wait().unwrap();
    let stderr = stderr.join().unwrap();
    let text = std::fs::read_to_string(trace.path()).unwrap();
    let before = disk.clone();
    let (ops, open, flushing) = (Vec::new(), HashMap::new(), HashMap::new());
    let mut reader = Reader { root, before, disk, ops, open, flushing };
    calls(&text).iter().for_each(|step| reader.step(step));
    Recording { before: reader.before, ops: reader.ops, stdout, stderr }
}

/// What a line of a trace tells.
enum Step {
    /// A call that may flush has begun: what is written from now on, it need not flush.
    Begun {
        thread: String,
    },
    Done {
        thread: String,
        call: Call,
    },
}

/// A system call that succeeded.
struct Call {
    name: String,
    args: Vec<String>,
    result: i64,
}

/// The calls of a trace, in the order in which they returned.
fn calls(text: &str) -> Vec<Step> {
    let (mut steps, mut begun) = (Vec::new(), HashMap::new());
    for line in text.lines() {
        let Some((thread, line)) = line.split_once(' ') else { continue };
        let (thread, line) = (thread.to_owned(), line.trim_start());
        if let Some(start) = line.strip_suffix("<unfinished ...>") {
            begun.insert(thread.clone(), start.trim_end().to_owned());
            steps.push(Step::Begun { thread });
            continue;
        }
        let whole = match line.strip_prefix("<... ") {
            Some(rest) => {
                let (_, rest) = rest.split_once(" resumed>").unwrap();
                begun.remove(&thread).unwrap_or_else(|| panic!("no start: {line}")) + rest
            }
            None if line.starts_with("+++") || line.starts_with("---") => continue,
            None => {
                steps.push(Step::Begun { thread: thread.clone() });
                line.to_owned()
            }
        };
        steps.extend(call(&whole).map(|call| Step::Done { thread, call }));
    }
    steps
}

/// `name(args) = result`, if it did not fail.
fn call(line: &str) -> Option<Call> {
    let (call, result) = line.rsplit_once(") = ").or_else(|| {
        // strace pads short lines.
        let (call, result) = line.rsplit_once(" = ")?;
        Some((call.trim_end().strip_suffix(')')?, result))
    })?;
    let result: i64 = match result.split(' ').next()?.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None => result.split(' ').next()?.parse().ok()?,
    };
    let (name, args) = call.split_once('(')?;
    assert!(!args.contains("\"..."), "cut short: {name}");
    (result >= 0).then(|| Call { name: name.into(), args: split(args), result })
}

/// Arguments, at the commas outside brackets. Strings are all hex, so that no bracket or comma is
/// in one.
fn split(args: &str) -> Vec<String> {
    let (mut depth, mut found) = (0, vec![String::new()]);
    for c in args.chars() {
        match c {
            '[' | '{' | '(' => depth += 1,
            ']' | '}' | ')' => depth -= 1,
            ',' if depth == 0 => {
                found.push(String::new());
                continue;
            }
            _ => {}
        }
        found.last_mut().unwrap().push(c);
    }
    found.iter().map(|arg| arg.trim().to_owned()).collect()
}

/// All strings of an argument, joined.
fn bytes(arg: &str) -> Vec<u8> {
    let strings = arg.split('"').skip(1).step_by(2);
    let digits = strings.flat_map(|text| text.split("\\x").skip(1));
    digits.map(|hex| u8::from_str_radix(hex, 16).unwrap()).collect()
}

/// An open file.
#[derive(Clone, Copy)]
struct Open {
    inode: Inode,
    at: usize,
    append: bool,
}

/// Follows the calls, and what each does to the directory.
struct Reader {
    root: PathBuf,
    /// As it was, and what came to be since, which has no name there.
    before: Disk,
    disk: Disk,
    ops: Vec<Op>,
    /// Those below the root; all threads share them. One that is duplicated has a place of its own
    /// in this model.
    open: HashMap<i64, Open>,
    /// Operations that were done when a thread's call began.
    flushing: HashMap<String, usize>,
}

impl Reader {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Begun { thread } => {
                self.flushing.insert(thread.clone(), self.ops.len());
            }
            Step::Done { thread, call } => {
                let before = self.flushing.get(thread).copied().unwrap_or(0);
                self.call(call, before);
            }
        }
    }

    fn call(&mut self, call: &Call, before: usize) {
        let arg = |n: usize| call.args.get(n).map_or("", String::as_str);
        let number = |n: usize| arg(n).parse::<i64>().unwrap_or(-1);
        match call.name.as_str() {
            "open" => self.opened(arg(0), arg(1), arg(2), call.result),
            "creat" => self.opened(arg(0), "O_CREAT|O_TRUNC", arg(1), call.result),
            "openat" => self.opened(self.below(arg(0), arg(1)), arg(2), arg(3), call.result),
            "close" => {
                self.open.remove(&number(0));
            }
            "write" if number(0) == 1 => {
                self.ops.push(Op::Said(String::from_utf8(bytes(arg(1))).unwrap()));
            }
            "write" | "writev" => self.write(number(0), &bytes(arg(1)), call.result),
            "pwrite64" | "pwritev" | "pwritev2" => {
                self.write_at(number(0), &bytes(arg(1)), number(call.args.len() - 1), call.result);
            }
            "read" | "readv" => self.moved(number(0), |at| at + call.result as usize),
            "lseek" => self.moved(number(0), |_| call.result as usize),
            "ftruncate" => self.truncate(number(0), number(1)),
            "fsync" | "fdatasync" => {
                if let Some(open) = self.open.get(&number(0)) {
                    self.ops.push(Op::Flush { inode: open.inode, before });
                }
            }
            "rename" => self.rename(arg(0), arg(1)),
            "renameat" => self.rename(self.below(arg(0), arg(1)), self.below(arg(2), arg(3))),
            "renameat2" => {
                // An exchange would be something else.
                assert!(["0", "RENAME_NOREPLACE"].contains(&arg(4)), "{}", arg(4));
                self.rename(self.below(arg(0), arg(1)), self.below(arg(2), arg(3)));
            }
            "link" => self.link(arg(0), arg(1)),
            "linkat" => self.link(self.below(arg(0), arg(1)), self.below(arg(2), arg(3))),
            "unlink" | "rmdir" => self.unlink(arg(0)),
            "unlinkat" => self.unlink(self.below(arg(0), arg(1))),
            "mkdir" => self.make_dir(arg(0), arg(1)),
            "mkdirat" => self.make_dir(self.below(arg(0), arg(1)), arg(2)),
            "clone" | "clone3" if call.args.iter().any(|arg| arg.contains("CLONE_FILES")) => {}
            "fcntl" if !arg(1).starts_with("F_DUPFD") => {}
            "fcntl" | "dup" | "dup2" | "dup3" => {
                let open = self.open.get(&number(0)).copied();
                self.open.remove(&call.result);
                self.open.extend(open.map(|open| (call.result, open)));
            }
            _ => {
                let files = [number(0), number(1), number(2), call.result];
                let known = files.iter().any(|file| self.open.contains_key(file));
                let below = call.args.iter().any(|arg| self.place(arg).is_some());
                assert!(!known && !below, "{} is not in the model", call.name);
            }
        }
    }

    /// The path of an `…at` call; relative ones are none of ours.
    fn below<'a>(&self, dir: &str, path: &'a str) -> &'a str {
        let relative = bytes(path).first() != Some(&b'/');
        let known = dir.parse().is_ok_and(|dir| self.open.contains_key(&dir));
        assert!(!(relative && known), "paths relative to a directory below the root");
        path
    }

    /// Directory and name of a path below the root, or `None` if it is elsewhere.
    fn place(&mut self, arg: &str) -> Option<(Inode, String)> {
        let path = PathBuf::from(String::from_utf8(bytes(arg)).ok()?);
        let below = path.strip_prefix(&self.root).ok()?;
        let mut names: Vec<String> = below
            .components()
            .map(|part| match part {
                Component::Normal(name) => name.to_str().unwrap().to_owned(),
                other => panic!("{other:?} in a path"),
            })
            .collect();
        let name = names.pop()?;
        let dir = names.iter().try_fold(ROOT, |dir, name| self.disk.look_up(dir, name));
        Some((dir.unwrap_or_else(|| panic!("unknown directory: {}", below.display())), name))
    }

    fn add(&mut self, node: Node) -> Inode {
        self.before.add(node.clone());
        self.disk.add(node)
    }

    fn done(&mut self, op: Op) {
        self.disk.apply(&op);
        self.ops.push(op);
    }

    fn opened(&mut self, path: &str, flags: &str, mode: &str, fd: i64) {
        let flag = |flag: &str| flags.split('|').any(|it| it == flag);
        assert!(!flag("O_TMPFILE"), "O_TMPFILE is not in the model");
        let is_root = Path::new(OsStr::new(&String::from_utf8(bytes(path)).unwrap())) == self.root;
        let inode = match self.place(path) {
            None if is_root => ROOT,
            // The number may have been that of a file of ours.
            None => {
                self.open.remove(&fd);
                return;
            }
            Some((dir, name)) => match self.disk.look_up(dir, &name) {
                Some(inode) => inode,
                None => {
                    let mode = u32::from_str_radix(mode, 8).unwrap_or(0o666);
                    let child = self.add(Node::File { mode, content: Vec::new() });
                    self.done(Op::Link { dir, name, child });
                    child
                }
            },
        };
        if flag("O_TRUNC") && self.disk.len(inode) > 0 {
            self.done(Op::Truncate { file: inode, size: 0 });
        }
        self.open.insert(fd, Open { inode, at: 0, append: flag("O_APPEND") });
    }

    fn moved(&mut self, fd: i64, to: impl FnOnce(usize) -> usize) {
        if let Some(open) = self.open.get_mut(&fd) {
            open.at = to(open.at);
        }
    }

    fn write(&mut self, fd: i64, bytes: &[u8], written: i64) {
        let Some(open) = self.open.get(&fd).copied() else { return };
        let at = if open.append { self.disk.len(open.inode) } else { open.at };
        self.write_at(fd, bytes, at as i64, written);
        self.moved(fd, |_| at + written as usize);
    }

    fn write_at(&mut self, fd: i64, bytes: &[u8], at: i64, written: i64) {
        let Some(open) = self.open.get(&fd).copied() else { return };
        if written > 0 {
            let bytes = bytes[..written as usize].to_vec();
            self.done(Op::Write { file: open.inode, at: at as usize, bytes });
        }
    }

    fn truncate(&mut self, fd: i64, size: i64) {
        if let Some(open) = self.open.get(&fd).copied() {
            self.done(Op::Truncate { file: open.inode, size: size as usize });
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        match (self.place(from), self.place(to)) {
            (None, None) => {}
            (Some(from), Some(to)) => {
                let child = self.disk.look_up(from.0, &from.1).unwrap();
                self.done(Op::Rename { from, to, child });
            }
            _ => panic!("renamed across the root"),
        }
    }

    fn link(&mut self, from: &str, to: &str) {
        match (self.place(from), self.place(to)) {
            (None, None) => {}
            (Some(from), Some((dir, name))) => {
                let child = self.disk.look_up(from.0, &from.1).unwrap();
                self.done(Op::Link { dir, name, child });
            }
            _ => panic!("linked across the root"),
        }
    }

    fn unlink(&mut self, path: &str) {
        if let Some((dir, name)) = self.place(path) {
            self.done(Op::Unlink { dir, name });
        }
    }

    fn make_dir(&mut self, path: &str, mode: &str) {
        if let Some((dir, name)) = self.place(path) {
            let mode = u32::from_str_radix(mode, 8).unwrap_or(0o777);
            let child = self.add(Node::Dir { mode, entries: Default::default() });
            self.done(Op::Link { dir, name, child });
        }
    }
}
