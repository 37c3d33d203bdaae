//! What was done since the service started.
//!
//! Invariants: counting is one atomic addition. Neighbours: every part counts; `status` shows them.

use control::status;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters that no other part keeps.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections permitted.
    pub permitted: Counter,
    /// Connections blocked.
    pub blocked: Counter,
    /// Live connections ended.
    pub ended: Counter,
    /// Decisions that came too late.
    pub stale: Counter,
    /// Connections that the enforcement point decided alone, and reported.
    pub reported: Counter,
    /// Reports that were lost because they were not taken in time.
    pub lost_reports: Counter,
    /// Decisions by default.
    pub defaulted: Counter,
}

/// A number that grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// What it is.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// What they are; what other parts count is zero.
    pub fn read(&self) -> status::Counters {
        status::Counters {
            permitted: self.permitted.get(),
            blocked: self.blocked.get(),
            ended: self.ended.get(),
            stale: self.stale.get(),
            reported: self.reported.get(),
            lost_reports: self.lost_reports.get(),
            defaulted: self.defaulted.get(),
            ..status::Counters::default()
        }
    }
}
