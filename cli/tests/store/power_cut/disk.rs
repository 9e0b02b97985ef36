//! A disk as a journal: what was done to it, and what a crash may keep of that.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A file or a directory, by the order in which they came to be.
pub type Inode = usize;

/// The directory that everything is below. It was there before, and so it stays.
pub const ROOT: Inode = 0;

/// Something that was done.
#[derive(Clone, Debug)]
pub enum Op {
    Write {
        file: Inode,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        file: Inode,
        size: usize,
    },
    /// A write whose data did not arrive, only the length of the file.
    Grow {
        file: Inode,
        size: usize,
    },
    /// A file or a directory got a name: made or linked.
    Link {
        dir: Inode,
        name: String,
        child: Inode,
    },
    Unlink {
        dir: Inode,
        name: String,
    },
    Rename {
        from: (Inode, String),
        to: (Inode, String),
        child: Inode,
    },
    /// All that was done to this file, or in this directory, is on disk from now on.
    Flush {
        inode: Inode,
        /// Operations that were done when it began; what came meanwhile may be left out.
        before: usize,
    },
    /// Something was told: standard output.
    Said(String),
}

impl Op {
    /// The files and directories that have to be flushed for this to last.
    pub fn touches(&self) -> Vec<Inode> {
        match self {
            Self::Write { file, .. } | Self::Truncate { file, .. } | Self::Grow { file, .. } => {
                vec![*file]
            }
            Self::Link { dir, .. } | Self::Unlink { dir, .. } => vec![*dir],
            Self::Rename { from, to, .. } => vec![from.0, to.0],
            Self::Flush { .. } | Self::Said(_) => Vec::new(),
        }
    }
}

/// What a file or a directory is.
#[derive(Clone, Debug)]
pub enum Node {
    File { mode: u32, content: Vec<u8> },
    Dir { mode: u32, entries: BTreeMap<String, Inode> },
}

/// Files and directories, by inode.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    nodes: HashMap<Inode, Node>,
}

impl Disk {
    /// As it is now.
    pub fn read(root: &Path) -> Self {
        let mut disk = Self::default();
        disk.read_dir(root);
        disk
    }

    fn read_dir(&mut self, path: &Path) -> Inode {
        let dir = self.nodes.len();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        self.nodes.insert(dir, Node::Dir { mode: mode(path), entries: BTreeMap::new() });
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            let child = match path.is_dir() {
                true => self.read_dir(&path),
                false => {
                    let content = fs::read(&path).unwrap();
                    let file = self.nodes.len();
                    self.nodes.insert(file, Node::File { mode: mode(&path), content });
                    file
                }
            };
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            self.entries(dir).insert(name, child);
        }
        dir
    }

    pub fn add(&mut self, node: Node) -> Inode {
        let inode = self.nodes.len();
        self.nodes.insert(inode, node);
        inode
    }

    fn entries(&mut self, dir: Inode) -> &mut BTreeMap<String, Inode> {
        match self.nodes.get_mut(&dir).unwrap() {
            Node::Dir { entries, .. } => entries,
            Node::File { .. } => panic!("a file has no entries"),
        }
    }

    fn content(&mut self, file: Inode) -> &mut Vec<u8> {
        match self.nodes.get_mut(&file).unwrap() {
            Node::File { content, .. } => content,
            Node::Dir { .. } => panic!("a directory has no content"),
        }
    }

    pub fn len(&mut self, file: Inode) -> usize {
        self.content(file).len()
    }

    /// What has this name below this directory.
    pub fn look_up(&mut self, dir: Inode, name: &str) -> Option<Inode> {
        self.entries(dir).get(name).copied()
    }

    /// Every file and directory with this name.
    pub fn named<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = Inode> + 'a {
        self.nodes.values().flat_map(move |node| match node {
            Node::Dir { entries, .. } => entries.get(wanted).copied(),
            Node::File { .. } => None,
        })
    }

    /// Does it.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Write { file, at, bytes } => {
                let content = self.content(*file);
                let end = at + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*at..end].copy_from_slice(bytes);
            }
            Op::Truncate { file, size } => self.content(*file).resize(*size, 0),
            Op::Grow { file, size } => {
                let content = self.content(*file);
                content.resize(content.len().max(*size), 0);
            }
            Op::Link { dir, name, child } => {
                self.entries(*dir).insert(name.clone(), *child);
            }
            Op::Unlink { dir, name } => {
                self.entries(*dir).remove(name);
            }
            Op::Rename { from, to, child } => {
                // Where what was renamed is known by another name already, only the new one counts.
                if self.entries(from.0).get(&from.1) == Some(child) {
                    self.entries(from.0).remove(&from.1);
                }
                self.entries(to.0).insert(to.1.clone(), *child);
            }
            Op::Flush { .. } | Op::Said(_) => {}
        }
    }

    /// What can be seen from the root.
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::default();
        self.collect(ROOT, Path::new(""), &mut tree);
        tree
    }

    fn collect(&self, dir: Inode, path: &Path, tree: &mut Tree) {
        let Node::Dir { entries, .. } = &self.nodes[&dir] else { panic!("not a directory") };
        for (name, child) in entries {
            let path = path.join(name);
            match &self.nodes[child] {
                Node::File { mode, content } => {
                    tree.entries.insert(path, (*mode, Some(content.clone())));
                }
                Node::Dir { mode, .. } => {
                    tree.entries.insert(path.clone(), (*mode, None));
                    self.collect(*child, &path, tree);
                }
            }
        }
    }
}

/// Files with their content, and directories without, by path, with modes.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<PathBuf, (u32, Option<Vec<u8>>)>,
}

impl Tree {
    /// As it is on disk now.
    pub fn read(root: &Path) -> Self {
        Disk::read(root).tree()
    }

    /// Changes the content of a file, if it is there; `None` removes it.
    pub fn change(&mut self, path: &str, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
        let Some((mode, Some(content))) = self.entries.remove(Path::new(path)) else { return };
        if let Some(content) = change(content) {
            self.entries.insert(path.into(), (mode, Some(content)));
        }
    }

    /// The content of a file.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.entries.get(Path::new(path))?.1.as_deref()
    }

    /// Every file.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.entries.iter().filter_map(|(path, (_, file))| Some((path.as_path(), file.as_deref()?)))
    }

    /// Puts it on disk.
    pub fn write(&self, root: &Path) {
        for (path, (mode, file)) in &self.entries {
            let path = root.join(path);
            match file {
                None => fs::DirBuilder::new().mode(*mode).create(&path).unwrap(),
                Some(content) => {
                    let mut options = fs::OpenOptions::new();
                    let file = options.write(true).create_new(true).mode(*mode).open(&path);
                    std::io::Write::write_all(&mut file.unwrap(), content).unwrap();
                }
            }
        }
    }

    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}
