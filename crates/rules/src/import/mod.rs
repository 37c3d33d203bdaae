//! Rules of other programs, as rules of ours.
//!
//! * `opensnitch`: OpenSnitch's rules, a JSON file each.
//! * `little_snitch`: Little Snitch's `.lsrules`.
//! * `lists`: host files, and lists of names and addresses.
//!
//! Invariants: what we cannot express is left out and named, and is never approximated by something that permits more; a
//! permit may come out narrower, and then a note says so. Neighbours: `draft` writes the rules, `regexp` turns regular
//! expressions into patterns; `cli` puts the files where they belong.

mod draft;
mod lists;
mod little_snitch;
mod opensnitch;
mod regexp;

use crate::model::Layer;
use crate::source::SourceFile;
use serde::Serialize;

/// The most bytes in one file to import.
pub const MAX_BYTES: usize = 64 << 20;

/// The most files at once.
pub const MAX_FILES: usize = 20_000;

/// The most rules that come out.
pub const MAX_RULES: usize = 100_000;

/// The most entries in one list.
pub const MAX_ENTRIES: usize = 1_000_000;

/// The most files, left-out rules and notes that are named; the rest is counted.
const MAX_NAMED: usize = 1_000;

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenSnitch's rules, as JSON.
    OpenSnitch,
    /// Little Snitch's rule groups, as JSON.
    LittleSnitch,
    /// A host file, or a list of names, addresses, prefixes and ranges, one per line.
    List,
}

/// A file to import.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Its name, for messages and for the ids of rules.
    pub name: &'a str,
    /// Its contents.
    pub bytes: &'a [u8],
}

/// Where rules go.
#[derive(Clone, Debug)]
pub struct Target {
    /// The layer.
    pub layer: Layer,
    /// The name of the file in there, and of sets, without its end: letters, digits, `-`.
    pub name: String,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// The files to write.
    pub files: Vec<SourceFile>,
    /// How many rules are in them.
    pub rules: usize,
    /// How many set entries are in them.
    pub entries: usize,
    /// What was left out.
    pub skipped: Vec<Skipped>,
    /// How many more were left out than are named.
    pub more_skipped: usize,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Something that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The name of the rule, or the line of a list.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Why nothing was imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// A file is too long.
    #[error("{name} has {size} bytes; at most {MAX_BYTES} are imported")]
    TooLong {
        /// The file.
        name: String,
        /// Its length in bytes.
        size: usize,
    },
    /// Too many files.
    #[error("{0} files; at most {MAX_FILES} are imported at once")]
    TooManyFiles(usize),
    /// Too many rules or entries.
    #[error("{name} has more than {most} {what}")]
    TooMany {
        /// The file.
        name: String,
        /// Rules or entries.
        what: &'static str,
        /// The most there may be.
        most: usize,
    },
    /// Not what it should be.
    #[error("{name}: {why}")]
    Malformed {
        /// The file.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The layer is not for files.
    #[error("the floor is built in; import into mandatory, user or default")]
    Floor,
    /// The name cannot be that of a file and a set.
    #[error("{0:?} cannot be the name of a file and a set: use lower-case letters, digits and -")]
    BadName(String),
}

/// Says what kind of file it is, by its name and its first bytes.
pub fn guess(input: &Input<'_>) -> Format {
    let name = input.name.to_ascii_lowercase();
    let first = input.bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    match (name.rsplit_once('.').map(|(_, end)| end), first) {
        (Some("lsrules"), _) => Format::LittleSnitch,
        (_, Some(b'{' | b'[')) if opensnitch::looks_like(input.bytes) => Format::OpenSnitch,
        (_, Some(b'{')) => Format::LittleSnitch,
        _ => Format::List,
    }
}

/// Turns files of one format into rules.
///
/// `read_lists` gives the files in a folder that an OpenSnitch rule refers to; `None` when it cannot be read.
pub fn import(
    format: Format,
    inputs: &[Input<'_>],
    target: &Target,
    read_lists: &mut dyn FnMut(&str) -> Option<Vec<Vec<u8>>>,
) -> Result<Imported, ImportError> {
    if target.layer == Layer::Floor {
        return Err(ImportError::Floor);
    }
    if target.name.is_empty() || target.name != draft::slug(&target.name) {
        return Err(ImportError::BadName(target.name.clone()));
    }
    if inputs.len() > MAX_FILES {
        return Err(ImportError::TooManyFiles(inputs.len()));
    }
    if let Some(input) = inputs.iter().find(|input| input.bytes.len() > MAX_BYTES) {
        return Err(ImportError::TooLong { name: input.name.to_owned(), size: input.bytes.len() });
    }
    let mut output = Output::new(target);
    match format {
        Format::OpenSnitch => opensnitch::import(inputs, read_lists, &mut output)?,
        Format::LittleSnitch => little_snitch::import(inputs, &mut output)?,
        Format::List => lists::import(inputs, &mut output)?,
    }
    Ok(output.finish())
}

/// Where the formats put what they make.
struct Output<'a> {
    target: &'a Target,
    origin: &'static str,
    drafts: Vec<draft::Draft>,
    sets: Vec<SourceFile>,
    imported: Imported,
}

impl<'a> Output<'a> {
    fn new(target: &'a Target) -> Self {
        Self { target, origin: "", drafts: Vec::new(), sets: Vec::new(), imported: Imported::default() }
    }

    fn rule(&mut self, draft: draft::Draft) -> Result<(), ImportError> {
        if self.drafts.len() >= MAX_RULES {
            return Err(ImportError::TooMany { name: self.target.name.clone(), what: "rules", most: MAX_RULES });
        }
        self.drafts.push(draft);
        Ok(())
    }

    /// Adds a set and gives the name to refer to it by.
    fn set(&mut self, name: &str, entries: &[String]) -> String {
        let taken = |name: &str| self.sets.iter().any(|set| *set.path == *format!("sets/{name}.txt"));
        let name = draft::unique(&draft::slug(name), taken);
        let mut text = entries.join("\n");
        text.push('\n');
        self.sets.push(SourceFile { path: format!("sets/{name}.txt").into(), text: text.into() });
        self.imported.entries += entries.len();
        name
    }

    fn skip(&mut self, name: impl Into<String>, why: impl Into<String>) {
        if self.imported.skipped.len() < MAX_NAMED {
            self.imported.skipped.push(Skipped { name: name.into(), why: why.into() });
        } else {
            self.imported.more_skipped += 1;
        }
    }

    fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if self.imported.notes.len() < MAX_NAMED && !self.imported.notes.contains(&note) {
            self.imported.notes.push(note);
        }
    }

    fn finish(mut self) -> Imported {
        self.imported.rules = self.drafts.len();
        if !self.drafts.is_empty() {
            let path = format!("{}/{}.toml", self.target.layer, self.target.name);
            let text = draft::file(self.origin, &mut self.drafts, &self.imported.skipped);
            self.imported.files.push(SourceFile { path: path.into(), text: text.into() });
        }
        self.imported.files.append(&mut self.sets);
        self.imported
    }
}
