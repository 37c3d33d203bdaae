//! Values in nonpaged pool that several owners share, and places that are filled once.
//!
//! What processors share without a lock lies in one of these: a [`Shared`] value is only looked at, and a [`Once`] never
//! changes again after it was filled.

use crate::pool::{PoolBox, Tag};
use crate::status::Result;
use core::cell::UnsafeCell;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering, fence};

/// A value with several owners, dropped with the last of them.
pub struct Shared<T> {
    counted: NonNull<Counted<T>>,
    tag: Tag,
}

struct Counted<T> {
    owners: AtomicUsize,
    value: T,
}

// SAFETY: every owner looks at the value, on whichever thread it is, and the last one drops it there.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above; a reference to an owner can be made an owner.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Moves `value` into pool.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`; `value` is dropped.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn new(value: T, tag: Tag) -> Result<Self> {
        let (counted, tag) = PoolBox::new(Counted { owners: AtomicUsize::new(1), value }, tag)?.into_raw();
        Ok(Self { counted, tag })
    }

    fn counted(&self) -> &Counted<T> {
        // SAFETY: this owner is counted, so the value is alive; nobody has it for writing.
        unsafe { self.counted.as_ref() }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        // An owner exists, so nobody waits for the count to become visible.
        self.counted().owners.fetch_add(1, Ordering::Relaxed);
        Self { counted: self.counted, tag: self.tag }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.counted().value
    }
}

impl<T> Drop for Shared<T> {
    /// # IRQL
    /// That of what dropping the value wants.
    fn drop(&mut self) {
        if self.counted().owners.fetch_sub(1, Ordering::Release) == 1 {
            // What the other owners did with the value comes before its end.
            fence(Ordering::Acquire);
            // SAFETY: the pointer and the tag came from `into_raw`, and this was the last owner.
            drop(unsafe { PoolBox::from_raw(self.counted, self.tag) });
        }
    }
}

/// A place that is filled once, perhaps while others look at it.
pub struct Once<T> {
    state: AtomicU8,
    value: UnsafeCell<Option<T>>,
}

const EMPTY: u8 = 0;
const BEING_FILLED: u8 = 1;
const FULL: u8 = 2;

// SAFETY: the value is written by the one who took the place from `EMPTY`, and looked at only from `FULL` on; filling
// moves it from one thread to another, looking shares it.
unsafe impl<T: Send + Sync> Sync for Once<T> {}

impl<T> Once<T> {
    /// An empty place.
    pub const fn new() -> Self {
        Self { state: AtomicU8::new(EMPTY), value: UnsafeCell::new(None) }
    }

    /// What is in it.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        if self.state.load(Ordering::Acquire) != FULL {
            return None;
        }
        // SAFETY: a full place is not written any more.
        unsafe { &*self.value.get() }.as_ref()
    }

    /// Fills it.
    ///
    /// # Errors
    /// Gives `value` back when it is full, or somebody fills it at this moment.
    pub fn set(&self, value: T) -> core::result::Result<(), T> {
        let taken = self.state.compare_exchange(EMPTY, BEING_FILLED, Ordering::Relaxed, Ordering::Relaxed);
        if taken.is_err() {
            return Err(value);
        }
        // SAFETY: only one can take the place from `EMPTY`, and nobody looks at it before it is `FULL`.
        unsafe { *self.value.get() = Some(value) };
        self.state.store(FULL, Ordering::Release);
        Ok(())
    }
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self::new()
    }
}
