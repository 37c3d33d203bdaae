//! One open database: opening it, writing a batch, setting a bad one aside.
//!
//! Invariants: a batch is one transaction, all of it or nothing; a corrupt file is renamed, never deleted at once; a file
//! that is not ours, or of a later release, is left alone. Neighbours: `writer` decides what to do after an error.

use crate::log::dictionary::{self, Dictionary};
use crate::log::row::{self, nanoseconds};
use crate::log::schema;
use control::entry::Entry;
use jiff::Timestamp;
use rules::decision::Revision;
use rules::source::SourceFile;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{fs, io};

/// How long a statement waits for another program that has the database locked.
const BUSY: Duration = Duration::from_millis(250);

/// How many corrupt files are kept beside the log; the oldest go.
const ASIDE: usize = 3;

/// How large the write-ahead log stays after a checkpoint, in bytes.
const WAL_BYTES: i64 = 16 << 20;

/// Why the log is not written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A later release wrote it.
    #[error(
        "the log is of schema version {found}, and this release knows {}: update Tollgate, or move the file away",
        schema::VERSION
    )]
    Newer {
        /// Its version.
        found: i64,
    },
    /// It is a database of something else.
    #[error("the file is a database of another program: move it away, or configure another path")]
    Foreign,
    /// SQLite says so.
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    /// Its directory, or its file, cannot be made, looked at or renamed.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its file is no longer where it was.
    #[error("the file was moved or removed while it was open")]
    Moved,
}

/// What to do about a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Try the same again later: another program has it locked, or the disk is full.
    Wait,
    /// Open it again, later.
    Reopen,
    /// Set the file aside and begin a new one.
    SetAside,
    /// Leave out the row: it alone is refused.
    Skip,
}

impl StoreError {
    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        let Self::Sql(error) = self else { return Remedy::Reopen };
        if Self::is_damage(error) {
            return Remedy::SetAside;
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull) => Remedy::Wait,
            Some(ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch) => Remedy::Skip,
            None if matches!(error, rusqlite::Error::ToSqlConversionFailure(_)) => Remedy::Skip,
            _ => Remedy::Reopen,
        }
    }

    /// Whether the file is damaged: SQLite says so, or a value is not of the type that any release writes.
    pub fn is_damage(error: &rusqlite::Error) -> bool {
        matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
            || matches!(
                error,
                rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
                    | rusqlite::Error::QueryReturnedNoRows
                    | rusqlite::Error::Utf8Error(..)
            )
    }
}

/// What a batch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// How many rows were added.
    pub rows: u64,
    /// How many entries were refused for what is in them.
    pub refused: u64,
}

/// An open database.
pub struct Store {
    path: PathBuf,
    /// When its file was made: another time is another file.
    made: Option<SystemTime>,
    pub(super) connection: Connection,
    pub(super) dictionary: Dictionary,
}

impl Store {
    /// Opens the database `path`; makes it, and its directory, when there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(|source| StoreError::Io { path: directory.to_path_buf(), source })?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        schema::look(&connection)?;
        schema::migrate(&mut connection)?;
        // A committed row survives the end of the process; a power failure may take the last ones, and nothing else:
        // https://www.sqlite.org/pragma.html#pragma_synchronous
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(Self { path: path.to_path_buf(), made: made(path)?, connection, dictionary: Dictionary::default() })
    }

    /// Fails when the file is no longer where it was: rows written to it would be lost.
    pub fn stands(&self) -> Result<(), StoreError> {
        match made(&self.path) {
            Ok(made) if made == self.made => Ok(()),
            _ => Err(StoreError::Moved),
        }
    }

    /// Adds `entries` in one transaction.
    pub fn write(&mut self, entries: &[Arc<Entry>]) -> Result<Written, StoreError> {
        let written = self.write_batch(entries);
        if written.is_err() {
            self.dictionary.forget();
        }
        written
    }

    fn write_batch(&mut self, entries: &[Arc<Entry>]) -> Result<Written, StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut written = Written::default();
        let mut last = 0;
        {
            let mut insert = transaction.prepare_cached(row::INSERT)?;
            for entry in entries {
                let Ok(id) = i64::try_from(entry.id) else {
                    written.refused += 1;
                    continue;
                };
                let added = self
                    .dictionary
                    .place(&transaction, entry)
                    .and_then(|shared| row::write(&mut insert, id, entry, shared))
                    .map_err(StoreError::from);
                match added {
                    Ok(true) => written.rows += 1,
                    Ok(false) => written.refused += 1,
                    Err(error) if error.remedy() == Remedy::Skip => written.refused += 1,
                    Err(error) => return Err(error),
                }
                last = last.max(id);
            }
        }
        self.dictionary.mark(&transaction, last)?;
        transaction.prepare_cached("UPDATE total SET entries = entries + ?1")?.execute([row::signed(written.rows)])?;
        transaction.commit()?;
        Ok(written)
    }

    /// Keeps the files of a ruleset that is in force since `since`.
    pub fn put_revision(
        &mut self,
        revision: &Revision,
        since: Timestamp,
        files: &[SourceFile],
    ) -> Result<(), StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let row = dictionary::revision_row(&transaction, revision, nanoseconds(since))?;
        let kept: bool = transaction.query_row("SELECT kept FROM revision WHERE id = ?1", [row], |row| row.get(0))?;
        if !kept {
            for file in files {
                let source: i64 = transaction
                    .prepare_cached(
                        "INSERT INTO source (digest, text) VALUES (?1, ?2) \
                        ON CONFLICT (digest) DO UPDATE SET digest = digest RETURNING id",
                    )?
                    .query_row(params![dictionary::digest(&file.text), &*file.text], |row| row.get(0))?;
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO revision_file (revision, path, source) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(params![row, &*file.path, source])?;
            }
            transaction.execute("UPDATE revision SET kept = 1 WHERE id = ?1", [row])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// The newest row: its number and its time.
    pub fn newest(&self) -> Result<Option<(i64, i64)>, StoreError> {
        Ok(self
            .connection
            .query_row("SELECT id, time FROM connection ORDER BY id DESC LIMIT 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?)
    }

    /// How many rows there are.
    pub fn entries(&self) -> Result<u64, StoreError> {
        let entries: i64 =
            self.connection.prepare_cached("SELECT entries FROM total")?.query_row([], |row| row.get(0))?;
        Ok(u64::try_from(entries).unwrap_or(0))
    }

    /// Ends with everything in the one file.
    pub fn close(self) {
        // What cannot be closed is closed by the end of the process.
        let _ = self.connection.close();
    }
}

/// Renames the database `path` and what belongs to it, so that `now` is in its name; returns the new path.
pub fn set_aside(path: &Path, now: Timestamp) -> Result<PathBuf, StoreError> {
    let aside = with_suffix(path, &format!(".corrupt-{}", now.strftime("%Y%m%dT%H%M%S%.3fZ")));
    for suffix in ["-wal", "-shm", ""] {
        let from = with_suffix(path, suffix);
        match fs::rename(&from, with_suffix(&aside, suffix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed.map_err(|source| StoreError::Io { path: from, source })?,
        }
    }
    drop_old_ones(path);
    Ok(aside)
}

/// The corrupt files beside `path`, oldest first.
pub fn those_aside(path: &Path) -> Vec<PathBuf> {
    let Some((directory, name)) = path.parent().zip(path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let prefix = format!("{name}.corrupt-");
    let mut aside: Vec<PathBuf> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|file| file.path())
        .filter(|file| {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(&prefix) && name.ends_with('Z')
        })
        .collect();
    aside.sort();
    aside
}

fn drop_old_ones(path: &Path) {
    let aside = those_aside(path);
    for old in aside.iter().take(aside.len().saturating_sub(ASIDE)) {
        for suffix in ["", "-wal", "-shm"] {
            // What cannot be removed stays: it is in nobody's way.
            let _ = fs::remove_file(with_suffix(old, suffix));
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// When the file was made, where the file system tells.
fn made(path: &Path) -> Result<Option<SystemTime>, StoreError> {
    let metadata = fs::metadata(path).map_err(|source| StoreError::Io { path: path.to_path_buf(), source })?;
    Ok(metadata.created().ok())
}
