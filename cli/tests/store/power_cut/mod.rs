//! What a power cut may leave on disk, at every point of what a program wrote.
//!
//! 1. [`record`] runs a command under `strace` and keeps all that it did below one directory, in
//!    order: a [`Recording`].
//! 2. [`Recording::images`] builds the directories that a power cut may leave, at every point: only
//!    what was flushed, everything, subsets of what was not flushed, torn writes, files that grew
//!    and got no data, entries of a directory (made, renamed, removed) with and without the rest.
//!    Equal ones are built once.
//! 3. [`walk`] puts each on disk and has it checked.
//!
//! The model is harsher than most file systems: flushing a file does not flush its entry in the
//! directory, and what was not flushed may be kept in any order. A rename happens whole or not at
//! all.

mod disk;
mod images;
mod strace;

use std::path::Path;
use std::sync::Mutex;
use std::thread;

pub use disk::Tree;
pub use images::Image;
pub use strace::{Recording, is_here, record};

/// Puts each image on disk, in a directory of its own, and has it checked, on all cores. Fails with
/// all that was wrong.
pub fn walk(
    what: &str,
    images: &[Image],
    check: impl Fn(&Image, &Path) -> Result<(), String> + Sync,
) {
    let (next, wrong) = (Mutex::new(images.iter()), Mutex::new(Vec::new()));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let Some(image) = next.lock().unwrap().next() else { return };
                    let root = tempfile::tempdir().unwrap();
                    image.tree.write(root.path());
                    if let Err(what) = check(image, root.path()) {
                        wrong.lock().unwrap().push(format!("{image}: {what}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    println!("{what}: {} images walked, {} wrong", images.len(), wrong.len());
    assert!(wrong.is_empty(), "{what}, {} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
