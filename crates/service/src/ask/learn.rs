//! Proposed rules, in place of questions.

use super::waiting::Waiting;
use jiff::Timestamp;

/// What was learned.
#[derive(Debug, Default)]
pub struct Learned {}

impl Learned {
    /// A connection was permitted.
    pub fn see<T>(&mut self, waiting: &Waiting<T>, now: Timestamp) {
        let _ = (waiting, now);
    }
}
