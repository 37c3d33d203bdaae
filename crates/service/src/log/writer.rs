//! The thread that writes, and the queue before it.

use crate::log::query::Reader;
use control::entry::Entry;
use control::status;
use jiff::Timestamp;
use rules::decision::Revision;
use rules::source::SourceFile;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How much the log may hold.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How many entries wait for the disk at most; beyond, they are shed and counted.
    pub queue: usize,
    /// How long entries are kept.
    pub age: Duration,
    /// How large the database becomes, in bytes.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue: 32_768, age: Duration::from_secs(90 * 86_400), bytes: 1 << 30 }
    }
}

/// The log. Ends, after what waits is written, when dropped.
pub struct Log {}

/// Takes entries; as many clones as threads.
#[derive(Clone)]
pub struct Sink {}

impl Sink {
    /// Takes `entry` without ever waiting; sheds and counts it when the queue is full.
    pub fn put(&self, entry: Arc<Entry>) {
        todo!("{entry:?}")
    }
}

impl Log {
    /// Begins to keep entries in the database `path`. Never fails: [`Log::status`] says how it does.
    pub fn start(path: PathBuf, limits: Limits, clock: Clock) -> Self {
        let _ = (path, limits, clock);
        todo!()
    }

    /// Where entries are put.
    pub fn sink(&self) -> Sink {
        todo!()
    }

    /// Where queries are answered.
    pub fn reader(&self) -> Reader {
        todo!()
    }

    /// The number for the first decision from now on: higher than any before, also those that were lost.
    pub fn first_id(&self) -> u64 {
        todo!()
    }

    /// Keeps the files of a ruleset that is in force from now on.
    pub fn put_revision(&self, revision: Revision, files: Vec<SourceFile>) {
        let _ = (revision, files);
        todo!()
    }

    /// How it does.
    pub fn status(&self) -> status::Log {
        todo!()
    }

    /// How many entries were shed since the start.
    pub fn shed(&self) -> u64 {
        todo!()
    }

    /// Waits until what was put is committed, at most `limit`; says whether it is.
    pub fn flush(&self, limit: Duration) -> bool {
        todo!("{limit:?}")
    }
}
