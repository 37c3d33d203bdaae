//! The rules in force.
//!
//! Invariants: reading and compiling happen on the caller's thread, which is never the one that decides, and whoever asks
//! how the rules do does not wait for it; the old rules stay until new ones compile; what compiled is kept in the directory
//! of state, so that a start finds rules even when those in the directory of rules are broken. Neighbours:
//! `platform::tree` reads, `rules` compiles, `gate` decides by these.

use crate::clock::Now;
use crate::journal::Instead;
use arc_swap::{ArcSwap, Guard};
use control::status;
use jiff::Timestamp;
use platform::{files, tree};
use rules::ruleset::{Environment, Ruleset};
use rules::source::{Problem, SourceFile};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where the last rules that compiled are kept, in the directory of state.
const LAST_GOOD: &str = "rules.json";

/// Rules that are, or were, in force.
#[derive(Debug)]
pub struct Rules {
    /// Grows with each change while the service runs.
    pub number: u64,
    /// The rules.
    pub ruleset: Ruleset,
    /// Since when they are in force.
    pub since: Timestamp,
    /// Where they are from, when not from the directory.
    pub instead: Option<Instead>,
}

/// The rules in force, and where they come from.
pub struct Policy {
    directory: PathBuf,
    last_good: PathBuf,
    environment: Environment,
    in_force: ArcSwap<Rules>,
    /// Held while rules are read, compiled and kept: one after the other.
    reading: Mutex<()>,
    seen: Mutex<Seen>,
}

/// What was found in the directory last.
#[derive(Default)]
struct Seen {
    stamp: Option<Result<u64, String>>,
    refused: Vec<Problem>,
}

/// What came of reading rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// They are those in force.
    Same,
    /// They are in force now.
    InForce,
    /// They are not: this is wrong with them.
    Refused(Vec<Problem>),
}

impl Policy {
    /// Reads the rules in `directory`. Those that have errors are replaced by the last ones that had none, or by the floor
    /// alone; without a directory it is the floor.
    pub fn start(directory: &Path, state: &Path, environment: Environment, now: Now) -> Self {
        let last_good = state.join(LAST_GOOD);
        let stamp = tree::stamp(directory).map_err(|error| error.to_string());
        let is_missing = matches!(tree::stamp(directory), Err(tree::TreeError::Missing(_)));
        let (ruleset, instead, refused) = match load(directory, &environment) {
            Ok(ruleset) => (ruleset, None, Vec::new()),
            Err(problems) => {
                let kept = if is_missing { None } else { read_last_good(&last_good, &environment) };
                let instead = if kept.is_some() { Instead::LastGood } else { Instead::Floor };
                (kept.unwrap_or_else(|| floor(&environment)), Some(instead), problems)
            }
        };
        let rules = Rules { number: 1, ruleset, since: now.wall, instead };
        let policy = Self {
            directory: directory.to_owned(),
            last_good,
            environment,
            in_force: ArcSwap::from_pointee(rules),
            reading: Mutex::default(),
            seen: Mutex::new(Seen { stamp: Some(stamp), refused }),
        };
        policy.keep();
        policy
    }

    /// The rules in force.
    pub fn rules(&self) -> Guard<Arc<Rules>> {
        self.in_force.load()
    }

    /// What is wrong with the rules as they are now.
    pub fn refused(&self) -> Vec<Problem> {
        self.seen().refused.clone()
    }

    /// Reads the rules again if names, sizes or times of the files changed.
    pub fn poll(&self, now: Now) -> Read {
        let stamp = tree::stamp(&self.directory).map_err(|error| error.to_string());
        if self.seen().stamp.as_ref() == Some(&stamp) {
            return Read::Same;
        }
        self.read(now)
    }

    /// Reads the rules again.
    pub fn read(&self, now: Now) -> Read {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        // Before reading, so that a change meanwhile is found the next time.
        let stamp = tree::stamp(&self.directory).map_err(|error| error.to_string());
        self.seen().stamp = Some(stamp);
        match load(&self.directory, &self.environment) {
            Ok(ruleset) => {
                self.seen().refused.clear();
                let old = self.in_force.load();
                if ruleset.revision() == old.ruleset.revision() && old.instead.is_none() {
                    return Read::Same;
                }
                let rules = Rules { number: old.number + 1, ruleset, since: now.wall, instead: None };
                self.in_force.store(Arc::new(rules));
                self.keep();
                Read::InForce
            }
            Err(problems) => {
                self.seen().refused.clone_from(&problems);
                Read::Refused(problems)
            }
        }
    }

    /// For people.
    pub fn status(&self) -> status::Rules {
        let rules = self.rules();
        status::Rules {
            revision: rules.ruleset.revision().clone(),
            count: rules.ruleset.rules().len() as u64,
            since: rules.since,
            refused: self.refused(),
        }
    }

    /// Keeps the rules in force for a start that finds broken ones. A disk that does not take them is no reason not to
    /// decide by them.
    fn keep(&self) {
        let rules = self.rules();
        if rules.instead.is_some() {
            return;
        }
        let Ok(text) = serde_json::to_vec(rules.ruleset.files()) else { return };
        if fs::read(&self.last_good).is_ok_and(|kept| kept == text) {
            return;
        }
        let _kept_next_time = self.last_good.parent().map(fs::create_dir_all);
        let _kept_next_time = files::replace(&self.last_good, &text);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load(directory: &Path, environment: &Environment) -> Result<Ruleset, Vec<Problem>> {
    let files = tree::read(directory).map_err(|error| vec![unreadable(directory, &error)])?;
    let files: Vec<SourceFile> =
        files.into_iter().map(|(path, text)| SourceFile { path: path.into(), text: text.into() }).collect();
    Ruleset::compile(&files, environment)
}

fn unreadable(directory: &Path, error: &tree::TreeError) -> Problem {
    let help = match error {
        tree::TreeError::Missing(_) => Some("create it with folders `mandatory`, `user` and `default`".to_owned()),
        _ => None,
    };
    let file = match error {
        tree::TreeError::NotText { file, .. } => file.as_str().into(),
        _ => directory.to_string_lossy().into(),
    };
    let (line, column) = match error {
        tree::TreeError::NotText { line, column, .. } => (*line, *column),
        _ => (1, 1),
    };
    let mut message = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        message = format!("{message}: {source}");
    }
    Problem { file, line, column, message, help }
}

fn read_last_good(path: &Path, environment: &Environment) -> Option<Ruleset> {
    let files: Vec<SourceFile> = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    Ruleset::compile(&files, environment).ok()
}

/// The floor is part of the program, and its own tests compile it.
fn floor(environment: &Environment) -> Ruleset {
    match Ruleset::compile(&[], environment) {
        Ok(ruleset) => ruleset,
        Err(problems) => unreachable!("the built-in floor does not compile: {problems:?}"),
    }
}
