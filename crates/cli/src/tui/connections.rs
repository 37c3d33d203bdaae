//! The live list of connections: what is kept, what is shown, what is selected.
//!
//! Invariants: at most [`MAX_ENTRIES`] of at most [`MAX_BYTES`] together; in the order of their numbers, each once; the
//! selection is an entry, not a place, so that what arrives does not move it. Neighbours: `update` feeds it, `view`
//! shows it.

use super::filter::Words;
use super::input::Input;
use super::trace::Trace;
use control::entry::{Entry, Reason, Verdict};
use jiff::Timestamp;
use rules::decision::RuleName;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// How many entries are kept.
pub const MAX_ENTRIES: usize = 10_000;

/// How many bytes they take together, about.
pub const MAX_BYTES: usize = 64 << 20;

/// How many rules are counted. More than any ruleset that a person would look at here.
const MAX_TALLIES: usize = 20_000;

/// The live list.
#[derive(Debug, Default)]
pub struct Connections {
    kept: VecDeque<Arc<Entry>>,
    bytes: usize,
    /// What was kept when the list was paused.
    frozen: Option<VecDeque<Arc<Entry>>>,
    shown: VecDeque<Arc<Entry>>,
    /// What is typed into the filter.
    pub input: Input,
    /// Whether it is being typed.
    pub typing: bool,
    words: Words,
    /// `None` follows the newest.
    selected: Option<u64>,
    /// The pane beside the list.
    pub pane: Option<Pane>,
    /// How many came while the list was paused.
    pub came: u64,
    /// How many the service did not send because we were too slow.
    pub missed: u64,
    /// The newest number that was known when the service went away.
    before: Option<u64>,
    tallies: HashMap<RuleName, Tally>,
}

/// The pane beside the list.
#[derive(Debug)]
pub struct Pane {
    /// What it is about. Kept here, because the list may drop it.
    pub entry: Arc<Entry>,
    /// How its decision came about, when it was asked for.
    pub trace: Option<Trace>,
    /// How many lines are scrolled away.
    pub scroll: u16,
}

/// What a rule decided since we look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Permitted.
    pub permitted: u64,
    /// Blocked.
    pub blocked: u64,
    /// The last one.
    pub last: Timestamp,
}

impl Connections {
    /// Takes an entry that was just made.
    pub fn push(&mut self, entry: Arc<Entry>) {
        // Numbers grow for ever. If they did not, the log began anew, and what we have is of another.
        if self.before.take().is_some_and(|before| entry.id <= before) {
            self.clear();
        }
        self.count(&entry);
        if self.frozen.is_some() {
            self.came += 1;
        }
        self.insert(entry);
    }

    /// Takes entries of the log, made before we looked.
    pub fn fill(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.insert(Arc::new(entry));
        }
    }

    /// The service went away.
    pub fn lost(&mut self) {
        self.before = self.kept.back().map(|entry| entry.id);
    }

    /// What is shown: oldest first.
    pub fn shown(&self) -> &VecDeque<Arc<Entry>> {
        &self.shown
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether the list stands still.
    pub fn is_paused(&self) -> bool {
        self.frozen.is_some()
    }

    /// Whether the newest is selected, whatever comes.
    pub fn is_following(&self) -> bool {
        self.selected.is_none()
    }

    /// Lets the list stand still, or go on.
    pub fn toggle_pause(&mut self) {
        self.came = 0;
        self.frozen = if self.frozen.is_some() { None } else { Some(self.kept.clone()) };
        self.refilter();
    }

    /// Takes what was typed as the filter.
    pub fn refilter(&mut self) {
        self.words = Words::new(&self.input.text());
        let from = self.frozen.as_ref().unwrap_or(&self.kept);
        self.shown = from.iter().filter(|entry| self.words.take_entry(entry)).cloned().collect();
    }

    /// Where in [`Self::shown`] the selection is.
    pub fn index(&self) -> Option<usize> {
        let last = self.shown.len().checked_sub(1)?;
        let Some(id) = self.selected else { return Some(last) };
        Some(self.shown.binary_search_by_key(&id, |entry| entry.id).unwrap_or_else(|next| next.min(last)))
    }

    /// The selected entry.
    pub fn selected(&self) -> Option<&Arc<Entry>> {
        self.shown.get(self.index()?)
    }

    /// Moves the selection; beyond the newest it follows.
    pub fn select(&mut self, step: isize) {
        let Some(index) = self.index() else { return };
        let last = self.shown.len().saturating_sub(1);
        let next = index.saturating_add_signed(step).min(last);
        // A pane is about one entry, and stays with it.
        let follow = next == last && self.pane.is_none();
        self.selected = self.shown.get(next).filter(|_| !follow).map(|entry| entry.id);
        self.show_in_pane();
    }

    /// Selects one and stays there, also if it is the newest.
    pub fn open(&mut self) {
        let Some(entry) = self.selected().cloned() else { return };
        self.selected = Some(entry.id);
        self.pane = Some(Pane { entry, trace: None, scroll: 0 });
    }

    /// What a rule decided since we look.
    pub fn tally(&self, rule: &RuleName) -> Option<Tally> {
        self.tallies.get(rule).copied()
    }

    fn show_in_pane(&mut self) {
        let Some(entry) = self.selected().cloned() else { return };
        if self.pane.as_ref().is_some_and(|pane| pane.entry.id != entry.id) {
            self.pane = Some(Pane { entry, trace: None, scroll: 0 });
        }
    }

    fn insert(&mut self, entry: Arc<Entry>) {
        let place = match self.kept.back() {
            Some(last) if entry.id <= last.id => match self.kept.binary_search_by_key(&entry.id, |kept| kept.id) {
                Ok(_) => return,
                Err(place) => place,
            },
            _ => self.kept.len(),
        };
        if place == 0 && self.kept.len() >= MAX_ENTRIES {
            return;
        }
        self.bytes += weight(&entry);
        let newest = place == self.kept.len();
        self.kept.insert(place, Arc::clone(&entry));
        if self.frozen.is_none() && self.words.take_entry(&entry) {
            if newest {
                self.shown.push_back(entry);
            } else if let Err(place) = self.shown.binary_search_by_key(&entry.id, |shown| shown.id) {
                self.shown.insert(place, entry);
            }
        }
        while self.kept.len() > MAX_ENTRIES || (self.bytes > MAX_BYTES && self.kept.len() > 1) {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(weight(&oldest));
            if self.frozen.is_none() && self.shown.front().is_some_and(|shown| shown.id == oldest.id) {
                self.shown.pop_front();
            }
        }
    }

    fn clear(&mut self) {
        self.kept.clear();
        self.bytes = 0;
        self.refilter();
    }

    fn count(&mut self, entry: &Entry) {
        let rule = match &entry.reason {
            Reason::Rule { rule } => Some(rule),
            Reason::Answer { .. } | Reason::Default { .. } | Reason::Enforcer { .. } => entry.asked_by.as_ref(),
        };
        let Some(rule) = rule else { return };
        if self.tallies.len() >= MAX_TALLIES && !self.tallies.contains_key(rule) {
            return;
        }
        let tally = self.tallies.entry(rule.clone()).or_insert(Tally { permitted: 0, blocked: 0, last: entry.time });
        match entry.verdict {
            Verdict::Permit => tally.permitted += 1,
            Verdict::Block => tally.blocked += 1,
        }
        tally.last = entry.time;
    }
}

/// How many bytes an entry takes, about: its texts, and the rest.
fn weight(entry: &Entry) -> usize {
    let length = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
    let identity = &entry.identity;
    let programs = std::iter::once(&identity.program).chain(identity.parent.as_deref());
    let programs: usize = programs
        .map(|p| length(&p.path) + length(&p.sha256) + length(&p.publisher) + length(&p.package) + length(&p.service))
        .sum();
    let user = identity.user.as_ref().map_or(0, |user| user.id.len() + length(&user.name));
    let name = entry.name.as_ref().map_or(0, |name| name.text.len());
    let reason = match &entry.reason {
        Reason::Rule { rule } => rule.id.len(),
        Reason::Answer { user, .. } => user.len(),
        Reason::Default { .. } | Reason::Enforcer { .. } => 0,
    };
    let asked_by = entry.asked_by.as_ref().map_or(0, |rule| rule.id.len());
    let rest = length(&identity.command_line) + length(&entry.interface) + entry.revision.0.len();
    1_024 + programs + user + name + reason + asked_by + rest
}
