//! Slots: memory for a fixed number of things, each named by its number while it is there.
//!
//! Invariants: memory is allocated by [`Slots::new`] only; a slot that was used before is used again before a new one, so
//! that few are touched.
//!
//! Neighbours: `list` links slots; `pending` keeps its records in some, `questions` what it asks.

use crate::list::{Chain, Links, NONE};
use crate::memory::{Memory, OutOfMemory};

/// What lists can link.
pub(crate) trait Node {
    /// The links of this chain; `None` when it is in no such list, ever.
    fn links(&mut self, chain: Chain) -> Option<&mut Links>;
}

pub(crate) enum Slot<T> {
    Free { next: u32 },
    Used(T),
}

pub(crate) struct Slots<T, M: Memory> {
    slots: M::Slab<Slot<T>>,
    /// The first of the slots that were used before.
    free: u32,
    /// How many slots were ever used.
    fresh: usize,
}

impl<T, M: Memory> Slots<T, M> {
    pub(crate) fn new(capacity: usize) -> Result<Self, OutOfMemory> {
        Ok(Self { slots: M::slab(capacity, || Slot::Free { next: NONE })?, free: NONE, fresh: 0 })
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        match self.slots.get(slot as usize)? {
            Slot::Used(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        match self.slots.get_mut(slot as usize)? {
            Slot::Used(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    /// A free slot, to be filled with [`Slots::put`]: one used before, or the next new one.
    pub(crate) fn take(&mut self) -> Option<u32> {
        if let Some(Slot::Free { next }) = self.slots.get(self.free as usize) {
            return Some(core::mem::replace(&mut self.free, *next));
        }
        let fresh = u32::try_from(self.fresh).ok().filter(|_| self.fresh < self.slots.len())?;
        self.fresh += 1;
        Some(fresh)
    }

    /// Fills a slot that was taken.
    pub(crate) fn put(&mut self, slot: u32, value: T) {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Slot::Used(value);
        }
    }

    /// Empties a slot.
    pub(crate) fn release(&mut self, slot: u32) -> Option<T> {
        let place = self.slots.get_mut(slot as usize)?;
        match core::mem::replace(place, Slot::Free { next: self.free }) {
            Slot::Used(value) => {
                self.free = slot;
                Some(value)
            }
            free @ Slot::Free { .. } => {
                *place = free;
                None
            }
        }
    }

    /// Exchanges everything with `old`, at the same slots, but keeps its own capacity. `self` is new. Fails, and does
    /// nothing, when it is too small.
    pub(crate) fn adopt(&mut self, old: &mut Self) -> bool {
        if self.capacity() < old.fresh {
            return false;
        }
        // The others are free in both.
        for (slot, old_slot) in self.slots.iter_mut().zip(old.slots.iter_mut()).take(old.fresh) {
            core::mem::swap(slot, old_slot);
        }
        core::mem::swap(&mut self.free, &mut old.free);
        core::mem::swap(&mut self.fresh, &mut old.fresh);
        true
    }
}

impl<T: Node, M: Memory> Slots<T, M> {
    pub(crate) fn links(&mut self, chain: Chain, slot: u32) -> Option<&mut Links> {
        self.get_mut(slot)?.links(chain)
    }
}
