//! The files of a ruleset, as text, and where a thing stands in them.
//!
//! Neighbours: `platform` reads a directory, `ruleset` compiles.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Its path relative to the directory of rules, with `/`: `LAYER/NAME.toml`, or `sets/NAME.txt`.
    pub path: Arc<str>,
    /// Its contents.
    pub text: Arc<str>,
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, help } = self;
        write!(f, "{file}:{line}:{column}: {message}")?;
        help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}
