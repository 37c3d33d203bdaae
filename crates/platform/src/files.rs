//! Files that are replaced as a whole: a reader, and whoever comes after a crash, finds the old contents or the new.
//!
//! The new contents are written beside the file, made durable, and renamed over it. A process killed in between leaves
//! a file beside it whose name begins with `.`, which nobody reads. Neighbours: `service` keeps answers with it, the
//! commands about rules write with it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Replaces the file, or creates it, for good: when this returns, the new contents survive a crash of the system.
///
/// A file that exists keeps its access rights. A new one is readable by its owner only (on Windows: by whom its folder
/// says). A link is followed.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => fs::canonicalize(path)?,
        _ => path.to_owned(),
    };
    let beside = beside(&path)?;
    let replaced = write(&beside, &path, bytes).and_then(|()| rename(&beside, &path));
    if replaced.is_err() {
        // It may never have been there.
        let _removed = fs::remove_file(&beside);
    }
    replaced
}

/// A name in the same folder that no other call uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{} names no file", path.display())))?;
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}-{}.new", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    Ok(path.with_file_name(beside))
}

fn write(beside: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create(beside)?;
    keep_access(&file, path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(unix)]
fn create(beside: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // What a process with the same number left is of no use to anybody.
    let _removed = fs::remove_file(beside);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)
}

#[cfg(windows)]
fn create(beside: &Path) -> io::Result<File> {
    let _removed = fs::remove_file(beside);
    OpenOptions::new().write(true).create_new(true).open(beside)
}

#[cfg(unix)]
fn keep_access(file: &File, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let Ok(old) = fs::metadata(path) else { return Ok(()) };
    let new = file.metadata()?;
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(old.permissions())
}

/// A file takes the access that its folder hands down, and the old one had it from there, too.
#[cfg(windows)]
fn keep_access(_file: &File, _path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn rename(beside: &Path, path: &Path) -> io::Result<()> {
    fs::rename(beside, path)?;
    // The new name is in the folder, and lasts when the folder does (man 2 fsync).
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(windows)]
fn rename(beside: &Path, path: &Path) -> io::Result<()> {
    fs::rename(beside, path)?;
    // NTFS keeps a log of names; what is in it up to now lasts when a file is flushed (learn.microsoft.com
    // FlushFileBuffers).
    OpenOptions::new().write(true).open(path)?.sync_all()
}
