//! Stamps: when a thing was asked, counted in changes of the rules.
//!
//! A new epoch and each `FORGET` raise a floor, and what was asked below its floor does not count any more. So neither
//! costs time, however many verdicts are cached.
//!
//! Invariants: floors only rise; they are changed under the gate's lock and read anywhere.
//!
//! Neighbours: `cache` stamps its entries, `live` its flows.

use crate::atomic::{AtomicU32, Ordering};
use crate::memory::{Memory, OutOfMemory};

/// Programs are forgotten in groups: those whose ids have the same low bits.
const GROUPS: usize = if cfg!(miri) { 128 } else { 4096 };

pub(crate) struct Stamps<M: Memory> {
    now: AtomicU32,
    /// Below are stamps from before the last new epoch.
    epoch: AtomicU32,
    /// Below are stamps from before the last `FORGET` of all.
    forgotten: AtomicU32,
    /// The same for each group of programs.
    groups: M::Slab<AtomicU32>,
}

impl<M: Memory> Stamps<M> {
    pub(crate) fn new() -> Result<Self, OutOfMemory> {
        let [now, epoch, forgotten] = [0; 3].map(AtomicU32::new);
        Ok(Self { now, epoch, forgotten, groups: M::slab(GROUPS, || AtomicU32::new(0))? })
    }

    /// The stamp for what is asked now.
    pub(crate) fn now(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    /// Whether what was asked then about a program is still true.
    #[inline]
    pub(crate) fn is_current(&self, stamp: u32, program: u64) -> bool {
        stamp >= self.epoch.load(Ordering::Relaxed) && stamp < u32::MAX && self.is_remembered(stamp, program)
    }

    /// Whether what was asked then about a program may still be the last word on it.
    #[inline]
    pub(crate) fn is_remembered(&self, stamp: u32, program: u64) -> bool {
        let group = self.groups.get(group(program));
        self.is_kept(stamp) && group.is_none_or(|floor| stamp >= floor.load(Ordering::Relaxed))
    }

    /// Whether what was asked then has not been forgotten together with all else.
    pub(crate) fn is_kept(&self, stamp: u32) -> bool {
        stamp >= self.forgotten.load(Ordering::Relaxed)
    }

    pub(crate) fn new_epoch(&self) {
        self.raise(&self.epoch);
    }

    pub(crate) fn forget_all(&self) {
        self.raise(&self.forgotten);
    }

    pub(crate) fn forget_program(&self, program: u64) {
        if let Some(floor) = self.groups.get(group(program)) {
            self.raise(floor);
        }
    }

    /// Stops, not wraps, after four thousand million changes of rules: from then on nothing is current.
    fn raise(&self, floor: &AtomicU32) {
        let now = self.now().saturating_add(1);
        self.now.store(now, Ordering::Relaxed);
        floor.store(now, Ordering::Relaxed);
    }
}

fn group(program: u64) -> usize {
    program as usize % GROUPS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::Heap;

    #[test]
    fn a_new_epoch_ends_what_is_current_but_not_what_is_remembered() {
        let stamps = Stamps::<Heap>::new().unwrap();
        let asked = stamps.now();
        assert!(stamps.is_current(asked, 5));
        stamps.new_epoch();
        assert!(!stamps.is_current(asked, 5));
        assert!(stamps.is_remembered(asked, 5));
        assert!(stamps.is_current(stamps.now(), 5));
    }

    #[test]
    fn forgetting_a_program_leaves_other_groups_alone() {
        let stamps = Stamps::<Heap>::new().unwrap();
        let asked = stamps.now();
        stamps.forget_program(5);
        assert!(!stamps.is_remembered(asked, 5));
        assert!(!stamps.is_remembered(asked, 5 + GROUPS as u64), "the same group");
        assert!(stamps.is_current(asked, 6));
        stamps.forget_all();
        assert!(!stamps.is_remembered(asked, 6));
    }

    #[test]
    fn when_stamps_run_out_nothing_is_current() {
        let stamps = Stamps::<Heap>::new().unwrap();
        stamps.now.store(u32::MAX - 1, Ordering::Relaxed);
        stamps.new_epoch();
        let asked = stamps.now();
        stamps.new_epoch();
        assert!(!stamps.is_current(asked, 5));
    }
}
