//! A bounded map: fixed sets of eight entries, found by hash, the oldest of a full set replaced.
//!
//! A lookup reads the tags of one set and compares the whole key of the few entries whose tag fits: about two cache
//! lines, whatever the size. Invariant: within a set, entries are in order of age, the newest first.
//!
//! Neighbours: `cache` and `live` say what an entry is and when it is as good as gone.

use crate::memory::{Memory, OutOfMemory};
use crate::processes::place;

const WAYS: usize = 8;
/// The tag of no entry.
const VACANT: u32 = 0;

pub(crate) struct Sets<E, M: Memory> {
    sets: M::Slab<Set<E>>,
}

/// A map of no sets takes no entries.
pub(crate) struct NoRoom;

#[derive(Clone, Copy)]
pub(crate) struct Set<E> {
    tags: [u32; WAYS],
    entries: [E; WAYS],
}

impl<E: Copy + Default, M: Memory> Sets<E, M> {
    /// Room for `capacity` entries, rounded up to whole sets.
    pub(crate) fn new(capacity: usize) -> Result<Self, OutOfMemory> {
        let empty = Set { tags: [VACANT; WAYS], entries: [E::default(); WAYS] };
        Ok(Self { sets: M::slab(capacity.div_ceil(WAYS), || empty)? })
    }

    /// The entry with this hash that `is_it`.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(&E) -> bool) -> Option<&E> {
        let set = self.sets.get(place(hash, self.sets.len()))?;
        set.entries.get(set.way(hash, is_it)?)
    }

    /// Takes out the entry with this hash that `is_it`.
    #[inline]
    pub(crate) fn remove(&mut self, hash: u64, is_it: impl Fn(&E) -> bool) -> Option<E> {
        let place = place(hash, self.sets.len());
        let set = self.sets.get_mut(place)?;
        let way = set.way(hash, is_it)?;
        *set.tags.get_mut(way)? = VACANT;
        set.entries.get(way).copied()
    }

    /// Adds an entry that is not there. It takes a vacant place, else that of one that `is_dead`, else of the oldest;
    /// gives what was in that place. Fails when there is no room for anything.
    pub(crate) fn insert(&mut self, hash: u64, entry: E, is_dead: impl Fn(&E) -> bool) -> Result<Option<E>, NoRoom> {
        let place = place(hash, self.sets.len());
        let set = self.sets.get_mut(place).ok_or(NoRoom)?;
        let vacant = set.tags.iter().rposition(|tag| *tag == VACANT);
        let victim = vacant.or_else(|| set.entries.iter().rposition(is_dead)).unwrap_or(WAYS - 1);
        let (tags, entries) =
            (set.tags.get_mut(..=victim).ok_or(NoRoom)?, set.entries.get_mut(..=victim).ok_or(NoRoom)?);
        tags.rotate_right(1);
        entries.rotate_right(1);
        let (tag, room) = (tags.first_mut().ok_or(NoRoom)?, entries.first_mut().ok_or(NoRoom)?);
        let old_tag = core::mem::replace(tag, tag_of(hash));
        let old = core::mem::replace(room, entry);
        Ok((old_tag != VACANT).then_some(old))
    }
}

impl<E> Set<E> {
    /// Where the entry is. All tags are compared at once; entries are touched only where the tag fits.
    #[inline]
    fn way(&self, hash: u64, is_it: impl Fn(&E) -> bool) -> Option<usize> {
        let tag = tag_of(hash);
        let mut fits = 0_u32;
        for (way, other) in self.tags.iter().enumerate() {
            fits |= u32::from(*other == tag) << way;
        }
        while fits != 0 {
            let way = fits.trailing_zeros() as usize;
            if self.entries.get(way).is_some_and(&is_it) {
                return Some(way);
            }
            fits &= fits - 1;
        }
        None
    }
}

/// The low half of the hash; the high half has chosen the set.
#[inline]
fn tag_of(hash: u64) -> u32 {
    (hash as u32).max(1)
}
