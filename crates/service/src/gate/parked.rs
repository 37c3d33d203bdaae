//! Connections that wait for facts about their process.
//!
//! Invariants: bounded; each comes out once, when facts are known or it is given up. Neighbours: `gate` puts them in and
//! judges them again.

use crate::gate::held::Held;
use crate::identity::Key;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::time::Duration;

/// How many connections may wait for facts.
const MAX_PARKED: usize = 8_192;

/// A connection that waits for facts.
#[derive(Debug)]
pub struct Parked {
    /// The connection.
    pub held: Held,
    /// When, by the steady clock, it is decided without them.
    pub give_up: Duration,
}

/// The connections that wait for facts.
#[derive(Debug, Default)]
pub struct Lot {
    by_process: HashMap<Key, Vec<Parked>, RandomState>,
    count: usize,
}

impl Lot {
    /// Whether one more may wait.
    pub fn has_room(&self) -> bool {
        self.count < MAX_PARKED
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Lets one wait.
    pub fn park(&mut self, parked: Parked) {
        self.count += 1;
        self.by_process.entry(parked.held.key()).or_default().push(parked);
    }

    /// Takes those of one process.
    pub fn take(&mut self, process: Key) -> Vec<Parked> {
        let taken = self.by_process.remove(&process).unwrap_or_default();
        self.count -= taken.len();
        taken
    }

    /// Takes all.
    pub fn take_all(&mut self) -> Vec<Parked> {
        self.count = 0;
        self.by_process.drain().flat_map(|(_, parked)| parked).collect()
    }

    /// The processes that one of those waits for that are given up at `now`.
    pub fn given_up(&self, now: Duration) -> Vec<Key> {
        let is_due = |parked: &[Parked]| parked.iter().any(|parked| parked.give_up <= now);
        self.by_process.iter().filter(|(_, parked)| is_due(parked)).map(|(key, _)| *key).collect()
    }

    /// The processes that something waits for.
    pub fn processes(&self) -> Vec<Key> {
        self.by_process.keys().copied().collect()
    }
}
