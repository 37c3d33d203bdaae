//! What outlives the service: answers in force, rules made of answers, proposed rules.
//!
//! Invariants: a file is replaced as a whole, and is on the disk before anybody is told; an older state never replaces a
//! younger one; no file is touched with the gate or the prompts locked. Neighbours: `ask` says what to write, `desk` tells
//! clients.

use crate::ask::answers::{Answers, file};
use crate::ask::learn::{self, Learned};
use crate::ask::{Asks, rule};
use crate::clock::Now;
use crate::gate::Gate;
use crate::gate::held::Held;
use platform::files;
use rules::model::Layer;
use rules::ruleset::{Environment, PathStyle, Ruleset};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The directories, and who may write there now.
pub struct Memory {
    rules: PathBuf,
    state: PathBuf,
    environment: Environment,
    /// The generation of the answers in the file.
    answers_written: Mutex<u64>,
    /// Held while files of rules are changed.
    editing: Mutex<()>,
}

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The disk says so.
    #[error("{} cannot be written: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk says so.
    #[error("{} cannot be read: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such rule.
    #[error(transparent)]
    Rule(#[from] rule::RuleError),
    /// Proposals cannot be adopted.
    #[error(transparent)]
    Learn(#[from] learn::LearnError),
}

impl Memory {
    /// In these directories.
    pub fn new(rules: PathBuf, state: PathBuf, environment: Environment) -> Self {
        Self { rules, state, environment, answers_written: Mutex::new(0), editing: Mutex::default() }
    }

    /// The answers of an earlier run. A file that is damaged is put aside, and that is told.
    pub fn read_answers(&self, boot: Arc<str>, now: Now) -> (Answers, Option<String>) {
        let path = self.state.join(file::NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (Answers::new(boot), None),
            Err(error) => return (Answers::new(boot), Some(format!("{} cannot be read: {error}", path.display()))),
        };
        match Answers::load(&bytes, boot.clone(), now) {
            Ok(answers) => (answers, None),
            Err(error) => {
                let aside = self.state.join(file::ASIDE);
                // What cannot be renamed is replaced by the next answer.
                let _still_there = fs::rename(&path, &aside);
                let why = format!("{} is refused, and kept as {}: {error}", path.display(), aside.display());
                (Answers::new(boot), Some(why))
            }
        }
    }

    /// Proposals of an earlier run. What cannot be read is left where it is.
    pub fn read_learned(&self, style: PathStyle) -> Learned {
        let mut learned = Learned::new(style);
        let Ok(folder) = fs::read_dir(self.state.join(learn::FOLDER)) else { return learned };
        for file in folder.flatten().take(learn::MAX_PROPOSALS) {
            let is_small = file.metadata().is_ok_and(|found| found.len() <= learn::MAX_FILE as u64);
            if let (true, Some(name), Ok(text)) = (is_small, file.file_name().to_str(), fs::read_to_string(file.path()))
            {
                let _not_ours = learned.load(name, &text);
            }
        }
        learned
    }

    /// Writes the answers in force down.
    pub fn write_answers(&self, gate: &Gate) -> Result<(), MemoryError> {
        let mut written = lock(&self.answers_written);
        let snapshot = gate.with_asks(gate.clock.now(), |asks: &mut Asks<Box<Held>>| asks.snapshot());
        if snapshot.generation <= *written {
            return Ok(());
        }
        replace(&self.state.join(file::NAME), &snapshot.to_bytes())?;
        *written = snapshot.generation;
        Ok(())
    }

    /// Writes new proposals down. What cannot be written is proposed again when it is seen more often.
    pub fn write_proposals(&self, gate: &Gate) -> Result<(), MemoryError> {
        let unsaved = gate.with_asks(gate.clock.now(), |asks| asks.learned().drain_unsaved());
        for (name, text) in unsaved {
            replace(&self.state.join(learn::FOLDER).join(name), text.as_bytes())?;
        }
        Ok(())
    }

    /// Adds the rule of an answer. It is not in force yet.
    pub fn add_rule(&self, forever: &rule::Forever, ruleset: &Ruleset) -> Result<(), MemoryError> {
        let _editing = lock(&self.editing);
        let asked_by = forever.asked.asked_by.as_ref().filter(|name| name.layer == Layer::User);
        let asking = asked_by.and_then(|name| ruleset.rules().iter().find(|rule| rule.name == *name));
        let path = self.rules.join(rule::FILE);
        let text = read(&path)?;
        let asking = asking.map(|rule| rule.priority);
        let added = rule::add(&text, forever, asking, &self.environment, |id| is_taken(ruleset, id))?;
        replace(&path, added.text.as_bytes())
    }

    /// Makes rules of proposals. They are not in force yet.
    pub fn adopt(&self, ids: &[String], gate: &Gate) -> Result<(), MemoryError> {
        let _editing = lock(&self.editing);
        let path = self.rules.join(learn::FILE);
        let text = read(&path)?;
        let rules = gate.policy.rules();
        let taken = |id: &str| is_taken(&rules.ruleset, id);
        // Connections wait for this lock, so rules are written without it.
        let learned = gate.with_asks(gate.clock.now(), |asks| asks.learned().clone());
        let adopted = learned.adopt(ids, &text, taken)?;
        replace(&path, adopted.as_bytes())
    }

    /// Drops proposals, with their files.
    pub fn forget(&self, ids: &[String], gate: &Gate) -> Result<(), MemoryError> {
        let names = gate.with_asks(gate.clock.now(), |asks| asks.learned().forget(ids))?;
        for name in names {
            // It may never have been written.
            let _absent = fs::remove_file(self.state.join(learn::FOLDER).join(name));
        }
        Ok(())
    }
}

fn is_taken(ruleset: &Ruleset, id: &str) -> bool {
    ruleset.rules().iter().any(|rule| rule.name.layer == Layer::User && &*rule.name.id == id)
}

/// The text of a file; nothing when there is none.
fn read(path: &Path) -> Result<String, MemoryError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(MemoryError::Read { path: path.to_owned(), source }),
    }
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), MemoryError> {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder
        .and_then(|()| files::replace(path, bytes))
        .map_err(|source| MemoryError::Write { path: path.to_owned(), source })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
