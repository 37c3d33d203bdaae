//! Files in, decisions out.
//!
//! Invariants: immutable; a [`Subject`] is for the ruleset that made it. Neighbours: `language` reads the files, `model`
//! has the rules, `index` finds those that matter, `decision` is what comes out.

use crate::decision::{Judgement, Revision};
use crate::facts::{Flow, Identity};
use crate::index::{Index, Standings};
use crate::language;
use crate::model::Rule;
use crate::source::{Problem, SourceFile};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a ruleset must know about the machine it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// How program paths are compared.
    pub paths: PathStyle,
    /// What `%NAME%` means in a program path, by upper-case name.
    pub variables: BTreeMap<String, String>,
    /// The time zone of `when`.
    pub time_zone: Option<jiff::tz::TimeZone>,
    /// The program that resolves names for the others, which the floor permits to do so.
    pub resolver: Option<String>,
}

/// How program paths are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathStyle {
    /// `/`, and case matters.
    #[default]
    Unix,
    /// `\`, and case does not matter.
    Windows,
}

/// A compiled ruleset.
#[derive(Debug)]
pub struct Ruleset {
    revision: Revision,
    files: Vec<SourceFile>,
    rules: Vec<Arc<Rule>>,
    pub(crate) index: Index,
}

/// One process, prepared for a ruleset: which of its program, parent, user and command line conditions hold.
#[derive(Clone, Debug)]
pub struct Subject {
    standings: Arc<Standings>,
}

impl Ruleset {
    /// Compiles files, with the built-in floor. Gives every error there is.
    pub fn compile(files: &[SourceFile], environment: &Environment) -> Result<Self, Vec<Problem>> {
        let document = language::read(files, environment)?;
        let rules: Vec<Arc<Rule>> = document.rules.into_iter().map(Arc::new).collect();
        let index = Index::new(&rules, &document.sets, environment);
        Ok(Self { revision: revision(files), files: files.to_vec(), rules, index })
    }

    /// Names its contents.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// Its files, the floor's excepted.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Its rules, in the order in which they are walked.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// Prepares a process. Once per process and ruleset, and again when a pending fact is known.
    pub fn subject(&self, identity: Arc<Identity>) -> Subject {
        Subject { standings: Arc::new(self.index.standings(identity)) }
    }

    /// Decides one connection.
    pub fn decide(&self, subject: &Subject, flow: &Flow<'_>) -> Judgement {
        self.index.decide(&subject.standings, flow)
    }
}

/// How many hexadecimal digits of the digest a revision has.
const REVISION_DIGITS: usize = 12;

/// Of all paths and texts with their lengths, in the order of paths.
fn revision(files: &[SourceFile]) -> Revision {
    let mut files: Vec<&SourceFile> = files.iter().collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut digest = Sha256::new();
    for file in files {
        for text in [&file.path, &file.text] {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text.as_bytes());
        }
    }
    let digits: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Revision(digits[..REVISION_DIGITS].into())
}
