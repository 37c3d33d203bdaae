//! Open prompts, and the answer that is being made.
//!
//! Invariants: at most [`MAX_PROMPTS`]; the selection is a prompt, not a place: when it closes by itself, nothing is
//! selected until the person selects, so that no key meets another prompt than the one that was read; an answer is for
//! the prompt it was begun for, and for no other; prompts of a service that went away are gone. Neighbours: `answer` is the
//! form, `update` feeds it, `view::prompts` shows it.

use super::answer::Form;
use control::entry::Verdict;
use control::prompt::{Closed, Prompt};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashSet};

/// How many prompts are kept. The service opens fewer.
pub const MAX_PROMPTS: usize = 1_000;

/// Open prompts.
#[derive(Debug, Default)]
pub struct Prompts {
    open: BTreeMap<u64, Prompt>,
    selected: Option<u64>,
    /// What became of the selected prompt, when it closed by itself.
    pub farewell: Option<String>,
    /// The answer that is being made.
    pub form: Option<Form>,
    /// Answers that were sent, and are not in force yet.
    sent: HashSet<u64>,
    /// How many lines are scrolled away of what is told about the selected one.
    pub scroll: u16,
    /// Whether prompts came since the tab was last looked at.
    pub fresh: bool,
    /// How many were answered while we looked.
    answered: u32,
    /// How long they were open together.
    took: SignedDuration,
}

impl Prompts {
    /// Takes a prompt that was opened or changed. Whether it is a new one.
    pub fn open(&mut self, prompt: Prompt) -> bool {
        let id = prompt.id;
        let known = self.open.contains_key(&id);
        if !known && self.open.len() >= MAX_PROMPTS {
            return false;
        }
        self.open.insert(id, prompt);
        // The first is selected; never in place of one that just closed.
        if self.open.len() == 1 && self.farewell.is_none() && self.form.is_none() {
            self.selected = Some(id);
        }
        !known
    }

    /// Takes that a prompt is closed.
    pub fn close(&mut self, id: u64, words: &str) {
        let next = self.neighbour(id);
        self.open.remove(&id);
        let ours = self.sent.remove(&id);
        if let Some(form) = self.form.as_mut().filter(|form| form.prompt.id == id) {
            form.gone = Some(words.to_owned());
        }
        if self.selected == Some(id) {
            self.selected = if ours { next } else { None };
            self.scroll = 0;
            self.farewell = (!ours).then(|| words.to_owned());
        }
    }

    /// Measures how long people take to answer.
    pub fn measure(&mut self, id: u64, closed: &Closed, now: Timestamp) {
        if let (Some(prompt), Closed::Answered { .. }) = (self.open.get(&id), closed) {
            self.answered = self.answered.saturating_add(1);
            let took = now.duration_since(prompt.opened).max(SignedDuration::ZERO);
            self.took = self.took.saturating_add(took);
        }
    }

    /// How long people took to answer, on average, in milliseconds.
    pub fn answer_time(&self) -> Option<u64> {
        u64::try_from(self.took.as_millis().checked_div(self.answered.into())?).ok()
    }

    /// The service went away, and its prompts with it: the next may give their numbers to others.
    pub fn lost(&mut self) {
        let ids: Vec<u64> = self.open.keys().copied().collect();
        for id in ids {
            self.close(id, "the service went away, and what waited with it");
        }
        self.sent.clear();
    }

    /// Open prompts, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Prompt> {
        self.open.values()
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether an answer was sent and is not in force yet.
    pub fn is_sent(&self, id: u64) -> bool {
        self.sent.contains(&id)
    }

    /// Where the selection is.
    pub fn index(&self) -> Option<usize> {
        let selected = self.selected?;
        self.open.keys().position(|id| *id == selected)
    }

    /// The selected prompt.
    pub fn selected(&self) -> Option<&Prompt> {
        self.open.get(&self.selected?)
    }

    /// Moves the selection. Where there is none it takes the first, or the last.
    pub fn select(&mut self, step: isize) {
        let last = self.open.len().saturating_sub(1);
        let next = match self.index() {
            Some(index) => index.saturating_add_signed(step).min(last),
            None if step < 0 => last,
            None => 0,
        };
        self.selected = self.open.keys().nth(next).copied();
        self.scroll = 0;
        self.farewell = None;
    }

    /// Begins an answer to the selected prompt. Whether there is one to answer.
    pub fn begin(&mut self, verdict: Verdict) -> bool {
        let Some(prompt) = self.selected().filter(|prompt| !self.is_sent(prompt.id)) else { return false };
        self.form = Some(Form::new(prompt.clone(), verdict));
        true
    }

    /// The answer was sent.
    pub fn send(&mut self, id: u64) {
        self.sent.insert(id);
        self.form = None;
    }

    /// The service took the answer, or refused it.
    pub fn answered(&mut self, id: u64, taken: bool) {
        if !taken {
            self.sent.remove(&id);
        }
    }

    fn neighbour(&self, id: u64) -> Option<u64> {
        let after = self.open.range(id + 1..).next();
        after.or_else(|| self.open.range(..id).next_back()).map(|(id, _)| *id)
    }
}
