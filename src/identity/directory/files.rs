//! Files that are whole or not there, and last when they are said to.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::string::{String, ToString};
use std::sync::atomic::{AtomicU64, Ordering};

use super::DirectoryError;

/// Modes of the files written, as `chmod` takes them.
pub const PRIVATE: u32 = 0o600;
pub const PUBLIC: u32 = 0o644;

/// How a temporary file's name ends, after the process and a number.
const TEMPORARY: &str = ".tmp";

pub fn line(value: &dyn ToString) -> String {
    let mut line = value.to_string();
    line.push('\n');
    line
}

pub fn io_error(path: &Path) -> impl FnOnce(io::Error) -> DirectoryError + use<> {
    let path = path.into();
    move |source| DirectoryError::Io { path, source }
}

/// Whether only the right to write was missing.
pub fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

pub fn read(path: &Path) -> Result<Option<String>, DirectoryError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error(path)(e)),
    }
}

/// Writes a file unless it has this content, and sees to its mode.
pub fn keep(path: &Path, content: &[u8], mode: u32) -> Result<(), DirectoryError> {
    // A file that cannot be read is written anew, or it is writing that fails.
    let known = zeroize::Zeroizing::new(fs::read(path).unwrap_or_default());
    match *known == content {
        true => make_private(path, mode),
        false => write_atomically(path, content, mode),
    }
}

/// Takes a private key away from others who may read it. Where it can't be written it stays as it
/// was given.
#[cfg(unix)]
pub fn make_private(path: &Path, mode: u32) -> Result<(), DirectoryError> {
    use std::os::unix::fs::PermissionsExt;
    let known = fs::metadata(path).map_err(io_error(path))?.permissions().mode();
    if mode == PUBLIC || known & 0o077 == 0 {
        return Ok(());
    }
    match fs::set_permissions(path, fs::Permissions::from_mode(mode)) {
        Err(error) if !is_read_only(&error) => Err(io_error(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
pub fn make_private(_: &Path, _: u32) -> Result<(), DirectoryError> {
    Ok(())
}

pub fn remove_if_there(path: &Path) -> Result<(), DirectoryError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error(path)(e)),
        _ => Ok(()),
    }
}

pub fn make_directory(dir: &Path) -> Result<(), DirectoryError> {
    // Where it is read-only, its being there is all that is needed.
    if dir.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(io_error(dir))
}

/// A name beside a file that nobody else uses, and that [`sweep`] knows.
fn temporary(path: &Path) -> PathBuf {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let mut temporary = OsString::from(path);
    temporary.push(std::format!(".{}-{serial}{TEMPORARY}", process::id()));
    temporary.into()
}

pub fn try_to_write(dir: &Path) -> Result<(), DirectoryError> {
    let path = temporary(&dir.join("probe"));
    remove_if_there(&path)?;
    write_new(&path, b"", PUBLIC)?;
    remove_if_there(&path)
}

/// Replaces a file whole: written and flushed beside it under a name of its own, then renamed over
/// it.
///
/// # Errors
///
/// [`DirectoryError::Io`] with the path that failed; the old content is then still there.
pub fn write_atomically(path: &Path, content: &[u8], mode: u32) -> Result<(), DirectoryError> {
    let temporary = temporary(path);
    // One of that name is left from another life of the process's number.
    let written = remove_if_there(&temporary)
        .and_then(|()| write_new(&temporary, content, mode))
        .and_then(|()| fs::rename(&temporary, path).map_err(io_error(path)));
    if written.is_err() {
        // Best effort: the failure itself is what the caller must hear of.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    sync_directory(parent(path))
}

/// Removes what a process left that was killed in [`write_atomically`].
pub fn sweep(dir: &Path) -> io::Result<()> {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let numbers =
            name.to_str().and_then(|name| name.strip_suffix(TEMPORARY)).and_then(|name| {
                let (_, numbers) = name.rsplit_once('.')?;
                numbers.split_once('-')
            });
        let ours = numbers.is_some_and(|(process, serial)| number(process) && number(serial));
        if ours && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Writes a file that is not there yet, and flushes it.
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), DirectoryError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let write = || {
        let mut file = options.open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(io_error(path))
}

/// The directory that a file is in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Makes what was done in a directory durable, where directories can be flushed.
pub fn sync_directory(dir: &Path) -> Result<(), DirectoryError> {
    sync(dir)
}

/// Makes durable what somebody else wrote, where what is open for reading can be flushed.
pub fn sync(path: &Path) -> Result<(), DirectoryError> {
    if cfg!(unix) {
        File::open(path).and_then(|file| file.sync_all()).map_err(io_error(path))?;
    }
    Ok(())
}

/// Makes a directory durable that may just have been made, with all that it is in. Whoever made it
/// may be dead by now, so nothing tells which of them are new.
pub fn sync_ancestors(dir: &Path) -> Result<(), DirectoryError> {
    let Ok(whole) = fs::canonicalize(dir) else { return Ok(()) };
    for ancestor in whole.ancestors().skip(1) {
        match sync_directory(ancestor) {
            // What can't be read or written is not ours, and was not made by us.
            Err(error) if error.is_read_only() => return Ok(()),
            done => done?,
        }
    }
    Ok(())
}
