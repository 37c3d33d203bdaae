//! Which rules a process may match, by its program's path.
//!
//! Invariants: every rule whose conditions on the process may hold is among those given; few others are.

use super::process::Path;
use crate::language::path;
use crate::model::{PathPattern, Rule};
use crate::path_glob::Hint;
use crate::ruleset::PathStyle;
use foldhash::fast::RandomState;
use hashbrown::HashMap;

type Lists = HashMap<String, Vec<u32>, RandomState>;

/// Rules with conditions on the process, by what they say of its program's path.
#[derive(Debug, Default)]
pub struct Candidates {
    by_path: Lists,
    by_name: Lists,
    /// By a folder that the path is below of, with `/` on every system; of patterns.
    by_folder: Lists,
    /// Those that say nothing of the path.
    others: Vec<u32>,
}

impl Candidates {
    /// Adds a rule.
    pub fn add(&mut self, at: u32, rule: &Rule, style: PathStyle) {
        if rule.program.is_empty() {
            self.others.push(at);
        }
        for program in &rule.program {
            match &program.path {
                None => push(&mut self.others, at),
                Some(PathPattern::Exact(path)) => push(self.by_path.entry_ref(&**path).or_default(), at),
                Some(PathPattern::Name(name)) => push(self.by_name.entry_ref(&**name).or_default(), at),
                Some(PathPattern::Glob(glob)) => {
                    let glob = path::glob(glob, style).expect("the language compiled this pattern before");
                    for hint in glob.hints() {
                        let list = match hint {
                            Hint::Name(name) => self.by_name.entry(name),
                            Hint::Below(folder) => self.by_folder.entry(folder),
                        };
                        push(list.or_default(), at);
                    }
                }
            }
        }
    }

    /// The rules that a process with this path may match, in order.
    pub fn of(&self, path: Option<&Path>) -> Vec<u32> {
        let mut found = self.others.clone();
        if let Some(path) = path {
            let mut add = |list: Option<&Vec<u32>>| found.extend(list.into_iter().flatten());
            add(self.by_path.get(path.whole()));
            add(self.by_name.get(path.name()));
            let mut folder = path.slashed();
            add(self.by_folder.get(""));
            while let Some((above, _)) = folder.rsplit_once('/').filter(|(above, _)| !above.is_empty()) {
                add(self.by_folder.get(above));
                folder = above;
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Adds a rule that is not before the last, unless it is the last.
fn push(list: &mut Vec<u32>, at: u32) {
    if list.last() != Some(&at) {
        list.push(at);
    }
}
