//! Queries.

use control::entry::Entry;
use control::filter::Filter;
use rules::decision::Revision;
use rules::source::SourceFile;
use std::path::PathBuf;

/// Why a query is not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// There is no log.
    #[error("there is no log at {0}")]
    Absent(PathBuf),
}

/// Answers queries. Each opens a connection of its own, so it is right after the file was replaced, too.
#[derive(Clone, Debug)]
pub struct Reader {
    path: PathBuf,
}

impl Reader {
    /// Reads the database `path`, also one that no service has open.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// At most `limit` entries, oldest first, with a number above `after` and below `before`: the first ones with
    /// `after`, else the last ones.
    pub fn entries(
        &self,
        filter: &Filter,
        after: Option<u64>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Entry>, QueryError> {
        todo!("{:?} {filter:?} {after:?} {before:?} {limit}", self.path)
    }

    /// One entry.
    pub fn entry(&self, id: u64) -> Result<Option<Entry>, QueryError> {
        todo!("{id}")
    }

    /// The files of a ruleset that a logged decision names; `None` when it is not kept.
    pub fn ruleset(&self, revision: &Revision) -> Result<Option<Vec<SourceFile>>, QueryError> {
        todo!("{revision}")
    }
}
