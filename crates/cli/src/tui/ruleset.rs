//! The rules in force, as a list.
//!
//! Invariants: in the order in which they are walked; the selection is a rule, and stays with it when the rules change.
//! Neighbours: `clerk` makes the rows, `view::rules` shows them.

use super::filter::Words;
use super::input::Input;
use super::trace::Trace;
use rules::decision::{Revision, RuleName};
use rules::model::Action;
use std::sync::Arc;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: RuleName,
    /// What it does.
    pub action: Action,
    /// Why it takes no part: `off`, or when it expired.
    pub idle: Option<String>,
    /// Its conditions, in short.
    pub what: String,
    /// `file:line`, or where else it comes from.
    pub origin: String,
    /// The rule as written.
    pub text: String,
}

/// A ruleset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its revision.
    pub revision: Revision,
    /// Its rules.
    pub rows: Vec<Arc<Row>>,
}

/// The rules in force.
#[derive(Debug, Default)]
pub struct Rules {
    /// What we have.
    pub loaded: Option<Loaded>,
    /// Why we have none, or only an older one.
    pub trouble: Option<String>,
    /// Whether the clerk is at it.
    pub loading: bool,
    /// What is typed into the filter.
    pub input: Input,
    /// Whether it is being typed.
    pub typing: bool,
    shown: Vec<Arc<Row>>,
    selected: Option<RuleName>,
    /// The pane over the list.
    pub pane: Option<Pane>,
    /// How many lines are scrolled away in the pane.
    pub scroll: u16,
}

/// What is shown over the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pane {
    /// The selected rule.
    Rule,
    /// What a check found.
    Findings(Trace),
}

impl Rules {
    /// Takes what the clerk made.
    pub fn load(&mut self, loaded: Result<Loaded, String>) {
        self.loading = false;
        match loaded {
            Ok(loaded) => {
                self.loaded = Some(loaded);
                self.trouble = None;
            }
            Err(trouble) => self.trouble = Some(trouble),
        }
        self.refilter();
    }

    /// The service went away: the next may have other rules.
    pub fn lost(&mut self) {
        self.loading = false;
    }

    /// Takes what was typed as the filter.
    pub fn refilter(&mut self) {
        let words = Words::new(&self.input.text());
        let rows = self.loaded.iter().flat_map(|loaded| &loaded.rows);
        self.shown = rows
            .filter(|row| words.take(&format!("{} {} {} {} {}", row.name, row.action, row.what, row.origin, row.text)))
            .cloned()
            .collect();
    }

    /// What is shown.
    pub fn shown(&self) -> &[Arc<Row>] {
        &self.shown
    }

    /// Where in [`Self::shown`] the selection is.
    pub fn index(&self) -> Option<usize> {
        let at = self.shown.iter().position(|row| Some(&row.name) == self.selected.as_ref());
        at.or(if self.shown.is_empty() { None } else { Some(0) })
    }

    /// The selected rule.
    pub fn selected(&self) -> Option<&Arc<Row>> {
        self.shown.get(self.index()?)
    }

    /// Selects a rule by its name. Whether it is shown.
    pub fn find(&mut self, name: &RuleName) -> bool {
        self.input = Input::default();
        self.refilter();
        self.selected = Some(name.clone());
        self.shown.iter().any(|row| row.name == *name)
    }

    /// Moves the selection.
    pub fn select(&mut self, step: isize) {
        let Some(index) = self.index() else { return };
        let next = index.saturating_add_signed(step).min(self.shown.len() - 1);
        self.selected = self.shown.get(next).map(|row| row.name.clone());
        self.scroll = 0;
    }
}
