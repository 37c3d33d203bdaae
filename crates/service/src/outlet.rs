//! Decisions become entries, and go to those who want to know.
//!
//! Invariants: one entry for each decision; entry numbers grow; nothing here blocks. Neighbours: `gate` decides, sinks take.

use crate::clock::Now;
use crate::counters::Counters;
use crate::gate::attachment::Ruled;
use crate::gate::held::{Held, Ruling};
use crate::sink::{Made, Sink};
use crate::submit::Fate;
use control::entry::{Direction, EnforcerWhy, Entry, Reason, Verdict};
use rules::decision::Revision;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wire::request;

/// Where decisions go.
pub struct Outlet {
    /// What was done.
    pub counters: Counters,
    sinks: Vec<Arc<dyn Sink>>,
    next_id: AtomicU64,
}

impl Outlet {
    /// To `sinks`; numbers begin with `first_id`.
    pub fn new(sinks: Vec<Arc<dyn Sink>>, first_id: u64) -> Self {
        Self { counters: Counters::default(), sinks, next_id: AtomicU64::new(first_id) }
    }

    /// Makes the entry of a decision whose fate is known. That a live connection lives on is no news, and has none.
    pub fn decided(&self, ruled: Ruled, fate: Fate, now: Now) -> Option<Made> {
        let Ruled { held, ruling, rules } = ruled;
        let live = held.is_live();
        if live {
            if (fate, ruling.verdict) != (Fate::Accepted, Verdict::Block) {
                return None;
            }
            self.counters.ended.add(1);
        } else {
            self.count(fate, &ruling);
        }
        let revision = rules.ruleset.revision().clone();
        let entry = Entry {
            asked_by: ruling.asked_by,
            in_force: fate == Fate::Accepted,
            live,
            ..self.entry(held, ruling.verdict, ruling.reason, revision, now)
        };
        Some(Made { entry: Arc::new(entry), log: ruling.log })
    }

    fn count(&self, fate: Fate, ruling: &Ruling) {
        let counters = &self.counters;
        match (fate, ruling.verdict) {
            (Fate::Stale, _) => counters.stale.add(1),
            (Fate::Accepted, Verdict::Permit) => counters.permitted.add(1),
            (Fate::Accepted, Verdict::Block) => counters.blocked.add(1),
        }
        if matches!(ruling.reason, Reason::Default { .. }) {
            counters.defaulted.add(1);
        }
    }

    /// Makes the entry of what the enforcement point decided alone.
    pub fn reported(&self, held: Held, verdict: Verdict, why: EnforcerWhy, revision: Revision, now: Now) -> Made {
        self.counters.reported.add(1);
        Made { entry: Arc::new(self.entry(held, verdict, Reason::Enforcer { why }, revision, now)), log: true }
    }

    /// Hands entries to those who want to know.
    pub fn publish(&self, made: &[Made]) {
        if made.is_empty() {
            return;
        }
        for sink in &self.sinks {
            sink.take(made);
        }
    }

    fn entry(&self, held: Held, verdict: Verdict, reason: Reason, revision: Revision, now: Now) -> Entry {
        let held_for = held.waited + now.monotonic.saturating_sub(held.received.monotonic);
        Entry {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            time: now.wall,
            verdict,
            reason,
            asked_by: None,
            revision,
            live: false,
            in_force: true,
            direction: direction(held.direction),
            protocol: held.protocol,
            local: held.local,
            remote: held.remote,
            name: held.name,
            interface: held.interface,
            pid: held.pid,
            start_key: held.start_key,
            identity: held.identity,
            held_ms: u64::try_from(held_for.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// A direction, as clients know it.
pub fn direction(direction: request::Direction) -> Direction {
    if direction == request::Direction::INBOUND { Direction::In } else { Direction::Out }
}
