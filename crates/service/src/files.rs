//! Facts about program files: hash and publisher, each found out once for each version of a file.
//!
//! Invariants: a file is read in pieces; the files remembered are bounded; a file whose size or time changed is another.
//! Neighbours: `identity::Processes` opens files, the workers of `gate` ask.

use crate::identity::Processes;
use crate::recent::Recent;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// How many program files are remembered.
const MAX_FILES: usize = 4_096;
/// How much of a file is read at a time.
const PIECE: usize = 64 * 1024;

/// The files that are remembered.
pub struct Files {
    processes: Arc<dyn Processes>,
    known: Mutex<Recent<u64, Known>>,
    hasher: foldhash::fast::RandomState,
}

#[derive(Clone, Default)]
struct Known {
    stamp: Option<Stamp>,
    path: Arc<str>,
    sha256: Option<Arc<str>>,
    publisher: Option<Option<Arc<str>>>,
}

/// Tells versions of a file apart.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
}

impl Files {
    /// Finds things out through `processes`.
    pub fn new(processes: Arc<dyn Processes>) -> Self {
        Self { processes, known: Mutex::new(Recent::new(MAX_FILES)), hasher: foldhash::fast::RandomState::default() }
    }

    /// SHA-256 of the file's contents, in lower-case hexadecimal; `None` when it cannot be read.
    pub fn sha256(&self, path: &str) -> Option<Arc<str>> {
        let mut file = self.processes.open(path).ok()?;
        let stamp = stamp(&file)?;
        if let Some(hash) = self.with(path, stamp, |known| known.sha256.clone()) {
            return Some(hash);
        }
        let hash = sha256(&mut file).ok()?;
        self.with(path, stamp, |known| known.sha256 = Some(hash.clone()));
        Some(hash)
    }

    /// Who signed the file.
    pub fn publisher(&self, path: &str) -> Option<Arc<str>> {
        let stamp = stamp(&self.processes.open(path).ok()?)?;
        if let Some(publisher) = self.with(path, stamp, |known| known.publisher.clone()) {
            return publisher;
        }
        let publisher = self.processes.publisher(path);
        self.with(path, stamp, |known| known.publisher = Some(publisher.clone()));
        publisher
    }

    /// Looks at what is known about this version of the file, with the lock held.
    fn with<T>(&self, path: &str, stamp: Stamp, look: impl FnOnce(&mut Known) -> T) -> T {
        use std::hash::BuildHasher;
        let mut files = self.known();
        let known = files.get_or_insert_with(self.hasher.hash_one(path), Known::default);
        if known.stamp != Some(stamp) || &*known.path != path {
            *known = Known { stamp: Some(stamp), path: path.into(), ..Known::default() };
        }
        look(known)
    }

    fn known(&self) -> MutexGuard<'_, Recent<u64, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(file: &File) -> Option<Stamp> {
    let found = file.metadata().ok()?;
    Some(Stamp { size: found.len(), modified: found.modified().ok() })
}

fn sha256(file: &mut File) -> io::Result<Arc<str>> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            count => hash.update(piece.get(..count).unwrap_or_default()),
        }
    }
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        let _infallible = write!(text, "{byte:02x}");
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Description, Key};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Files of this machine, each signed by its path. Counts the questions.
    #[derive(Default)]
    struct Disk {
        publishers: AtomicU32,
    }

    impl Processes for Disk {
        fn describe(&self, _process: Key) -> Option<Description> {
            None
        }
        fn open(&self, path: &str) -> io::Result<File> {
            File::open(path)
        }
        fn publisher(&self, path: &str) -> Option<Arc<str>> {
            self.publishers.fetch_add(1, Ordering::Relaxed);
            Some(path.into())
        }
    }

    #[test]
    fn a_file_is_asked_about_once_for_each_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program").to_str().unwrap().to_owned();
        let disk = Arc::new(Disk::default());
        let files = Files::new(disk.clone());
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((files.sha256(&path), files.publisher(&path)), (None, None));
        for (contents, hash) in [("", empty), ("abc", abc)] {
            std::fs::write(&path, contents).unwrap();
            for _ in 0..2 {
                assert_eq!(files.sha256(&path).as_deref(), Some(hash));
                assert_eq!(files.publisher(&path).as_deref(), Some(path.as_str()));
            }
        }
        assert_eq!(disk.publishers.load(Ordering::Relaxed), 2);
    }
}
