//! Which flows may have something known of them: a record, a question, or the verdict of a live flow.
//!
//! One small counter for each hash place. Zero says that there is nothing for any flow with that hash, so that whoever
//! holds no lock can tell that there is no predecessor to forget; anything else says only that there may be.
//!
//! Invariants: what is added is removed once, under the same hash; a counter that has been full stays full. Counters are
//! changed under the gate's lock, and what moves from one place to another is added there before it is removed here.
//!
//! Neighbours: `crate::Gate` adds and removes with its records and questions, `live` with its flows; `front` asks.

use crate::atomic::{AtomicU32, Ordering};
use crate::memory::{Memory, OutOfMemory};
use crate::processes::place;

/// With all flows in the live table, one in eight that is not there looks as if it were.
const PLACES: usize = if cfg!(miri) { 1_024 } else { 131_072 };
/// Counters in a word.
const IN_WORD: usize = 4;
const FULL: u32 = 0xFF;

pub(crate) struct Presence<M: Memory> {
    words: M::Slab<AtomicU32>,
}

impl<M: Memory> Presence<M> {
    pub(crate) fn new() -> Result<Self, OutOfMemory> {
        Ok(Self { words: M::slab(PLACES / IN_WORD, || AtomicU32::new(0))? })
    }

    /// Whether there may be something of a flow with this hash.
    #[inline]
    pub(crate) fn may_have(&self, hash: u64) -> bool {
        let (word, shift) = spot(hash);
        self.words.get(word).is_none_or(|word| word.load(Ordering::Relaxed) >> shift & FULL != 0)
    }

    pub(crate) fn add(&self, hash: u64) {
        self.change(hash, |count| count + 1);
    }

    pub(crate) fn remove(&self, hash: u64) {
        self.change(hash, |count| count.saturating_sub(1));
    }

    /// Changes a counter that is not full. There is one writer: no exchange is needed.
    fn change(&self, hash: u64, change: impl FnOnce(u32) -> u32) {
        let (word, shift) = spot(hash);
        let Some(word) = self.words.get(word) else { return };
        let old = word.load(Ordering::Relaxed);
        let count = old >> shift & FULL;
        if count != FULL {
            word.store(old & !(FULL << shift) | change(count) << shift, Ordering::Release);
        }
    }
}

/// The word of a hash, and the place of its counter there.
#[inline]
fn spot(hash: u64) -> (usize, usize) {
    let place = place(hash, PLACES);
    (place / IN_WORD, place % IN_WORD * 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::Heap;

    const NEXT: u64 = u64::MAX / PLACES as u64 + 1;

    #[test]
    fn what_was_added_is_there_until_it_is_removed() {
        let presence = Presence::<Heap>::new().unwrap();
        presence.add(NEXT);
        presence.add(NEXT);
        presence.remove(NEXT);
        assert!(presence.may_have(NEXT));
        presence.remove(NEXT);
        assert!(!presence.may_have(NEXT));
    }

    #[test]
    fn neighbours_do_not_count_for_each_other() {
        let presence = Presence::<Heap>::new().unwrap();
        for n in 0..8 {
            assert!(!presence.may_have(n * NEXT), "{n}");
            presence.add(n * NEXT);
        }
        presence.remove(0);
        assert!(!presence.may_have(0) && presence.may_have(NEXT));
    }

    #[test]
    fn a_counter_that_was_full_never_says_that_there_is_nothing() {
        let presence = Presence::<Heap>::new().unwrap();
        (0..300).for_each(|_| presence.add(5));
        (0..300).for_each(|_| presence.remove(5));
        assert!(presence.may_have(5));
    }
}
