//! A directory of rules, read as text.
//!
//! `mandatory`, `user` and `default` hold TOML files, `sets` text files of any name. Files whose names begin with `.` or
//! end with `~` are an editor's and not read, like anything else in a layer that is not TOML. What looks like rules but
//! would be passed over - a TOML file beside the layers, a folder in one, a folder whose name is no layer's - is an
//! error: nobody should believe a rule in force that is not.
//!
//! Invariants: bounded in files and bytes; no link leads out of the directory. Neighbours: `rules` compiles the texts,
//! `service` asks for [`stamp`] every second.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, DirEntry, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The folders of rules, in the order in which rules are asked.
pub const LAYERS: [&str; 3] = ["mandatory", "user", "default"];
/// The folder of lists.
pub const SETS: &str = "sets";
/// The most files in all folders together.
pub const MAX_FILES: usize = 4_096;
/// The most bytes in all files together.
pub const MAX_BYTES: u64 = 256 << 20;

/// Why a directory of rules cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// There is no such directory.
    #[error("there is no directory {}", .0.display())]
    Missing(PathBuf),
    /// There are too many files.
    #[error("{} has more than {MAX_FILES} files", .0.display())]
    TooManyFiles(PathBuf),
    /// The files are too long.
    #[error("the files in {} have more than {MAX_BYTES} bytes together", .0.display())]
    TooLong(PathBuf),
    /// A file is not text.
    #[error("{file}:{line}:{column}: this is not UTF-8: save the file in that encoding")]
    NotText {
        /// The file, relative to the directory.
        file: String,
        /// The line, from 1.
        line: u32,
        /// The column in characters, from 1.
        column: u32,
    },
    /// A link leads out of the directory.
    #[error("{0} is a link that leads out of the directory: put the file itself there")]
    LeadsOut(String),
    /// Something would not be read although it looks as if it should.
    #[error(
        "{0} would not be read: rules are in mandatory, user and default, lists in sets, and none in folders of these"
    )]
    Misplaced(String),
    /// A file or folder has a name that is not text.
    #[error("{} has a name that is not UTF-8", .0.display())]
    BadName(PathBuf),
    /// The operating system's.
    #[error("{} cannot be read", .path.display())]
    Os {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads every file of the directory: its path relative to it, with `/`, and its text; sorted by path.
pub fn read(directory: &Path) -> Result<Vec<(String, String)>, TreeError> {
    let root = fs::canonicalize(directory).map_err(|source| refused(directory, source))?;
    let mut room = MAX_BYTES;
    let mut files = Vec::new();
    for (name, path) in list(&root)? {
        let inside = fs::canonicalize(&path).map_err(|source| refused(&path, source))?;
        if !inside.starts_with(&root) {
            return Err(TreeError::LeadsOut(name));
        }
        let bytes = read_file(&inside, room).map_err(|source| refused(&path, source))?;
        room = room.checked_sub(bytes.len() as u64).ok_or_else(|| TreeError::TooLong(directory.to_owned()))?;
        let text = String::from_utf8(bytes).map_err(|error| not_text(&name, &error))?;
        files.push((name, text));
    }
    Ok(files)
}

/// A number that changes when a file comes, goes, or changes its length or time. Reads no file.
pub fn stamp(directory: &Path) -> Result<u64, TreeError> {
    let mut hash = DefaultHasher::new();
    for (name, path) in list(directory)? {
        let found = fs::metadata(&path).map_err(|source| refused(&path, source))?;
        (name, found.len(), found.modified().unwrap_or(SystemTime::UNIX_EPOCH)).hash(&mut hash);
    }
    Ok(hash.finish())
}

/// The files that count: relative path and path, sorted by the first.
fn list(root: &Path) -> Result<Vec<(String, PathBuf)>, TreeError> {
    let mut files = Vec::new();
    for (name, entry) in entries(root)? {
        let path = entry.path();
        match (is_folder(&path)?, LAYERS.contains(&name.as_str()), name == SETS) {
            (true, is_layer, is_sets) if is_layer || is_sets => {
                for (inner, entry) in entries(&path)? {
                    let relative = format!("{name}/{inner}");
                    if is_folder(&entry.path())? {
                        return Err(TreeError::Misplaced(relative));
                    }
                    if is_sets || is_toml(&inner) {
                        files.push((relative, entry.path()));
                    }
                    if files.len() > MAX_FILES {
                        return Err(TreeError::TooManyFiles(root.to_owned()));
                    }
                }
            }
            (true, ..) => return Err(TreeError::Misplaced(name)),
            (false, ..) if is_toml(&name) => return Err(TreeError::Misplaced(name)),
            (false, ..) => {}
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// What is in a folder, but for an editor's files.
fn entries(folder: &Path) -> Result<Vec<(String, DirEntry)>, TreeError> {
    let listed = fs::read_dir(folder).map_err(|source| refused(folder, source))?;
    let mut entries = Vec::new();
    for entry in listed {
        let entry = entry.map_err(|source| refused(folder, source))?;
        if entries.len() >= MAX_FILES {
            return Err(TreeError::TooManyFiles(folder.to_owned()));
        }
        let name = entry.file_name().into_string().map_err(|_| TreeError::BadName(entry.path()))?;
        if !name.starts_with('.') && !name.ends_with('~') {
            entries.push((name, entry));
        }
    }
    Ok(entries)
}

fn is_folder(path: &Path) -> Result<bool, TreeError> {
    fs::metadata(path).map(|found| found.is_dir()).map_err(|source| refused(path, source))
}

fn is_toml(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

/// At most one byte more than there is room for.
fn read_file(path: &Path, room: u64) -> io::Result<Vec<u8>> {
    // Opening a named pipe would wait for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(room.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn not_text(file: &str, error: &std::string::FromUtf8Error) -> TreeError {
    let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let text = String::from_utf8_lossy(good);
    let last = text.rsplit('\n').next().unwrap_or_default();
    let number = |count: usize| u32::try_from(count + 1).unwrap_or(u32::MAX);
    TreeError::NotText {
        file: file.to_owned(),
        line: number(text.matches('\n').count()),
        column: number(last.chars().count()),
    }
}

fn refused(path: &Path, source: io::Error) -> TreeError {
    match source.kind() {
        io::ErrorKind::NotFound => TreeError::Missing(path.to_owned()),
        _ => TreeError::Os { path: path.to_owned(), source },
    }
}
