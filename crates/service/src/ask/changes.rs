//! What clients that follow prompts are told.
//!
//! Invariants: a prompt that changed often since the last time is told once, as it is now; a closed one is told before those
//! that are open, so that one which takes its place comes after it. Neighbours: the control server drains this after each
//! call and pushes to each client what is its person's.

use super::person::Person;
use control::prompt::{Closed, Hold, HoldKind, Prompt};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// How many closed prompts are remembered: for clients, and for those who answer too late.
const MAX_CLOSED: usize = 1024;

/// Something that happened to a prompt.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It was opened, or changed.
    Shown(Shown),
    /// It is closed.
    Closed(Gone),
}

impl Change {
    /// The user to whom it belongs.
    pub fn owner(&self) -> Option<&Arc<str>> {
        match self {
            Self::Shown(shown) => shown.owner.as_ref(),
            Self::Closed(gone) => gone.owner.as_ref(),
        }
    }
}

/// An open prompt, for whoever may see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The user to whom it belongs.
    pub owner: Option<Arc<str>>,
    /// As an administrator sees it.
    prompt: Prompt,
}

impl Shown {
    /// `prompt` is as an administrator sees it.
    pub(super) fn new(owner: Option<Arc<str>>, prompt: Prompt) -> Self {
        Self { owner, prompt }
    }

    /// As this person sees it; `None` when they may not.
    pub fn to(&self, person: &Person) -> Option<Prompt> {
        if !person.may_answer(self.owner.as_ref()) {
            return None;
        }
        let mut prompt = self.prompt.clone();
        prompt.holds.retain(|hold| *hold != HoldKind::Forever || person.administrator);
        if !prompt.holds.contains(&kind(prompt.offer)) {
            prompt.offer = Hold::Once;
        }
        Some(prompt)
    }
}

/// The kind of a hold.
pub fn kind(hold: Hold) -> HoldKind {
    match hold {
        Hold::Once => HoldKind::Once,
        Hold::Process => HoldKind::Process,
        Hold::Duration { .. } => HoldKind::Duration,
        Hold::Forever => HoldKind::Forever,
    }
}

/// A closed prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The user to whom it belonged.
    pub owner: Option<Arc<str>>,
    /// Its number.
    pub id: u64,
    /// Why.
    pub closed: Closed,
}

/// What was not told yet.
#[derive(Debug, Default)]
pub struct Changes {
    touched: BTreeSet<u64>,
    closed: VecDeque<Gone>,
    /// Those of `closed`, from its end, that were not told yet.
    untold: usize,
}

impl Changes {
    /// A prompt was opened, or changed.
    pub fn touch(&mut self, id: u64) {
        self.touched.insert(id);
    }

    /// A prompt is closed.
    pub fn close(&mut self, gone: Gone) {
        self.touched.remove(&gone.id);
        if self.closed.len() == MAX_CLOSED {
            self.closed.pop_front();
        }
        self.closed.push_back(gone);
        self.untold = (self.untold + 1).min(MAX_CLOSED);
    }

    /// What became of a prompt that is closed, if that was lately.
    pub fn find_closed(&self, id: u64) -> Option<&Gone> {
        self.closed.iter().rev().find(|gone| gone.id == id)
    }

    /// What happened since the last time. `show` shows a prompt.
    pub fn drain(&mut self, show: impl Fn(u64) -> Option<Shown>) -> Vec<Change> {
        let told = self.closed.len() - std::mem::take(&mut self.untold);
        let closed = self.closed.iter().skip(told).cloned().map(Change::Closed);
        closed.chain(std::mem::take(&mut self.touched).into_iter().filter_map(show).map(Change::Shown)).collect()
    }
}
