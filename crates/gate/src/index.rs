//! A hash index over slots: buckets of linked lists.
//!
//! Invariant: a slot is linked under the hash with which it is later removed.
//!
//! Neighbours: `pending` has three, `questions` one.

use crate::list::{Chain, List};
use crate::memory::{Memory, OutOfMemory};
use crate::processes::place;
use crate::slots::{Node, Slots};

pub(crate) struct Index<M: Memory> {
    chain: Chain,
    buckets: M::Slab<List>,
}

impl<M: Memory> Index<M> {
    /// What each slot costs here, its links not counted.
    pub(crate) const BYTES_PER_SLOT: usize = size_of::<List>();

    /// An index of as many buckets as there are slots.
    pub(crate) fn new(chain: Chain, slots: usize) -> Result<Self, OutOfMemory> {
        Ok(Self { chain, buckets: M::slab(slots, || List::EMPTY)? })
    }

    /// The slots that may have this hash.
    pub(crate) fn bucket(&self, hash: u64) -> Option<&List> {
        self.buckets.get(place(hash, self.buckets.len()))
    }

    /// All buckets.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = &List> {
        self.buckets.iter()
    }

    pub(crate) fn push_front<T: Node>(&mut self, slots: &mut Slots<T, M>, hash: u64, slot: u32) {
        let place = place(hash, self.buckets.len());
        if let Some(list) = self.buckets.get_mut(place) {
            list.push_front(slots, self.chain, slot);
        }
    }

    pub(crate) fn push_back<T: Node>(&mut self, slots: &mut Slots<T, M>, hash: u64, slot: u32) {
        let place = place(hash, self.buckets.len());
        if let Some(list) = self.buckets.get_mut(place) {
            list.push_back(slots, self.chain, slot);
        }
    }

    pub(crate) fn remove<T: Node>(&mut self, slots: &mut Slots<T, M>, hash: u64, slot: u32) {
        let place = place(hash, self.buckets.len());
        if let Some(list) = self.buckets.get_mut(place) {
            list.remove(slots, self.chain, slot);
        }
    }
}
