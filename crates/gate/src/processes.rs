//! How many records each process has.
//!
//! Open addressing with linear probing and no tombstones: an entry leaves with its last record, and those behind it move
//! up. Invariant: counts add up to the records in the pend table, so the table never fills up.
//!
//! Neighbours: `pending` counts; `crate::Gate` compares with the limit.

use crate::memory::{Memory, OutOfMemory};
use crate::siphash::SipKey;

pub(crate) struct ProcessCounts<M: Memory> {
    entries: M::Slab<Entry>,
}

#[derive(Clone, Copy)]
pub(crate) struct Entry {
    process_id: u64,
    count: u32,
}

impl<M: Memory> ProcessCounts<M> {
    /// What each record costs here.
    pub(crate) const BYTES_PER_RECORD: usize = size_of::<Entry>() * 3 / 2;

    /// Room for `records` processes with a record each.
    pub(crate) fn new(records: usize) -> Result<Self, OutOfMemory> {
        Ok(Self { entries: M::slab(records + records / 2 + 1, || Entry { process_id: 0, count: 0 })? })
    }

    pub(crate) fn count(&self, sip: SipKey, process_id: u64) -> u32 {
        self.find(sip, process_id).and_then(|at| self.entries.get(at)).map_or(0, |entry| entry.count)
    }

    pub(crate) fn add(&mut self, sip: SipKey, process_id: u64) {
        if let Some(entry) = self.find(sip, process_id).and_then(|at| self.entries.get_mut(at)) {
            entry.process_id = process_id;
            entry.count = entry.count.saturating_add(1);
        }
    }

    pub(crate) fn remove(&mut self, sip: SipKey, process_id: u64) {
        let Some(at) = self.find(sip, process_id) else { return };
        let Some(entry) = self.entries.get_mut(at) else { return };
        entry.count = entry.count.saturating_sub(1);
        if entry.count == 0 {
            self.close_gap(sip, at);
        }
    }

    /// The process's entry, or the free one where it belongs.
    fn find(&self, sip: SipKey, process_id: u64) -> Option<usize> {
        let (before, from) = self.entries.split_at_checked(self.home(sip, process_id))?;
        let fits = |entry: &Entry| entry.count == 0 || entry.process_id == process_id;
        let behind = from.iter().position(fits).map(|at| at + before.len());
        behind.or_else(|| before.iter().position(fits))
    }

    /// Moves up entries behind the free one at `gap` that would not be found any more.
    fn close_gap(&mut self, sip: SipKey, mut gap: usize) {
        let len = self.entries.len();
        let distance = |from: usize, to: usize| if to >= from { to - from } else { to + len - from };
        let mut at = gap;
        for _ in 1..len {
            at = if at + 1 == len { 0 } else { at + 1 };
            let Some(entry) = self.entries.get(at).copied().filter(|entry| entry.count > 0) else { return };
            if distance(self.home(sip, entry.process_id), at) >= distance(gap, at) {
                self.entries.swap(gap, at);
                gap = at;
            }
        }
    }

    fn home(&self, sip: SipKey, process_id: u64) -> usize {
        place(sip.words([process_id]), self.entries.len())
    }
}

/// Maps a hash evenly onto `0..len`, by its high bits.
#[inline]
pub(crate) fn place(hash: u64, len: usize) -> usize {
    ((u128::from(hash) * len as u128) >> 64) as usize
}
