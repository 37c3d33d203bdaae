//! Counters that every processor counts for itself.
//!
//! Invariants: no two lanes share a cache line, wherever the memory begins; what is counted once is counted in the sum
//! once, also when two processors use one lane, or a thread changes processors on the way.
//!
//! Neighbours: `front` counts; `crate::Gate::stats` sums.

use crate::atomic::{AtomicU64, Ordering};
use crate::memory::{Memory, OutOfMemory};

/// What is counted.
#[derive(Clone, Copy)]
pub(crate) enum Count {
    CachePermitted,
    CacheBlocked,
    Exempted,
}

/// The counters of all processors.
pub(crate) struct Lanes<M: Memory>(M::Slab<Lane>);

/// Two cache lines, because processors fetch lines in pairs. Pool is not aligned to them, so this is not either; but the
/// counters of two lanes are a whole line apart at least.
pub(crate) struct Lane {
    counters: [AtomicU64; 3],
    _apart: [u64; 13],
}

impl<M: Memory> Lanes<M> {
    /// Lanes for so many processors; if there are more, they share them.
    pub(crate) fn new(processors: usize) -> Result<Self, OutOfMemory> {
        let lane = || Lane { counters: core::array::from_fn(|_| AtomicU64::new(0)), _apart: [0; 13] };
        Ok(Self(M::slab(processors, lane)?))
    }

    /// Counts one, on this processor's lane.
    #[inline]
    pub(crate) fn count(&self, processor: u32, what: Count) {
        let lane = self.0.get(processor as usize % self.0.len().max(1));
        if let Some(counter) = lane.and_then(|lane| lane.counters.get(what as usize)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All that was counted.
    pub(crate) fn sum(&self, what: Count) -> u64 {
        let counters = self.0.iter().filter_map(|lane| lane.counters.get(what as usize));
        counters.map(|counter| counter.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}
