//! Where decisions go after they are in force: the log, clients that follow, metrics.
//!
//! Invariants: a sink never blocks; what it has no room for it sheds and counts. Neighbours: `gate` makes the entries.

use control::entry::Entry;
use std::sync::Arc;

/// A decision on its way to those who want to know.
#[derive(Clone, Debug)]
pub struct Made {
    /// The decision.
    pub entry: Arc<Entry>,
    /// Whether it goes into the log.
    pub log: bool,
}

/// Somebody who wants to know what was decided.
pub trait Sink: Send + Sync {
    /// Takes decisions, in the order in which they were made as far as one thread made them. Never blocks.
    fn take(&self, made: &[Made]);
}
