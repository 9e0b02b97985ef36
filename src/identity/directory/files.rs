//! Durable files: a reader or a crash sees a whole file or none.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::string::{String, ToString};
use std::sync::atomic::{AtomicU64, Ordering};

use super::DirectoryError;

/// The mode of a file for its owner only, as `chmod` takes it.
pub const PRIVATE: u32 = 0o600;
/// The mode of a file that everybody may read.
pub const PUBLIC: u32 = 0o644;

/// The end of a temporary file's name, after the process and a number.
const TEMPORARY: &str = ".tmp";

/// Makes one line of text.
pub fn line(value: &dyn ToString) -> String {
    let mut line = value.to_string();
    line.push('\n');
    line
}

/// Makes the error for this path.
pub fn io_error(path: &Path) -> impl FnOnce(io::Error) -> DirectoryError + use<> {
    let path = path.into();
    move |source| DirectoryError::Io { path, source }
}

/// Whether the right to write was missing, and nothing else.
pub fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

/// Reads a text file; `None` if it is not there.
pub fn read(path: &Path) -> Result<Option<String>, DirectoryError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error(path)(e)),
    }
}

/// Writes a file unless it has this content. A private file is made private in both cases.
pub fn keep(path: &Path, content: &[u8], mode: u32) -> Result<(), DirectoryError> {
    match fs::read(path).map(zeroize::Zeroizing::new) {
        Ok(known) if *known == content => make_private(path, mode),
        // A file that cannot be read is written, and if that fails too the error says so.
        _ => write_atomically(path, content, mode),
    }
}

/// Takes the right to read a private file from others. On a read-only file system the mode stays.
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

/// Does nothing: only Unix has modes.
#[cfg(not(unix))]
pub fn make_private(_: &Path, _: u32) -> Result<(), DirectoryError> {
    Ok(())
}

/// Removes a file, if it is there.
pub fn remove_if_there(path: &Path) -> Result<(), DirectoryError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error(path)(e)),
        _ => Ok(()),
    }
}

/// Makes a directory for its owner only, if it is not there.
pub fn make_directory(dir: &Path) -> Result<(), DirectoryError> {
    // Asked first, because on a read-only file system creating fails even if it is there.
    if dir.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(io_error(dir))
}

/// Makes a name beside a file. Nobody else uses it, and [`sweep`] knows it.
fn temporary(path: &Path) -> PathBuf {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let mut temporary = OsString::from(path);
    temporary.push(std::format!(".{}-{serial}{TEMPORARY}", process::id()));
    temporary.into()
}

/// Writes and removes a file, to find out whether the directory can be written.
pub fn try_to_write(dir: &Path) -> Result<(), DirectoryError> {
    let path = temporary(&dir.join("probe"));
    remove_if_there(&path)?;
    write_new(&path, b"", PUBLIC)?;
    remove_if_there(&path)
}

/// Replaces a whole file: writes and flushes a new file beside it, then renames that over it.
///
/// # Errors
///
/// [`DirectoryError::Io`] with the path that failed. The old content is still there then.
pub fn write_atomically(path: &Path, content: &[u8], mode: u32) -> Result<(), DirectoryError> {
    let temporary = temporary(path);
    // A file with this name can be left from an earlier process with the same number.
    let written = remove_if_there(&temporary)
        .and_then(|()| write_new(&temporary, content, mode))
        .and_then(|()| fs::rename(&temporary, path).map_err(io_error(path)));
    if written.is_err() {
        // If this fails too, `sweep` removes the file later. The caller gets the first error.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    sync_directory(parent(path))
}

/// Removes the temporary files of processes that were killed in [`write_atomically`].
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

/// Creates a file, writes it and flushes it.
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), DirectoryError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    // Only Unix has modes.
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

/// Makes the changes in a directory durable, where directories can be flushed.
pub fn sync_directory(dir: &Path) -> Result<(), DirectoryError> {
    sync(dir)
}

/// Makes a file or directory durable that somebody else wrote, where that is possible.
pub fn sync(path: &Path) -> Result<(), DirectoryError> {
    if cfg!(unix) {
        File::open(path).and_then(|file| file.sync_all()).map_err(io_error(path))?;
    }
    Ok(())
}

/// Makes a directory durable that may be new, with all directories above it. The process that made
/// them may have been killed, so it is not known which of them are new.
pub fn sync_ancestors(dir: &Path) -> Result<(), DirectoryError> {
    let Ok(whole) = fs::canonicalize(dir) else { return Ok(()) };
    for ancestor in whole.ancestors().skip(1) {
        match sync_directory(ancestor) {
            // A directory that cannot be read is not ours, so it is not new.
            Err(error) if error.is_read_only() => return Ok(()),
            done => done?,
        }
    }
    Ok(())
}
