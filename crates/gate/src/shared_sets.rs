//! A bounded map that is read without a lock: fixed sets of eight entries, found by hash, the oldest of a full set replaced.
//!
//! A lookup reads the tags of one set and compares the whole key of the few entries whose tag fits: about two cache lines,
//! whatever the size. Each set is a sequence lock of its own.
//!
//! The map can be made larger and smaller while it is read. Sets are added in segments, which stay until the map is
//! dropped: nobody can tell when the last reader has left one. A new size empties the map, by a new generation: what a set
//! of an older one holds does not count, and goes when the set is next written.
//!
//! Invariants: within a set, entries are in order of age, the newest first; one writer at a time, which is whoever holds
//! the gate's lock.
//!
//! Neighbours: `cache` says what an entry is and when it is as good as gone; `sets` is the same for what only the lock's
//! holder sees.

use crate::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::memory::{Memory, Once, OutOfMemory};
use crate::processes::place;
use crate::seqlock::{Seqlock, Version, Words, WordsMut};

const WAYS: usize = 8;
/// Words of an entry.
const FIELDS: usize = 6;
/// The tag of no entry.
const VACANT: u32 = 0;
/// Where things are in a set: its generation, the tags, two in a word, the entries.
const GENERATION: usize = 0;
const TAGS: usize = 1;
const ENTRIES: usize = TAGS + WAYS / 2;
const WORDS: usize = ENTRIES + WAYS * FIELDS;
/// Each adds half of what is there, or more ([`Room::new`]), so that there are enough for any size.
const SEGMENTS: usize = 40;

/// An entry.
pub(crate) type Fields = [u64; FIELDS];
type Set = Seqlock<WORDS>;

pub(crate) struct SharedSets<M: Memory> {
    segments: M::Slab<M::Once<M::Slab<Set>>>,
    /// How many sets are in use.
    len: AtomicU32,
    generation: AtomicU64,
}

/// What a map needs for another size.
pub(crate) struct Room<M: Memory> {
    sets: usize,
    more: Option<M::Slab<Set>>,
}

impl<M: Memory> Room<M> {
    /// For `wanted` entries, rounded up to whole sets, in a map made for `current` of them.
    pub(crate) fn new(current: usize, wanted: usize) -> Result<Self, OutOfMemory> {
        let (current, sets) = (current.div_ceil(WAYS), wanted.div_ceil(WAYS));
        let more = if sets > current { Some(M::slab((sets - current).max(current), Set::new)?) } else { None };
        Ok(Self { sets, more })
    }
}

/// What a look at the place of a hash has found.
pub(crate) struct Look<'a> {
    pub(crate) entry: Option<Fields>,
    /// None where there are no sets.
    set: Option<(&'a Set, Version)>,
}

impl Look<'_> {
    /// Whether it is still so.
    #[inline]
    pub(crate) fn is_still(&self) -> bool {
        self.set.is_none_or(|(set, version)| set.is_still(version))
    }
}

/// What made room for an entry.
pub(crate) struct Replaced {
    /// The entry that was the same.
    pub(crate) same: Option<Fields>,
    /// One that had to go.
    pub(crate) evicted: Option<Fields>,
}

impl<M: Memory> SharedSets<M> {
    /// A map of no sets, which takes no entries.
    pub(crate) fn new() -> Result<Self, OutOfMemory> {
        let segments = M::slab(SEGMENTS, M::Once::new)?;
        Ok(Self { segments, len: AtomicU32::new(0), generation: AtomicU64::new(0) })
    }

    /// Gives the map another size and empties it. Leaves in `room` what it does not need.
    pub(crate) fn resize(&self, room: &mut Room<M>) {
        let mut capacity: usize = self.segments.iter().filter_map(Once::get).map(|sets| sets.len()).sum();
        if capacity < room.sets
            && let Some(free) = self.segments.iter().find(|segment| segment.get().is_none())
            && let Some(more) = room.more.take()
        {
            let added = more.len();
            match free.set(more) {
                Ok(()) => capacity += added,
                Err(back) => room.more = Some(back),
            }
        }
        self.generation.store(self.generation.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.len.store(room.sets.min(capacity) as u32, Ordering::Release);
    }

    /// Looks for the entry with this hash that `is_it`. `None` when the set is being written at the same time.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(&Fields) -> bool) -> Option<Look<'_>> {
        let Some(set) = self.set(hash) else { return Some(Look { entry: None, set: None }) };
        let generation = self.generation.load(Ordering::Relaxed);
        let (entry, version) = set.read(|words| {
            let way = way(words, generation, hash, is_it)?;
            Some(fields(words, way))
        })?;
        Some(Look { entry, set: Some((set, version)) })
    }

    /// Puts in an entry, in place of the one with this hash that `is_same`. It takes a vacant place, else that of one that
    /// `is_dead`, else of the oldest. `None` when there is no room for anything.
    pub(crate) fn put(
        &self,
        hash: u64,
        entry: &Fields,
        is_same: impl Fn(&Fields) -> bool,
        is_dead: impl Fn(&Fields) -> bool,
    ) -> Option<Replaced> {
        let set = self.set(hash)?;
        let generation = self.generation.load(Ordering::Relaxed);
        Some(set.write(|set| {
            let words = set.words();
            if words.get(GENERATION) != generation {
                (0..WAYS).for_each(|way| set_tag(set, way, VACANT));
                set.set(GENERATION, generation);
            }
            let same = way(&words, generation, hash, is_same).map(|way| {
                set_tag(set, way, VACANT);
                fields(&words, way)
            });
            let vacant = (0..WAYS).rev().find(|way| tag(&words, *way) == VACANT);
            let dead = || (0..WAYS).rev().find(|way| is_dead(&fields(&words, *way)));
            let victim = vacant.or_else(dead).unwrap_or(WAYS - 1);
            let evicted = (tag(&words, victim) != VACANT).then(|| fields(&words, victim));
            for way in (0..victim).rev() {
                set_tag(set, way + 1, tag(&words, way));
                set_fields(set, way + 1, &fields(&words, way));
            }
            set_tag(set, 0, tag_of(hash));
            set_fields(set, 0, entry);
            Replaced { same, evicted }
        }))
    }

    #[inline]
    fn set(&self, hash: u64) -> Option<&Set> {
        let len = self.len.load(Ordering::Acquire) as usize;
        if len == 0 {
            return None;
        }
        let mut at = place(hash, len);
        for segment in self.segments.iter() {
            let sets = segment.get()?;
            match sets.get(at) {
                Some(set) => return Some(set),
                None => at -= sets.len(),
            }
        }
        None
    }
}

/// Where the entry with this hash is that `is_it`. Entries are looked at only where the tag fits.
#[inline]
fn way(words: &Words<'_, WORDS>, generation: u64, hash: u64, is_it: impl Fn(&Fields) -> bool) -> Option<usize> {
    if words.get(GENERATION) != generation {
        return None;
    }
    let wanted = tag_of(hash);
    (0..WAYS).find(|way| tag(words, *way) == wanted && is_it(&fields(words, *way)))
}

/// The low half of the hash; the high half has chosen the set.
#[inline]
fn tag_of(hash: u64) -> u32 {
    (hash as u32).max(VACANT + 1)
}

#[inline]
fn tag(words: &Words<'_, WORDS>, way: usize) -> u32 {
    (words.get(TAGS + way / 2) >> (way % 2 * 32)) as u32
}

fn set_tag(words: &WordsMut<'_, WORDS>, way: usize, tag: u32) {
    let (at, shift) = (TAGS + way / 2, way % 2 * 32);
    let others = words.words().get(at) & !(u64::from(u32::MAX) << shift);
    words.set(at, others | u64::from(tag) << shift);
}

#[inline]
fn fields(words: &Words<'_, WORDS>, way: usize) -> Fields {
    core::array::from_fn(|field| words.get(ENTRIES + way * FIELDS + field))
}

fn set_fields(words: &WordsMut<'_, WORDS>, way: usize, fields: &Fields) {
    for (field, value) in fields.iter().enumerate() {
        words.set(ENTRIES + way * FIELDS + field, *value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::Heap;

    fn sets(entries: usize) -> SharedSets<Heap> {
        let sets = SharedSets::new().unwrap();
        sets.resize(&mut Room::new(0, entries).unwrap());
        sets
    }

    fn put(sets: &SharedSets<Heap>, number: u64) -> Option<Replaced> {
        sets.put(number, &[number; FIELDS], |fields| fields[0] == number, |_| false)
    }

    fn has(sets: &SharedSets<Heap>, number: u64) -> bool {
        sets.find(number, |fields| fields[0] == number).unwrap().entry == Some([number; FIELDS])
    }

    #[test]
    fn a_full_set_forgets_the_oldest() {
        let sets = sets(WAYS);
        assert!((1..=8).all(|n| put(&sets, n).is_some_and(|replaced| replaced.evicted.is_none())));
        assert_eq!(put(&sets, 9).unwrap().evicted, Some([1; FIELDS]));
        assert!(!has(&sets, 1) && (2..=9).all(|n| has(&sets, n)));
    }

    #[test]
    fn an_entry_is_there_once() {
        let sets = sets(WAYS);
        put(&sets, 1);
        assert_eq!(put(&sets, 1).unwrap().same, Some([1; FIELDS]));
        assert_eq!(sets.put(2, &[2; FIELDS], |_| false, |_| false).unwrap().same, None);
        assert!((3..=8).all(|n| put(&sets, n).unwrap().evicted.is_none()), "there was room");
    }

    #[test]
    fn the_dead_go_before_the_old() {
        let sets = sets(WAYS);
        (1..=8).for_each(|n| assert!(put(&sets, n).is_some()));
        let replaced = sets.put(9, &[9; FIELDS], |_| false, |fields| fields[0] == 5).unwrap();
        assert_eq!(replaced.evicted, Some([5; FIELDS]));
        assert!(has(&sets, 1));
    }

    #[test]
    fn another_size_empties_the_map_and_nothing_comes_back() {
        let sets = sets(64);
        let spread = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for (from, to) in [(64, 4_096), (4_096, 8), (8, 4_096), (4_096, 8_192)] {
            (1..=8).for_each(|n| assert!(put(&sets, spread(n)).is_some()));
            assert!(has(&sets, spread(8)));
            sets.resize(&mut Room::new(from, to).unwrap());
            assert!((1..=8).all(|n| !has(&sets, spread(n))), "{from} to {to}");
        }
    }

    #[test]
    fn growing_by_as_little_as_possible_takes_few_segments() {
        let (sets, mut size) = (sets(WAYS), WAYS);
        while size < 4_096 {
            let mut room = Room::<Heap>::new(size, size + 1).unwrap();
            sets.resize(&mut room);
            assert!(room.more.is_none(), "it was needed");
            size = WAYS * sets.segments.iter().filter_map(Once::get).map(std::vec::Vec::len).sum::<usize>();
        }
        assert_eq!(sets.segments.iter().filter_map(Once::get).count(), 10, "each has doubled what there was");
    }

    #[test]
    fn a_map_of_no_sets_takes_nothing() {
        let sets = sets(0);
        assert!(put(&sets, 1).is_none() && !has(&sets, 1));
        sets.resize(&mut Room::new(0, WAYS).unwrap());
        assert!(put(&sets, 1).is_some() && has(&sets, 1));
        sets.resize(&mut Room::new(WAYS, 0).unwrap());
        assert!(put(&sets, 1).is_none() && !has(&sets, 1));
    }

    #[test]
    fn a_look_knows_when_it_is_outdated() {
        let sets = sets(WAYS);
        let look = sets.find(1, |_| true).unwrap();
        assert!(look.entry.is_none() && look.is_still());
        put(&sets, 2);
        assert!(!look.is_still());
    }
}
