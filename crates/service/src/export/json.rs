//! An entry as it is, as JSON: what `tollgate log --json` prints and the control protocol sends, with a version.
//!
//! Invariants: a field keeps its name and meaning within a version; a new version only when one must change. A reader
//! ignores fields that it does not know.

use control::entry::Entry;
use serde::Serialize;

/// The version of the form.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct Line<'a> {
    /// [`VERSION`].
    v: u32,
    #[serde(flatten)]
    entry: &'a Entry,
}

/// `entry` as one line of JSON.
pub fn line(entry: &Entry) -> String {
    // Maps with keys of text, numbers and text do not fail.
    serde_json::to_string(&Line { v: VERSION, entry }).unwrap_or_default()
}
