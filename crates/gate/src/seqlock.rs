//! A few words that are read without a lock, and never half old and half new.
//!
//! A sequence lock: the count is odd while somebody writes, and has changed when somebody has written meanwhile. A reader
//! writes nothing, so readers on many processors do not disturb each other. All of it is atomic words and no `unsafe`;
//! orders of memory as in Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?".
//!
//! Invariant: one writer at a time, which is whoever holds the gate's lock.
//!
//! Neighbours: `shared_sets` keeps a set of entries in one.

use crate::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// `N` words.
pub(crate) struct Seqlock<const N: usize> {
    sequence: AtomicU32,
    words: [AtomicU64; N],
}

/// When something was read.
#[derive(Clone, Copy)]
pub(crate) struct Version(u32);

/// The words, to look at: worth nothing before the whole look has turned out to be undisturbed.
pub(crate) struct Words<'a, const N: usize>(&'a [AtomicU64; N]);

/// The words, for the one who writes.
pub(crate) struct WordsMut<'a, const N: usize>(&'a [AtomicU64; N]);

impl<const N: usize> Seqlock<N> {
    /// All words zero.
    pub(crate) fn new() -> Self {
        Self { sequence: AtomicU32::new(0), words: core::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Takes one look. `None` when somebody writes at the same time: then what was seen is not to be believed.
    #[inline]
    pub(crate) fn read<R>(&self, look: impl FnOnce(&Words<'_, N>) -> R) -> Option<(R, Version)> {
        let before = self.sequence.load(Ordering::Acquire);
        if before & 1 != 0 {
            return None;
        }
        let seen = look(&Words(&self.words));
        let version = Version(before);
        self.is_still(version).then_some((seen, version))
    }

    /// Whether nobody has written since.
    #[inline]
    pub(crate) fn is_still(&self, Version(version): Version) -> bool {
        // Whoever has loaded a word of a later write loads that write's count here.
        fence(Ordering::Acquire);
        self.sequence.load(Ordering::Relaxed) == version
    }

    /// Changes words. To be called by one at a time.
    pub(crate) fn write<R>(&self, change: impl FnOnce(&WordsMut<'_, N>) -> R) -> R {
        let before = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(before.wrapping_add(1), Ordering::Relaxed);
        // Whoever loads a word of this write loads an odd count, or a later one, after it.
        fence(Ordering::Release);
        let result = change(&WordsMut(&self.words));
        self.sequence.store(before.wrapping_add(2), Ordering::Release);
        result
    }
}

impl<const N: usize> Words<'_, N> {
    /// One word; 0 beyond the last.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> u64 {
        self.0.get(index).map_or(0, |word| word.load(Ordering::Relaxed))
    }
}

impl<'a, const N: usize> WordsMut<'a, N> {
    /// The words, to look at.
    pub(crate) fn words(&self) -> Words<'a, N> {
        Words(self.0)
    }

    pub(crate) fn set(&self, index: usize, value: u64) {
        if let Some(word) = self.0.get(index) {
            word.store(value, Ordering::Relaxed);
        }
    }
}
