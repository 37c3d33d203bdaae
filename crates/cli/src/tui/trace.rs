//! What is asked of the clerk and may take a moment: a trace, the rules, what a check found.
//!
//! Neighbours: `clerk` answers, `view` shows.

/// Text that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// Asked, not there yet.
    Waits,
    /// There: lines, each with the part it plays.
    Ready(Vec<TraceLine>),
    /// It cannot be had: why, and what to do.
    Failed(String),
}

/// A line with the part it plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// The part.
    pub part: Part,
    /// The text: foreign.
    pub text: String,
}

/// The part that a line plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A heading.
    Heading,
    /// What decided.
    Decisive,
    /// What did not.
    Plain,
}
