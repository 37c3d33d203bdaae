//! Counters of a filter or a callout.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the engine counts.
#[derive(Clone, Copy)]
pub(crate) enum Count {
    Matched,
    Called,
    Permit,
    Block,
    Veto,
    Absorbed,
    Pended,
    WithoutRight,
}

const COUNTS: usize = 8;

/// One number for each [`Count`].
#[derive(Default)]
pub(crate) struct Counters([AtomicU64; COUNTS]);

impl Counters {
    pub fn add(&self, count: Count) {
        if let Some(counter) = self.0.get(count as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn counts(&self) -> Counts {
        let [matched, called, permit, block, veto, absorbed, pended, without_right] =
            [0, 1, 2, 3, 4, 5, 6, 7].map(|i: usize| self.0[i].load(Ordering::Relaxed));
        Counts { matched, called, permit, block, veto, absorbed, pended, without_right }
    }
}

/// The counters of a filter or a callout at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Its conditions held (for a callout: of a filter that names it).
    pub matched: u64,
    /// The classify function was called.
    pub called: u64,
    /// It permitted.
    pub permit: u64,
    /// It blocked.
    pub block: u64,
    /// It blocked what was permitted for good.
    pub veto: u64,
    /// It absorbed the indication.
    pub absorbed: u64,
    /// It pended the operation.
    pub pended: u64,
    /// It was called without the action right.
    pub without_right: u64,
}
